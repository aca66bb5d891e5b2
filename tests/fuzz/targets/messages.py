"""Messages of every type, most fields right: known, unknown, or MalformedFrame; a known one goes back into the same bytes."""

from __future__ import annotations

import re

from fuzz.choices import Choices
from fuzz.driver import Outcome, Target, corpus
from fuzz.grammar import Known, damaged, pack
from ionbus.generated.protocol import Limits, Message
from ionbus.wire.frames import MalformedFrame, decode_frame
from ionbus.wire.messages import check_message, encode_message

_LIMITS = Limits()
_OWN = re.compile(r"'[^']*'|\d+")


def run(data: bytes) -> Outcome:
    """Make a message, send it in a frame, check it."""
    choices = Choices(data)
    frame = b"\x94\x00\x01\x00" + pack(Known().message(choices))
    if choices.one_in(4):
        frame = damaged(choices, frame)
    try:
        element = decode_frame(frame)[3:4]
        if not element or type(element[0]) is not list:
            return Outcome("no message")
        message = element[0]
        if not check_message(message, _LIMITS):
            return Outcome("unknown")
    except MalformedFrame as malformed:
        return Outcome(f"malformed: {_OWN.sub('#', str(malformed))}"[:80])
    kind = Message(message[0])
    assert decode_frame(b"\x94\x00\x01\x00" + encode_message(kind, *message[1:]))[3][0] == kind
    return Outcome(f"{kind.name} of {len(message)}")


def target() -> Target:
    """See the module."""
    return Target("messages", run, tuple(corpus("messages").values()), longest=120)
