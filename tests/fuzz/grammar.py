"""Bytes, messages and frames that are well formed and hostile, made from decisions."""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Any, Final

import msgpack

from fuzz.choices import Choices
from ionbus.generated.protocol import FIELDS, Frame, Message
from ionbus.wire.values import Extension

pack: Callable[[object], bytes] = msgpack.Packer(use_bin_type=True).pack

REPEATED: Final = (2, 16, 17, 65, 200, 257, 1_030)
LONGEST: Final = 1_000
"""About how many bytes one value has at most: a test of growth.py asks what larger ones cost."""
_LEAVES: Final = tuple(
    bytes.fromhex(leaf)
    for leaf in (
        "c0", "c2", "c3", "00", "ff", "cd0100", "cf001fffffffffffff", "cf0020000000000000", "d3ffe0000000000000",
        "cb3ff0000000000000", "cb7ff8000000000000", "ca3f800000", "a0", "a161", "a95f5f70726f746f5f5f", "c400", "c40161",
    )
)  # fmt: skip
_BODIES: Final = {
    Extension.DATE_TIME: (b"2024-02-29T12:00:00+00:00", b"0001-01-01T00:00:00+23:59", b"9999-12-31T23:59:59-23:59"),
    Extension.DATE: (b"2024-02-29", b"2023-02-29", b"0000-01-01"),
    Extension.TIME: (b"12:00:00", b"23:59:59.999999Z", b"24:00:00"),
    Extension.DURATION: (b"\0" * 8, b"\x80" + b"\0" * 7, b"\x7f" + b"\xff" * 7),
    Extension.INTEGER: (b"\x20" + b"\0" * 6, b"\x7f" + b"\xff" * 1_023, b"\0", b""),
    Extension.DECIMAL: (b"1.5", b"sNaN", b"NaN123", b"1E+9999", b"-0E-9999", b"Infinity", b"9" * 1_024),
    Extension.UUID: (b"\0" * 16, b"\xff" * 16, b"\0" * 15),
    Extension.TYPED_ARRAY: (b"\0", b"\x02\0\0", b"\x09" + b"\xff" * 16, b"\x0a\0", b"\x07\0"),
}  # fmt: skip


def value(choices: Choices, depth: int = 0) -> bytes:
    """One value of msgpack, most often a right one."""
    match choices.below(14 if depth < 70 else 6):
        case 0 | 1 | 2 | 3:
            return choices.pick(_LEAVES)
        case 4:
            code = choices.pick(tuple(_BODIES))
            return extension(code, choices.pick(_BODIES[code]))
        case 5:
            return pack(choices.text())
        case 6 | 7:
            count = choices.below(6)
            return _head(choices, 0x90, 0xDC, count) + b"".join(
                value(choices, depth + 1) for _ in range(count)
            )
        case 8:
            count = choices.below(4)
            parts = (pack(choices.text()) + value(choices, depth + 1) for _ in range(count))
            return _head(choices, 0x80, 0xDE, count) + b"".join(parts)
        case 9 | 10:
            count = choices.below(6)
            members = b"".join(value(choices, depth + 1) for _ in range(count))
            code = choices.pick((Extension.SET, Extension.MAPPING))
            return extension(code, _head(choices, 0x90, 0xDC, count) + members)
        case 11:
            count, member = choices.pick(REPEATED), value(choices, 70)
            count = min(count, LONGEST // len(member))
            return _head(choices, 0x90, 0xDC, count) + member * count
        case 12:
            nested = value(choices, depth + 4)
            wrap = choices.below(3)
            for _ in range(choices.pick((3, 60, 62, 63, 64, 65, 66, 300))):
                if wrap == 0:
                    nested = b"\x91" + nested
                elif wrap == 1:
                    nested = b"\x81\xa1k" + nested
                else:
                    nested = extension(Extension.SET, b"\x91" + nested)
                if len(nested) > LONGEST:
                    break
            return nested
        case _:
            return extension(choices.below(256), choices.blob(choices.below(20)))


def extension(code: int, body: bytes) -> bytes:
    """An extension in its longest form."""
    return b"\xc9" + struct.pack(">IB", len(body), code & 0xFF) + body


def _head(choices: Choices, short: int, long: int, count: int) -> bytes:
    """A container's head; about one in sixteen lies."""
    if choices.one_in(16):
        return bytes((long + 1,)) + struct.pack(">I", choices.number(count) & 0xFFFFFFFF)
    if count < 16:
        return bytes((short | count,))
    return bytes((long,)) + struct.pack(">H", count)


class Known:
    """What a hostile peer knows of a session: numbers near those that are right.

    Args:
        names: of members and patterns.
        payloads: bytes that some member takes.
        totals: sizes of transfers.
        wrong: a field has the wrong type once in so many times, and a message the wrong number of fields.
    """

    def __init__(
        self,
        names: tuple[str, ...] = ("a.b",),
        payloads: tuple[bytes, ...] = (b"\xc0",),
        totals: tuple[int, ...] = (101, 150, 1_000, 1_001),
        wrong: int = 30,
    ) -> None:
        self.names = names
        self.totals = totals
        self.payloads = payloads
        self.wrong = wrong
        self.ids = [1]
        self.last = 0
        self.transfer = 0
        self.total = 0
        self.rest = 0

    def field(self, choices: Choices, kind: str) -> Any:
        """One field of a message."""
        if choices.one_in(self.wrong):
            return choices.anything()
        match kind.rstrip("?"):
            case "uint":
                return (
                    choices.number(*self.ids) if choices.one_in(self.wrong // 4) else choices.pick(self.ids)
                )
            case "text":
                return (
                    choices.pick((*self.names, "*", "**", "a.*", "a.**", "*.b", "too_large"))
                    if choices.one_in(2)
                    else choices.text()
                )
            case "name":
                return choices.anything() if choices.one_in(self.wrong) else choices.pick(self.names)
            case "bin":
                return choices.pick(self.payloads) if choices.one_in(2) else value(choices, 60)
            case "map":
                return choices.pick(
                    (
                        None,
                        {},
                        {"deadline": choices.number()},
                        {"credit": [choices.number(), choices.number()]},
                        {"key": "k"},
                        {"trace": choices.text()},
                        {choices.text(): choices.anything(4)},
                    )
                )
            case "message":
                return self.message(choices, Message.EVENT)
            case "uints":
                return [choices.number(*self.ids) for _ in range(choices.below(5))]
            case "texts":
                return [choices.text() for _ in range(choices.below(5))]
            case "triples":
                return [
                    [choices.pick(self.names).partition(".")[0], choices.text(), choices.text()]
                    for _ in range(choices.below(4))
                ]
        raise AssertionError(kind)

    def message(self, choices: Choices, kind: int | None = None) -> list[Any]:
        """One message; now and then it has fewer fields, more, or a type that nobody knows."""
        if kind is None:
            kind = 1 + choices.below(22)
        if kind in (Message.BEGIN, Message.CHUNK) and not choices.one_in(self.wrong):
            return self._part(choices, kind)
        if (
            kind in (Message.CANCEL, Message.STREAM_CREDIT)
            and not self.last
            and not choices.one_in(self.wrong)
        ):
            kind = Message.CALL
        elif kind == Message.ABORT and not choices.one_in(self.wrong):
            return (
                [kind, self.transfer, choices.text(), choices.text()]
                if self.transfer
                else self._part(choices, kind)
            )
        message = [kind, *(self.field(choices, each) for each in FIELDS[kind])]
        if (
            kind in (Message.CALL, Message.STREAM, Message.SUBSCRIBE)
            and type(message[1]) is int
            and 0 < message[1] < 2**40
        ):
            if not choices.one_in(self.wrong):
                self.last += 1
                message[1] = self.last
            self.ids = [*self.ids[-4:], message[1]]
        while len(message) > 2 and message[-1] is None:
            message.pop()
        if choices.one_in(self.wrong):
            del message[choices.below(len(message)) :]
        elif choices.one_in(self.wrong):
            message.append(choices.anything())
        elif choices.one_in(2 * self.wrong):
            message[0] = choices.number()
        return message

    def _part(self, choices: Choices, kind: int) -> list[Any]:
        """BEGIN or CHUNK as a sender would send it, but for sizes."""
        if kind == Message.BEGIN or not self.transfer:
            self.transfer += 1
            self.total = self.rest = (
                choices.number() if choices.one_in(self.wrong) else choices.pick(self.totals)
            )
            kind = Message.BEGIN
        most = 40 if self.totals[0] < 1_000 else 65_536
        size = most + 1 if choices.one_in(self.wrong) else choices.pick((1, 4, most // 2, most, most))
        size = max(0, min(self.rest, size))
        self.rest -= size
        part = b"\x93\x03\x01\xc4" + b"p" * (size - 4) if kind == Message.BEGIN else b"p" * size
        return (
            [kind, self.transfer, self.total, part] if kind == Message.BEGIN else [kind, self.transfer, part]
        )


def control(choices: Choices, known: Known, *near: int) -> list[Any]:
    """A frame that is not DATA, most often with the fields that it should have."""
    kind = choices.pick(
        (Frame.ACK, Frame.CREDIT, Frame.PING, Frame.PONG, Frame.CLOSE, Frame.HELLO, Frame.WELCOME, 8)
    )
    match kind:
        case Frame.CLOSE:
            options = {"over": choices.one_in(2), "final": choices.one_in(2), "retry_after": choices.number()}
            return [3, choices.text(), choices.text(), choices.pick((options, None, {}, choices.anything()))]
        case Frame.HELLO | Frame.WELCOME:
            return [int(kind), choices.anything()]
        case 8:
            return [choices.number(), *(choices.anything() for _ in range(choices.below(3)))]
    fields = [choices.number(*near) for _ in range(choices.below(4) or 2)]
    return [int(kind), *fields]


def damaged(choices: Choices, frame: bytes) -> bytes:
    """A frame with some bytes changed, cut off or added."""
    at = choices.number(0, len(frame)) % (len(frame) + 1)
    match choices.below(4):
        case 0:
            return frame[:at]
        case 1:
            return frame[:at] + bytes((choices.byte(),)) + frame[at + 1 :]
        case 2:
            return frame + choices.blob(3)
        case _:
            return frame[:at] + choices.blob(4) + frame[at:]
