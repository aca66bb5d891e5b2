"""A client's events on their way through middleware to those that listen: one after the other, so that their order stays."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from operator import is_
from typing import TYPE_CHECKING, Any

from ionbus.contract.members import Event
from ionbus.contract.payload import decode_any
from ionbus.dispatch.handouts import Handouts, Target
from ionbus.dispatch.runner import Habit
from ionbus.wire import values

if TYPE_CHECKING:
    from ionbus.middleware.around import Around

AnyEvent = Event[Any, Any]


class Arriving:
    """See the module.

    Args:
        around: the middleware in use.
        handouts: hands events to those that listen.
        find: the event of a name, where the client was built with it.
        count_drop: told the name and the reason of what is dropped.
    """

    def __init__(
        self,
        around: Around,
        handouts: Handouts,
        find: Callable[[str], AnyEvent | None],
        count_drop: Callable[[str, str], None],
    ) -> None:
        self._around = around
        self._handouts = handouts
        self._find = find
        self._count_drop = count_drop
        self._turn = asyncio.Lock()
        self.habit = Habit()

    def concerns(self, name: str) -> bool:
        """Whether an event that arrives now is to `arrive` here: middleware is around it, or others before it are on their way."""
        return self._turn.locked() or self._around.is_around(name)

    async def arrive(
        self,
        seq: int,
        name: str,
        payload: bytes,
        targets: Sequence[Target],
        trace: str | None,
        *,
        is_batch: bool,
    ) -> None:
        """Let an event pass, or each of a batch, and hand it to those that listen. One that fails is refused, and a batch with it."""
        handouts, cost = self._handouts, len(payload)
        session, is_handed = handouts.session, False

        def hand(data: bytes) -> None:
            nonlocal is_handed
            is_handed = True
            handouts.pass_on(session, seq, name, data, targets, cost)

        async with self._turn:
            try:
                member = self._find(name)
                if is_batch:
                    data = await self._pass_each(name, member, payload, trace)
                    if data is not None:
                        hand(data)
                else:
                    await self._pass(name, member, payload, trace, hand)
            except Exception as error:  # noqa: BLE001 - whatever it is, the broker is told
                if not is_handed:
                    handouts.refuse(seq, error, session)
            if not is_handed:
                handouts.settle(cost, session)

    async def _pass(
        self,
        name: str,
        member: AnyEvent | None,
        payload: bytes,
        trace: str | None,
        hand: Callable[[bytes], None],
    ) -> None:
        value = decode_any(payload, name) if member is None else member.payload.decode(payload)

        def hand_on(given: Any, _: object) -> None:
            if given is value:
                hand(payload)
            else:
                hand(bytes(values.encode(given) if member is None else member.payload.encode(given)))

        await self._through(name, member, value, trace, hand_on)

    async def _pass_each(
        self, name: str, member: AnyEvent | None, payload: bytes, trace: str | None
    ) -> bytes | None:
        """The batch of those that have passed; None where none has."""
        arrived = decode_any(payload, name) if member is None else member.payload.decode_batch(payload)
        passed: list[Any] = []
        for value in arrived:
            await self._through(name, member, value, trace, lambda given, _: passed.append(given))
        if len(passed) == len(arrived) and all(map(is_, passed, arrived)):
            return payload
        plain = passed if member is None else [member.payload.plain(value) for value in passed]
        return values.encode(plain) if passed else None

    async def _through(
        self,
        name: str,
        member: AnyEvent | None,
        value: Any,
        trace: str | None,
        hand_on: Callable[[Any, object], None],
    ) -> None:
        dropped = await self._around.event(name, member, value, None, trace, hand_on)
        if dropped is not None:
            self._count_drop(name, dropped)
