"""Bytes in pieces are measured, looked at and cut as those that they stand for; what is large is not put together."""

import pytest

from ionbus.contract.payload import Payload
from ionbus.generated.protocol import Message
from ionbus.session.outbox import Entry
from ionbus.session.transfers import Outgoing
from ionbus.wire import messages
from ionbus.wire.messages import encode_message
from ionbus.wire.pieces import Pieces, cut
from ionbus.wire.values import KEPT_BUFFER_BYTES, encode, encode_in_pieces

WHOLE = b"abcdefghij"
IN_PIECES = Pieces(b"ab", Pieces(b"", b"cdefg"), b"h", b"ij")
LARGE = bytes(range(256)) * 5_000


def test_pieces_stand_for_their_bytes() -> None:
    assert len(IN_PIECES) == 10
    assert bytes(IN_PIECES) == WHOLE
    assert IN_PIECES == WHOLE
    assert hash(IN_PIECES) == hash(WHOLE)
    assert IN_PIECES != b"abcdefghi"
    assert [IN_PIECES[at] for at in range(10)] == list(WHOLE)
    assert IN_PIECES[3:] == WHOLE[3:]
    assert IN_PIECES.pieces == (b"ab", b"", b"cdefg", b"h", b"ij")


@pytest.mark.parametrize("start", range(11))
def test_every_cut_is_the_one_of_the_bytes(start: int) -> None:
    for stop in range(start, 11):
        assert b"".join(cut(IN_PIECES, start, stop)) == WHOLE[start:stop]
        assert b"".join(cut(WHOLE, start, stop)) == WHOLE[start:stop]


@pytest.mark.parametrize(
    ("made", "expected"),
    [
        (encode_in_pieces(LARGE), encode(LARGE)),
        (messages.encode_event("a.b", LARGE), encode_message(Message.EVENT, "a.b", LARGE)),
        (
            messages.encode_event("a.b", LARGE, {"x": 1}),
            encode_message(Message.EVENT, "a.b", LARGE, {"x": 1}),
        ),
        (messages.encode_call(1, "a.b", LARGE), encode_message(Message.CALL, 1, "a.b", LARGE)),
        (messages.encode_result(1, LARGE), encode_message(Message.RESULT, 1, LARGE)),
        (messages.encode_item(1, LARGE), encode_message(Message.ITEM, 1, LARGE)),
    ],
    ids=["value", "event", "event with options", "call", "result", "item"],
)
def test_what_is_large_is_not_copied(made: bytes | Pieces, expected: bytes) -> None:
    assert len(LARGE) > KEPT_BUFFER_BYTES
    assert isinstance(made, Pieces)
    assert any(piece is LARGE for piece in made.pieces)
    assert bytes(made) == expected


def test_a_payload_of_bytes_travels_in_the_pieces_that_it_has() -> None:
    payload = Payload(bytes)
    message = messages.encode_result(1, payload.encode(LARGE))
    assert isinstance(message, Pieces)
    assert any(piece is LARGE for piece in message.pieces)
    outgoing = Outgoing(65_536, 65_536)
    outgoing.begin(Entry(message, -1, "session"))
    outgoing.grant(1, len(message))
    parts: list[bytes] = []
    while (part := outgoing.next_part(len(parts) + 1, acked=len(parts))) is not None:
        number = len(parts)
        data = bytes(message)[number * 65_536 : (number + 1) * 65_536]
        parts.append(part[0])
        expected = (
            encode_message(Message.CHUNK, 1, data)
            if number
            else encode_message(Message.BEGIN, 1, len(message), data)
        )
        assert part[0] == expected
    assert len(parts) == -(-len(message) // 65_536)


def test_the_name_of_a_large_event_is_read_where_it_stands() -> None:
    event = messages.encode_event("a.b", LARGE)
    assert messages.event_name(event) == "a.b"
    assert messages.event_name(messages.encode_envelope([1], event)) == "a.b"
