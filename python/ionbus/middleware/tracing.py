"""A span of OpenTelemetry for each passage; the traceparent crosses the wire. Its API is what `ionbus[otel]` installs."""

from __future__ import annotations

import asyncio
from typing import Any, Final

from opentelemetry import context as otel, trace
from opentelemetry.trace import Span, SpanKind, Status, StatusCode, TracerProvider
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from ionbus.errors import IonbusError
from ionbus.middleware.message import AnyMiddleware, Dropped, Message
from ionbus.middleware.passing import Passing
from ionbus.version import VERSION

_W3C: Final = TraceContextTextMapPropagator()

_KINDS: Final = {
    ("inbound", True): SpanKind.CONSUMER,
    ("inbound", False): SpanKind.SERVER,
    ("outbound", True): SpanKind.PRODUCER,
    ("outbound", False): SpanKind.CLIENT,
}


def tracing(provider: TracerProvider | None = None) -> AnyMiddleware:
    """Make each passage a span, named as the member; of a stream it lasts until the items are over.

    What arrives continues the trace that it carries, and what leaves carries the trace that is current where it was made: one trace from the
    click in a window to the Python handler, to what that calls, and back. Attributes: `rpc.system` "ionbus", `rpc.service`, `rpc.method`,
    `ionbus.kind`, `ionbus.session`, and for errors `error.type`.

    Args:
        provider: gives the tracer; the global one where it is left out.
    """
    tracer = trace.get_tracer("ionbus", VERSION, provider)

    async def traced(message: Message[Any], next: Any) -> Any:
        is_event = message.kind == "event"
        parent = None
        if message.direction == "inbound":
            carried = message.context.trace
            parent = _W3C.extract({} if carried is None else {"traceparent": carried}, otel.Context())
        service, _, method = message.name.rpartition(".")
        span = tracer.start_span(
            message.name,
            parent,
            _KINDS[message.direction, is_event],
            {
                "rpc.system": "ionbus",
                "rpc.service": service,
                "rpc.method": method,
                "ionbus.kind": message.kind,
            },
        )
        if message.context.session is not None:
            span.set_attribute("ionbus.session", message.context.session.id)
        within = trace.set_span_in_context(span)
        carrier: dict[str, str] = {}
        _W3C.inject(carrier, within)
        token = otel.attach(within)
        try:
            result = await next(message.replace(trace=carrier.get("traceparent", message.context.trace)))
        except BaseException as error:
            _end(span, error)
            raise
        finally:
            otel.detach(token)
        if message.kind == "stream":
            return Passing(result, lambda count, error: _end(span, error, count))
        if isinstance(result, Dropped):
            span.set_attribute("ionbus.dropped", result.reason)
        _end(span, None)
        return result

    traced.__qualname__ = "tracing"
    return traced


def _end(span: Span, error: BaseException | None, items: int | None = None) -> None:
    if items is not None:
        span.set_attribute("ionbus.items", items)
    if error is not None and not isinstance(error, (GeneratorExit, asyncio.CancelledError)):
        span.set_attribute(
            "error.type", error.code if isinstance(error, IonbusError) else type(error).__name__
        )
        span.set_status(Status(StatusCode.ERROR, str(error)))
        span.record_exception(error)
    elif isinstance(error, asyncio.CancelledError):
        span.set_attribute("error.type", "cancelled")
    span.end()
