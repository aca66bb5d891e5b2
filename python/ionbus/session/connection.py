"""The client's connection: greeting, resume, states and retry around a `Session` (docs/protocol.md, section 8).

Pure, like the session: inputs come with the time, `effects` says what to do, `next_frame` what to send.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from ionbus.generated.protocol import VERSION, Frame, Limits
from ionbus.generated.states import ConnectionState, Effect, Input
from ionbus.session.outbox import Entry
from ionbus.session.session import Delivered, Rejected, Session, Violation
from ionbus.session.states import StateMachine, shown
from ionbus.wire.frames import (
    MalformedFrame,
    close_fields,
    decode_frame,
    encode_close,
    encode_control,
    greeting_map,
    is_id,
    is_pair,
    is_uint,
)

Outcome = Literal["resumed", "fresh", "lost"]
"""What became of the session at a WELCOME: it goes on, it is the first, or it is a new one in place of one that ended."""


@dataclass(frozen=True, slots=True)
class OpenChannel:
    """Open a channel; answer with `opened` or `failed`."""


@dataclass(frozen=True, slots=True)
class CloseChannel:
    """Send what `next_frame` still gives, then close the channel, if there is one; what comes from it later is to be ignored."""

    code: str
    message: str
    over: bool


@dataclass(frozen=True, slots=True)
class StateChange:
    """The public state is another.

    Attributes:
        before: the state that was left.
        after: the state now.
        code: why, as a code of docs/protocol.md, section 9.
        reason: why, in words.
        outcome: where a WELCOME made it so: what became of the session.
        replayed: of a session that was resumed: how many elements are sent again, since they had not arrived.
        lost_events: of a session that was lost: how many events of ours may not have arrived.
        lost_calls: likewise, how many of our requests were rejected with SessionLost.
        missed: likewise, the events for us that we had not acknowledged, by name (others under "*"); None where the
            broker does not know, as it is a new one.
    """

    before: ConnectionState
    after: ConnectionState
    code: str
    reason: str
    outcome: Outcome | None = None
    replayed: int = 0
    lost_events: int = 0
    lost_calls: int = 0
    missed: Mapping[str, int] | None = None


@dataclass(frozen=True, slots=True)
class SessionReplaced:
    """The old session ended (`code`); `Connection.session` is new. Make subscriptions again, then send `unnumbered` as far as it still has sense."""

    code: str
    unnumbered: list[Entry]
    lost_events: int
    missed: Mapping[str, int] | None = None


@dataclass(frozen=True, slots=True)
class SessionEnded:
    """It is over for good: everything that waits fails with this code."""

    code: str
    message: str


ConnectionEffect = (
    OpenChannel | CloseChannel | StateChange | SessionReplaced | SessionEnded | Delivered | Rejected
)


class Connection:
    """A client's session with its greeting, retries and states.

    Args:
        limits: bounds and times of this side.
        entropy: gives so many random bytes, from a cryptographic source.
        random: a number in [0, 1), for the spread of retries.
        agent: program and version, for the other side's log.
        contracts: `(name, version, fingerprint)` of each contract to announce; may grow.
        may_renew_token: the token is asked for anew at each attempt, so that a refused one is no reason to give up.
    """

    def __init__(
        self,
        limits: Limits,
        entropy: Callable[[int], bytes],
        random: Callable[[], float],
        agent: str,
        contracts: Sequence[tuple[str, str, str]] = (),
        may_renew_token: bool = False,
    ) -> None:
        self._limits = limits
        self._entropy = entropy
        self._random = random
        self._agent = agent
        self._may_renew_token = may_renew_token
        self.contracts = list(contracts)
        self._machine = StateMachine()
        self._effects: list[ConnectionEffect] = [OpenChannel()]
        self._frames: list[bytes] = []  # HELLO and CLOSE: what does not belong to the session

        self.session = Session(limits)
        self._id = entropy(16)
        self._secret = entropy(32)
        self._fresh: tuple[bytes, bytes] | None = None
        self._attempt = 0
        self._credit_told = (0, 0)  # by the newest HELLO
        self.epoch: bytes | None = None
        """The broker's epoch, once there was a WELCOME."""
        self.welcome: dict[str, Any] = {}
        """The newest WELCOME."""
        self.elsewhere: str | None = None
        """The URL that a stopping broker sent us to; whoever opens channels takes it from here."""

        self._dropped: Counter[tuple[str, str]] = Counter()  # of the sessions that were replaced
        self._token: str | None = None
        self._silence_is_fatal = False
        self._failures = 0
        self._retry_after = 0.0
        self._retry_at = math.inf
        self._greeting_ends = math.inf
        self._stable_at = math.inf

    @property
    def state(self) -> ConnectionState:
        """What `bus.state` shows."""
        return self._machine.shown

    @property
    def id(self) -> bytes:
        """The session's id."""
        return self._id

    @property
    def dropped(self) -> Counter[tuple[str, str]]:
        """Our events that will never arrive, by name and reason, over all sessions."""
        return self._dropped + self.session.dropped

    # Inputs.

    def opened(self, token: str | None, silence_is_fatal: bool, now: float) -> None:
        """The channel is open. `token`: for HELLO. `silence_is_fatal`: whether a silent channel is given up."""
        self._token = token
        self._silence_is_fatal = silence_is_fatal
        self._take("opened", now)

    def failed(self, reason: str, now: float) -> None:
        """The channel could not be opened."""
        self._take("failed", now, "connection_lost", reason)

    def lost(self, code: str, reason: str, now: float) -> None:
        """The channel has ended by itself."""
        self._take("lost", now, code, reason)

    def refused(self, code: str, message: str, now: float) -> None:
        """There is no sense in trying again: for whoever opens channels and knows so."""
        self._take("refused", now, code, message)

    def retry(self, now: float) -> None:
        """Try now: the platform says that the network is back."""
        self._take("retry", now)

    def close(self, now: float, message: str = "closed by the application") -> None:
        """End the session and the connection for good."""
        self._take("close", now, "closed", message)

    def receive(self, frame: bytes, now: float) -> None:
        """A frame has arrived on the channel."""
        try:
            decoded = decode_frame(frame)
            if self._machine.state == "unresponsive":
                self._take("heard", now)
            if decoded[0] == Frame.CLOSE:
                self._receive_close(decoded, now)
            elif self._machine.state.endswith(".greeting"):
                self._receive_welcome(decoded, now)
            else:
                for arrival in self.session.receive(decoded, len(frame), now):
                    if isinstance(arrival, Violation):
                        self._violated(arrival, now)
                    else:
                        self._effects.append(arrival)
        except MalformedFrame as error:
            self._violated(self.session.violation(str(error)), now)

    def violated(self, message: str, now: float) -> None:
        """What `effects` gave breaks the protocol, says whoever understands it."""
        self._violated(self.session.violation(message), now)

    def tick(self, now: float) -> None:
        """Call at `deadline`, then ask `effects` and `next_frame`."""
        if now >= self._retry_at:
            self._take("retry", now)
        elif now >= self._greeting_ends:
            self._take(
                "failed", now, "handshake_timeout", f"no WELCOME within {self._limits.handshake_ms} ms"
            )
        if now >= self._stable_at:
            self._stable_at = math.inf
            self._failures = 0
        if self.session.tick(now) == "silent":
            reason = f"nothing heard for {self.welcome['heartbeat'][1]} ms"
            self._take("dead" if self._silence_is_fatal else "silent", now, "connection_lost", reason)

    # Outputs.

    def effects(self) -> list[ConnectionEffect]:
        """What to do, in order, since the last call."""
        effects, self._effects = self._effects, []
        return effects

    def next_frame(self, now: float) -> bytes | None:
        """What to send now; call again until it gives None, while the channel is writable."""
        return self._frames.pop(0) if self._frames else self.session.next_frame(now)

    def deadline(self) -> float:
        """When `tick` wants to be called: milliseconds, or infinity."""
        return min(self._retry_at, self._greeting_ends, self._stable_at, self.session.deadline())

    # Inside.

    def _take(
        self,
        given: Input,
        now: float,
        code: str = "",
        reason: str = "",
        outcome: Outcome | None = None,
        replaced: SessionReplaced | None = None,
    ) -> None:
        before = self._machine.state
        effects = self._machine.take(given)
        after = self._machine.state
        if before == after:
            return
        self._retry_at = self._greeting_ends = math.inf
        if after != "unresponsive" and not after.startswith("open"):
            self._stable_at = math.inf
        for effect in effects:
            self._do(effect, given, now, code, reason)
        if shown(before) != shown(after) or outcome is not None:
            self._effects.append(
                StateChange(
                    shown(before),
                    shown(after),
                    code,
                    reason,
                    outcome,
                    replayed=self.session.replayed if outcome == "resumed" else 0,
                    lost_events=0 if replaced is None else replaced.lost_events,
                    missed=None if replaced is None else replaced.missed,
                )
            )

    def _do(self, effect: Effect, given: Input, now: float, code: str, reason: str) -> None:
        match effect:
            case "open_channel":
                self._effects.append(OpenChannel())
            case "drop_channel":
                self._effects.append(CloseChannel(code, reason, over=False))
            case "say_close":
                self._frames.append(encode_close("closed", reason, {"final": True, "over": True}))
                self.session.detach()
                self._effects.append(CloseChannel(code, reason, over=True))
            case "send_hello":
                self._greeting_ends = now + self._limits.handshake_ms
                self._frames = [self._hello()]
            case "attach":
                self._stable_at = now + self._limits.stable_ms
            case "detach":
                self.session.detach()
                self._frames.clear()
            case "wait":
                self._retry_at = now + self._delay()
            case "end":
                for name, count in self.session.undelivered().items():
                    self.session.dropped[name, code] += count
                self._effects.append(SessionEnded(code, reason))

    def _delay(self) -> float:
        """Exponential with full jitter, capped (docs/protocol.md, section 8.6); what CLOSE asked for at least."""
        limits = self._limits
        ceiling = min(limits.retry_cap_ms, limits.retry_base_ms << min(self._failures, 30))
        self._failures += 1
        asked, self._retry_after = self._retry_after, 0.0
        return asked + self._random() * ceiling

    def _hello(self) -> bytes:
        self._attempt += 1
        self._credit_told = self.session.granted
        hello: dict[str, object] = {
            "protocol": VERSION,
            "agent": self._agent,
            "session": self._id,
            "secret": self._secret,
            "attempt": self._attempt,
            "received": self.session.received,
            "credit": list(self.session.granted),
            "limits": {"message": self._limits.max_message_bytes},
            "contracts": [list(contract) for contract in self.contracts],
        }
        if self.epoch is not None:
            self._fresh = self._fresh or (self._entropy(16), self._entropy(32))
            hello["epoch"] = self.epoch
            hello["fresh"] = list(self._fresh)
        if self._token is not None:
            hello["token"] = self._token
        return encode_control(Frame.HELLO, hello)

    def _receive_welcome(self, frame: list[Any], now: float) -> None:
        if frame[0] != Frame.WELCOME:
            raise MalformedFrame(f"frame kind {frame[0]} before WELCOME")
        welcome = greeting_map(frame)
        _check_welcome(welcome)
        was_welcomed = self.epoch is not None
        replaced: SessionReplaced | None = None
        if welcome["session"] != self._id:
            if self._fresh is None or welcome["session"] != self._fresh[0]:
                raise MalformedFrame("WELCOME names another session than HELLO")
            replaced = SessionReplaced(
                welcome.get("reason") or "unknown",
                self.session.unnumbered(),
                self.session.unacknowledged_events,
                welcome.get("missed"),
            )
            self._dropped.update(self.session.dropped)
            for name, count in self.session.unacknowledged().items():
                self._dropped[name, replaced.code] += count
            self.session = Session(self._limits)
            self._id = self._fresh[0]
            self._credit_told = (0, 0)  # what HELLO told was the old session's
        self.session.set_heartbeat(*welcome["heartbeat"])
        self.session.attach(welcome["received"], tuple(welcome["credit"]), now)
        if self.session.granted != self._credit_told:
            self.session.tell_credit()
        self._secret = welcome["secret"]
        self._fresh = None
        self.epoch = welcome["epoch"]
        self.welcome = welcome
        if replaced is not None:
            self._effects.append(replaced)
            self._take("welcomed", now, replaced.code, "the session was replaced", "lost", replaced)
        else:
            self._take("welcomed", now, outcome="resumed" if was_welcomed else "fresh")

    def _receive_close(self, frame: list[Any], now: float) -> None:
        code, message, options = close_fields(frame)
        if options.get("final") is True and not (code == "unauthenticated" and self._may_renew_token):
            self._take("refused", now, code, message)
            return
        if options.get("over") is True:
            self._fresh = None  # if it was refused, the broker remembers it as ended: offer another
            if self.epoch is None:  # HELLO offered no fresh one: begin anew under another id
                self._id, self._secret, self._attempt = self._entropy(16), self._entropy(32), 0
        elsewhere = options.get("elsewhere")
        self.elsewhere = elsewhere if type(elsewhere) is str else None
        after = options.get("retry_after")
        self._retry_after = float(after) if after is not None and is_uint(after) else 0.0
        self._effects.append(CloseChannel(code, message, over=False))
        self._take("lost", now, code, message)

    def _violated(self, violation: Violation, now: float) -> None:
        """Say so and give the channel up; the session lives on, unless it was the second time without progress."""
        options: dict[str, object] = {"over": True} if violation.over else {}
        self._effects.append(CloseChannel(violation.code, violation.message, violation.over))
        self._take("lost", now, violation.code, violation.message)
        self._frames = [encode_close(violation.code, violation.message, options)]


def _check_welcome(welcome: dict[str, Any]) -> None:
    """Raise MalformedFrame unless the fields that are needed are there, of their types."""
    needed: tuple[tuple[str, bool], ...] = (
        ("protocol", is_uint(welcome.get("protocol")) and welcome["protocol"] == VERSION),
        ("session", is_id(welcome.get("session"), 16)),
        ("epoch", is_id(welcome.get("epoch"), 16)),
        ("secret", is_id(welcome.get("secret"), 32)),
        ("received", is_uint(welcome.get("received"))),
        ("credit", is_pair(welcome.get("credit"))),
        ("reason", welcome.get("reason") is None or type(welcome["reason"]) is str),
        ("missed", welcome.get("missed") is None or _are_counts(welcome["missed"])),
        ("heartbeat", is_pair(welcome.get("heartbeat")) and min(welcome["heartbeat"]) > 0),
    )
    for name, is_right in needed:
        if not is_right:
            raise MalformedFrame(f"WELCOME: {name} is missing or wrong: {welcome.get(name)!r:.60}")


def _are_counts(value: object) -> bool:
    return type(value) is dict and all(type(name) is str and is_uint(count) for name, count in value.items())
