"""Record the vectors of `schemas/vectors/` that come from running the Python implementation over written scenarios.

Those of simulated.json have no scenario here: their inputs are what `make simulate` found, and only what they give is recorded.

Run by hand after a deliberate change of the wire: `make vectors`, then read the difference. Tests of
both languages replay the files; a difference that nobody meant fails them. Inputs and outputs stand as plain data: bytes as
hexadecimal text, times in milliseconds, infinity as null.
"""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

from ionbus.generated.protocol import Frame, Limits, Message
from ionbus.wire.frames import encode_close, encode_control, encode_data
from ionbus.wire.messages import (
    encode_call,
    encode_envelope,
    encode_event,
    encode_item,
    encode_message,
    encode_result,
)
from vectors.aggregation import AGGREGATION_CASES, AGGREGATIONS, FILTERS, record_aggregation, record_filters
from vectors.fates import FATE_CASES, FATES, record_fates
from vectors.replay import (
    CONNECTIONS,
    FRAMES,
    MESSAGES,
    SESSIONS,
    SIMULATED,
    ConnectionRun,
    SessionRun,
    record_simulated,
)

Step = dict[str, Any]
SMALL = {
    "ack_elements": 3,
    "batch_elements": 4,
    "batch_bytes": 200,
    "replay_bytes": 600,
    "replay_elements": 8,
    "credit_bytes": 100,
    "credit_messages": 6,
    "transfer_threshold_bytes": 100,
    "transfer_part_bytes": 40,
    "transfer_ahead_bytes": 200,
    "max_message_bytes": 1000,
    "max_assembly_bytes": 1000,
    "max_latest_keys": 2,
    "max_frame_elements": 10,
    "heartbeat_ms": 1000,
    "silence_ms": 3000,
}


def event(text: str) -> bytes:
    return bytes(encode_event("a.event", text.encode()))


def emit(text: str, at: float = 0, **options: Any) -> Step:
    return {
        "at": at,
        "do": "emit",
        "message": event(text).hex(),
        "cost": len(text),
        "delivery": "session",
        **options,
    }


def latest(text: str, key: str, at: float = 0) -> Step:
    return emit(text, at, delivery="latest", key=key)


def send(message: bytes, at: float = 0, **options: Any) -> Step:
    return {"at": at, "do": "send", "message": message.hex(), **options}


def call(number: int, size: int = 1, at: float = 0, **options: Any) -> Step:
    return send(bytes(encode_call(number, "a.call", b"x" * size)), at, lane=number, **options)


def receive(frame: bytes, at: float = 0) -> Step:
    return {"at": at, "do": "receive", "frame": frame.hex()}


def data(first: int, ack: int, *elements: bytes, at: float = 0) -> Step:
    return receive(encode_data(first, ack, elements, len(elements)), at)


def ack(number: int, at: float = 0) -> Step:
    return receive(encode_control(Frame.ACK, number), at)


def attach(received: int = 0, credit: tuple[int, int] = (1000, 100), at: float = 0) -> Step:
    return {"at": at, "do": "attach", "received": received, "credit": list(credit)}


def frames(at: float = 0) -> Step:
    return {"at": at, "do": "frames"}


def detach(at: float = 0) -> Step:
    return {"at": at, "do": "detach"}


def tick(at: float) -> Step:
    return {"at": at, "do": "tick"}


NIL = b"\xc0"
BEGIN = encode_message(Message.BEGIN, 1, 120, b"p" * 40)
WHOLE = bytes(encode_item(5, b"w" * 115))

SESSION_SCENARIOS: dict[str, list[Step]] = {
    "what is sent before the channel waits for it": [call(1), frames(), attach(), frames()],
    "messages of one turn leave in one frame": [attach(), call(1), emit("e"), call(2), frames()],
    "a frame holds at most batch_elements": [attach(), *(call(n) for n in range(1, 7)), frames()],
    "a frame takes no further element once it holds batch_bytes": [
        attach(),
        *(call(n, 80) for n in range(1, 6)),
        frames(),
    ],
    "a frame of more than max_frame_elements is a violation": [
        attach(),
        data(1, 0, *[b"\xc0"] * 10),
        data(11, 0, *[b"\xc0"] * 11),
    ],
    "acknowledges after ack_elements at once": [
        attach(),
        data(1, 0, event("1"), event("2")),
        frames(),
        data(3, 0, event("3")),
        frames(),
    ],
    "acknowledges after ack_delay alone, and with data at once": [
        attach(),
        data(1, 0, event("1")),
        frames(49),
        frames(50),
        data(2, 0, event("2"), at=60),
        call(1, at=70),
        frames(70),
        frames(200),
    ],
    "skips what it has, takes what is new of the same frame, and acknowledges again": [
        attach(),
        data(1, 0, event("1"), event("2")),
        data(1, 0, event("1"), event("2"), event("3"), at=1),
        data(1, 0, event("1"), at=2),
        frames(2),
    ],
    "a gap is a violation": [attach(), data(2, 0, event("2"))],
    "number 0 is a violation": [attach(), data(0, 0, event("2"))],
    "an acknowledgement of what was never sent is a violation": [attach(), call(1), frames(), ack(2)],
    "an old acknowledgement is ignored": [attach(), call(1), call(2), frames(), ack(2), ack(1)],
    "nil, unknown types and longer messages are numbered and skipped or taken": [
        attach(),
        data(1, 0, NIL, encode_message(Message.END, 1)[:1] + b"\x64\x01", b"\x94\x01\xa1a\xc4\x00\xc0"),
        data(4, 0, b"\x95\x03\x01\xc4\x00\xc0\xa5later"),
        frames(),
    ],
    "a field of the wrong type is a violation, and what stood before it is taken": [
        attach(),
        data(1, 0, event("1"), b"\x93\x03\xa1x\xc4\x00", event("3")),
    ],
    "the second violation without progress ends the session": [
        attach(),
        data(1, 0, b"\x01"),
        detach(),
        attach(0, at=1),
        data(1, 0, b"\x01", at=1),
    ],
    "progress between two violations keeps the session": [
        attach(),
        data(1, 0, b"\x01"),
        attach(0, at=1),
        data(1, 0, event("1"), b"\x01", at=1),
    ],
    "replay sends what the peer lacks, cut anew, before anything new": [
        attach(),
        *(call(n) for n in range(1, 4)),
        frames(),
        detach(),
        call(4),
        attach(1, at=5),
        frames(5),
    ],
    "received of what was never sent is refused": [attach(), call(1), frames(), detach(), attach(2)],
    "received below an acknowledgement is refused": [
        attach(),
        call(1),
        frames(),
        ack(1),
        detach(),
        attach(0),
    ],
    "a volatile event is dropped while there is no channel, and becomes nil in a replay": [
        emit("gone", delivery="volatile"),
        attach(),
        emit("sent", delivery="volatile"),
        call(1),
        frames(),
        detach(),
        attach(0, at=1),
        frames(1),
    ],
    "a volatile event is dropped while there is no credit": [
        attach(0, (1, 100)),
        emit("ab"),
        emit("cd", delivery="volatile"),
        frames(),
    ],
    "a latest event takes the place of its predecessor": [
        attach(),
        latest("1", "k"),
        emit("between"),
        latest("2", "k"),
        latest("3", "other"),
        frames(),
        latest("4", "k"),
        frames(),
    ],
    "a superseded latest event becomes nil in a replay": [
        attach(),
        latest("1", "k"),
        frames(),
        latest("2", "k"),
        frames(),
        detach(),
        attach(0, at=1),
        frames(1),
    ],
    "the oldest of too many latest keys is forgotten": [
        latest("1", "a"),
        latest("2", "b"),
        latest("3", "c"),
        attach(),
        frames(),
    ],
    "events wait for credit, other messages pass, and order holds when it comes": [
        attach(0, (5, 100)),
        emit("12345"),
        emit("6"),
        call(1),
        emit("7"),
        frames(),
        receive(encode_control(Frame.CREDIT, 1000, 3)),
        frames(),
        call(2),
        receive(encode_control(Frame.CREDIT, 1000, 2)),
        receive(encode_control(Frame.CREDIT, 1000, 100)),
        emit("8"),
        frames(),
    ],
    "a result does not overtake an event that has credit": [
        attach(),
        emit("progress"),
        send(bytes(encode_result(1, b"r")), lane=-1),
        frames(),
    ],
    "consumption renews credit at half of the window, and attach repeats nothing": [
        attach(),
        *({"at": 0, "do": "consumed", "cost": 10} for _ in range(2)),
        frames(),
        {"at": 0, "do": "consumed", "cost": 10},
        {"at": 0, "do": "consumed", "cost": 10},
        frames(),
        {"at": 0, "do": "consumed", "cost": 60},
        detach(),
        attach(0, at=1),
        frames(1),
    ],
    "nothing is numbered while the replay buffer is full": [
        attach(),
        *(call(n) for n in range(1, 11)),
        frames(),
        ack(2),
        frames(),
    ],
    "a large message travels in parts that others pass": [
        attach(),
        call(1, 150),
        call(2),
        frames(),
        data(1, 2, encode_message(Message.GRANT, 1, 163)),
        call(3),
        frames(),
        call(4),
        frames(),
    ],
    "parts go only so far ahead of their acknowledgements, and others pass": [
        attach(),
        call(1, 400),
        frames(),
        data(1, 1, encode_message(Message.GRANT, 1, 500)),
        frames(),
        call(2),
        frames(),
        ack(2),
        frames(),
        ack(7),
        frames(),
    ],
    "a flood of small messages leaves a place for a part in each frame": [
        attach(),
        call(1, 150),
        frames(),
        data(1, 1, encode_message(Message.GRANT, 1, 163)),
        *(call(n) for n in range(2, 9)),
        frames(),
    ],
    "what follows in the lane of a transfer is held": [
        attach(),
        send(bytes(encode_item(5, b"x" * 120)), lane=-5),
        send(bytes(encode_item(5, b"2")), lane=-5),
        send(encode_message(Message.END, 5), lane=-5),
        send(bytes(encode_item(6, b"other")), lane=-6),
        frames(),
        data(1, 2, encode_message(Message.GRANT, 1, 1000)),
        frames(),
    ],
    "events behind a large event are held": [
        attach(),
        emit("x" * 110),
        emit("after"),
        call(1),
        frames(),
        data(1, 2, encode_message(Message.GRANT, 1, 1000)),
        frames(),
    ],
    "a withdrawn transfer is aborted and releases its lane": [
        attach(),
        call(1, 150, tag="big"),
        send(encode_message(Message.CANCEL, 9), lane=1),
        frames(),
        {"at": 0, "do": "withdraw", "tag": "big"},
        frames(),
        data(1, 2, encode_message(Message.GRANT, 1, 163)),
        frames(),
    ],
    "a message that waits can be withdrawn, one that was numbered cannot": [
        call(1, tag="waits"),
        call(2, tag="stays"),
        {"at": 0, "do": "withdraw", "tag": "waits"},
        attach(),
        frames(),
        {"at": 0, "do": "withdraw", "tag": "stays"},
    ],
    "a transfer that is withdrawn before its first part leaves nothing": [
        attach(),
        call(1, 150),
        call(2, 150, tag="second"),
        frames(),
        call(3, 150, tag="third"),
        {"at": 0, "do": "withdraw", "tag": "third"},
        frames(),
    ],
    "an event whose transfer is withdrawn costs nothing": [
        attach(0, (110, 1)),
        emit("x" * 110, tag="big"),
        frames(),
        {"at": 0, "do": "withdraw", "tag": "big"},
        frames(),
    ],
    "an event whose transfer is rejected costs nothing": [
        attach(0, (110, 1)),
        emit("x" * 110, tag="big"),
        frames(),
        data(1, 1, encode_message(Message.REJECT, 1, "too_large", "no")),
    ],
    "a rejected transfer is given back": [
        attach(),
        call(1, 150, tag="big"),
        frames(),
        data(1, 1, encode_message(Message.REJECT, 1, "too_large", "no")),
        data(2, 1, encode_message(Message.REJECT, 1, "too_large", "again: ignored")),
        frames(),
    ],
    "takes a transfer: grant, parts, the whole message with the last": [
        attach(),
        data(1, 0, BEGIN[:3] + BEGIN[3:].replace(b"p" * 40, WHOLE[:40])),
        frames(),
        data(2, 1, encode_message(Message.CHUNK, 1, WHOLE[40:80]), event("between")),
        data(4, 1, encode_message(Message.CHUNK, 1, WHOLE[80:])),
        data(5, 1, encode_message(Message.CHUNK, 1, b"ignored: finished")),
        frames(),
    ],
    "a transfer above max_message_bytes is rejected": [
        attach(),
        data(1, 0, encode_message(Message.BEGIN, 1, 1001, b"p" * 40)),
        data(2, 0, encode_message(Message.CHUNK, 1, b"ignored")),
        frames(),
    ],
    "a transfer waits for its grant while others fill the room": [
        attach(),
        data(1, 0, encode_message(Message.BEGIN, 1, 900, b"p" * 40)),
        data(2, 0, encode_message(Message.BEGIN, 2, 200, b"p" * 40)),
        frames(),
        data(3, 1, encode_message(Message.ABORT, 1, "call_cancelled", "given up")),
        frames(),
    ],
    "a part beyond the grant is a violation": [
        attach(),
        data(1, 0, encode_message(Message.BEGIN, 1, 900, b"p" * 40)),
        data(2, 0, encode_message(Message.BEGIN, 2, 200, b"p" * 40)),
        data(3, 0, encode_message(Message.CHUNK, 2, b"p")),
    ],
    "a part for a transfer that never was is a violation": [
        attach(),
        data(1, 0, encode_message(Message.CHUNK, 1, b"p")),
    ],
    "a transfer number that does not rise is a violation": [attach(), data(1, 0, BEGIN), data(2, 0, BEGIN)],
    "a transfer too small to be one is a violation": [
        attach(),
        data(1, 0, encode_message(Message.BEGIN, 1, 100, b"p" * 40)),
    ],
    "a PING is answered at once": [attach(), receive(encode_control(Frame.PING, 7)), frames()],
    "an idle side sends PING, and a silent peer is told once": [
        attach(),
        tick(999),
        frames(999),
        tick(1000),
        frames(1000),
        tick(2000),
        frames(2000),
        tick(3000),
        tick(4000),
        receive(encode_control(Frame.PONG, 1), 4100),
        tick(5100),
        tick(7100),
    ],
    "a loop that was late itself begins the measurement anew": [
        attach(),
        tick(1000),
        frames(1000),
        tick(9000),
        tick(12000),
    ],
    "a second greeting is a violation": [attach(), receive(encode_control(Frame.HELLO, {}))],
    "an unknown frame is ignored": [attach(), receive(b"\x92\x20\x01")],
    "bytes that are no frame are a violation": [attach(), receive(b"\xc1")],
    "a frame cut short is a violation": [attach(), receive(b"\x93\x00\x01")],
    "a frame with bytes behind it is a violation": [attach(), receive(b"\x92\x04\x00\x00")],
    "an extension type outside a payload is a violation": [attach(), receive(b"\x92\x04\xd4\x05\x00")],
}


def filled(number: int, size: int) -> bytes:
    """What the traces use in place of randomness: the nth draw is bytes of value n."""
    return bytes([number]) * size


EPOCH = filled(0xE1, 16)


def welcome(session: bytes, received: int = 0, at: float = 0, **more: Any) -> Step:
    fields = {
        "protocol": 1,
        "agent": "broker",
        "session": session,
        "resumed": received > 0,
        "epoch": EPOCH,
        "secret": filled(0x5E, 32),
        "received": received,
        "credit": [1000, 100],
        "heartbeat": [1000, 3000],
        **more,
    }
    return receive(encode_control(Frame.WELCOME, fields), at)


def opened(at: float = 0, token: str | None = "token", fatal: bool = True) -> Step:
    return {"at": at, "do": "opened", "token": token, "silence_is_fatal": fatal}


def lost(at: float = 0) -> Step:
    return {"at": at, "do": "lost", "code": "connection_lost", "reason": "cut"}


def close_frame(code: str, at: float = 0, **options: Any) -> Step:
    return receive(encode_close(code, "said so", options or None), at)


FIRST = filled(1, 16)
FRESH = filled(3, 16)

CONNECTION_SCENARIOS: dict[str, list[Step]] = {
    "opens, greets, is open": [opened(), welcome(FIRST), {"at": 0, "do": "close"}],
    "resumes after a cut": [
        opened(),
        welcome(FIRST),
        call(1),
        data(1, 1, bytes(encode_result(1, b"r"))),
        lost(10),
        tick(60),
        opened(61),
        welcome(FIRST, 1, at=62),
        data(2, 1, bytes(encode_result(2, b"r")), at=63),
    ],
    "retries for ever, later each time, at most the cap": [
        {"at": 0, "do": "failed", "reason": "refused"},
        tick(49),
        tick(50),
        {"at": 60, "do": "failed", "reason": "refused"},
        tick(160),
        {"at": 170, "do": "failed", "reason": "refused"},
        {"at": 180, "do": "retry"},
        *(
            {"at": 1000 + 10_000 * n, "do": step, "reason": "refused"}
            for n in range(8)
            for step in ("failed", "retry")
        ),
    ],
    "the delay is reset after a stable time": [
        {"at": 0, "do": "failed", "reason": "refused"},
        tick(50),
        opened(50),
        welcome(FIRST, at=50),
        lost(60),
        tick(160),
        opened(160),
        welcome(FIRST, at=160),
        receive(encode_control(Frame.PING, 1), 5000),
        tick(5160),
        lost(5200),
    ],
    "no WELCOME in time": [opened(), tick(9999), tick(10_000), tick(10_050)],
    "a lost WELCOME: the same HELLO with the next attempt": [
        opened(),
        lost(5),
        tick(100),
        opened(100),
        welcome(FIRST, at=101),
    ],
    "a new epoch: the fresh session replaces the old": [
        opened(),
        welcome(FIRST),
        emit("numbered"),
        lost(10),
        emit("waits", 20),
        tick(60),
        opened(60),
        lost(70),
        tick(200),
        opened(200),
        welcome(FRESH, at=200, reason="unknown", epoch=filled(0xE2, 16)),
        lost(210),
        tick(500),
        opened(500),
    ],
    "a session that has ended: the fresh one is told what was missed": [
        opened(),
        welcome(FIRST),
        emit("numbered"),
        lost(10),
        tick(60),
        opened(60),
        welcome(FRESH, at=60, reason="slow_consumer", missed={"a.event": 3, "*": 2}),
    ],
    "a session that goes on tells how much is sent again": [
        opened(),
        welcome(FIRST),
        emit("1"),
        call(1),
        lost(10),
        tick(60),
        opened(60),
        welcome(FIRST, at=60),
    ],
    "WELCOME that misses what is no number is a violation": [opened(), welcome(FIRST, missed={"a": "b"})],
    "WELCOME that misses bytes is a violation": [opened(), welcome(FIRST, missed=b"")],
    "refused for good": [opened(), close_frame("unauthenticated", final=True)],
    "evicted: does not come back": [opened(), welcome(FIRST), close_frame("evicted", 5, final=True)],
    "the broker stops: comes back, not before it was asked to": [
        opened(),
        welcome(FIRST),
        close_frame("stopping", 5, retry_after=1000),
        tick(1004),
        tick(1100),
    ],
    "silence costs a WebSocket its channel": [
        opened(),
        welcome(FIRST),
        tick(1000),
        tick(2000),
        tick(3000),
        opened(3010),
    ],
    "silence on a pipe is a state": [
        opened(fatal=False),
        welcome(FIRST),
        tick(1000),
        tick(2000),
        tick(3000),
        tick(4000),
        receive(encode_control(Frame.PONG, 1), 9000),
        {"at": 9001, "do": "close"},
    ],
    "a violation closes the channel with its code, and the session is resumed": [
        opened(),
        welcome(FIRST),
        data(5, 0, event("gap"), at=5),
        tick(60),
        opened(60),
    ],
    "a second violation without progress ends the session": [
        opened(),
        welcome(FIRST),
        data(5, 0, event("gap"), at=5),
        tick(60),
        opened(60),
        welcome(FIRST, at=61),
        data(5, 0, event("gap"), at=62),
        tick(200),
        opened(200),
        welcome(filled(5, 16), at=201, reason="protocol_violation"),
    ],
    "a first session that the broker remembers as ended begins anew under another id": [
        opened(),
        close_frame("session_lost", over=True),
        tick(100),
        opened(100),
    ],
    "a fresh session that the broker remembers as ended gives way to another": [
        opened(),
        welcome(FIRST),
        lost(10),
        tick(60),
        opened(60),
        lost(70),  # the broker opened the fresh session, and its WELCOME was lost
        tick(200),
        opened(200),
        close_frame("session_lost", 201, over=True),
        tick(500),
        opened(500),
    ],
    "what is consumed between HELLO and WELCOME is granted after WELCOME": [
        opened(),
        welcome(FIRST),
        data(1, 0, event("x" * 80), at=1),
        lost(10),
        tick(60),
        opened(60),
        {"at": 61, "do": "consumed", "cost": 80},
        welcome(FIRST, 0, at=62),
    ],
    "credit of a lost session is not that of the fresh one": [
        opened(),
        welcome(FIRST),
        data(1, 0, event("x" * 80), at=1),
        {"at": 2, "do": "consumed", "cost": 80},
        lost(10),
        tick(60),
        opened(60),
        welcome(FRESH, at=61, reason="new_epoch", epoch=filled(0xE2, 16)),
    ],
    "anything but WELCOME first is a violation": [opened(), data(1, 0, event("1"))],
    "WELCOME for another session is a violation": [opened(), welcome(filled(9, 16))],
    "WELCOME with a field of the wrong type is a violation": [opened(), welcome(FIRST, credit=[1])],
    "WELCOME whose protocol is no integer is a violation": [opened(), welcome(FIRST, protocol=1.0)],
    "WELCOME that has received what was never sent is a violation": [opened(), welcome(FIRST, 3)],
    "closes while it waits": [{"at": 0, "do": "failed", "reason": "refused"}, {"at": 1, "do": "close"}],
}

MESSAGE_CASES: dict[str, bytes] = {
    "event": bytes(encode_event("a.b", b"\x01")),
    "event with options": bytes(encode_event("a.b", b"\x01", {"offset": 7})),
    "event by number": bytes(encode_event(300, b"")),
    "call": bytes(encode_call(70_000, "a.b", b"\xc0", {"deadline": 30_000})),
    "result": bytes(encode_result(2**33, b"\xc0")),
    "error": encode_message(Message.ERROR, 1, "not_found", "no such call", b"\x80"),
    "error without details": encode_message(Message.ERROR, 1, "not_found", "ü"),
    "cancel": encode_message(Message.CANCEL, 1),
    "stream": encode_message(Message.STREAM, 1, "a.b", b"\xc0", {"credit": [262_144, 64]}),
    "item": bytes(encode_item(1, b"x" * 300)),
    "end": encode_message(Message.END, 1),
    "stream credit": encode_message(Message.STREAM_CREDIT, 1, 100_000, 200),
    "subscribe": encode_message(Message.SUBSCRIBE, 1, "a.**"),
    "subscribe with options": encode_message(
        Message.SUBSCRIBE,
        2,
        "a.b",
        {
            "every": 100,
            "latest_by": ["c", "d.e"],
            "batch": [100, 50],
            "where": b"\x93\xa1c\xa2>=\x32",
            "distinct": True,
        },
    ),
    "subscribe for the newest": encode_message(Message.SUBSCRIBE, 3, "a.b", {"snapshot": True}),
    "subscribed": encode_message(Message.SUBSCRIBED, 1),
    "subscribed with an error": encode_message(Message.SUBSCRIBED, 1, "not_found", "no such event"),
    "unsubscribe": encode_message(Message.UNSUBSCRIBE, 1),
    "envelope": bytes(encode_envelope([1, 20], encode_event("a.b", b"\x01"))),
    "envelope of a batch": bytes(encode_envelope([2], encode_event("a.b", b"\x92\x01\x02"), {"batch": 2})),
    "refused": encode_message(Message.REFUSED, 12, "not_allowed", "no"),
    "announce": encode_message(Message.ANNOUNCE, [["a", "1.0", "f" * 32]]),
    "describe": encode_message(Message.DESCRIBE, ["f" * 32]),
    "description": encode_message(Message.DESCRIPTION, "f" * 32, b"{}"),
    "begin": encode_message(Message.BEGIN, 1, 300_000, b"p"),
    "chunk": encode_message(Message.CHUNK, 1, b"p"),
    "grant": encode_message(Message.GRANT, 1, 300_000),
    "abort": encode_message(Message.ABORT, 1, "call_cancelled", ""),
    "reject": encode_message(Message.REJECT, 1, "too_large", ""),
    "unknown type": b"\x92\x64\x01",
    "longer than known": b"\x94\x0c\x01\xc0\x01",
    "type missing": b"\x90",
    "type is text": b"\x91\xa1x",
    "negative type": b"\x91\xff",
    "type is 2**53": b"\x91\xcf\x00\x20\x00\x00\x00\x00\x00\x00",
    "field missing": b"\x92\x03\x01",
    "uint is true": b"\x93\x03\xc3\xc4\x00",
    "uint is negative": b"\x93\x03\xff\xc4\x00",
    "uint is 2**53": b"\x93\x03\xcf\x00\x20\x00\x00\x00\x00\x00\x00\xc4\x00",
    "payload is text": b"\x93\x03\x01\xa1x",
    "name is empty": b"\x93\x01\xa0\xc4\x00",
    "name of 256 bytes": bytes(encode_event("n" * 256, b"")),
    "name of 255 bytes": bytes(encode_event("n" * 255, b"")),
    "name of 256 bytes in 128 letters": bytes(encode_event("ü" * 128, b"")),
    "options are a list": b"\x94\x01\xa1a\xc4\x00\x90",
    "options nest too deep": bytes(encode_event("a", b"", {"x": [[[[[[1]]]]]]})),
    "unknown type nests too deep": b"\x92\x64" + b"\x91" * 8 + b"\x01",
    "envelope around a call": b"\x93\x0d\x91\x01" + bytes(encode_call(1, "a", b"")),
    "announce of pairs": encode_message(Message.ANNOUNCE, [["a", "1.0"]]),
}

FRAME_CASES: dict[str, bytes] = {
    "data without elements": encode_data(1, 0, [], 0),
    "data with one element": encode_data(1, 0, [event("1")], 1),
    "data with 12 elements": encode_data(300, 70_000, [b"\xc0"] * 12, 12),
    "data with 13 elements": encode_data(300, 70_000, [b"\xc0"] * 13, 13),
    "data with 256 elements": encode_data(2**40, 2**40, [b"\xc0"] * 256, 256),
    "close": encode_close("stopping", "the broker stops", {"retry_after": 1000}),
    "close without options": encode_close("closed", ""),
    "ack": encode_control(Frame.ACK, 12),
    "credit": encode_control(Frame.CREDIT, 4_194_304, 4096),
    "ping": encode_control(Frame.PING, 0),
    "hello nests too deep": encode_control(Frame.HELLO, {"later": [[[[[[[1]]]]]]]}),
    "hello nests 8 levels": encode_control(Frame.HELLO, {"later": [[[[[[]]]]]]}),
    "empty array": b"\x90",
    "map": b"\x80",
    "kind is text": b"\x91\xa0",
    "kind is negative": b"\x91\xff",
    "nothing": b"",
    "reserved byte": b"\xc1",
    "cut short": b"\x93\x00",
    "bytes behind": b"\x91\x04\x04",
    "map whose key is a byte string": b"\x92\x01\x81\xc4\x01a\x01",
    "map whose key is an integer": b"\x92\x01\x81\x01\x01",
    "text is not UTF-8": b"\x92\x04\xa1\xff",
    "extension type": b"\x92\x04\xd4\x05\x00",
    "length beyond the frame": b"\x92\x04\xc6\xff\xff\xff\xff",
    "array beyond the frame": b"\xdd\xff\xff\xff\xff",
}


def main() -> None:
    limits = replace(Limits(), **SMALL)
    sessions = [
        {"name": name, "limits": SMALL, "steps": SessionRun(limits).record(steps)}
        for name, steps in SESSION_SCENARIOS.items()
    ]
    connections = [
        {"name": name, "limits": SMALL, "steps": ConnectionRun(limits).record(steps)}
        for name, steps in CONNECTION_SCENARIOS.items()
    ]
    messages = [MESSAGES.record(name, data) for name, data in MESSAGE_CASES.items()]
    frame_cases = [FRAMES.record(name, data) for name, data in FRAME_CASES.items()]
    for path, cases in (
        (SESSIONS, sessions),
        (CONNECTIONS, connections),
        (MESSAGES.path, messages),
        (FRAMES.path, frame_cases),
        (SIMULATED, [record_simulated(case) for case in json.loads(SIMULATED.read_text())]),
        (FATES, [record_fates(case) for case in FATE_CASES]),
        (AGGREGATIONS, [record_aggregation(case) for case in AGGREGATION_CASES]),
    ):
        path.write_text("[\n" + ",\n".join(_lines(case) for case in cases) + "\n]\n")
        print(f"wrote {path.name}: {len(cases)} cases")
    filters = record_filters()
    rows = ",\n  ".join(json.dumps(row, ensure_ascii=False) for row in filters["filters"])
    payload = json.dumps(filters["payload"], ensure_ascii=False)
    FILTERS.write_text(f'{{"payload": {payload},\n "filters": [\n  {rows}\n]}}\n')
    print(f"wrote {FILTERS.name}: {len(filters['filters'])} cases")


def _lines(case: dict[str, Any]) -> str:
    """One line a case, or one a step."""
    steps = case.get("steps")
    if steps is None:
        return json.dumps(case, ensure_ascii=False)
    head = json.dumps({key: value for key, value in case.items() if key != "steps"}, ensure_ascii=False)
    body = ",\n   ".join(json.dumps(step, ensure_ascii=False) for step in steps)
    return f'{head[:-1]}, "steps": [\n   {body}]}}'


if __name__ == "__main__":
    main()
