"""Greetings at the broker: HELLO of all shapes from two people, of whom none may get the other's session."""

from __future__ import annotations

import random
from dataclasses import replace
from typing import Any, Final

from fuzz.choices import Choices
from fuzz.driver import Outcome, Target, corpus
from fuzz.grammar import damaged, pack
from fuzz.scripts import check
from ionbus.generated.errors import FINAL_CODES
from ionbus.generated.protocol import Frame, Limits
from ionbus.session.acceptor import Acceptor, Refusal
from ionbus.session.attended import Attended
from ionbus.wire.frames import close_fields, decode_frame

LIMITS: Final = replace(Limits(), max_sessions=6, max_sessions_per_principal=4, remember_ended=5)
CODES: Final = {
    "protocol_error",
    "unauthenticated",
    "stale_attempt",
    "session_lost",
    "overloaded",
    "too_fast",
}
SESSIONS: Final = tuple(bytes([number]) * 16 for number in range(1, 6))
LONGEST: Final = 25


def greeting(choices: Choices, acceptor: Acceptor, secrets: list[bytes]) -> dict[str, Any]:
    """A HELLO's map, most often one that is taken."""
    hello: dict[str, Any] = {
        "protocol": 1,
        "agent": "fuzz",
        "session": choices.pick(SESSIONS),
        "secret": choices.pick(secrets),
        "attempt": choices.below(9) + 1,
        "received": choices.below(3) if choices.one_in(4) else 0,
        "credit": [100, 10],
        "token": "t",
    }
    if choices.one_in(2):
        hello["epoch"] = choices.pick((acceptor.epoch, b"e" * 16))
        hello["fresh"] = [choices.pick(SESSIONS), choices.pick(secrets)]
    for _ in range(choices.below(3) if choices.one_in(3) else 0):
        key = choices.pick((*hello, "limits", "contracts", "epoch", "fresh"))
        match choices.below(3):
            case 0:
                hello.pop(key, None)
            case 1:
                hello[key] = choices.anything()
            case _:
                hello[key] = choices.pick(
                    (b"", b"x" * 16, [b"x" * 16, b"y" * 32], 2**53, {"message": choices.number()})
                )
    return hello


def run(data: bytes) -> Outcome:
    """Greet again and again; each HELLO is an input."""
    choices = Choices(data)
    acceptor = Acceptor(LIMITS, random.Random(1).randbytes, "broker", [("a", "1.0", "f" * 32)])
    secrets = [b"k" * 32, b"l" * 32]
    owners: dict[bytes, str] = {}
    now = 0.0
    greeted = 0
    label = []
    while not choices.is_over and greeted < LONGEST:
        greeted += 1
        frame = pack([Frame.HELLO, greeting(choices, acceptor, secrets)])
        if choices.one_in(20):
            frame = damaged(choices, frame)
        principal = choices.pick(("ann", "bob"))
        now += choices.pick((0, 1_000, 100_000))
        hello = acceptor.read_hello(frame)
        answer = hello if isinstance(hello, Refusal) else acceptor.welcome(hello, principal, object(), now)
        if isinstance(answer, Refusal):
            check(answer.code in CODES, f"refused with {answer.code}")
            code, _, options = close_fields(decode_frame(answer.frame))
            check(code == answer.code and len(answer.frame) <= LIMITS.max_greeting_bytes, "another CLOSE")
            check(options.get("final", False) is True or code not in FINAL_CODES, f"{code} is final")
            label.append(answer.code)
        else:
            _check_owner(owners, answer.attended, principal, answer.is_new)
            welcome = decode_frame(answer.frame)[1]
            secrets = [*secrets[-6:], welcome["secret"]]
            label.append("new" if answer.is_new else "resumed")
            if choices.one_in(3):
                answer.attended.receive(pack([Frame.PING, 1]), now)
            if choices.one_in(4):
                answer.attended.leave()
            if choices.one_in(6):
                acceptor.end(answer.attended, "closed", now)
        for attended, code in acceptor.tick(now) if choices.one_in(4) else ():
            acceptor.end(attended, code, now)
        check(len(acceptor.sessions) <= LIMITS.max_sessions, "more sessions than may be")
        check(len(acceptor._ended) <= LIMITS.remember_ended, "more ended sessions are remembered than may be")
        for session in set(owners) - set(acceptor.sessions):
            del owners[session]
    return Outcome(" ".join(dict.fromkeys(label))[:80], greeted)


def _check_owner(owners: dict[bytes, str], attended: Attended, principal: str, is_new: bool) -> None:
    """A session belongs to whoever opened it."""
    if is_new:
        check(attended.id not in owners, "a session that is there was opened anew")
        owners[attended.id] = principal
    check(owners[attended.id] == principal, f"{principal} got the session of {owners[attended.id]}")


def target() -> Target:
    """See the module."""
    return Target("hello", run, tuple(corpus("hello").values()), longest=600)
