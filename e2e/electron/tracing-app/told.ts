import type { ReadableSpan } from "@opentelemetry/sdk-trace-base";

/** A span as plain data, as all three sides tell theirs. */
export interface ToldSpan {
  readonly name: string;
  readonly kind: number;
  readonly traceId: string;
  readonly spanId: string;
  readonly parentId: string | null;
}

export function told(span: ReadableSpan): ToldSpan {
  const { traceId, spanId } = span.spanContext();
  return {
    name: span.name,
    kind: span.kind,
    traceId,
    spanId,
    parentId: span.parentSpanContext?.spanId ?? null,
  };
}
