# mypy: ignore-errors
"""Right and wrong uses of the kit. Each line that a type checker must flag ends in `# error`; no other may be."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any, assert_type

from pydantic import BaseModel

from ionbus import Broker, Bus, ConnectionState, Context, Contract, Event, Received
from ionbus.session.connection import StateChange
from ionbus.testing import FakeClock, Faults, Pair, PairFactory, Recorder, Wanted, pair


class NodeProgress(BaseModel):
    percent: float


class Conductor(Contract, name="conductor"):
    progress = Event(NodeProgress)
    noted = Event(str)
    done = Event(None)


class State:
    runs: int = 0


@asynccontextmanager
async def lifespan(_: Broker[State]) -> AsyncGenerator[State]:
    yield State()


broker = Broker(Conductor, lifespan=lifespan)


def whole(progress: NodeProgress) -> bool:
    return progress.percent == 100


async def uses(recorder: Recorder, clock: FakeClock, ionbus_pair: PairFactory, faults: Faults) -> None:
    async with pair(broker, faults=faults) as at:
        assert_type(at, Pair[State])
        assert_type(at.state.runs, int)
        assert_type(at.bus, Bus)
    other = await ionbus_pair(broker, limits=None)
    assert_type(other, Pair[State])
    await ionbus_pair(broker, speed=3)  # error
    recorder.record(other.bus, Conductor.progress, Conductor, "conductor.*")
    await recorder.record(other.bus)
    recorder.record(other.bus, 3)  # error

    assert_type(await recorder.wait_for(Conductor.progress), NodeProgress)
    assert_type(
        await recorder.wait_for(Conductor.progress, where=lambda made: made.percent > 3), NodeProgress
    )
    assert_type(await recorder.wait_for(Conductor.progress, where=whole, timeout=1), NodeProgress)
    assert_type(await recorder.wait_for(Conductor.noted), str)
    assert_type(await recorder.wait_for(Conductor.done), None)
    assert_type(await recorder.wait_for(ConnectionState.OPEN), StateChange)
    assert_type(await recorder.wait_for(Conductor), Received[object])
    assert_type(await recorder.wait_for("conductor.*"), Received[object])
    await recorder.wait_for(Conductor.noted, where=whole)  # error
    await recorder.wait_for(Conductor.noted, where=lambda text: text.percent)  # error
    await recorder.wait_for(3)  # error

    assert_type(await recorder.wait_for_all([Conductor.progress, Conductor.progress]), list[NodeProgress])
    wanted = Wanted(Conductor.noted, where=lambda text: text == "x")
    assert_type(await recorder.wait_for_all([Conductor.progress, ConnectionState.OPEN, wanted]), list[Any])
    await recorder.wait_for_none(Conductor.progress, until=Conductor.done)
    await recorder.wait_for_none(Conductor.progress, where=whole, until=30.0)
    await recorder.wait_for_none(Conductor.noted, where=whole, until=wanted)  # error
    await recorder.wait_for_none(Conductor.progress)  # error

    assert_type(await clock.drive(recorder.wait_for(Conductor.noted)), str)
    Faults(seed=1, cut=0.1, jitter=1, directions=("to_broker",))
    Faults(seed=1, lose=0.1)  # error
    faults.set(cut="often")  # error
    Faults(directions=("up",))  # error


async def with_a_context(_: Context[State]) -> None: ...
