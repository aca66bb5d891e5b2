"""Spans of passages, as an in-memory exporter of OpenTelemetry's own sees them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode

from ionbus import Broker, Call, Context, Contract, Event, NotAllowed
from ionbus.middleware import Message, drop, tracing
from ionbus.middleware.message import Direction, MessageContext
from ionbus.middleware.onion import pass_through
from ionbus.testing import pair
from workshop import eventually

from .test_cases import MEMBERS

PARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


@pytest.fixture
def provider() -> TracerProvider:
    return TracerProvider(shutdown_on_exit=False)


@pytest.fixture
def spans(provider: TracerProvider) -> InMemorySpanExporter:
    exporter = InMemorySpanExporter()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    return exporter


def message(kind: str, direction: Direction, carried: str | None = None) -> Message[Any]:
    member = MEMBERS[f"cases.{kind}"]
    return Message(member.kind, direction, member.name, member, "x", MessageContext(trace=carried))


def only_one(spans: InMemorySpanExporter) -> tuple[ReadableSpan, dict[str, object]]:
    (span,) = spans.get_finished_spans()
    return span, dict(span.attributes or {})


async def test_what_arrives_continues_the_trace_that_it_carries(
    provider: TracerProvider, spans: InMemorySpanExporter
) -> None:
    async def end(given: Message[Any]) -> str:
        current = trace.get_current_span().get_span_context()
        begins = f"00-{current.trace_id:032x}-{current.span_id:016x}-"
        assert str(given.context.trace)[:-2] == begins
        return "end"

    assert await pass_through([tracing(provider)], message("call", "inbound", PARENT), end) == "end"
    span, attributes = only_one(spans)
    assert (span.name, span.kind) == ("cases.call", SpanKind.SERVER)
    assert span.parent is not None
    assert f"{span.parent.trace_id:032x}-{span.parent.span_id:016x}" == PARENT[3:-3]
    assert attributes == {
        "rpc.system": "ionbus",
        "rpc.service": "cases",
        "rpc.method": "call",
        "ionbus.kind": "call",
    }
    assert not trace.get_current_span().get_span_context().is_valid


async def test_what_leaves_carries_the_trace_that_is_current(
    provider: TracerProvider, spans: InMemorySpanExporter
) -> None:
    sent: list[str | None] = []

    async def end(given: Message[Any]) -> None:
        sent.append(given.context.trace)

    with provider.get_tracer("app").start_as_current_span("click") as click:
        await pass_through([tracing(provider)], message("event", "outbound"), end)
    span = next(each for each in spans.get_finished_spans() if each.name == "cases.event")
    assert span.kind == SpanKind.PRODUCER
    assert span.parent is not None
    assert span.context is not None
    assert span.parent.span_id == click.get_span_context().span_id
    begins = f"00-{click.get_span_context().trace_id:032x}-{span.context.span_id:016x}-"
    assert [str(carried)[:-2] for carried in sent] == [begins]


@pytest.mark.parametrize(
    "carried", [None, "", "nonsense", "00-00000000000000000000000000000000-b7ad6b7169203331-01"]
)
async def test_what_carries_no_trace_begins_one(
    provider: TracerProvider, spans: InMemorySpanExporter, carried: str | None
) -> None:
    async def end(_: Message[Any]) -> str:
        return "end"

    with provider.get_tracer("app").start_as_current_span("another"):
        await pass_through([tracing(provider)], message("call", "inbound", carried), end)
    assert spans.get_finished_spans()[0].parent is None


async def test_errors_and_drops_are_told(provider: TracerProvider, spans: InMemorySpanExporter) -> None:
    async def refuses(_: Message[Any]) -> Any:
        raise NotAllowed("no")

    with pytest.raises(NotAllowed):
        await pass_through([tracing(provider)], message("call", "inbound"), refuses)
    span, attributes = only_one(spans)
    assert (span.status.status_code, span.status.description) == (StatusCode.ERROR, "no")
    assert attributes["error.type"] == "not_allowed"
    spans.clear()

    async def drops(_: Message[Any], __: Any) -> Any:
        return drop("early")

    await pass_through([tracing(provider), drops], message("event", "inbound"), refuses)
    span, attributes = only_one(spans)
    assert attributes["ionbus.dropped"] == "early"
    assert span.status.status_code == StatusCode.UNSET


async def test_a_stream_is_one_span_until_its_items_are_over(
    provider: TracerProvider, spans: InMemorySpanExporter
) -> None:
    async def items() -> AsyncIterator[str]:
        yield "a"
        yield "b"

    async def end(_: Message[Any]) -> AsyncIterator[str]:
        return items()

    found = await pass_through([tracing(provider)], message("stream", "inbound"), end)
    assert spans.get_finished_spans() == ()
    assert [item async for item in found] == ["a", "b"]
    assert only_one(spans)[1]["ionbus.items"] == 2
    spans.clear()

    found = await pass_through([tracing(provider)], message("stream", "inbound"), end)
    await anext(found)
    await found.aclose()
    assert only_one(spans)[1]["ionbus.items"] == 1


class Nested(Contract, name="nested"):
    """A call that calls back, and what both publish."""

    outer = Call(str, str)
    inner = Call(str, str, served_by="client")
    said = Event(str, source="any")


async def test_one_trace_from_the_caller_over_the_handler_to_what_that_calls_back(
    provider: TracerProvider, spans: InMemorySpanExporter
) -> None:
    broker = Broker(Nested)

    @broker.handle(Nested.outer)
    async def outer(text: str, ctx: Context) -> str:
        return await ctx.call(Nested.inner, text)

    async with pair(broker) as at:
        broker.use(tracing(provider))
        at.bus.use(tracing(provider))

        @at.bus.handle(Nested.inner)
        async def inner(text: str) -> str:
            await at.bus.emit(Nested.said, text)
            return text

        with provider.get_tracer("app").start_as_current_span("click"):
            assert await at.bus.call(Nested.outer, "x") == "x"
        await eventually(lambda: len(spans.get_finished_spans()) == 7)
    by_id = {span.context.span_id: span for span in spans.get_finished_spans() if span.context is not None}
    assert len({span.context.trace_id for span in by_id.values() if span.context is not None}) == 1
    lines = {
        f"{by_id[span.parent.span_id].name} {by_id[span.parent.span_id].kind.name} > {span.name} {span.kind.name}"
        for span in by_id.values()
        if span.parent is not None
    }
    assert lines == {
        "click INTERNAL > nested.outer CLIENT",
        "nested.outer CLIENT > nested.outer SERVER",
        "nested.outer SERVER > nested.inner CLIENT",
        "nested.inner CLIENT > nested.inner SERVER",
        "nested.inner SERVER > nested.said PRODUCER",
        "nested.said PRODUCER > nested.said CONSUMER",
    }


async def test_one_that_is_cancelled_says_so(provider: TracerProvider, spans: InMemorySpanExporter) -> None:
    async def end(_: Message[Any]) -> Any:
        await asyncio.get_running_loop().create_future()

    call = asyncio.ensure_future(pass_through([tracing(provider)], message("call", "inbound"), end))
    await asyncio.sleep(0)
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    span, attributes = only_one(spans)
    assert attributes["error.type"] == "cancelled"
    assert span.status.status_code == StatusCode.UNSET
