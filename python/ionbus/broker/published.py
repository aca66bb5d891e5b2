"""What a client publishes, on its way to the broker's listeners and to the other clients."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from functools import partial
from inspect import isawaitable
from time import perf_counter_ns
from types import CoroutineType
from typing import TYPE_CHECKING, Any, Final

from ionbus.contract.members import Event
from ionbus.dispatch.context import Request
from ionbus.dispatch.handlers import EventListener
from ionbus.dispatch.peer import Peer
from ionbus.dispatch.runner import Habit, Work
from ionbus.errors import IonbusError

if TYPE_CHECKING:
    from ionbus.broker.dead_letters import Reason
    from ionbus.broker.served_session import Session
    from ionbus.broker.serving import Serving
    from ionbus.middleware.around import Around
    from ionbus.middleware.message import Message

MOST_TAKEN: Final = 32
"""So many events are consumed together: each by itself takes a tenth of its time more."""

Begin = Callable[[Any], object]
"""Calls a listener with an event's value; gives the coroutine to run, where there is one."""


class Published:
    """One event, as one client publishes it.

    Args:
        serving: the broker at work.
        session: whose client it is.
        peer: of that session.
        member: the event.
    """

    __slots__ = ("_habit", "_meter", "_peer", "_serving", "_session", "member")

    def __init__(self, serving: Serving, session: Session, peer: Peer, member: Event[Any, Any]) -> None:
        self._serving = serving
        self._session = session
        self._peer = peer
        self.member = member
        self._meter = None if serving.meter is None else serving.meter.event(member.name)
        self._habit = Habit()

    def arrive(self, seq: int, payloads: list[bytes], trace: str | None) -> None:
        """It was published so often, the first time with this number: each is handed out when those before it were.

        It is consumed as it is handed out. One that is not valid is refused then, and takes nothing else with it.
        """
        listeners = self._peer.listeners
        size = sum(map(len, payloads))
        listeners.waiting_bytes += size
        arrived = 0 if self._meter is None else self._meter.arrive(len(payloads), size)
        around = self._serving.around
        if around is not None and (around.is_around(self.member.name) or self._session.passing.locked()):
            listeners.start_each(self._pass(around, seq, payloads, trace, arrived))
        else:
            listeners.start_each(self._hand_out(seq, payloads, trace, arrived))

    def _hand_out(
        self, seq: int, payloads: list[bytes], trace: str | None, arrived: int
    ) -> Generator[tuple[Work, Habit], None, None]:
        """Give each to other clients, and what listens to it."""
        peer, member, name = self._peer, self.member, self.member.name
        decode, relay = member.payload.decode, self._serving.events.relay
        listeners = self._peer.listeners
        begins = timed = [self._begin(listener, trace) for listener in self._serving.listeners.get(name, ())]
        meter = self._meter
        if meter is not None:
            timed = [(meter.timed(begin), listener) for begin, listener in begins]
            meter.waited.add(perf_counter_ns() - arrived)
        most = max(1, min(MOST_TAKEN, peer.limits.credit_messages // 16))
        for start in range(0, len(payloads), most):
            some = payloads[start : start + most]
            size, count = sum(map(len, some)), len(some)
            listening = timed  # the first of these; the same as the others where nothing is measured
            for number, payload in enumerate(some, seq + start):
                try:
                    value = decode(payload)
                except Exception as error:  # noqa: BLE001 - InvalidPayload, or a validator of the user's that failed
                    peer.refuse(number, error)
                    self._give_up("invalid", error, payload)
                    continue
                behind = relay(member, value, payload, self._session, trace)
                if behind:  # its sender gets the credit back once they have caught up
                    size -= len(payload)
                    count -= 1
                    self._wait_for(behind, len(payload))
                for begin, listener in listening:
                    if listener.is_special and not self._may_hear(listener):
                        continue
                    try:
                        work = begin(value)
                    except Exception as error:  # noqa: BLE001 - it is told of
                        self.failed(payload, listener, error)
                        continue
                    listeners.now = (self, payload, listener)
                    if type(work) is CoroutineType:
                        yield work, listener.habit
                    else:
                        listeners.listen(work, listener.habit)
                listening = begins
            self._take(size, count)

    def _may_hear(self, listener: EventListener) -> bool:
        """Whether a listener that was closed, or is to run once, is called."""
        may = listener.take()
        self._serving.forget_closed()
        return may

    def failed(self, payload: bytes, listener: EventListener, error: BaseException) -> None:
        """A listener has failed at an event, which is kept for it."""
        name = listener.told_name
        self._serving.log.error("%s, a listener of %s, failed", name, self.member.name, exc_info=error)
        self._give_up("failed", error, payload, name)

    def _give_up(
        self, reason: Reason, error: BaseException, payload: bytes, listener: str | None = None
    ) -> None:
        """One has come to nothing."""
        session = self._session
        if self._meter is not None:
            self._meter.give_up(reason, error)
        self._serving.dead_letters.add(
            reason,
            error,
            "event",
            self.member.name,
            payload,
            session=session.id,
            principal=session.principal,
            listener=listener,
        )

    # Through middleware.

    def _pass(
        self, around: Around, seq: int, payloads: list[bytes], trace: str | None, arrived: int
    ) -> Generator[tuple[Work, Habit], None, None]:
        if self._meter is not None:
            self._meter.waited.add(perf_counter_ns() - arrived)
        yield self._pass_each(around, seq, payloads, trace), self._habit

    async def _pass_each(self, around: Around, seq: int, payloads: list[bytes], trace: str | None) -> None:
        """One after the other, and after those of the same session that are on their way: their order stays."""
        async with self._session.passing:
            for number, payload in enumerate(payloads, seq):
                behind = await self._pass_one(around, number, payload, trace)
                if behind:
                    self._wait_for(behind, len(payload))
                else:
                    self._take(len(payload), 1)

    async def _listen(
        self, listener: EventListener, value: Any, payload: bytes, message: Message[Any]
    ) -> None:
        try:
            begin: Begin = partial(self._call, listener, message.context.trace, message=message)
            result: Any = begin(value) if self._meter is None else self._meter.timed(begin)(value)
            if isawaitable(result):
                await result
        except Exception as error:  # noqa: BLE001 - it is told of
            self.failed(payload, listener, error)

    async def _pass_one(
        self, around: Around, number: int, payload: bytes, trace: str | None
    ) -> Sequence[Session]:
        """Gives the sessions that its sender waits for."""
        member, session = self.member, self._session
        behind: list[Session] = []
        try:
            value = member.payload.decode(payload)
        except Exception as error:  # noqa: BLE001 - as in `_hand_out`
            self._peer.refuse(number, error)
            self._give_up("invalid", error, payload)
            return behind

        def hand_on(given: Any, message: Message[Any]) -> None:
            data = payload if given is value else bytes(member.payload.encode(given))
            carried = message.context.trace
            behind.extend(self._serving.events.relay(member, given, data, session, carried))
            for listener in tuple(self._serving.listeners.get(member.name, ())):
                if listener.is_special and not self._may_hear(listener):
                    continue
                listening = self._listen(listener, given, data, message)
                self._peer.listeners.listen(listening, listener.habit)

        try:
            dropped = await around.event(member.name, member, value, session, trace, hand_on)
        except Exception as error:  # noqa: BLE001 - whatever it is, its sender is told
            self._peer.refuse(number, error)
            if not isinstance(error, IonbusError):
                self._give_up("failed", error, payload)
        else:
            if dropped is not None:
                self._serving.count_drop(member.name, dropped)
        return behind

    def _take(self, size: int, count: int) -> None:
        """So many have been handed out, of so many bytes."""
        self._peer.listeners.waiting_bytes -= size
        if count:
            self._peer.consumed(size, count)

    def _wait_for(self, behind: Sequence[Session], size: int) -> None:
        caught_up = self._peer.loop.create_task(_all_caught_up(behind))
        caught_up.add_done_callback(lambda _: self._take(size, 1))
        self._peer.listeners.watch(caught_up)

    def _begin(self, listener: EventListener, trace: str | None) -> tuple[Begin, EventListener]:
        """How to call a listener with a value."""
        signature = listener.signature
        if signature.is_async and signature.takes_payload and not signature.takes_context:
            return listener.function, listener
        return partial(self._call, listener, trace), listener

    def _call(
        self, listener: EventListener, trace: str | None, value: Any, message: Message[Any] | None = None
    ) -> object:
        signature = listener.signature
        arguments = [value] if signature.takes_payload else []
        if signature.takes_context:
            request = Request(trace=trace)
            context = self._session.context_for(request, is_async=signature.is_async)
            if message is not None:
                context.note(message.state, message.context.trace)
            arguments.append(context)
        if signature.is_async:
            return listener.function(*arguments)
        return self._peer.threads.run(partial(listener.function, *arguments))


def refused(
    peer: Peer, seq: int, payloads: list[bytes], error: IonbusError
) -> Generator[tuple[Work, Habit], None, None]:
    """Refuse events, the first with this number, when it would be their turn: refusals come in the order of what they are for."""
    for number, payload in enumerate(payloads, seq):
        peer.refuse(number, error)
        peer.consumed(len(payload))
    yield from ()


async def _all_caught_up(sessions: Sequence[Session]) -> None:
    for session in sessions:
        await session.wait_while_reading()
