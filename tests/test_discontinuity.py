"""A session that goes on, begins or is lost says so, with counts; what was missed reaches whoever asks for it."""

from __future__ import annotations

import asyncio

from ionbus import Broker, Bus, Call, Contract, Discontinuity, Event, Ionbus, Received, SessionLost
from ionbus.channels.base import Opened, Receiver
from ionbus.channels.memory import MemoryListener
from ionbus.generated.protocol import Limits
from ionbus.session.connection import StateChange
from ionbus.session.session import Session
from ionbus.wire.messages import encode_event
from workshop import (
    Bench,
    Pair,
    Progress,
    Workshop,
    end_sessions,
    eventually,
    make_broker,
    opened_bus,
    rig,
)

BRISK = Limits(retry_base_ms=1, retry_cap_ms=5)


def outcomes(changes: list[StateChange]) -> list[StateChange]:
    return [change for change in changes if change.outcome is not None]


async def test_a_session_that_goes_on_tells_how_much_is_sent_again() -> None:
    async with rig(limits=BRISK) as at:
        changes: list[StateChange] = []
        at.bus.on_state(changes.append)
        at.wire.to_broker.stop()
        for number in range(3):
            await at.bus.emit(Workshop.said, str(number))
        await asyncio.sleep(0)
        at.wire.cut()
        await eventually(lambda: len(at.bench.heard) == 3)
        [resumed] = outcomes(changes)
        assert (resumed.outcome, resumed.replayed) == ("resumed", 4)  # ANNOUNCE is one of them
        assert (resumed.lost_events, resumed.lost_calls, resumed.missed) == (0, 0, None)


async def test_a_session_that_the_broker_ended_tells_what_was_missed_by_name() -> None:
    async with rig(limits=BRISK) as at:
        told: list[Discontinuity] = []
        changes: list[StateChange] = []
        at.bus.on(Ionbus.discontinuity, told.append)
        at.bus.on_state(changes.append)
        await at.bus.on(Workshop.noticed, lambda _: None).confirmed()
        await at.bus.on(Workshop.pinged, lambda _: None).confirmed()
        call = asyncio.create_task(at.bus.call(Workshop.wait, "x"))
        await eventually(lambda: at.bench.started)
        at.wire.to_client.stop()
        for number in range(3):
            await at.broker.emit(Workshop.noticed, str(number))
        await at.broker.emit(Workshop.pinged)
        await asyncio.sleep(0)
        end_sessions(at.broker)
        at.wire.cut()
        await eventually(lambda: told)
        assert told == [
            Discontinuity(
                reason="slow_consumer",
                missed={"workshop.noticed": 3, "workshop.pinged": 1},
                lost_events=0,
                lost_calls=1,
            )
        ]
        [lost] = outcomes(changes)
        assert (lost.outcome, lost.code, lost.lost_calls) == ("lost", "slow_consumer", 1)
        assert lost.missed == told[0].missed
        assert isinstance((await asyncio.gather(call, return_exceptions=True))[0], SessionLost)
        assert at.broker.dropped == {
            "workshop.noticed": {"slow_consumer": 3},
            "workshop.pinged": {"slow_consumer": 1},
        }


class Restarting:
    """A broker that can be replaced by another, as a new process would be."""

    def __init__(self) -> None:
        self.listener: MemoryListener | None = None

    async def open(self, receiver: Receiver) -> Opened:
        assert self.listener is not None
        return await self.listener.open(receiver)

    def serve(self, broker: Broker[Bench]) -> None:
        """From now on this broker, and at once: the channel to the old one is cut."""
        old = self.listener
        self.serve_next(broker)
        if old is not None and old.wire is not None:
            old.wire.cut()

    def serve_next(self, broker: Broker[Bench]) -> None:
        """This broker, for who comes next."""
        self.listener = MemoryListener(broker.accept_local())


async def test_a_new_broker_process_is_told_as_a_discontinuity_and_what_follows_comes_after_it() -> None:
    first, second = make_broker(), make_broker()
    place = Restarting()
    async with first.opened(), second.opened():
        place.serve(first)
        async with opened_bus(place.open, BRISK) as bus:
            heard: list[object] = []
            bus.on(Ionbus.discontinuity, heard.append)
            bus.on(Workshop.progress, heard.append)  # the newest values follow at once
            assert await bus.call(Workshop.add, Pair(left=1, right=1)) == 2
            await second.emit(Workshop.progress, Progress(job="a", percent=1))
            assert place.listener is not None
            assert place.listener.wire is not None
            place.listener.wire.to_broker.stop()
            await bus.emit(Workshop.said, "numbered")
            await asyncio.sleep(0)
            place.serve(second)
            await bus.emit(Workshop.said, "not numbered")
            await eventually(lambda: len(heard) == 2)
            assert heard == [
                Discontinuity(reason="new_epoch", missed=None, lost_events=1, lost_calls=0),
                Progress(job="a", percent=1),
            ]
            await eventually(lambda: second.state.heard == ["not numbered"])
            assert bus.dropped == {"workshop.said": {"new_epoch": 1}}


async def test_a_discontinuity_comes_through_patterns_and_readers_too_and_costs_no_credit() -> None:
    async with rig(limits=BRISK) as at:
        told: list[Received[object]] = []
        at.bus.on("ionbus.*", told.append)
        async with at.bus.events(Ionbus.discontinuity) as discontinuities:
            granted = (0, 0)
            for _ in range(3):
                granted = session_of(at.bus).granted
                end_sessions(at.broker)
                assert (await anext(discontinuities)).reason == "slow_consumer"
        assert [each.name for each in told] == ["ionbus.discontinuity"] * 3
        assert session_of(at.bus).granted == granted


async def test_what_is_taken_after_its_session_is_gone_is_no_credit_for_the_next_one() -> None:
    async with rig(limits=Limits(retry_base_ms=1, retry_cap_ms=5, credit_messages=4)) as at:
        told: list[Discontinuity] = []
        at.bus.on(Ionbus.discontinuity, told.append)
        async with at.bus.events(Workshop.noticed) as events:
            for number in range(3):
                await at.broker.emit(Workshop.noticed, str(number))
            assert await at.bus.call(Workshop.add, Pair(left=1, right=1)) == 2
            end_sessions(at.broker)
            await eventually(lambda: told)
            assert [await anext(events) for _ in range(3)] == ["0", "1", "2"]
            assert session_of(at.bus).granted[1] == 4


async def test_what_is_not_valid_and_is_looked_at_after_its_session_is_gone_is_not_refused_in_the_next_one() -> (
    None
):
    async with rig(limits=Limits(retry_base_ms=1, retry_cap_ms=5, max_listeners=1)) as at:
        changes: list[StateChange] = []
        heard: list[str] = []
        gate = asyncio.Event()

        async def slow(text: str) -> None:
            heard.append(text)
            await gate.wait()

        await at.bus.on(Workshop.noticed, slow).confirmed()
        for number in range(20):
            await at.broker.emit(Workshop.noticed, str(number))
        [session] = at.broker.sessions
        session.attended.session.emit(encode_event("workshop.noticed", b"\xc1"), 1, "session")
        assert await at.bus.call(Workshop.add, Pair(left=1, right=1)) == 2
        at.bus.on_state(changes.append)
        end_sessions(at.broker)
        await eventually(lambda: outcomes(changes))
        gate.set()
        await eventually(lambda: len(heard) == 20)
        assert await at.bus.call(Workshop.add, Pair(left=1, right=1)) == 2
        assert [change.outcome for change in outcomes(changes)] == ["lost"]


def session_of(bus: Bus) -> Session:
    return bus._session.link.connection.session


async def test_the_first_session_is_no_discontinuity() -> None:
    async with rig() as at:
        told: list[Discontinuity] = []
        await at.bus.on(Ionbus.discontinuity, told.append).confirmed()
        assert await at.bus.call(Workshop.add, Pair(left=1, right=1)) == 2
        assert told == []


async def test_a_broker_that_serves_only_its_own_contracts_still_knows_the_event() -> None:
    class Small(Contract, name="small", version="1.0"):
        ping = Call(None, None)
        pinged = Event(None)

    broker = Broker(Small)

    @broker.handle(Small.ping)
    async def ping() -> None: ...

    async with broker.opened():
        listener = MemoryListener(broker.accept_local())
        async with opened_bus(listener.open) as bus:
            await bus.on(Ionbus.discontinuity, lambda _: None).confirmed()


async def test_what_a_bus_that_ends_for_good_had_not_delivered_is_counted() -> None:
    async with rig(limits=BRISK) as at:
        at.wire.to_broker.stop()
        await at.bus.emit(Workshop.said, "numbered")
        await asyncio.sleep(0)
        at.listener.is_refusing = True
        at.wire.cut()
        await at.bus.emit(Workshop.said, "waits")
        await at.bus.close()
        assert at.bus.dropped == {"workshop.said": {"closed": 2}}
