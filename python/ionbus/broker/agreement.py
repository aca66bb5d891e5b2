"""Whether a client's contracts fit those that the broker serves (docs/protocol.md, section 11).

`Agreements` belong to the broker: what is known of each form of a contract that a client was ever built with.
`Questions` belong to one session: which contracts its client has been asked to describe, and the messages that wait.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections import OrderedDict, deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property, partial
from typing import Any, TypeAlias

from ionbus.contract.contract import ContractInfo
from ionbus.contract.fingerprint import describe
from ionbus.errors import shortened, well_formed
from ionbus.generated.protocol import Limits, Message
from ionbus.session.session import Delivered
from ionbus.wire.messages import size_of

Triple: TypeAlias = tuple[str, str, str]
"""Name, version and fingerprint of what a client was built with."""

MAX_DESCRIPTION_BYTES = 4_194_304
LONGEST = 1_000
"""Characters of why a contract does not fit: the names in it are the client's."""
MAX_KNOWN = 1_000
"""How many forms of contracts the broker remembers its answer for."""

SHORT = 0.01
"""Seconds that a comparison takes of an ordinary contract, or less."""

REST = 4.0
"""For so many times as long as a longer one took the next has to wait: nobody keeps the broker busy with comparing."""

MAX_WAITING = 1_000
MAX_WAITING_BYTES = 67_108_864
"""How many comparisons wait for their turn, and the bytes of their descriptions."""

Judged: TypeAlias = Callable[[str | None, bool], None]
"""Given the problem with a contract, or None, and whether it came late, from the loop."""


class Agreements:
    """See the module.

    Args:
        contracts: what is served, by name.
    """

    def __init__(self, contracts: Mapping[str, ContractInfo]) -> None:
        self._served = {name: _Served(info) for name, info in contracts.items()}
        self._known: OrderedDict[tuple[str, str], str | None] = OrderedDict()
        self._waiting: deque[tuple[Triple, bytes, Judged]] = deque()
        self._waiting_bytes = 0
        self._rests_until = 0.0

    def problem(self, contract: Triple) -> str | None:
        """Why a client that was built with this contract cannot work here, as far as is known, or None."""
        name, version, fingerprint = contract
        if name not in self._served:
            return f"the contract {shortened(name)} {shortened(version)} is not served here"
        reason = self._known.get((name, fingerprint))
        return None if reason is None else self.differs(contract, reason)

    def is_open(self, contract: Triple) -> bool:
        """Whether only the client's description can tell."""
        name, _, fingerprint = contract
        served = self._served.get(name)
        if served is None or served.info.fingerprint == fingerprint:
            return False
        return (name, fingerprint) not in self._known

    def judge(self, contract: Triple, text: bytes | None) -> str | None:
        """Compare by the client's description; the problem, or None.

        What a description says is remembered by its fingerprint; that there was none, or a wrong one, is not.
        """
        name, _, fingerprint = contract
        if text is None:
            return self.differs(contract, "the client has no description of it to compare")
        if len(text) > MAX_DESCRIPTION_BYTES:
            return self.differs(
                contract, f"the client's description of it is larger than {MAX_DESCRIPTION_BYTES} bytes"
            )
        if hashlib.sha256(text).hexdigest()[:32] != fingerprint:
            return self.differs(contract, "the client's description is not the one of its fingerprint")
        reason = self._compare(name, text)
        self._known[name, fingerprint] = reason
        if len(self._known) > MAX_KNOWN:
            self._known.popitem(last=False)
        return None if reason is None else self.differs(contract, reason)

    def judge_in_turn(self, contract: Triple, text: bytes | None, judged: Judged) -> None:
        """Compare at once, or where comparing has taken long just before, after a rest; then the answer comes from the loop."""
        loop = asyncio.get_running_loop()
        name, _, fingerprint = contract
        if (name, fingerprint) in self._known:  # another client has described it meanwhile
            judged(self.problem(contract), False)
        elif text is None:
            judged(self.judge(contract, text), False)
        elif not self._waiting and loop.time() >= self._rests_until:
            judged(self._timed(contract, text, loop), False)
        elif len(self._waiting) < MAX_WAITING and self._waiting_bytes < MAX_WAITING_BYTES:
            self._waiting.append((contract, text, judged))
            self._waiting_bytes += len(text)
            if len(self._waiting) == 1:
                loop.call_at(self._rests_until, self._next, loop)
        else:
            judged(self.differs(contract, "too many others are being compared"), False)

    def _next(self, loop: asyncio.AbstractEventLoop) -> None:
        contract, text, judged = self._waiting.popleft()
        self._waiting_bytes -= len(text)
        try:
            judged(self._timed(contract, text, loop), True)
        finally:
            if self._waiting:
                loop.call_at(self._rests_until, self._next, loop)

    def _timed(self, contract: Triple, text: bytes, loop: asyncio.AbstractEventLoop) -> str | None:
        began = loop.time()
        problem = self.judge(contract, text)
        took = loop.time() - began
        self._rests_until = began + took * (1 + REST) if took > SHORT else 0.0
        return problem

    def differs(self, contract: Triple, reason: str) -> str:
        """The message for a contract that does not fit."""
        name, version, fingerprint = contract
        served = self._served[name].info
        return (
            f"the contract {name} differs: the client was built with version {shortened(version)} ({fingerprint[:8]}…), the "
            f"broker serves {served.version} ({served.fingerprint[:8]}…): {reason}; generate the client's code anew"
        )

    def _compare(self, name: str, text: bytes) -> str | None:
        # Most brokers never compare: their clients were built with the contracts that they serve.
        from ionbus.contract.evolution import Incomparable, first_breaking  # noqa: PLC0415

        try:
            change = first_breaking(json.loads(text), self._served[name].description)
        except (Incomparable, ValueError, RecursionError) as error:
            return well_formed(shortened(str(error), LONGEST)) or "its description cannot be read"
        # JSON can write half a character, and CLOSE cannot.
        return None if change is None else well_formed(shortened(str(change), LONGEST))


class _Served:
    def __init__(self, info: ContractInfo) -> None:
        self.info = info

    @cached_property
    def description(self) -> dict[str, Any]:
        """Made for the first client that was built with another form."""
        return describe(self.info)


@dataclass
class _Question:
    contract: Triple
    of_greeting: bool
    answered: asyncio.Future[None]
    held: list[Delivered] = field(default_factory=list)


class Questions:
    """See the module.

    Args:
        agreements: of the broker.
        limits: how long a description may take, and how much may wait for it.
        contract_of: the contract that a member's name belongs to, where it is served.
        settled: called with a question's answer: the contract, what is wrong with it, whether HELLO told of it, and
            the messages that waited.
        out_of_time: called when descriptions have not come in time; it calls `overdue`.
        late: called with what settles a question whose answer comes from the loop, and not with a message.
    """

    def __init__(
        self,
        agreements: Agreements,
        limits: Limits,
        contract_of: Callable[[str], str | None],
        settled: Callable[[Triple, str | None, bool, list[Delivered]], None],
        out_of_time: Callable[[], None],
        late: Callable[[Callable[[], None]], None],
    ) -> None:
        self._agreements = agreements
        self._limits = limits
        self._contract_of = contract_of
        self._settled = settled
        self._out_of_time = out_of_time
        self._late = late
        self._loop = asyncio.get_running_loop()
        self._open: dict[str, _Question] = {}
        self.are_open = False
        """Whether the client has been asked and has not answered."""
        self._requests: dict[int, _Question] = {}
        self._subscriptions: dict[int, _Question] = {}
        self.held_bytes = 0
        """Bytes of the messages that wait."""
        self._timer: asyncio.TimerHandle | None = None

    def ask(self, contracts: Iterable[Triple], *, of_greeting: bool) -> list[str]:
        """Begin to wait for descriptions; gives the fingerprints to ask for."""
        asked = []
        for contract in contracts:
            name, _, fingerprint = contract
            before = self._open.get(name)
            if before is not None and before.contract[2] == fingerprint:
                before.of_greeting = before.of_greeting or of_greeting
                continue
            if before is None:
                self._open[name] = _Question(contract, of_greeting, self._loop.create_future())
            else:
                before.contract = contract
            self.are_open = True
            asked.append(fingerprint)
        if asked and self._timer is None:
            self._wait()
        return asked

    def holds(self, arrival: Delivered) -> bool:
        """Keep a message that has to wait; False: it may go on."""
        question = self._question_of(arrival.message)
        if question is None:
            return False
        question.held.append(arrival)
        self.held_bytes += size_of(arrival.message)
        count = sum(len(each.held) for each in self._open.values())
        if self.held_bytes > self._limits.max_queued_bytes or count > self._limits.max_requests:
            self._give_up(question, "too much waits for the client's description of it")
        return True

    def described(self, fingerprint: str, text: bytes | None) -> None:
        """DESCRIPTION has arrived; one that nobody asked for is ignored."""
        for question in list(self._open.values()):
            if question.contract[2] == fingerprint:
                judged = partial(self._judged, question, question.contract)
                self._agreements.judge_in_turn(question.contract, text, judged)

    def overdue(self) -> None:
        """Give up what has not been answered."""
        for question in list(self._open.values()):
            self._give_up(question, f"no description of it came within {self._limits.handshake_ms} ms")

    async def answered(self, contract: str) -> None:
        """Wait while this contract is in question."""
        question = self._open.get(contract)
        if question is not None:
            await asyncio.shield(question.answered)

    def wait_again(self) -> None:
        """Give the client its time anew: it was away."""
        self._wait()

    def stop(self) -> None:
        """The session is over."""
        if self._timer is not None:
            self._timer.cancel()
        for question in self._open.values():
            question.answered.set_result(None)
        self._open.clear()
        self.are_open = False
        self._requests.clear()
        self._subscriptions.clear()

    # Inside.

    def _wait(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._loop.call_later(self._limits.handshake_ms / 1000, self._out_of_time)

    def _question_of(self, message: list[Any]) -> _Question | None:
        match message[0]:
            case Message.CALL | Message.STREAM:
                question = self._about(message[2])
                if question is not None:
                    self._requests[message[1]] = question
                return question
            case Message.CANCEL | Message.STREAM_CREDIT:
                return self._requests.get(message[1])
            case Message.EVENT:
                return self._about(message[1])
            case Message.SUBSCRIBE:
                question = self._about(message[2])
                if question is not None:
                    self._subscriptions[message[1]] = question
                return question
            case Message.UNSUBSCRIBE:
                return self._subscriptions.get(message[1])
        return None

    def _about(self, name: object) -> _Question | None:
        """The question that a member's name, or a pattern below a contract's name, has to wait for."""
        if not isinstance(name, str):
            return None
        return self._open.get(self._contract_of(name) or "")

    def _judged(self, question: _Question, contract: Triple, problem: str | None, is_late: bool) -> None:
        if self._open.get(contract[0]) is not question or question.contract != contract:
            return  # it was given up meanwhile
        settle = partial(self._settle, question, problem)
        if is_late:
            self._late(settle)
        else:
            settle()

    def _give_up(self, question: _Question, reason: str) -> None:
        self._settle(question, self._agreements.differs(question.contract, reason))

    def _settle(self, question: _Question, problem: str | None) -> None:
        name = question.contract[0]
        del self._open[name]
        self.are_open = bool(self._open)
        self._requests = {key: each for key, each in self._requests.items() if each is not question}
        self._subscriptions = {key: each for key, each in self._subscriptions.items() if each is not question}
        held, question.held = question.held, []
        self.held_bytes -= sum(size_of(each.message) for each in held)
        if not self._open and self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._settled(question.contract, problem, question.of_greeting, held)
        question.answered.set_result(None)
