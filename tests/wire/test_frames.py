"""Frames to bytes. Their forms are in schemas/vectors/frames.json."""

from __future__ import annotations

from ionbus.generated.protocol import Limits
from ionbus.wire.frames import close_fields, decode_frame, encode_close


def test_a_close_fits_where_little_is_taken_yet() -> None:
    frame = encode_close("contract_mismatch", "\N{MUSICAL SYMBOL G CLEF}" * 1_000_000, {"final": True})
    assert len(frame) < Limits().max_greeting_bytes
    assert close_fields(decode_frame(frame)) == (
        "contract_mismatch",
        "\N{MUSICAL SYMBOL G CLEF}" * 1_000,
        {"final": True},
    )
