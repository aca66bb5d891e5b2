"""Frames out of any bytes: a list that starts with its kind, or MalformedFrame; then its fields, as every receiver reads them."""

from __future__ import annotations

import json
import re

from fuzz.driver import Outcome, Target, corpus
from fuzz.targets.payload import VECTORS
from ionbus.generated.protocol import Frame, Limits
from ionbus.wire.frames import MalformedFrame, close_fields, decode_frame, greeting_map, uint_fields
from ionbus.wire.messages import check_message

_OWN = re.compile(r"'[^']*'|\d+")
_LIMITS = Limits()
_UINTS = {Frame.DATA: 2, Frame.ACK: 1, Frame.CREDIT: 2, Frame.PING: 1, Frame.PONG: 1}


def seeds() -> list[bytes]:
    """Frames of all vectors, those in traces included."""
    found = [bytes.fromhex(row["bytes"]) for row in json.loads((VECTORS / "frames.json").read_text())]
    for name in ("session", "connection"):
        for trace in json.loads((VECTORS / f"{name}.json").read_text()):
            found += [bytes.fromhex(step["frame"]) for step in trace["steps"] if "frame" in step]
    return [frame for frame in found if len(frame) < 1_000]


def run(data: bytes) -> Outcome:
    """Decode and look at each part."""
    try:
        frame = decode_frame(data)
        kind = frame[0]
        if kind in _UINTS:
            uint_fields(frame, _UINTS[kind])
        elif kind == Frame.CLOSE:
            close_fields(frame)
        elif kind in (Frame.HELLO, Frame.WELCOME):
            greeting_map(frame)
    except MalformedFrame as malformed:
        return Outcome(f"malformed: {_OWN.sub('#', str(malformed))}"[:80])
    if kind != Frame.DATA:
        return Outcome(f"kind {min(kind, 9)}")
    found = set()
    for element in frame[3:]:
        if type(element) is not list:
            found.add("nil" if element is None else "none")
            continue
        try:
            found.add("known" if check_message(element, _LIMITS) else "unknown")
        except MalformedFrame as malformed:
            found.add(_OWN.sub("#", str(malformed))[:60])
    return Outcome(f"DATA {' '.join(sorted(found))}")


def target() -> Target:
    """See the module."""
    return Target("frames", run, [*seeds(), *corpus("frames").values()], longest=400)
