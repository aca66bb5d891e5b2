"""Messages to bytes. Their forms are in schemas/vectors/messages.json."""

from __future__ import annotations

import tracemalloc

from ionbus.wire.messages import encode_result


def test_a_large_message_leaves_no_large_buffer_behind() -> None:
    payload = bytes(20_000_000)
    tracemalloc.start()
    try:
        assert len(encode_result(1, payload)) > len(payload)
        kept, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert kept < 2_000_000
