"""Frames to bytes. Their forms are in schemas/vectors/frames.json."""

from __future__ import annotations

import msgpack
import pytest

from ionbus.generated.protocol import Limits
from ionbus.wire.frames import MalformedFrame, close_fields, decode_frame, encode_close


def test_a_close_fits_where_little_is_taken_yet() -> None:
    frame = encode_close("contract_mismatch", "\N{MUSICAL SYMBOL G CLEF}" * 1_000_000, {"final": True})
    assert len(frame) < Limits().max_greeting_bytes
    assert close_fields(decode_frame(frame)) == (
        "contract_mismatch",
        "\N{MUSICAL SYMBOL G CLEF}" * 1_000,
        {"final": True},
    )


@pytest.mark.parametrize("time", ["d6ff00000001", "d7ff0000000000000001", "c70cff000000000000000000000001"])
@pytest.mark.parametrize("before", ["94000100", "9400010094012a61c40081a178", "92019001", "930400"])
def test_a_time_of_msgpacks_own_is_an_extension_like_any_other(time: str, before: str) -> None:
    """msgpack reads it without asking: it stood in options, and the TypeScript side refused the frame."""
    with pytest.raises(MalformedFrame):
        decode_frame(bytes.fromhex(before + time))


def test_bytes_that_look_like_one_are_bytes() -> None:
    frame = msgpack.packb([0, 1, 0, [1, "a.event", bytes.fromhex("d6ff00000001")]])
    assert decode_frame(frame)[3][2] == bytes.fromhex("d6ff00000001")
