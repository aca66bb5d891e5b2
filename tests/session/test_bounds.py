"""What the broker's engines do at their bounds: sessions, rate, a client that takes nothing, and what is counted as dropped."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import msgpack

from ionbus.generated.protocol import Frame, Limits
from ionbus.session.acceptor import Acceptor, Hello, Refusal, Welcomed
from ionbus.session.attended import Attended
from ionbus.session.session import Session
from ionbus.wire.frames import encode_control, encode_data
from ionbus.wire.messages import encode_call, encode_envelope, encode_event


def acceptor(**limits: int) -> Acceptor:
    draws = iter(range(1, 250))
    return Acceptor(replace(Limits(), **limits), lambda size: bytes([next(draws)]) * size, "broker", [])


def hello(session: str = "A", attempt: int = 1, **more: Any) -> bytes:
    return encode_control(
        Frame.HELLO,
        {
            "protocol": 1,
            "session": session.encode() * 16,
            "secret": b"s" * 32,
            "attempt": attempt,
            "received": 0,
            "credit": [1000, 100],
            **more,
        },
    )


def answer(broker: Acceptor, frame: bytes, principal: str = "me", now: float = 0) -> Welcomed | Refusal:
    read = broker.read_hello(frame)
    assert isinstance(read, Hello)
    return broker.welcome(read, principal, object(), now)


def opened(broker: Acceptor, session: str = "A", **more: Any) -> Attended:
    welcomed = answer(broker, hello(session, **more))
    assert isinstance(welcomed, Welcomed)
    return welcomed.attended


def refused(broker: Acceptor, frame: bytes, principal: str = "me", now: float = 0) -> tuple[str, Any]:
    refusal = answer(broker, frame, principal, now)
    assert isinstance(refusal, Refusal)
    options = msgpack.unpackb(refusal.frame)[3:]
    return refusal.code, options[0] if options else {}


def event(text: str = "x", name: str = "a.event") -> bytes:
    return bytes(encode_event(name, text.encode()))


def test_no_more_sessions_are_opened_than_may_be_and_those_that_are_go_on() -> None:
    broker = acceptor(max_sessions=2)
    for session in "AB":
        opened(broker, session)
    assert refused(broker, hello("C")) == ("overloaded", {})
    assert isinstance(answer(broker, hello("A", attempt=2)), Welcomed)


def test_no_principal_has_more_sessions_than_it_may() -> None:
    broker = acceptor(max_sessions_per_principal=1)
    opened(broker, "A")
    assert refused(broker, hello("B")) == ("overloaded", {})
    assert isinstance(answer(broker, hello("B"), principal="another"), Welcomed)


def test_a_client_that_sends_too_fast_rests_until_it_is_within_bounds() -> None:
    broker = acceptor(max_rate=100)
    attended = opened(broker)
    for first in (1, 101):
        attended.receive(encode_data(first, 0, [b"\xc0"] * 100, 100), 0)
    assert attended.must_rest(0) == 1000
    secret = bytes([2]) * 32  # what WELCOME gave
    assert refused(broker, hello(attempt=2, secret=secret), now=400) == ("rate_limited", {"retry_after": 600})
    assert isinstance(answer(broker, hello(attempt=2, secret=secret), now=1000), Welcomed)


def test_a_rate_within_bounds_never_has_to_rest() -> None:
    attended = opened(acceptor(max_rate=100))
    for second in range(20):
        attended.receive(encode_data(1 + second * 100, 0, [b"\xc0"] * 100, 100), second * 1000)
        assert attended.must_rest(second * 1000) == 0


def ticked(broker: Acceptor, seconds: range) -> list[tuple[int, str]]:
    return [(second, code) for second in seconds for _, code in broker.tick(second * 1000)]


def test_a_client_that_takes_nothing_for_too_long_though_something_waits_is_a_slow_consumer() -> None:
    broker = acceptor(slow_consumer_ms=3000)
    attended = opened(broker)
    assert ticked(broker, range(10)) == []  # nothing waits
    attended.session.emit(event(), 1, "session")
    assert attended.session.next_frame(10_000) is not None
    assert ticked(broker, range(10, 14)) == [(13, "slow_consumer")]


def test_any_progress_begins_the_measurement_anew() -> None:
    broker = acceptor(slow_consumer_ms=3000)
    attended = opened(broker)
    for _ in range(3):
        attended.session.emit(event(), 1, "session")
    assert attended.session.next_frame(0) is not None
    assert ticked(broker, range(3)) == []
    attended.receive(encode_control(Frame.ACK, 1), 2000)
    assert ticked(broker, range(3, 6)) == []
    attended.receive(encode_control(Frame.CREDIT, 2000, 200), 5000)
    assert ticked(broker, range(6, 12)) == [
        (9, "slow_consumer"),
        (10, "slow_consumer"),
        (11, "slow_consumer"),
    ]


def test_an_absent_client_is_no_slow_consumer() -> None:
    broker = acceptor(slow_consumer_ms=3000, absence_ms=8000)
    attended = opened(broker)
    attended.session.emit(event(), 1, "session")
    attended.leave()
    assert ticked(broker, range(9)) == [(8, "absent")]


def test_a_suspended_broker_takes_nobody_for_slow() -> None:
    broker = acceptor(slow_consumer_ms=3000)
    attended = opened(broker)
    attended.session.send(encode_call(1, "a.call", b""))
    broker.tick(0)
    assert broker.tick(3_600_000) == []


def test_who_returns_to_a_session_that_has_ended_is_told_what_was_missed() -> None:
    broker = acceptor()
    attended = opened(broker)
    session = attended.session
    for name, count in (("a.often", 3), ("a.seldom", 1)):
        for _ in range(count):
            session.emit(event(name=name), 1, "session")
    assert session.next_frame(0) is not None  # those are numbered
    session.emit(encode_envelope([7], event(name="a.often")), 1, "session")
    attended.receive(encode_control(Frame.ACK, 1), 0)
    broker.end(attended, "slow_consumer", 0)
    more: dict[str, Any] = {"epoch": broker.epoch, "fresh": [b"B" * 16, b"t" * 32]}
    for attempt in (2, 3):  # the first WELCOME is lost
        welcomed = answer(broker, hello(attempt=attempt, **more))
        assert isinstance(welcomed, Welcomed)
        welcome = msgpack.unpackb(welcomed.frame)[1]
        assert (welcome["reason"], welcome["missed"]) == ("slow_consumer", {"a.often": 3, "a.seldom": 1})
    assert session.dropped == {("a.often", "slow_consumer"): 3, ("a.seldom", "slow_consumer"): 1}


def test_what_was_missed_under_many_names_is_told_shortened() -> None:
    broker = acceptor()
    attended = opened(broker)
    for number in range(40):
        for _ in range(2 if number < 16 else 1):
            attended.session.emit(event(name=f"a.event{number}"), 1, "session")
    broker.end(attended, "absent", 0)
    more: dict[str, Any] = {"epoch": broker.epoch, "fresh": [b"B" * 16, b"t" * 32]}
    welcomed = answer(broker, hello(attempt=2, **more))
    assert isinstance(welcomed, Welcomed)
    missed = msgpack.unpackb(welcomed.frame)[1]["missed"]
    assert missed == {**{f"a.event{number}": 2 for number in range(16)}, "*": 24}


def attached(credit: tuple[int, int] = (1000, 100), **limits: int) -> Session:
    session = Session(replace(Limits(), **limits))
    session.attach(0, credit, 0)
    return session


def test_every_event_that_will_not_arrive_is_counted_by_name_and_reason() -> None:
    session = Session(replace(Limits(), max_latest_keys=1, transfer_threshold_bytes=10))
    session.emit(event(name="a.volatile"), 1, "volatile")
    session.attach(0, (0, 0), 0)
    session.emit(event(name="a.volatile"), 1, "volatile")
    session.emit(event(name="a.latest"), 1, "latest", "1")
    session.emit(event(name="a.latest"), 1, "latest", "1")
    session.emit(event(name="a.latest"), 1, "latest", "2")
    assert session.dropped == {
        ("a.volatile", "absent"): 1,
        ("a.volatile", "behind"): 1,
        ("a.latest", "superseded"): 1,
        ("a.latest", "forgotten"): 1,
    }


def test_what_becomes_nil_in_a_replay_is_counted() -> None:
    session = attached()
    session.emit(event(name="a.volatile"), 1, "volatile")
    session.emit(event(name="a.latest"), 1, "latest", "1")
    assert session.next_frame(0) is not None
    session.emit(event(name="a.latest"), 1, "latest", "1")
    assert session.next_frame(0) is not None
    session.detach()
    session.attach(0, (1000, 100), 0)
    assert session.dropped == {("a.volatile", "absent"): 1, ("a.latest", "superseded"): 1}


def test_what_is_held_is_known_to_the_byte() -> None:
    session = attached((10, 100), transfer_threshold_bytes=60, transfer_part_bytes=20)
    call = encode_call(1, "a.call", b"c" * 40)
    large = encode_call(2, "a.call", b"l" * 80)
    entry = session.send(call)
    assert (session.queued_message_bytes, session.held_bytes) == (len(call), len(call))
    session.emit(event("e" * 30), 30, "session")
    session.emit(event("f" * 7), 7, "session")  # the first one takes all the credit
    large_entry = session.send(large, 2)
    assert session.held_bytes == len(call) + 37 + len(large)
    frame = session.next_frame(0)
    assert frame is not None
    kept = session.held_bytes - 7 - len(large)  # numbered: the call, the event, BEGIN with its part
    assert kept > len(call) + 30 + 20
    session.receive_bytes(encode_control(Frame.ACK, session.sent), 0)
    assert session.held_bytes == 7 + len(large)
    assert entry.is_numbered
    assert session.withdraw(large_entry)
    while session.next_frame(0) is not None:
        pass
    session.receive_bytes(encode_control(Frame.ACK, session.sent), 0)
    assert (session.queued_message_bytes, session.held_bytes) == (0, 7)


def test_who_takes_the_beginning_of_a_large_message_and_never_grants_the_rest_is_a_slow_consumer() -> None:
    broker = acceptor(slow_consumer_ms=3_000)
    attended = opened(broker)
    session = attended.session
    session.send(bytes(300_000))
    while session.next_frame(0):
        pass
    attended.receive(encode_control(Frame.ACK, session.sent), 0)
    assert session.sent == session.acked
    assert not session.is_at_rest
    ended = [code for now in range(0, 6_000, 1_000) for _, code in broker.tick(now)]
    assert ended[:1] == ["slow_consumer"]
