"""Messages to bytes. Their forms are in schemas/vectors/messages.json."""

from __future__ import annotations

import tracemalloc

import msgpack
import pytest

from ionbus.wire import values
from ionbus.wire.frames import MalformedFrame, decode_frame
from ionbus.wire.messages import encode_call, encode_envelope, encode_event, encode_result, event_name

MEBIBYTE = 1_048_576


def test_a_large_message_leaves_no_large_buffer_behind() -> None:
    payload = bytes(20_000_000)
    tracemalloc.start()
    try:
        assert len(encode_result(1, payload)) > len(payload)
        kept, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert kept < 2_000_000


@pytest.mark.parametrize("size", [MEBIBYTE - 1, MEBIBYTE, MEBIBYTE + 1, 3 * MEBIBYTE])
def test_large_payloads_have_the_bytes_that_small_ones_have(size: int) -> None:
    payload = bytes(range(256)) * (size // 256) + bytes(size % 256)
    options = {"deadline": 5, "trace": "t"}
    assert encode_result(7, payload) == msgpack.packb([3, 7, payload])
    assert encode_call(300, "a.call", payload) == msgpack.packb([2, 300, "a.call", payload])
    assert encode_call(1, "a.call", payload, options) == msgpack.packb([2, 1, "a.call", payload, options])
    assert encode_event("a.event", payload) == msgpack.packb([1, "a.event", payload])
    assert encode_event(9, payload, options) == msgpack.packb([1, 9, payload, options])
    assert values.encode(payload) == msgpack.packb(payload)


@pytest.mark.parametrize("name", ["a", "conductor.progress", "x" * 31, "x" * 32, "ü" * 16, "y" * 255])
def test_the_name_of_an_event_is_read_where_it_stands(name: str) -> None:
    event = encode_event(name, b"payload")
    assert event_name(event) == name
    assert event_name(encode_event(name, b"", {"offset": 300})) == name
    assert event_name(encode_envelope([1, 500], event)) == name


def test_the_number_of_an_event_in_place_of_its_name() -> None:
    assert event_name(encode_event(300, b"payload")) == "300"


@pytest.mark.parametrize("size", [10, 70_000, 3 * MEBIBYTE])
def test_a_timestamp_beside_a_payload_of_any_size_is_refused_and_one_within_it_is_not(size: int) -> None:
    mark = msgpack.packb(msgpack.Timestamp(1))
    payload = (mark * (size // len(mark) + 1))[:size]
    assert decode_frame(bytes(encode_result(7, payload))) == [3, 7, payload]
    with pytest.raises(MalformedFrame, match="extension type -1"):
        decode_frame(msgpack.packb([3, 7, payload, {"at": msgpack.Timestamp(1)}]))
