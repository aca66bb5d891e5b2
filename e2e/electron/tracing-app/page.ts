/** The page of the test of traces: a button that asks Python over the page's own bus, then by way of main, in one span. */
import { context, propagation, trace } from "@opentelemetry/api";
import { W3CTraceContextPropagator } from "@opentelemetry/core";
import {
  BasicTracerProvider,
  InMemorySpanExporter,
  SimpleSpanProcessor,
} from "@opentelemetry/sdk-trace-base";
import { StackContextManager } from "@opentelemetry/sdk-trace-web";
import { connectElectron } from "ionbus/electron-renderer";
import { compose } from "ionbus/middleware";
import { tracing } from "ionbus/otel";
import { Probe } from "../../app/generated/probe.js";
import { Lab } from "../../page/lab.js";
import { type ToldSpan, told } from "./told.js";

declare global {
  /** In the page: what the preload gives. */
  var main: { ask(text: string, carrier: object): Promise<string> };
  /** In the page: what its exporter holds. */
  var spans: () => ToldSpan[];
  /** In the page: what was answered, once the click is over. */
  var answered: string[];
}

const exporter = new InMemorySpanExporter();
trace.setGlobalTracerProvider(
  new BasicTracerProvider({ spanProcessors: [new SimpleSpanProcessor(exporter)] }),
);
context.setGlobalContextManager(new StackContextManager().enable());
propagation.setGlobalPropagator(new W3CTraceContextPropagator());

const lab = new Lab(connectElectron({ middleware: compose(tracing()) }));
globalThis.lab = lab;
globalThis.spans = () => exporter.getFinishedSpans().map(told);

async function click(): Promise<void> {
  const carrier = {};
  propagation.inject(context.active(), carrier);
  const directly = await lab.bus.call(Probe.ask, "directly");
  const byMain = await main.ask("by way of main", carrier);
  globalThis.answered = [directly.text, byMain];
}

const button = document.createElement("button");
button.id = "ask";
button.textContent = "Ask";
button.addEventListener("click", () => {
  void trace.getTracer("page").startActiveSpan("click", (span) => click().finally(() => span.end()));
});
document.body.append(button);
