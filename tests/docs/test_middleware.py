"""What docs/middleware.md shows is run: each example in a broker that is served over a WebSocket, or in its client."""

from __future__ import annotations

import asyncio
import logging as std
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from pydantic import BaseModel

from ionbus import (
    Broker,
    Bus,
    Call,
    CallTimeout,
    Contract,
    Event,
    InvalidPayload,
    IonbusError,
    NotAllowed,
    Stream,
    connect,
)

PAGE = (Path(__file__).parents[2] / "docs" / "middleware.md").read_text()
EXAMPLES = re.findall(r"^```python\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)


class Flow(BaseModel):
    id: str
    after: list[str] = []


class Progress(BaseModel):
    percent: float


class Conductor(Contract, name="conductor"):
    """What the page's examples talk about."""

    execute = Call(Flow, str)
    look = Call(Flow, str, idempotent=True)
    logs = Stream(str, str)
    progress = Event(Progress)
    cancelled = Event(Flow, source="client")
    pick_file = Call(str, str, served_by="client", idempotent=True)


class Stage:
    """A broker with its client, and what happened at them."""

    def __init__(self) -> None:
        self.broker: Broker[Any] = Broker(Conductor)
        self.ran: list[str] = []
        self.heard: list[float] = []
        self.bus: Bus
        broker, ran = self.broker, self.ran

        @broker.handle(Conductor.execute)
        async def execute(flow: Flow) -> str:
            ran.append(flow.id)
            if flow.id == "hang":
                await asyncio.get_running_loop().create_future()
            if flow.id == "fail":
                raise RuntimeError("down")
            return f"done {flow.id}"

        @broker.handle(Conductor.look)
        async def look(flow: Flow) -> str:
            ran.append(flow.id)
            if flow.id == "fail once" and ran == ["fail once"]:
                raise RuntimeError("down")
            return f"seen {flow.id}"

        @broker.handle(Conductor.logs)
        async def logs(_: str) -> AsyncIterator[str]:
            yield "debug: x"
            yield "info: y"

    async def execute(self, flow: str) -> str:
        return await self.bus.call(Conductor.execute, Flow(id=flow))

    async def look(self, flow: str) -> str:
        return await self.bus.call(Conductor.look, Flow(id=flow))

    async def fails(self, flow: str) -> IonbusError:
        with pytest.raises(IonbusError) as raised:
            await self.execute(flow)
        return raised.value


async def use(at: Stage, caplog: pytest.LogCaptureFixture) -> None:
    assert isinstance(await at.fails("a"), NotAllowed)
    assert "conductor.execute: not_allowed" in caplog.text


async def logging(at: Stage, caplog: pytest.LogCaptureFixture) -> None:
    await at.execute("a")
    assert re.fullmatch(r"inbound call conductor\.execute: answered in [\d.]+ ms", caplog.messages[-1])


async def timeout(at: Stage, _: object) -> None:
    assert isinstance(await at.fails("hang"), CallTimeout)


async def retry(at: Stage, _: object) -> None:
    assert await at.look("fail once") == "seen fail once"
    assert at.ran == ["fail once", "fail once"]


async def rate_limit(at: Stage, _: object) -> None:
    done = await asyncio.gather(*(at.execute("a") for _ in range(40)), return_exceptions=True)
    codes = {getattr(each, "code", "") for each in done}
    assert codes == {"", "rate_limited"}
    assert len(at.ran) >= 20


async def circuit_breaker(at: Stage, _: object) -> None:
    codes = [(await at.fails("fail")).code for _ in range(4)]
    assert codes == ["internal_error"] * 3 + ["circuit_open"]


async def deduplicate(at: Stage, _: object) -> None:
    answers = await asyncio.gather(at.execute("a"), at.execute("a"), at.execute("b"))
    assert list(answers) == ["done a", "done a", "done b"]
    assert sorted(at.ran) == ["a", "b"]


async def cache(at: Stage, _: object) -> None:
    assert [await at.look("a"), await at.look("a")] == ["seen a"] * 2
    assert at.ran == ["a"]


async def validation(at: Stage, _: object) -> None:
    with pytest.raises(InvalidPayload, match="it waits for itself"):
        await at.bus.call(Conductor.execute, Flow(id="a", after=["a"]))
    await at.execute("a")


async def tracing(at: Stage, _: object) -> None:
    spans = InMemorySpanExporter()
    provider: Any = trace.get_tracer_provider()
    provider.add_span_processor(SimpleSpanProcessor(spans))
    await at.execute("a")
    inner, outer = spans.get_finished_spans()
    assert inner.parent is not None
    assert outer.context is not None
    assert inner.parent.span_id == outer.context.span_id


async def own(at: Stage, _: object) -> None:
    async with at.bus.stream(Conductor.logs, "x") as lines:
        assert [line async for line in lines] == ["info: y"]
    heard: list[float] = []
    await at.bus.on(Conductor.progress, lambda progress: heard.append(progress.percent)).confirmed()
    for percent in (0.5, 2.0):
        await at.broker.emit(Conductor.progress, Progress(percent=percent))
    await at.execute("a")
    assert heard == [2.0]
    assert at.broker.dropped == {"conductor.progress": {"too_small": 1}}


async def traced_broker(at: Stage, _: object) -> None:
    spans = InMemorySpanExporter()
    provider: Any = trace.get_tracer_provider()
    provider.add_span_processor(SimpleSpanProcessor(spans))
    await at.execute("a")
    assert [span.name for span in spans.get_finished_spans()] == ["conductor.execute"]


Check = Callable[[Stage, Any], Awaitable[None]]
CHECKS: list[Check] = [
    use, logging, timeout, retry, rate_limit, circuit_breaker, deduplicate, cache, validation, tracing, own, traced_broker,
]  # fmt: skip


@pytest.fixture(scope="module", autouse=True)
def provider() -> None:
    trace.set_tracer_provider(TracerProvider(shutdown_on_exit=False))


@pytest.mark.parametrize(("example", "check"), list(zip(EXAMPLES, CHECKS, strict=True)))
async def test_an_example_does_what_it_says(
    example: str, check: Check, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(std.INFO, "ionbus.messages")
    at = Stage()
    async with (
        at.broker.serve("ws://127.0.0.1:0") as (endpoint,),
        connect(endpoint.url, token=endpoint.token) as at.bus,
    ):
        exec(example, {"broker": at.broker, "bus": at.bus, "Conductor": Conductor, "__name__": "page"})
        await check(at, caplog)


def test_every_middleware_that_ships_is_on_the_page_with_an_example() -> None:
    table = PAGE.partition("## What ships")[2].partition("### An example")[0]
    named = re.findall(r"^\| `(\w+)\(", table, re.MULTILINE)
    assert named == [check.__name__ for check in CHECKS[1:-2]]
