"""Who may open and resume a session, and what the broker remembers of one that ended (docs/protocol.md, section 8)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import msgpack
import pytest

from ionbus.generated.protocol import Frame, Limits
from ionbus.session.acceptor import Acceptor, Hello, Refusal, Welcomed
from ionbus.session.attended import Attended, Ended
from ionbus.wire.frames import encode_close, encode_control
from ionbus.wire.messages import encode_event

PING = b"\x92\x06\x01"
LIMITS = replace(Limits(), absence_ms=5000, remember_ended_ms=10_000, remember_ended=3)


class Broker:
    """An acceptor with HELLOs made by hand; ids and secrets are a letter repeated."""

    def __init__(self) -> None:
        draws = iter(range(1, 250))
        self.acceptor = Acceptor(
            LIMITS, lambda size: bytes([next(draws)]) * size, "broker", [("a", "1.0", "f")]
        )

    def hello(self, session: str = "A", secret: bytes = b"s" * 32, attempt: int = 1, **more: Any) -> bytes:
        fields = {
            "protocol": 1,
            "agent": "client",
            "session": session.encode() * 16,
            "secret": secret,
            "attempt": attempt,
            "received": 0,
            "credit": [1000, 100],
            **more,
        }
        packed: bytes = msgpack.packb([1, {key: value for key, value in fields.items() if value != "absent"}])
        return packed

    def answer(self, principal: str = "me", now: float = 0, **hello: Any) -> Welcomed | Refusal:
        read = self.acceptor.read_hello(self.hello(**hello))
        return self.acceptor.welcome(read, principal, object(), now) if isinstance(read, Hello) else read

    def welcomed(self, **arguments: Any) -> tuple[Attended, dict[str, Any]]:
        answer = self.answer(**arguments)
        assert isinstance(answer, Welcomed), answer
        return answer.attended, msgpack.unpackb(answer.frame)[1]

    def refused(self, **arguments: Any) -> str:
        answer = self.answer(**arguments)
        assert isinstance(answer, Refusal), answer
        assert msgpack.unpackb(answer.frame)[:2] == [3, answer.code]
        return answer.code


@pytest.fixture
def broker() -> Broker:
    return Broker()


def test_opens_a_session(broker: Broker) -> None:
    attended, welcome = broker.welcomed()
    assert attended.id == b"A" * 16
    assert welcome["session"] == b"A" * 16
    assert (welcome["resumed"], welcome["received"], welcome["protocol"]) == (False, 0, 1)
    assert welcome["contracts"] == [["a", "1.0", "f"]]
    assert welcome["heartbeat"] == [LIMITS.heartbeat_ms, LIMITS.silence_ms]
    assert "reason" not in welcome


def test_the_secret_that_was_used_stays_good_until_welcome_is_proven(broker: Broker) -> None:
    _, first = broker.welcomed()
    attended, second = broker.welcomed(attempt=2)  # WELCOME was lost: the first secret again
    assert second["resumed"] is True
    attended.receive(PING, 0)
    assert broker.refused(attempt=3) == "unauthenticated"
    assert broker.refused(attempt=3, secret=first["secret"]) == "unauthenticated"
    _, third = broker.welcomed(attempt=3, secret=second["secret"])
    assert third["resumed"] is True


def test_the_next_secret_is_good_without_proof(broker: Broker) -> None:
    _, first = broker.welcomed()
    _, second = broker.welcomed(attempt=2, secret=first["secret"])
    assert second["resumed"] is True
    assert broker.refused(attempt=3) == "unauthenticated"  # the one before it is no longer


def test_close_proves_nothing(broker: Broker) -> None:
    attended, _ = broker.welcomed()
    [ended] = attended.receive(encode_close("connection_lost", ""), 0)
    assert ended == Ended("connection_lost", "", over=False)
    broker.welcomed(attempt=2)


def test_what_a_client_ends_its_session_with_costs_no_memory(broker: Broker) -> None:
    attended, _ = broker.welcomed()
    [ended] = attended.receive(encode_close("x" * 1_000, "", {"over": True}), 0)
    assert ended == Ended("closed", "", over=True)
    [ended] = attended.receive(encode_close("protocol_violation", "", {"over": True}), 0)
    assert ended == Ended("protocol_violation", "", over=True)


def test_a_session_is_its_principals(broker: Broker) -> None:
    broker.welcomed()
    assert broker.refused(attempt=2, principal="somebody else") == "unauthenticated"


def test_an_attempt_that_was_made_before_evicts_nothing(broker: Broker) -> None:
    attended, _ = broker.welcomed(attempt=5)
    carrier = attended.carrier
    for attempt in (4, 5):
        assert broker.refused(attempt=attempt) == "stale_attempt"
    assert attended.carrier is carrier
    answer = broker.answer(attempt=6)
    assert isinstance(answer, Welcomed)
    assert answer.evicted is carrier


def test_an_unknown_epoch_opens_the_fresh_session(broker: Broker) -> None:
    fresh = [b"B" * 16, b"t" * 32]
    more: dict[str, Any] = {"epoch": b"e" * 16, "fresh": fresh, "received": 7}
    attended, welcome = broker.welcomed(**more)
    assert attended.id == b"B" * 16
    assert (welcome["resumed"], welcome["reason"], welcome["received"]) == (False, "new_epoch", 0)
    again, welcome = broker.welcomed(attempt=2, **more)  # that WELCOME was lost
    assert again is attended
    assert (welcome["resumed"], welcome["reason"]) == (False, "new_epoch")


def test_a_fresh_session_has_no_credit_from_the_one_that_it_replaces(broker: Broker) -> None:
    more: dict[str, Any] = {"epoch": b"e" * 16, "fresh": [b"B" * 16, b"t" * 32]}
    attended, _ = broker.welcomed(**more)
    assert attended.session.credit == (0, 0)
    attended.receive(encode_control(Frame.CREDIT, 400, 10), 0)
    assert attended.session.credit == (400, 10)


def test_an_ended_session_is_remembered_with_its_reason_for_a_while(broker: Broker) -> None:
    attended, _ = broker.welcomed()
    broker.acceptor.end(attended, "slow_consumer", 1000)
    assert broker.refused(now=2000) == "session_lost"
    more: dict[str, Any] = {"epoch": broker.acceptor.epoch, "fresh": [b"B" * 16, b"t" * 32]}
    _, welcome = broker.welcomed(now=2000, **more)
    assert welcome["reason"] == "slow_consumer"
    broker.acceptor.tick(11_001)
    more["fresh"] = [b"C" * 16, b"t" * 32]
    _, welcome = broker.welcomed(now=11_001, **more)
    assert welcome["reason"] == "unknown"


def test_what_an_ended_session_missed_is_told_to_its_own_principal_alone(broker: Broker) -> None:
    attended, _ = broker.welcomed()
    attended.session.emit(encode_event("secret.news", b"\xc0"), 1, "session")
    broker.acceptor.end(attended, "absent", 1000)
    more: dict[str, Any] = {"epoch": broker.acceptor.epoch, "now": 2000}
    _, welcome = broker.welcomed(principal="another", fresh=[b"B" * 16, b"t" * 32], **more)
    assert "missed" not in welcome
    _, welcome = broker.welcomed(fresh=[b"C" * 16, b"t" * 32], **more)
    assert welcome["missed"] == {"secret.news": 1}


def test_no_more_than_so_many_ended_sessions_are_remembered(broker: Broker) -> None:
    for letter in "DEFGH":
        attended, _ = broker.welcomed(session=letter)
        broker.acceptor.end(attended, "closed", 0)
    codes = {letter: isinstance(broker.answer(session=letter), Refusal) for letter in "DEFGH"}
    assert codes == {"D": False, "E": False, "F": True, "G": True, "H": True}


def test_absence_counts_only_time_in_which_our_own_loop_ran(broker: Broker) -> None:
    attended, _ = broker.welcomed()
    broker.acceptor.tick(0)
    for second in range(1, 20):
        assert broker.acceptor.tick(second * 1000) == []  # it has a channel
    attended.leave()
    for second in range(20, 24):
        assert broker.acceptor.tick(second * 1000) == []
    assert broker.acceptor.tick(1_000_000) == [(attended, "absent")]  # this long step counts as two seconds


def test_a_suspended_broker_ends_no_session(broker: Broker) -> None:
    attended, _ = broker.welcomed()
    attended.leave()
    broker.acceptor.tick(0)
    assert broker.acceptor.tick(3_600_000) == []


def without(key: str) -> Callable[[Broker], bytes]:
    absent: dict[str, Any] = {key: "absent"}
    return lambda broker: broker.hello(**absent)


@pytest.mark.parametrize(
    ("make", "code"),
    [
        (lambda broker: broker.hello(protocol=0), "protocol_error"),
        (lambda broker: broker.hello(protocol="1"), "protocol_error"),
        (lambda broker: b"\xc1", "protocol_error"),
        (lambda broker: b"\x92\x00\x80", "protocol_error"),
        (lambda broker: b"\x91\x01", "protocol_error"),
        (without("session"), "protocol_error"),
        (without("secret"), "protocol_error"),
        (without("attempt"), "protocol_error"),
        (without("received"), "protocol_error"),
        (without("credit"), "protocol_error"),
        (lambda broker: broker.hello(session="AB"), "protocol_error"),
        (lambda broker: broker.hello(attempt=0), "protocol_error"),
        (lambda broker: broker.hello(attempt=True), "protocol_error"),
        (lambda broker: broker.hello(received=-1), "protocol_error"),
        (lambda broker: broker.hello(epoch=b"e" * 16), "protocol_error"),
        (lambda broker: broker.hello(fresh=[b"B" * 16]), "protocol_error"),
        (lambda broker: broker.hello(token=5), "protocol_error"),
        (lambda broker: broker.hello(credit=[1, 2, 3]), "protocol_error"),
        (lambda broker: broker.hello(limits=[]), "protocol_error"),
        (lambda broker: broker.hello(contracts=[["a", "1.0"]]), "protocol_error"),
    ],
)
def test_a_malformed_hello_is_refused(broker: Broker, make: Callable[[Broker], bytes], code: str) -> None:
    answer = broker.acceptor.read_hello(make(broker))
    assert isinstance(answer, Refusal)
    assert answer.code == code


def test_a_later_protocol_version_is_agreed_down(broker: Broker) -> None:
    _, welcome = broker.welcomed(protocol=9)
    assert welcome["protocol"] == 1


def test_a_version_that_is_no_longer_spoken_is_refused_for_good(broker: Broker) -> None:
    answer = broker.answer(protocol=0)
    assert isinstance(answer, Refusal)
    assert "speaks 1" in answer.message
    assert msgpack.unpackb(answer.frame)[3] == {"final": True}


def test_received_that_was_never_sent_is_refused_and_costs_nothing(broker: Broker) -> None:
    attended, _ = broker.welcomed()
    carrier = attended.carrier
    assert broker.refused(attempt=2, received=9) == "protocol_error"
    assert attended.carrier is carrier
    assert broker.refused(session="N", received=9) == "protocol_error"
