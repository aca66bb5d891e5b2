"""Writes down what buses hear, and waits for it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Generator, Sequence
from functools import partial
from typing import Any, TypeVar, overload

from ionbus.client.bus import Bus
from ionbus.contract.contract import Contract
from ionbus.contract.members import Event
from ionbus.contract.received import Received
from ionbus.events.patterns import matcher
from ionbus.events.subscription import Subscription
from ionbus.generated.states import ConnectionState
from ionbus.session.connection import StateChange
from ionbus.testing.recorded import Recorded, Wanted, What, find_all, find_in_order, instead
from ionbus.testing.waiting import Watched, within

P = TypeVar("P")

TIMEOUT = 5.0
"""Seconds that a wait takes at most unless it is told otherwise."""


class NotRecorded(AssertionError):
    """What a test waited for did not happen, or what must not happen did. The message shows what was recorded."""


class Recording:
    """What a recorder hears of one bus. Await it, and the broker has confirmed all of its subscriptions."""

    def __init__(self, subscriptions: Sequence[Subscription], stop_watching: Callable[[], None]) -> None:
        self._subscriptions = subscriptions
        self._stop_watching = stop_watching

    def __await__(self) -> Generator[Any, None, None]:
        return self._confirmed().__await__()

    def close(self) -> None:
        """Record no more of this bus."""
        self._stop_watching()
        for subscription in self._subscriptions:
            subscription.close()

    async def _confirmed(self) -> None:
        for subscription in self._subscriptions:
            await within(TIMEOUT, subscription.confirmed())


class Recorder:
    """Records the events and the state changes of one bus or several.

        recorder = Recorder()
        recorder.record(bus, Conductor.progress, Conductor.finished)
        await bus.call(Conductor.execute, flow)
        done = await recorder.wait_for(Conductor.progress, where=lambda progress: progress.percent == 100)

    A wait looks at what was recorded before as well: nothing can come too early. Each has a time-out by the loop's clock,
    and where a `FakeClock` drives that, waiting lets its time pass. So none can hang.
    """

    def __init__(self) -> None:
        self.recorded: list[Recorded] = []
        """Everything, in the order in which it was heard."""
        self._labels: dict[Bus, str] = {}
        self._heard_names: list[Callable[[str], bool]] = []
        self._recordings: list[Recording] = []
        self._changes = Watched()
        self._began: float | None = None

    def __repr__(self) -> str:
        return f"<Recorder of {', '.join(self._labels.values()) or 'nothing'}: {len(self.recorded)} recorded>"

    @property
    def events(self) -> list[Recorded]:
        """The events among `recorded`."""
        return [each for each in self.recorded if each.kind == "event"]

    @property
    def states(self) -> list[StateChange]:
        """The state changes among `recorded`."""
        return [each.payload for each in self.recorded if isinstance(each.payload, StateChange)]

    def record(self, bus: Bus, *what: Event[Any, Any] | type[Contract] | str, name: str = "") -> Recording:
        """Record the state changes of a bus, and these events.

        Args:
            bus: whose.
            what: events, contracts (all of their events), or patterns as `"conductor.*"`, whose payloads come as they are.
            name: the bus' name in errors; `"bus"`, `"bus 2"` and so on where it is left out.

        Returns:
            The recording. A subscription made before a call is in force when its handler runs; await the recording before
            something else than a call of this bus makes the broker emit.
        """
        if self._began is None:
            self._began = asyncio.get_running_loop().time()
        count = len(self._labels) + 1
        self._labels.setdefault(bus, name or ("bus" if count == 1 else f"bus {count}"))
        subscriptions: list[Subscription] = []
        for each in what:
            if isinstance(each, ConnectionState):
                raise TypeError("state changes are always recorded: name events, contracts or patterns")
            if isinstance(each, Event):
                subscriptions.append(bus.on(each, partial(self._heard, bus, each.name)))
            else:
                subscriptions.append(bus.on(each, partial(self._heard_one_of, bus)))
        self._heard_names += [matcher(subscription.pattern) for subscription in subscriptions]
        recording = Recording(subscriptions, bus.on_state(partial(self._heard, bus, "state")))
        self._recordings.append(recording)
        return recording

    def mark(self) -> int:
        """A place in the recording, for `since`: what is recorded from now on."""
        return len(self.recorded)

    def clear(self) -> None:
        """Forget what was recorded."""
        self.recorded.clear()

    def close(self) -> None:
        """Record no more."""
        for recording in self._recordings:
            recording.close()
        self._recordings.clear()

    # Waiting.

    @overload
    async def wait_for(
        self,
        what: Event[P, Any],
        *,
        where: Callable[[P], object] | None = ...,
        bus: Bus | None = ...,
        since: int = ...,
        timeout: float = ...,
    ) -> P: ...
    @overload
    async def wait_for(  # type: ignore[overload-overlap] # a state is a text as well, and never meant as a pattern
        self,
        what: ConnectionState,
        *,
        where: Callable[[StateChange], object] | None = ...,
        bus: Bus | None = ...,
        since: int = ...,
        timeout: float = ...,
    ) -> StateChange: ...
    @overload
    async def wait_for(
        self,
        what: type[Contract] | str,
        *,
        where: Callable[[Received[object]], object] | None = ...,
        bus: Bus | None = ...,
        since: int = ...,
        timeout: float = ...,
    ) -> Received[object]: ...
    async def wait_for(
        self,
        what: What,
        *,
        where: Callable[[Any], object] | None = None,
        bus: Bus | None = None,
        since: int = 0,
        timeout: float = TIMEOUT,
    ) -> Any:
        """Wait until something is recorded, or was.

        Args:
            what: an event, a state (`ConnectionState.OPEN`: that it is reached), any event of a contract, or of a pattern.
            where: given the payload, says whether this is the one.
            bus: on this bus only.
            since: from this mark on; from the beginning where it is left out.
            timeout: seconds.

        Returns:
            The event's payload; the `StateChange`; of a contract or a pattern the `Received`.

        Raises:
            NotRecorded: it did not happen.
        """
        wanted = Wanted(what, where, bus)
        found = await self._wait([wanted], since, timeout, find_in_order)
        return wanted.value_of(found[0])

    @overload
    async def wait_for_all(
        self,
        what: Sequence[Event[P, Any]],
        *,
        in_order: bool = ...,
        since: int = ...,
        timeout: float = ...,
    ) -> list[P]: ...
    @overload
    async def wait_for_all(
        self,
        what: Sequence[What | Wanted],
        *,
        in_order: bool = ...,
        since: int = ...,
        timeout: float = ...,
    ) -> list[Any]: ...
    async def wait_for_all(
        self,
        what: Sequence[What | Wanted],
        *,
        in_order: bool = False,
        since: int = 0,
        timeout: float = TIMEOUT,
    ) -> list[Any]:
        """Wait until all of these are recorded: a different thing for each, so that one named twice has to happen twice.

        Args:
            what: as for `wait_for`; `Wanted(event, where=...)` says more about one.
            in_order: in this order; other things may lie between.
            since: from this mark on.
            timeout: seconds for all together.

        Returns:
            The payload of each, in the order of `what`.

        Raises:
            NotRecorded: one did not happen, or not in this order.
        """
        wanted = [each if isinstance(each, Wanted) else Wanted(each) for each in what]
        found = await self._wait(wanted, since, timeout, find_in_order if in_order else find_all)
        return [want.value_of(each) for want, each in zip(wanted, found, strict=True)]

    @overload
    async def wait_for_none(
        self,
        what: Event[P, Any],
        *,
        until: What | Wanted | float,
        where: Callable[[P], object] | None = ...,
        bus: Bus | None = ...,
        since: int = ...,
        timeout: float = ...,
    ) -> None: ...
    @overload
    async def wait_for_none(
        self,
        what: ConnectionState,
        *,
        until: What | Wanted | float,
        where: Callable[[StateChange], object] | None = ...,
        bus: Bus | None = ...,
        since: int = ...,
        timeout: float = ...,
    ) -> None: ...
    @overload
    async def wait_for_none(
        self,
        what: type[Contract] | str,
        *,
        until: What | Wanted | float,
        where: Callable[[Received[object]], object] | None = ...,
        bus: Bus | None = ...,
        since: int = ...,
        timeout: float = ...,
    ) -> None: ...
    async def wait_for_none(
        self,
        what: What,
        *,
        until: What | Wanted | float,
        where: Callable[[Any], object] | None = None,
        bus: Bus | None = None,
        since: int = 0,
        timeout: float = TIMEOUT,
    ) -> None:
        """Wait until something else happens, or some time has passed, and see that this did not.

        Args:
            what: what must not happen, as for `wait_for`.
            until: what ends the wait: something else that has to happen within `timeout`, or a number of seconds.
            where: given the payload, says whether this is the one.
            bus: on this bus only.
            since: from this mark on.
            timeout: seconds, where `until` is no number.

        Raises:
            NotRecorded: it did happen, or `until` did not.
        """
        unwanted = Wanted(what, where, bus)
        if isinstance(until, (int, float)):
            wanted, seconds = [unwanted], float(until)
        else:
            wanted, seconds = [until if isinstance(until, Wanted) else Wanted(until), unwanted], timeout

        def over() -> bool | None:
            for each in self.recorded[since:]:
                if unwanted.is_met_by(each):
                    raise NotRecorded(
                        f"{unwanted} was not to happen. {instead([unwanted], self.recorded[since:])}"
                    )
                if len(wanted) == 2 and wanted[0].is_met_by(each):
                    return True
            return None

        self._check_recorded(wanted)
        try:
            await within(seconds, self._changes.until(over))
        except TimeoutError:
            over()  # what the last moment brought
            if len(wanted) == 2:
                raise self._missing(wanted[:1], since, seconds) from None

    # Inside.

    async def _wait(
        self,
        wanted: Sequence[Wanted],
        since: int,
        timeout: float,
        find: Callable[[Sequence[Wanted], Sequence[Recorded]], list[Recorded] | None],
    ) -> list[Recorded]:
        self._check_recorded(wanted)
        try:
            return await within(timeout, self._changes.until(lambda: find(wanted, self.recorded[since:])))
        except TimeoutError:
            raise self._missing(wanted, since, timeout) from None

    def _missing(self, wanted: Sequence[Wanted], since: int, timeout: float) -> NotRecorded:
        names = "; ".join(map(str, wanted))
        return NotRecorded(
            f"not recorded within {timeout:g} s: {names}. {instead(wanted, self.recorded[since:])}"
        )

    def _check_recorded(self, wanted: Sequence[Wanted]) -> None:
        """Refuse to wait for what no recording can hear."""
        if not self._labels:
            raise RuntimeError(
                f"nothing is recorded: recorder.record(bus, ...) before waiting for {wanted[0]}"
            )
        for want in wanted:
            what = want.what
            if isinstance(what, Event) and not any(hears(what.name) for hears in self._heard_names):
                raise RuntimeError(
                    f"{what.name} is not recorded: name it in recorder.record(bus, ...), then wait for it"
                )

    def _heard(self, bus: Bus, name: str, payload: object) -> None:
        at = asyncio.get_running_loop().time() - (self._began or 0.0)
        self.recorded.append(Recorded(bus, self._labels[bus], at, name, payload))
        self._changes.changed()

    def _heard_one_of(self, bus: Bus, received: Received[object]) -> None:
        self._heard(bus, received.name, received.payload)
