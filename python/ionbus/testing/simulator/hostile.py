"""What becomes of the frames of a hostile client, and of those for it: bits flip, frames are cut short, and lies are told."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any, Final

import msgpack

from ionbus.generated.protocol import Frame, Message
from ionbus.wire.frames import encode_close, encode_control, encode_data
from ionbus.wire.messages import encode_call, encode_event, encode_item, encode_message, encode_result

CODES: Final = frozenset(
    (
        "closed", "evicted", "handshake_timeout", "protocol_error", "protocol_violation", "rate_limited",
        "session_lost", "slow_consumer", "stale_attempt", "stopping", "unauthenticated",
    )
)  # fmt: skip
"""With which a broker may answer whatever comes (docs/protocol.md, section 9)."""
_KEYS: Final = (0, -1, b"", b"session", "", "__proto__", "session", "constructor", None, True, 1.5)
"""What stands in place of a map's key."""


class Tampering:
    """Draws what arrives in place of a frame.

    Args:
        rng: the simulation's.
        sessions: gives the ids of sessions that may be another's.
    """

    def __init__(self, rng: random.Random, sessions: Callable[[], list[bytes]]) -> None:
        self._rng = rng
        self._sessions = sessions
        self._seen: list[bytes] = []
        alters = (self._alter,) * 3
        self._ways = (*alters, self._flip, self._cut, self._lengthen, self._lie, self._repeat, self._steal)
        self.is_on = True

    def __call__(self, frame: bytes) -> bytes:
        """The frame itself, most of the time."""
        rng = self._rng
        if len(self._seen) < 50:
            self._seen.append(frame)
        if not self.is_on or rng.random() < 0.8:
            return frame
        tamper: Callable[[bytes], bytes] = rng.choice(self._ways)
        return tamper(frame)

    def _flip(self, frame: bytes) -> bytes:
        at = self._rng.randrange(len(frame) * 8)
        flipped = bytearray(frame)
        flipped[at // 8] ^= 1 << at % 8
        return bytes(flipped)

    def _cut(self, frame: bytes) -> bytes:
        return frame[: self._rng.randrange(len(frame))]

    def _lengthen(self, frame: bytes) -> bytes:
        return frame + self._rng.randbytes(self._rng.randint(1, 5))

    def _repeat(self, _: bytes) -> bytes:
        return self._rng.choice(self._seen)

    def _steal(self, frame: bytes) -> bytes:
        """The session of another in a HELLO, whose secret it has not."""
        decoded, sessions = _decoded(frame), self._sessions()
        if not sessions or decoded[:1] != [Frame.HELLO] or not isinstance(decoded[1], dict):
            return self._lie(frame)
        decoded[1].update(session=self._rng.choice(sessions), attempt=1_000, received=0)
        return _packed(decoded)

    def _alter(self, frame: bytes) -> bytes:
        """Another value in one place of a frame that stays well formed."""
        decoded = _decoded(frame)
        places: list[tuple[Any, Any]] = []  # containers of whatever arrives, and an index or key in each
        todo: list[object] = [decoded]
        while todo:
            part = todo.pop()
            if isinstance(part, list):
                places += [(part, index) for index in range(len(part))]
                todo += part
            elif isinstance(part, dict):
                places += [(part, key) for key in part]
                todo += part.values()
        if not places:
            return frame
        where, at = self._rng.choice(places)
        if isinstance(where, dict) and self._rng.random() < 0.3:
            where[self._rng.choice(_KEYS)] = where.pop(at)
        else:
            where[at] = self._value()
        return _packed(decoded)

    def _value(self) -> object:
        rng = self._rng
        return rng.choice(
            (
                None, True, -1, 0, 1, 2, rng.randrange(40), 2**53 - 1, 2**53, 2**64 - 1, 1.0, 0.5, "", "a.b", b"", [], {},
                rng.randbytes(rng.choice((1, 16, 32, 100))), [1, "a.b", b"x"], [[[[[[[[1]]]]]]]], {"over": True},
            )
        )  # fmt: skip

    def _lie(self, _: bytes) -> bytes:
        """A frame of good form that nobody who keeps to the protocol would send now."""
        rng = self._rng
        number = rng.choice((0, 1, 2, 5, 1_000, 2**53 - 1))
        messages = (
            bytes(encode_event("an.event", bytes(rng.choice((0, 300))))),
            bytes(encode_call(number, "a.call", b"x")),
            bytes(encode_result(number, b"x")),
            bytes(encode_item(number, b"x")),
            encode_message(
                Message.BEGIN, number, rng.choice((1, 250, 2_000, 2**53 - 1)), bytes(rng.choice((0, 40, 91)))
            ),
            encode_message(Message.CHUNK, number, bytes(rng.choice((0, 40, 90, 91)))),
            encode_message(Message.GRANT, number, number),
            encode_message(Message.ABORT, number, "no", "no"),
            encode_message(Message.REJECT, number, "no", "no"),
            encode_message(Message.CANCEL, number),
            encode_message(Message.STREAM_CREDIT, number, number, number),
            encode_message(Message.SUBSCRIBE, number, "**"),
            b"\xc0",
            b"\x92\x63\x01",
        )
        lies = (
            lambda: encode_data(number, rng.choice((0, 0, number)), [rng.choice(messages)], 1),
            lambda: encode_data(rng.randrange(1, 30), 0, [b"\xc0"] * 12, 12),
            lambda: encode_control(Frame.ACK, number),
            lambda: encode_control(Frame.CREDIT, number, number),
            lambda: encode_control(Frame.PING, number),
            lambda: encode_control(Frame.HELLO, {}),
            lambda: encode_control(Frame.WELCOME, {}),
            lambda: encode_close(
                rng.choice(("no_such_code", "x" * 300)),
                "lies",
                {"over": rng.random() < 0.5, "retry_after": 50},
            ),
            lambda: rng.randbytes(rng.randrange(40)),
        )
        return rng.choice(lies)()


def _decoded(frame: bytes) -> list[Any]:
    """Empty where it is no array: it was tampered with before."""
    try:
        decoded = msgpack.unpackb(frame)
    except ValueError:
        return []
    return decoded if isinstance(decoded, list) else []


def _packed(decoded: list[Any]) -> bytes:
    packed: bytes = msgpack.packb(decoded)
    return packed
