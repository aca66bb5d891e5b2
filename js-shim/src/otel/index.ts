/** `ionbus/otel`: a span of OpenTelemetry for each passage; the traceparent crosses the wire. Its API is an optional peer. */

import {
  type Context,
  context as contexts,
  isSpanContextValid,
  ROOT_CONTEXT,
  type Span,
  SpanKind,
  SpanStatusCode,
  type TracerProvider,
  trace as traces,
} from "@opentelemetry/api";
import { codeOf } from "../middleware/logging.js";
import { Dropped, type Message, type Middleware } from "../middleware/message.js";
import { named, passing } from "../middleware/passing.js";

export interface TracingOptions {
  /** Gives the tracer. Default: the global one. */
  readonly provider?: TracerProvider | undefined;
}

/**
 * Make each passage a span, named as the member; of a stream it lasts until the items are over.
 *
 * What arrives continues the trace that it carries. What leaves carries the trace that its caller gives (`{ trace }`), else the one
 * that is current where it was made: one trace from the click in a window to the Python handler, to what that calls, and back.
 * Attributes: `rpc.system` "ionbus", `rpc.service`, `rpc.method`, `ionbus.kind`, and for errors `error.type`.
 */
export function tracing({ provider }: TracingOptions = {}): Middleware {
  return named("tracing", async (message, next) => {
    const { name, kind, context } = message;
    const dot = name.lastIndexOf(".");
    const attributes = {
      "rpc.system": "ionbus",
      "rpc.service": name.slice(0, Math.max(0, dot)),
      "rpc.method": name.slice(dot + 1),
      "ionbus.kind": kind,
    };
    const tracer = (provider ?? traces).getTracer("ionbus");
    const span = tracer.startSpan(name, { kind: kindOf(message), attributes }, parentOf(message));
    const within = traces.setSpan(contexts.active(), span);
    const trace = traceparentOf(span) ?? context.trace;

    const failed = (error: unknown): void => {
      if (context.signal?.aborted) {
        span.setAttribute("error.type", "cancelled");
      } else {
        span.setAttribute("error.type", codeOf(error));
        span.setStatus({ code: SpanStatusCode.ERROR, message: String(error) });
        span.recordException(error instanceof Error ? error : String(error));
      }
      span.end();
    };

    try {
      const result = await contexts.with(within, () => next(message.replace({ trace })));
      if (kind === "stream") {
        return passing(result, (items, ending) => {
          span.setAttribute("ionbus.items", items);
          if (ending.how === "failed") failed(ending.error);
          else span.end();
        });
      }
      if (result instanceof Dropped) span.setAttribute("ionbus.dropped", result.reason);
      span.end();
      return result;
    } catch (error) {
      failed(error);
      throw error;
    }
  });
}

function kindOf({ kind, direction }: Message): SpanKind {
  if (kind === "event") return direction === "inbound" ? SpanKind.CONSUMER : SpanKind.PRODUCER;
  return direction === "inbound" ? SpanKind.SERVER : SpanKind.CLIENT;
}

/** The context that a span belongs in: the trace that its message carries, else for what leaves the current one. */
function parentOf({ direction, context }: Message): Context {
  const carried = spanContextOf(context.trace);
  if (carried !== undefined) return traces.setSpanContext(ROOT_CONTEXT, carried);
  return direction === "inbound" ? ROOT_CONTEXT : contexts.active();
}

const TRACEPARENT = /^(?!ff)[0-9a-f]{2}-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(?:-|$)/;

/** What a W3C traceparent says; undefined where it is none. */
function spanContextOf(
  traceparent: string | undefined,
): Parameters<typeof traces.setSpanContext>[1] | undefined {
  const [, traceId = "", spanId = "", flags = ""] = TRACEPARENT.exec(traceparent ?? "") ?? [];
  const carried = { traceId, spanId, traceFlags: Number.parseInt(flags, 16), isRemote: true };
  return isSpanContextValid(carried) ? carried : undefined;
}

/** Undefined where nothing records, as without an SDK. */
function traceparentOf(span: Span): string | undefined {
  const spanContext = span.spanContext();
  if (!isSpanContextValid(spanContext)) return undefined;
  const flags = spanContext.traceFlags.toString(16).padStart(2, "0");
  return `00-${spanContext.traceId}-${spanContext.spanId}-${flags}`;
}
