"""What the broker makes of subscriptions that ask for some of the events: at the source, and nothing encoded that nobody gets."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, cast

import pytest
from pydantic import BaseModel

from ionbus import Broker, Bus, Call, Context, Contract, Event, InvalidPayload, NotFound, Received, connect
from ionbus.broker.shares import SHARE_BYTES
from ionbus.generated.protocol import Limits, Message as Kind
from ionbus.middleware import Message
from ionbus.testing import FakeClock, pair
from ionbus.wire.messages import encode_message


class Step(BaseModel):
    node: str
    percent: float = 0.0


class Alarm(BaseModel):
    node: str
    level: int


class Plant(Contract, name="plant"):
    step = Event(Step)
    state = Event(Step, delivery="latest", key="node")
    noise = Event(Step, delivery="volatile")
    alarm = Event(Alarm, roles={"operator"})
    said = Event(Step, source="any")
    nothing = Event(None)
    work = Call(None, None)

    class parts(Contract):  # noqa: N801 - as a contract in a contract is written
        moved = Event(Alarm)


class Encodings:
    """Counts the payloads that become bytes."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.count = 0
        from ionbus.contract.payload import Payload

        encode = Payload.encode_plain

        def counted(payload: Any, plain: object) -> Any:
            self.count += 1
            return encode(payload, plain)

        monkeypatch.setattr(Payload, "encode_plain", counted)


@asynccontextmanager
async def plant(**limits: int) -> AsyncIterator[tuple[Broker, Bus, FakeClock]]:
    broker = Broker(Plant, limits=Limits(**limits))
    async with connect(broker, limits=Limits(**limits)) as bus:
        with FakeClock() as clock:
            yield broker, bus, clock


async def test_one_in_a_period(monkeypatch: pytest.MonkeyPatch) -> None:
    async with plant() as (broker, bus, clock):
        heard: list[float] = []
        await bus.on(Plant.step, lambda step: heard.append(step.percent), every=0.1).confirmed()
        encodings = Encodings(monkeypatch)
        for number in range(1_000):
            await broker.emit(Plant.step, Step(node="a", percent=number))
            await clock.advance(0.001)
        await clock.advance(1)
        assert heard[0] == 0
        assert heard[-1] == 999
        assert 10 <= len(heard) <= 11
        assert encodings.count == len(heard)


async def test_a_value_that_is_changed_while_it_waits_goes_as_it_was() -> None:
    async with plant() as (broker, bus, clock):
        heard: list[float] = []
        await bus.on(Plant.step, lambda step: heard.append(step.percent), every=0.1).confirmed()
        step = Step(node="a")
        await broker.emit(Plant.step, step)
        step.percent = 1
        await broker.emit(Plant.step, step)
        step.percent = 2
        await clock.advance(0.2)
        assert heard == [0, 1]


async def test_the_newest_of_each_key_in_a_period() -> None:
    async with plant() as (broker, bus, clock):
        heard: list[tuple[str, float]] = []
        await bus.on(
            Plant.step, lambda step: heard.append((step.node, step.percent)), every=0.1, latest_by="node"
        ).confirmed()
        for number in range(5):
            for node in "ab":
                await broker.emit(Plant.step, Step(node=node, percent=number))
        await clock.settle()
        assert heard == [("a", 0)]
        await clock.advance(0.1)
        assert heard == [("a", 0), ("a", 4), ("b", 4)]


async def test_batches() -> None:
    async with plant() as (broker, bus, clock):
        heard: list[list[float]] = []

        def listen(steps: list[Step]) -> None:
            heard.append([step.percent for step in steps])

        await bus.on(Plant.step, listen, batch=(3, 0.05)).confirmed()
        for number in range(5):
            await broker.emit(Plant.step, Step(node="a", percent=number))
        await clock.settle()
        assert heard == [[0, 1, 2]]
        await clock.advance(0.05)
        assert heard == [[0, 1, 2], [3, 4]]


async def test_a_batch_that_has_many_bytes_goes_early() -> None:
    async with plant() as (broker, bus, clock):
        heard: list[int] = []
        await bus.on(Plant.step, lambda steps: heard.append(len(steps)), batch=(10_000, 60)).confirmed()
        for _ in range(20):
            await broker.emit(Plant.step, Step(node="x" * 20_000))
        await clock.settle()
        assert heard == [7, 7]


async def test_a_filter_and_what_it_keeps_from_being_encoded(monkeypatch: pytest.MonkeyPatch) -> None:
    async with plant() as (broker, bus, clock):
        heard: list[float] = []
        async with connect(broker) as other:
            for each in (bus, other):
                await each.on(
                    Plant.step, lambda step: heard.append(step.percent), where=lambda p: p.percent >= 98
                ).confirmed()
            encodings = Encodings(monkeypatch)
            for number in range(100):
                await broker.emit(Plant.step, Step(node="a", percent=number))
            await clock.settle()
            assert sorted(heard) == [98, 98, 99, 99]
            assert encodings.count == 2


async def test_what_nobody_gets_is_validated_all_the_same() -> None:
    async with plant() as (broker, bus, _):
        await bus.on(Plant.step, print, where="percent > 3").confirmed()
        with pytest.raises(InvalidPayload, match=r"plant.step: percent"):
            await broker.emit(Plant.step, Step.model_construct(node="a", percent=cast("Any", "no")))


async def test_nothing_twice() -> None:
    async with plant() as (broker, bus, clock):
        heard: list[Step] = []
        await bus.on(Plant.step, heard.append, distinct=True).confirmed()
        for percent in (1, 1, 2, 2, 1):
            await broker.emit(Plant.step, Step(node="a", percent=percent))
        await clock.settle()
        assert [step.percent for step in heard] == [1, 2, 1]


async def test_a_subscription_without_options_beside_one_gets_everything_once() -> None:
    async with plant() as (broker, bus, clock):
        everything: list[float] = []
        some: list[float] = []
        await bus.on(Plant.step, lambda step: everything.append(step.percent)).confirmed()
        await bus.on(Plant.step, lambda step: some.append(step.percent), where="percent == 1").confirmed()
        for number in range(3):
            await broker.emit(Plant.step, Step(node="a", percent=number))
        await clock.settle()
        assert (everything, some) == ([0, 1, 2], [1])


async def test_the_newest_values_pass_the_filter_and_open_the_period() -> None:
    async with plant() as (broker, bus, clock):
        for node, percent in (("a", 1), ("b", 2), ("c", 3), ("a", 4)):
            await broker.emit(Plant.state, Step(node=node, percent=percent))
        heard: list[tuple[str, float]] = []
        await bus.on(
            Plant.state, lambda step: heard.append((step.node, step.percent)), every=0.1, where="percent > 2"
        ).confirmed()
        await clock.settle()
        assert heard == [("c", 3), ("a", 4)]
        await broker.emit(Plant.state, Step(node="a", percent=5))
        await broker.emit(Plant.state, Step(node="a", percent=1))
        await broker.emit(Plant.state, Step(node="c", percent=6))
        await clock.settle()
        assert len(heard) == 2
        await clock.advance(0.1)
        assert heard[2:] == [("a", 5), ("c", 6)]


async def test_the_newest_values_come_in_a_batch() -> None:
    async with plant() as (broker, bus, clock):
        for node in "abc":
            await broker.emit(Plant.state, Step(node=node))
        heard: list[list[str]] = []
        await bus.on(
            Plant.state, lambda steps: heard.append([step.node for step in steps]), batch=(10, 60)
        ).confirmed()
        await clock.settle()
        assert heard == [["a", "b", "c"]]


async def test_what_is_emitted_to_one_session_alone() -> None:
    broker = Broker(Plant)

    @broker.handle(Plant.work)
    async def work(ctx: Context) -> None:
        for number in range(4):
            await ctx.emit(Plant.step, Step(node="a", percent=number))
            await ctx.emit(Plant.state, Step(node="a", percent=number))

    async with connect(broker) as bus:
        steps: list[list[float]] = []
        states: list[float] = []
        bus.on(
            Plant.step,
            lambda steps_: steps.append([step.percent for step in steps_]),
            where="percent > 0",
            batch=(3, 60),
        )
        bus.on(Plant.state, lambda step: states.append(step.percent), where=["percent", ">", 2])
        await bus.call(Plant.work)
        assert (steps, states) == ([[1, 2, 3]], [3])


async def test_what_a_client_publishes_is_looked_at_for_the_others() -> None:
    async with plant() as (broker, bus, clock):
        heard: list[float] = []
        own: list[float] = []
        async with connect(broker) as other:
            await bus.on(Plant.said, lambda step: heard.append(step.percent), where="percent < 2").confirmed()
            await other.on(Plant.said, lambda step: own.append(step.percent), where="percent < 2").confirmed()
            for number in range(4):
                await other.emit(Plant.said, Step(node="a", percent=number))
            await clock.settle()
            assert (heard, own) == ([0, 1], [])


async def test_a_pattern_gets_of_each_event_what_fits() -> None:
    async with plant() as (broker, bus, clock):
        heard: list[list[str]] = []

        def listen(received: list[Received[object]]) -> None:
            heard.append([each.name for each in received])

        await bus.on("plant.**", listen, where=["percent", ">", 0], batch=(2, 1)).confirmed()
        for number in range(3):
            await broker.emit(Plant.step, Step(node="a", percent=number))
            await broker.emit(Plant.parts.moved, Alarm(node="a", level=number))
            await broker.emit(Plant.nothing)
        await clock.settle()
        assert heard == [["plant.step", "plant.step"]]


async def test_a_contract_is_read_with_its_types() -> None:
    async with plant() as (broker, bus, clock):
        heard: list[object] = []
        await bus.on(Plant, heard.extend, batch=(1, 1)).confirmed()
        await broker.emit(Plant.step, Step(node="a"))
        await clock.settle()
        assert heard == [Received("plant.step", Step(node="a"))]


async def test_events_are_read_in_batches_with_back_pressure() -> None:
    async with plant(credit_messages=4) as (broker, bus, clock):
        async with bus.events(Plant.step, batch=(2, 1), where=lambda p: p.node == "a") as batches:
            for number in range(6):
                await broker.emit(Plant.step, Step(node="a", percent=number))
            found = [[step.percent for step in await anext(batches)] for _ in range(3)]
        assert found == [[0, 1], [2, 3], [4, 5]]
        await clock.settle()


@pytest.mark.parametrize(
    ("pattern", "options", "problem"),
    [
        (
            "plant.step",
            {"where": "percnt > 3"},
            "plant.step: the payload has no field 'percnt'; did you mean 'percent'?",
        ),
        ("plant.*", {"where": "percnt > 3"}, "plant.*: plant.step: the payload has no field 'percnt'"),
        ("plant.step", {"where": 'percent == "high"'}, "percent is a number; == 'high' can never be so"),
        ("plant.step", {"latest_by": "nod"}, "did you mean 'node'?"),
        ("plant.parts.*", {"where": "percent > 3"}, "the payload has no field 'percent'"),
    ],
)
async def test_what_does_not_fit_is_refused_by_the_broker(pattern: str, options: Any, problem: str) -> None:
    async with plant() as (_, bus, _):
        refused: list[Exception] = []
        bus.on_error(refused.append)
        with pytest.raises(InvalidPayload) as error:
            await bus.on(pattern, print, **options).confirmed()
        assert problem in str(error.value)
        assert len(refused) == 1


async def test_a_typo_in_a_typed_filter_is_found_where_it_stands() -> None:
    async with plant() as (_, bus, _):
        with pytest.raises(ValueError, match="did you mean 'percent'"):
            bus.on(Plant.step, print, where="percnt > 3")


async def test_fields_of_what_the_role_may_not_see_are_not_told() -> None:
    async with plant() as (_, bus, _):
        bus.on_error(lambda _: None)
        with pytest.raises(InvalidPayload) as error:
            await bus.on("plant.*", print, where="levl > 1").confirmed()
        assert "level" not in str(error.value)


@pytest.mark.parametrize(
    "options",
    [{"every": 0}, {"batch": [1]}, {"where": b"\xc1"}, {"where": "a"}, {"latest_by": 7}, {"distinct": 1}],
)
async def test_malformed_options_cost_that_subscription_and_nothing_else(options: dict[str, object]) -> None:
    async with plant() as (broker, bus, clock):
        heard: list[Step] = []
        refused: list[Exception] = []
        bus.on_error(refused.append)
        session: Any = bus._session
        session.peer.send(encode_message(Kind.SUBSCRIBE, 99, "plant.step", options))
        await bus.on(Plant.step, heard.append).confirmed()
        await broker.emit(Plant.step, Step(node="a"))
        await clock.settle()
        assert len(heard) == 1
        assert len(broker.sessions) == 1


async def test_an_unknown_event_is_not_found_whatever_is_asked_of_it() -> None:
    async with plant() as (_, bus, _):
        bus.on_error(lambda _: None)
        with pytest.raises(NotFound):
            await bus.on("plant.nope", print, where="a > 1").confirmed()


async def test_closing_drops_what_waits_and_what_is_kept() -> None:
    async with plant() as (broker, bus, clock):
        heard: list[Step] = []
        subscription = bus.on(Plant.step, heard.append, every=0.1, latest_by="node", distinct=True)
        await subscription.confirmed()
        for node in "abc":
            await broker.emit(Plant.step, Step(node=node))
        (session,) = broker.sessions
        assert session._subscribed.held_bytes > 0
        await clock.settle()
        subscription.close()
        await clock.advance(1)
        assert len(heard) == 1
        assert session._subscribed.held_bytes == 0


async def test_a_trace_goes_with_an_event_that_is_given_by_itself() -> None:
    trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    seen: list[tuple[str | None, int]] = []

    async def traced(message: Message[Any], next: Any) -> Any:
        return await next(message.replace(trace=trace))

    async def noted(message: Message[Any], next: Any) -> Any:
        seen.append((message.context.trace, message.payload.percent))
        return await next(message)

    async with plant() as (broker, bus, clock):
        broker.use(traced, Plant.step, direction="outbound")
        bus.use(noted, Plant.step, direction="inbound")
        await bus.on(Plant.step, print, distinct=True).confirmed()
        await broker.emit(Plant.step, Step(node="a", percent=1))
        await clock.settle()
        assert seen == [(trace, 1)]


async def test_large_filters_are_counted_and_forgotten_with_their_subscriptions() -> None:
    async with plant() as (broker, bus, clock):
        (session,) = broker.sessions
        serving = session._serving
        for number in range(3):
            names = [f"{number} {'x' * 1_000} {each}" for each in range(50)]
            subscription = bus.on(Plant.step, print, where=["node", "in", names])
            await subscription.confirmed()
            assert session._subscribed.held_bytes > 50_000
            subscription.close()
            await clock.settle()
            assert session._subscribed.held_bytes == 0
        assert len(serving.events.questions._tests) == 0
        await bus.on(Plant.step, print, where="percent > 1").confirmed()
        assert len(serving.events.questions._tests) == 1


async def test_what_a_subscription_takes_itself_is_counted() -> None:
    async with plant() as (broker, bus, clock):
        (session,) = broker.sessions
        subscription = bus.on("plant.*", print, every=0.1)
        await subscription.confirmed()
        of_all = session._subscribed.held_bytes
        filtered = bus.on(Plant.step, print, where=["node", "==", "a" * 1_000])
        await filtered.confirmed()
        assert of_all >= 4 * SHARE_BYTES
        assert session._subscribed.held_bytes > of_all + SHARE_BYTES + 1_000
        assert broker.held_bytes >= session._subscribed.held_bytes
        subscription.close()
        filtered.close()
        await clock.settle()
        assert session._subscribed.held_bytes == 0


async def test_a_client_with_more_subscriptions_than_there_is_room_for_is_ended() -> None:
    async with plant(max_broker_bytes=100 * SHARE_BYTES) as (broker, bus, clock):
        (session,) = broker.sessions
        bus.on_error(lambda _: None)
        for number in range(100):
            bus.on("plant.*", print, every=0.1 + number / 1_000, distinct=True)
        await clock.settle()
        assert session not in broker.sessions
        assert broker.held_bytes <= 100 * SHARE_BYTES


async def test_keys_are_bounded() -> None:
    async with plant(max_latest_keys=10) as (broker, bus, clock):
        heard: list[str] = []
        await bus.on(
            Plant.step, lambda step: heard.append(step.node), every=0.1, latest_by="node", distinct=True
        ).confirmed()
        for number in range(100):
            await broker.emit(Plant.step, Step(node=str(number)))
        await clock.advance(0.1)
        assert heard == ["0", *map(str, range(90, 100))]
        assert broker.dropped == {"plant.step": {"forgotten": 89}}


async def test_what_waits_leaves_before_the_broker_stops() -> None:
    broker = Broker(Plant)
    heard: list[float] = []
    async with connect(broker) as bus:
        await bus.on(Plant.step, lambda step: heard.append(step.percent), every=60).confirmed()
        for number in range(3):
            await broker.emit(Plant.step, Step(node="a", percent=number))
        await broker.stop(drain=5)
    assert heard == [0, 2]


# What a subscription's options go through.


async def test_they_are_told_again_to_a_new_session_and_survive_cuts() -> None:
    with FakeClock() as clock:
        async with pair(Broker(Plant)) as at:
            heard: list[list[float]] = []
            everything: list[float] = []
            at.bus.on(
                Plant.step,
                lambda steps: heard.append([step.percent for step in steps]),
                batch=(2, 1),
                where="percent != 3",
            )
            at.bus.on(Plant.step, lambda step: everything.append(step.percent))
            await clock.settle()
            at.cut()
            await at.broker.emit(Plant.step, Step(node="a", percent=1))
            await clock.advance(2)
            assert heard == [[1]]
            at.listener.is_refusing = True
            at.cut()
            await clock.advance(62)
            assert at.broker.sessions == []
            at.listener.is_refusing = False
            await at.reconnected()
            await clock.settle()
            for number in (3, 4, 5):
                await at.broker.emit(Plant.step, Step(node="a", percent=number))
            await clock.settle()
            assert heard == [[1], [4, 5]]
            assert everything == [1, 3, 4, 5]


async def test_a_batch_that_is_not_delivered_is_a_dead_letter_for_each_value() -> None:
    with FakeClock() as clock:
        async with pair(Broker(Plant)) as at:
            at.bus.on(Plant.step, print, batch=(3, 1))
            await clock.settle()
            at.listener.is_refusing = True
            at.cut()
            for number in range(3):
                await at.broker.emit(Plant.step, Step(node="a", percent=number))
            await clock.advance(62)
            letters = list(at.broker.dead_letters)
            assert [letter.value() for letter in letters] == [
                {"node": "a", "percent": n} for n in (0.0, 1.0, 2.0)
            ]


async def test_batches_cost_credit_as_events_do() -> None:
    """Four are taken by the reader at most; what comes behind them waits, and nothing is lost or out of order."""
    async with plant(credit_messages=4) as (broker, bus, clock):
        async with bus.events(Plant.step, batch=(1, 1)) as batches:
            emitting = asyncio.create_task(emit_steps(broker, 20))
            await clock.settle()
            (session,) = broker.sessions
            assert session.attended.session.sent >= 4
            assert session.attended.session.queued_events > 0
            found = [step.percent for _ in range(20) for step in await anext(batches)]
            await emitting
        assert found == list(range(20))


async def emit_steps(broker: Broker, count: int) -> None:
    for number in range(count):
        await broker.emit(Plant.step, Step(node="a", percent=number))


async def test_the_newest_of_each_key_takes_the_place_of_one_that_waits_for_credit() -> None:
    async with plant(credit_messages=2) as (broker, bus, clock):
        async with bus.events(Plant.step, latest_by="node") as steps:
            emitting = asyncio.create_task(emit_steps(broker, 20))
            await clock.settle()
            found = [(await anext(steps)).percent]
            while found[-1] != 19:
                found.append((await anext(steps)).percent)
            await emitting
        assert found == sorted(found)
        assert len(found) < 20
        assert broker.dropped["plant.step"]["superseded"] == 20 - len(found)


async def test_a_listener_that_joins_gets_of_the_newest_what_it_asks_for_and_nobody_gets_them_again() -> None:
    async with plant() as (broker, bus, clock):
        for node, percent in (("a", 1), ("b", 5)):
            await broker.emit(Plant.state, Step(node=node, percent=percent))
        one: list[list[str]] = []
        two: list[list[str]] = []

        def listen(into: list[list[str]]) -> Any:
            return bus.on(
                Plant.state,
                lambda steps: into.append([step.node for step in steps]),
                where="percent > 2",
                batch=(5, 0.1),
            )

        await listen(one).confirmed()
        await clock.settle()
        second = listen(two)
        await second.confirmed()
        await clock.settle()
        assert (one, two) == ([["b"]], [["b"]])
        (session,) = broker.sessions
        assert len(session.shares_of(Plant.state)) == 1
        await broker.emit(Plant.state, Step(node="c", percent=9))
        await clock.advance(0.1)
        assert (one, two) == ([["b"], ["c"]], [["b"], ["c"]])
        second.close()
        await broker.emit(Plant.state, Step(node="d", percent=9))
        await clock.advance(0.1)
        assert (len(one), len(two)) == (3, 2)
