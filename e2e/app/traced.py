"""The end-to-end tests' broker with a span of OpenTelemetry for all that passes; `fate` tells which there are.

`ask` asks the client that asked first, whoever asks: the window, also where Electron's main asks in its stead.
"""

import json

from app import State, broker
from contracts import Answer, Probe, Question
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from ionbus import Context, Session
from ionbus.middleware import tracing

exporter = InMemorySpanExporter()
provider = TracerProvider(shutdown_on_exit=False)
provider.add_span_processor(SimpleSpanProcessor(exporter))
broker.use(tracing(provider))

asked_first: list[Session] = []


async def ask(text: str, ctx: Context[State]) -> Answer:
    asked_first.append(ctx.session)
    return await broker.call(asked_first[0], Probe.question, Question(text=text))


async def fate(_: str) -> str:
    return json.dumps([told(span) for span in exporter.get_finished_spans()])


def told(span: ReadableSpan) -> dict[str, object]:
    context = span.get_span_context()
    return {
        "name": span.name,
        "kind": span.kind.value,
        "traceId": f"{context.trace_id:032x}",
        "spanId": f"{context.span_id:016x}",
        "parentId": None if span.parent is None else f"{span.parent.span_id:016x}",
    }


if __name__ == "__main__":
    with broker.override(Probe.ask, ask), broker.override(Probe.fate, fate):
        broker.run()
