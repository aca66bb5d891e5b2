"""Records on a pipe, to bytes and back (docs/protocol.md, section 2.2).

uint32 length (big-endian) | uint8 kind | uint32 channel (big-endian) | body
"""

from __future__ import annotations

import struct
from typing import Final, NamedTuple

from ionbus.generated.protocol import Limits, Record as RecordKind

HEADER_BYTES: Final = 9
"""Length, kind and channel id together."""

COUNTED_HEADER_BYTES: Final = 5
"""What `length` counts besides the body: kind and channel id."""

MAX_BODY_BYTES: Final = Limits().max_frame_bytes
"""The largest body of a record."""

_header = struct.Struct(">IBI")
_beginning = struct.Struct(">IB")
_channel = struct.Struct(">I")
_kinds = {int(kind): kind for kind in RecordKind}


class MalformedRecord(Exception):
    """Bytes that are no record: what follows them cannot be found, so the pipe is over.

    Args:
        message: what is wrong.
        found: the bytes at which the record should begin, as far as they have arrived.
    """

    def __init__(self, message: str, found: bytes) -> None:
        super().__init__(message)
        self.found = found


class Record(NamedTuple):
    """One record as it was read."""

    kind: RecordKind
    channel: int
    body: bytes


def encode_record(kind: RecordKind, channel: int, body: bytes) -> bytes:
    """One record as bytes; `channel` is 0 to 2^32 - 1."""
    return _header.pack(COUNTED_HEADER_BYTES + len(body), kind, channel) + body


class RecordReader:
    """Cuts a byte stream into records, however it arrives.

    Args:
        max_body_bytes: the largest body to take, in bytes; larger ones are refused before they are read.
    """

    def __init__(self, max_body_bytes: int = MAX_BODY_BYTES) -> None:
        self._max_length = COUNTED_HEADER_BYTES + max_body_bytes
        self._carried = bytearray()
        self._needed = COUNTED_HEADER_BYTES

    @property
    def carried(self) -> bytes:
        """The beginning of a record whose end has not arrived."""
        return bytes(self._carried)

    def feed(self, chunk: bytes) -> list[Record]:
        """Take what arrived; give the records that are whole now, in order.

        Raises:
            MalformedRecord: a length or a kind is wrong. Whole records in front of it in this `chunk` are lost with the pipe;
                nothing may be fed afterwards.
        """
        if self._carried:
            self._carried += chunk
            if len(self._carried) < self._needed:
                return []
            chunk = bytes(self._carried)
            self._carried.clear()
        records: list[Record] = []
        start, available = 0, len(chunk)
        self._needed = COUNTED_HEADER_BYTES
        while available - start >= COUNTED_HEADER_BYTES:
            # Length and kind are checked as soon as they are there.
            length, number = _beginning.unpack_from(chunk, start)
            if not COUNTED_HEADER_BYTES <= length <= self._max_length:
                raise MalformedRecord(
                    f"a record's length is {COUNTED_HEADER_BYTES} to {self._max_length}, not {length}",
                    chunk[start:],
                )
            kind = _kinds.get(number)
            if kind is None:
                raise MalformedRecord(f"{number} is no kind of record", chunk[start:])
            end = start + 4 + length
            if end > available:
                self._needed = end - start
                break
            body = start + HEADER_BYTES
            records.append(Record(kind, _channel.unpack_from(chunk, body - 4)[0], chunk[body:end]))
            start = end
        if start < available:
            self._carried += chunk[start:] if start else chunk
        return records
