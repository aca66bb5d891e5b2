"""Messages to bytes and back (docs/protocol.md, section 5). A payload is bytes here, never decoded."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgpack

from ionbus.generated.protocol import FIELDS, Limits, Message
from ionbus.wire.frames import MAX_UINT, MalformedFrame, is_deeper_than
from ionbus.wire.pieces import Encoded, Pieces, cut
from ionbus.wire.values import KEPT_BUFFER_BYTES, large_bin_header

Name = str | int
Options = Mapping[str, object]

# As plain integers: msgpack packs those without asking their class.
_EVENT, _CALL, _RESULT, _ITEM = map(int, (Message.EVENT, Message.CALL, Message.RESULT, Message.ITEM))

_SHORT_BINS: Final = tuple(bytes((0xC4, size)) for size in range(256))
"""What precedes byte strings of so many bytes."""


class _KeptPacker:
    """A packer for all messages, made anew after a large one: it never gives its buffer back."""

    def __init__(self) -> None:
        self._packer = msgpack.Packer(use_bin_type=True)

    def pack(self, fields: object) -> bytes:
        message: bytes = self._packer.pack(fields)
        if len(message) > KEPT_BUFFER_BYTES:
            self._packer = msgpack.Packer(use_bin_type=True)
        return message


_pack = _KeptPacker().pack


def encode_message(kind: Message, *fields: object) -> bytes:
    """Any message from its fields; fields at the end that are None are left out."""
    end = len(fields)
    while end and fields[end - 1] is None:
        end -= 1
    return _pack((int(kind), *fields[:end]))


def event_head(name: Name) -> bytes:
    """How every EVENT of this name begins that has no options; `encode_event_after` adds the payload."""
    return b"\x93" + _pack((_EVENT, name))[1:]


def encode_event_after(head: bytes, payload: Encoded) -> Encoded:
    """EVENT without options, whose head is made already."""
    size = len(payload)
    if size < 256:
        return head + _SHORT_BINS[size] + payload  # type: ignore[operator] # in one piece, as all that is small
    return _with(head, payload)


def encode_event(name: Name, payload: Encoded, options: Options | None = None) -> Encoded:
    """EVENT."""
    if not options:
        return encode_event_after(event_head(name), payload)
    if len(payload) > KEPT_BUFFER_BYTES:
        return _around((_EVENT, name), payload, options)
    return _pack((_EVENT, name, payload, options))


def encode_call(request: int, name: Name, payload: Encoded, options: Options | None = None) -> Encoded:
    """CALL; `request` is its id."""
    if len(payload) > KEPT_BUFFER_BYTES:
        return _around((_CALL, request, name), payload, options)
    return _pack((_CALL, request, name, payload, options) if options else (_CALL, request, name, payload))


def encode_result(request: int, payload: Encoded) -> Encoded:
    """RESULT of the call with this id."""
    if len(payload) > KEPT_BUFFER_BYTES:
        return _around((_RESULT, request), payload)
    return _pack((_RESULT, request, payload))


def encode_item(request: int, payload: Encoded) -> Encoded:
    """ITEM of the stream with this id."""
    if len(payload) > KEPT_BUFFER_BYTES:
        return _around((_ITEM, request), payload)
    return _pack((_ITEM, request, payload))


def encode_envelope(numbers: Sequence[int], event: Encoded, options: Options | None = None) -> Encoded:
    """ENVELOPE around the bytes of an EVENT, which are shared with all sessions."""
    head = _pack([int(Message.ENVELOPE), list(numbers)])
    head = (b"\x94" if options else b"\x93") + head[1:]
    tail = _pack(options) if options else b""
    return head + event + tail if isinstance(event, bytes) else Pieces(head, event, tail)


def array_of(payloads: Sequence[Encoded]) -> Encoded:
    """The payload that is an array of these, whose bytes stay as they are."""
    count = len(payloads)
    if count < 16:
        head = bytes((0x90 + count,))
    elif count < 65_536:
        head = b"\xdc" + count.to_bytes(2, "big")
    else:
        head = b"\xdd" + count.to_bytes(4, "big")
    joined = Pieces(head, *payloads)
    return joined if len(joined) > KEPT_BUFFER_BYTES else bytes(joined)


def _around(fields: tuple[object, ...], payload: Encoded, options: Options | None = None) -> Encoded:
    """A message with a large payload, which is not copied."""
    last = (_pack(options),) if options else ()
    head = bytes([0x91 + len(fields) + len(last)]) + _pack(fields)[1:]
    return Pieces(head, _bin_header(len(payload)), payload, *last)


def encode_part(kind: Message, *fields: int, of: Encoded, start: int, stop: int) -> bytes:
    """BEGIN or CHUNK with what is from `start` to before `stop` of a message, which is copied once."""
    head = bytes([0x92 + len(fields)]) + _pack((int(kind), *fields))[1:]
    return b"".join((head, _bin_header(stop - start), *cut(of, start, stop)))


def _with(head: bytes, payload: Encoded) -> Encoded:
    header = _bin_header(len(payload))
    if isinstance(payload, bytes) and len(payload) <= KEPT_BUFFER_BYTES:
        return b"".join((head, header, payload))
    return Pieces(head, header, payload)


def _bin_header(size: int) -> bytes:
    if size < 256:
        return _SHORT_BINS[size]
    return b"\xc5" + size.to_bytes(2, "big") if size < 65_536 else large_bin_header(size)


def event_name(message: Encoded) -> str:
    """The name in an EVENT or ENVELOPE that was encoded here.

    It is read where it stands: a session that is ended may have tens of thousands of events that never arrive.
    """
    if message[1] == _EVENT:
        head = message[2]
        if 0xA0 <= head <= 0xBF:
            return message[3 : 3 + (head & 0x1F)].decode()
        if head == 0xD9:
            return message[4 : 4 + message[3]].decode()
    fields = msgpack.unpackb(bytes(message))
    return str(fields[1] if fields[0] == _EVENT else fields[2][1])


def events_in(message: Encoded) -> tuple[str, list[bytes]]:
    """The name and the payload of an EVENT or ENVELOPE that was encoded here; the payloads where it is a batch."""
    fields = msgpack.unpackb(bytes(message))
    event = fields if fields[0] == _EVENT else fields[2]
    is_batch = fields[0] != _EVENT and len(fields) > 3 and "batch" in fields[3]
    return str(event[1]), _values_in(event[2]) if is_batch else [event[2]]


def _values_in(array: bytes) -> list[bytes]:
    """What `array_of` has put together."""
    unpacker = msgpack.Unpacker(max_buffer_size=len(array))
    unpacker.feed(array)
    values = []
    for _ in range(unpacker.read_array_header()):
        start = unpacker.tell()
        unpacker.skip()
        values.append(array[start : unpacker.tell()])
    return values


def size_of(part: object) -> int:
    """About how many bytes a decoded message, or a part of one, came in."""
    if isinstance(part, (bytes, str)):
        return len(part)
    if isinstance(part, list):
        return 8 + sum(map(size_of, part))
    if isinstance(part, dict):
        return 8 + sum(size_of(key) + size_of(value) for key, value in part.items())
    return 8


def check_message(message: list[Any], limits: Limits) -> bool:
    """Check one element's fields against the table in `schemas/protocol.toml`.

    Returns:
        False for a type that is unknown here, which is to be skipped.

    Raises:
        MalformedFrame: a field is missing, of the wrong type or out of bounds.
    """
    kind = message[0] if message else None
    if type(kind) is not int or not 0 <= kind <= MAX_UINT:
        raise MalformedFrame("a message starts with its type")
    size = len(message)
    if kind == _EVENT and size == 3:  # most of what there is
        _, name, payload = message
        if (
            type(payload) is bytes
            and type(name) is str
            and 0 < len(name) <= limits.max_name_bytes
            and name.isascii()
        ):
            return True
    elif kind == _CALL and 4 <= size <= 5:  # what a request costs before its handler runs counts most
        _, number, name, payload = message[:4]
        if (
            type(number) is int
            and 0 <= number <= MAX_UINT
            and type(name) is str
            and 0 < len(name) <= limits.max_name_bytes
            and name.isascii()
            and type(payload) is bytes
            and (size == 4 or message[4] is None or _is_map(message[4], limits))
        ):
            return True
    checks = _CHECKS_OF.get(kind)
    if checks is None:
        if is_deeper_than(message, limits.max_frame_depth - 1):
            raise MalformedFrame(f"message type {kind} nests too deep")
        return False
    index = 0
    for check, may_be_absent in checks:
        index += 1
        value = message[index] if index < size else None
        if value is None and may_be_absent:
            continue
        if not check(value, limits):
            name, field = Message(kind).name, FIELDS[kind][index - 1]
            raise MalformedFrame(f"{name}: field {index} is no {field.rstrip('?')} within bounds")
    return True


def _is_uint(value: object, _limits: Limits) -> bool:
    return type(value) is int and 0 <= value <= MAX_UINT


def _is_text(value: object, _limits: Limits) -> bool:
    return type(value) is str


def _is_bin(value: object, _limits: Limits) -> bool:
    return type(value) is bytes


def _is_map(value: object, limits: Limits) -> bool:
    return type(value) is dict and (
        _CONTAINERS.isdisjoint(map(type, value.values()))
        or not is_deeper_than(value, limits.max_frame_depth - 2)
    )


def _is_name(value: object, limits: Limits) -> bool:
    if type(value) is str:
        return 0 < len(value) <= limits.max_name_bytes and (
            value.isascii() or len(value.encode()) <= limits.max_name_bytes
        )
    return type(value) is int and 0 <= value <= MAX_UINT


def _is_event(value: object, limits: Limits) -> bool:
    return type(value) is list and value[:1] == [_EVENT] and check_message(value, limits)


def _is_uints(value: object, limits: Limits) -> bool:
    return type(value) is list and all(_is_uint(item, limits) for item in value)


def _is_texts(value: object, _limits: Limits) -> bool:
    return type(value) is list and all(type(item) is str for item in value)


def _is_triples(value: object, limits: Limits) -> bool:
    return type(value) is list and all(
        type(item) is list and len(item) >= 3 and _is_texts(item[:3], limits) for item in value
    )


_CHECKS: Final = {
    "uint": _is_uint,
    "text": _is_text,
    "text?": _is_text,
    "bin": _is_bin,
    "bin?": _is_bin,
    "map?": _is_map,
    "name": _is_name,
    "message": _is_event,
    "uints": _is_uints,
    "texts": _is_texts,
    "triples": _is_triples,
}

_CHECKS_OF: Final = {
    kind: [(_CHECKS[field], field.endswith("?")) for field in fields] for kind, fields in FIELDS.items()
}

_CONTAINERS: Final = frozenset((list, dict))
