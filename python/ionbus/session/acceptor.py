"""The broker's side of the greeting: live sessions, secrets, attempts, eviction, absence, ended ids (docs/protocol.md, section 8).

Pure: whoever drives it decides who a token belongs to, moves the bytes, and tells the time (milliseconds).
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal

from ionbus.generated.errors import FINAL_CODES
from ionbus.generated.protocol import VERSION, Frame, Limits
from ionbus.session.attended import Attended
from ionbus.wire.frames import (
    MalformedFrame,
    decode_frame,
    encode_close,
    encode_control,
    greeting_map,
    is_id,
    is_pair,
    is_uint,
)

MAX_MISSED_NAMES: Final = 16
"""How many names of events WELCOME tells the counts of."""


@dataclass(frozen=True, slots=True)
class Hello:
    """A HELLO whose fields have their types. `fresh`: what to open where `session` cannot be resumed."""

    agent: str
    session: bytes
    secret: bytes = field(repr=False)
    attempt: int
    received: int
    epoch: bytes | None
    fresh: tuple[bytes, bytes] | None = field(repr=False)
    token: str | None = field(repr=False)
    credit: tuple[int, int]
    max_message_bytes: int | None
    contracts: list[tuple[str, str, str]]


@dataclass(frozen=True, slots=True)
class Refusal:
    """HELLO is refused: send `frame`, a CLOSE, then close the channel."""

    code: str
    message: str
    frame: bytes


@dataclass(frozen=True, slots=True)
class Remembered:
    """Why a session ended, when (milliseconds), the events that its client had not acknowledged, by name, and whose it was."""

    code: str
    at: float
    missed: Mapping[str, int]
    principal: Hashable


@dataclass(frozen=True, slots=True)
class Welcomed:
    """HELLO is accepted: send `frame`, then serve `attended` over this channel; close `evicted`'s channel with `evicted`."""

    attended: Attended
    is_new: bool
    evicted: object | None
    frame: bytes = field(repr=False)


class Acceptor:
    """All sessions of a broker.

    Args:
        limits: bounds and times of this side.
        entropy: gives so many random bytes, from a cryptographic source.
        agent: program and version, told in WELCOME.
        contracts: `(name, version, fingerprint)` of each contract that is served.
    """

    def __init__(
        self,
        limits: Limits,
        entropy: Callable[[int], bytes],
        agent: str,
        contracts: Iterable[tuple[str, str, str]],
    ) -> None:
        self._limits = limits
        self._entropy = entropy
        self._agent = agent
        self._contracts = [list(contract) for contract in contracts]
        self.epoch = entropy(16)
        self.sessions: dict[bytes, Attended] = {}
        self._ended: OrderedDict[bytes, Remembered] = OrderedDict()
        self._ticked_at: float | None = None

    def read_hello(self, frame: bytes) -> Hello | Refusal:
        """Check the first frame of a channel; nothing is believed yet."""
        try:
            decoded = decode_frame(frame)
            if decoded[0] != Frame.HELLO:
                raise MalformedFrame(f"frame kind {decoded[0]} before HELLO")
            hello = greeting_map(decoded)
            protocol = hello.get("protocol")
            if type(protocol) is not int or protocol < VERSION:
                text = f"HELLO speaks protocol {protocol!r:.20}; this broker speaks {VERSION}"
                return refusal("protocol_error", text, final=True)
            return _read_hello(hello)
        except MalformedFrame as error:
            return refusal("protocol_error", str(error))

    def session_of(self, hello: Hello) -> bytes:
        """The id that a one-use token is to be bound to: of the session that `welcome` would resume or open."""
        return (
            hello.fresh[0]
            if hello.fresh is not None and hello.session not in self.sessions
            else hello.session
        )

    def welcome(
        self,
        hello: Hello,
        principal: Hashable,
        carrier: object,
        now: float,
        rights: Mapping[str, list[str]] | None = None,
    ) -> Welcomed | Refusal:
        """Resume or open a session for an authenticated client (section 8.3, steps 3 to 6).

        Args:
            hello: what `read_hello` gave.
            principal: who it is; a session that is resumed is given this one in place of its equal.
            carrier: whatever drives the channel.
            now: milliseconds.
            rights: what WELCOME tells of them (section 8.8).
        """
        reason: str | None = None
        secret, received = hello.secret, hello.received
        target = self.sessions.get(hello.session)
        session_id = hello.session
        if target is None and hello.epoch is not None:
            ended = self._ended.get(session_id)
            unknown = "unknown" if hello.epoch == self.epoch else "new_epoch"
            reason = unknown if ended is None else ended.code
            if hello.fresh is None:
                return refusal("session_lost", f"the session is not known here ({reason})", over=True)
            (session_id, secret), received = hello.fresh, 0
            target = self.sessions.get(session_id)
        if target is None:
            if session_id in self._ended:
                return refusal(
                    "session_lost", f"the session has ended: {self._ended[session_id].code}", over=True
                )
            if received:
                return refusal("protocol_error", f"a new session that has received {received} elements")
            crowd = self._crowd(principal)
            if crowd is not None:
                return refusal("overloaded", crowd)
            return self._open(hello, session_id, secret, principal, carrier, reason, now, rights)
        if not target.admits(secret) or target.principal != principal:
            return refusal("unauthenticated", "the session belongs to somebody else")
        if target.is_stale(hello.attempt):
            return refusal("stale_attempt", f"attempt {hello.attempt} of this session was made before")
        rest = target.must_rest(now)
        if rest:
            return too_fast(self._limits.max_rate, rest)
        evicted = target.carrier
        next_secret = self._entropy(32)
        try:
            target.greet(hello, secret, received, next_secret, now)
        except MalformedFrame as error:
            return refusal("protocol_error", str(error))
        target.carrier = carrier
        target.principal = principal
        missed = None if reason is None else self._missed(hello.session, principal)
        frame = self._welcome(
            target, next_secret, resumed=reason is None, reason=reason, missed=missed, rights=rights
        )
        return Welcomed(target, is_new=False, evicted=evicted, frame=frame)

    def end(self, attended: Attended, code: str, now: float) -> None:
        """The session is over; remember why."""
        if self.sessions.pop(attended.id, None) is None:
            return
        attended.leave()
        undelivered = attended.session.undelivered()
        for name, count in undelivered.items():
            attended.session.dropped[name, code] += count
        self._ended[attended.id] = Remembered(code, now, _shortened(undelivered), attended.principal)
        self._forget_ended(now)

    def tick(self, now: float) -> list[tuple[Attended, Literal["absent", "slow_consumer"]]]:
        """Call about once a second: gives the sessions that `end` is to end, each with its code.

        A step that took much longer than a second counts as one: our own loop did not run.
        """
        passed = 0.0 if self._ticked_at is None else min(now - self._ticked_at, 2000.0)
        self._ticked_at = now
        self._forget_ended(now)
        return [
            (attended, code)
            for attended in self.sessions.values()
            if (code := attended.age(passed)) is not None
        ]

    def _crowd(self, principal: Hashable) -> str | None:
        """Why no session more may be opened for a principal, or None."""
        limits, live = self._limits, self.sessions.values()
        if len(live) >= limits.max_sessions:
            return f"{len(live)} sessions are open already; try again later"
        if limits.max_sessions_per_principal < limits.max_sessions:
            own = sum(attended.principal == principal for attended in live)
            if own >= limits.max_sessions_per_principal:
                return f"{own} sessions of this principal are open already; try again later"
        return None

    def _open(
        self,
        hello: Hello,
        session_id: bytes,
        secret: bytes,
        principal: Hashable,
        carrier: object,
        reason: str | None,
        now: float,
        rights: Mapping[str, list[str]] | None,
    ) -> Welcomed:
        attended = Attended(session_id, secret, principal, self._limits)
        next_secret = self._entropy(32)
        attended.greet(hello, secret, 0, next_secret, now)
        attended.carrier = carrier
        self.sessions[session_id] = attended
        missed = self._missed(hello.session, principal)
        frame = self._welcome(
            attended, next_secret, resumed=False, reason=reason, missed=missed, rights=rights
        )
        return Welcomed(attended, is_new=True, evicted=None, frame=frame)

    def _welcome(
        self,
        attended: Attended,
        next_secret: bytes,
        *,
        resumed: bool,
        reason: str | None,
        missed: Mapping[str, int] | None,
        rights: Mapping[str, list[str]] | None,
    ) -> bytes:
        limits = self._limits
        welcome: dict[str, object] = {
            "protocol": VERSION,
            "agent": self._agent,
            "session": attended.id,
            "resumed": resumed,
            "epoch": self.epoch,
            "secret": next_secret,
            "received": attended.session.received,
            "credit": list(attended.session.granted),
            "limits": {"message": limits.max_message_bytes},
            "heartbeat": [limits.heartbeat_ms, limits.silence_ms],
            "contracts": self._contracts,
        }
        if reason is not None:
            welcome["reason"] = reason
        if missed is not None:
            welcome["missed"] = dict(missed)
        if rights is not None:
            welcome["rights"] = rights
        return encode_control(Frame.WELCOME, welcome)

    def _missed(self, session_id: bytes, principal: Hashable) -> Mapping[str, int] | None:
        """What the session of this id, which has ended, had for its client; told to its own principal alone."""
        ended = self._ended.get(session_id)
        return None if ended is None or ended.principal != principal else ended.missed

    def _forget_ended(self, now: float) -> None:
        oldest = now - self._limits.remember_ended_ms
        while self._ended:
            ended, remembered = next(iter(self._ended.items()))
            if remembered.at >= oldest and len(self._ended) <= self._limits.remember_ended:
                return
            del self._ended[ended]


def refusal(
    code: str,
    message: str,
    final: bool = False,
    over: bool = False,
    more: Mapping[str, object] | None = None,
) -> Refusal:
    """A refused HELLO, with its CLOSE; `schemas/errors.toml` says which codes are final in any case.

    Args:
        code: of docs/protocol.md, section 9.
        message: in words.
        final: the client is not to try again by itself.
        over: its session has ended.
        more: other options of CLOSE.
    """
    final = final or code in FINAL_CODES
    options: dict[str, object] = {
        **({"final": True} if final else {}),
        **({"over": True} if over else {}),
        **(more or {}),
    }
    return Refusal(code, message, encode_close(code, message, options))


def too_fast(rate: int, rest_ms: int) -> Refusal:
    """The client sends more than it may: it comes back after a rest."""
    text = f"more than {rate} elements a second; wait {rest_ms} ms"
    return refusal("rate_limited", text, more={"retry_after": rest_ms})


def _shortened(missed: Mapping[str, int]) -> dict[str, int]:
    """The counts of the names with the most; the others together under "*", so that WELCOME stays small."""
    ranked = sorted(missed.items(), key=lambda item: -item[1])
    others = sum(count for _, count in ranked[MAX_MISSED_NAMES:])
    return {**dict(ranked[:MAX_MISSED_NAMES]), **({"*": others} if others else {})}


def _read_hello(hello: dict[str, Any]) -> Hello:
    fresh = hello.get("fresh")
    limits = hello.get("limits")
    limits = {} if limits is None else limits
    contracts = [] if hello.get("contracts") is None else hello["contracts"]
    checks = (
        ("session", is_id(hello.get("session"), 16)),
        ("secret", is_id(hello.get("secret"), 32)),
        ("attempt", is_uint(hello.get("attempt")) and hello["attempt"] > 0),
        ("received", is_uint(hello.get("received"))),
        ("epoch", hello.get("epoch") is None or (is_id(hello["epoch"], 16) and fresh is not None)),
        (
            "fresh",
            fresh is None
            or (type(fresh) is list and len(fresh) == 2 and is_id(fresh[0], 16) and is_id(fresh[1], 32)),
        ),
        ("token", hello.get("token") is None or type(hello["token"]) is str),
        ("credit", is_pair(hello.get("credit"))),
        ("limits", type(limits) is dict and (limits.get("message") is None or is_uint(limits["message"]))),
        ("contracts", type(contracts) is list and all(map(_is_contract, contracts))),
    )
    for name, is_right in checks:
        if not is_right:
            raise MalformedFrame(f"HELLO: {name} is missing or wrong")
    agent = hello.get("agent")
    return Hello(
        agent=agent[:200] if type(agent) is str else "",
        session=hello["session"],
        secret=hello["secret"],
        attempt=hello["attempt"],
        received=hello["received"],
        epoch=hello.get("epoch"),
        fresh=None if fresh is None else (fresh[0], fresh[1]),
        token=hello.get("token"),
        credit=(hello["credit"][0], hello["credit"][1]),
        max_message_bytes=limits.get("message"),
        contracts=[(name, version, fingerprint) for name, version, fingerprint, *_ in contracts],
    )


def _is_contract(value: object) -> bool:
    return type(value) is list and len(value) >= 3 and all(type(item) is str for item in value[:3])
