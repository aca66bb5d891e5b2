/**
 * Main of an Electron application that traces. Its page asks Python over its own bus, and asks main, by `ipcRenderer.invoke`, to do
 * so in its stead. E2E_SETTINGS is as for plain-app; the tests find the rest in the global `shell`.
 */
import path from "node:path";
import { context, propagation, ROOT_CONTEXT, trace } from "@opentelemetry/api";
import { AsyncLocalStorageContextManager } from "@opentelemetry/context-async-hooks";
import { W3CTraceContextPropagator } from "@opentelemetry/core";
import {
  BasicTracerProvider,
  InMemorySpanExporter,
  SimpleSpanProcessor,
} from "@opentelemetry/sdk-trace-base";
import { app, BrowserWindow, ipcMain } from "electron";
import { launchBroker } from "ionbus/electron-main";
import { compose } from "ionbus/middleware";
import { tracing } from "ionbus/otel";
import { Probe } from "../../app/generated/probe.js";
import { told } from "./told.js";

const { launch, transport } = JSON.parse(process.env["E2E_SETTINGS"] as string);

const exporter = new InMemorySpanExporter();
trace.setGlobalTracerProvider(
  new BasicTracerProvider({ spanProcessors: [new SimpleSpanProcessor(exporter)] }),
);
context.setGlobalContextManager(new AsyncLocalStorageContextManager().enable());
propagation.setGlobalPropagator(new W3CTraceContextPropagator());

const broker = launchBroker(launch);
const logs: string[] = [];
broker.onLog((line) => logs.push(line));
const bus = broker.connect({ middleware: compose(tracing()) });

/** Ask Python in the page's stead, in the trace that the page says. */
ipcMain.handle("ask", (_, text: string, carrier: object) =>
  trace
    .getTracer("main")
    .startActiveSpan("relay", {}, propagation.extract(ROOT_CONTEXT, carrier), async (span) => {
      try {
        await new Promise(setImmediate); // main knows the current span after an await too
        return (await bus.call(Probe.ask, text)).text;
      } finally {
        span.end();
      }
    }),
);

Object.assign(globalThis, { shell: { broker, logs, spans: () => exporter.getFinishedSpans().map(told) } });

app.on("window-all-closed", () => app.quit());
void app.whenReady().then(async () => {
  const preload = path.join(__dirname, "preload.cjs");
  const window = new BrowserWindow({ webPreferences: { preload, contextIsolation: true, sandbox: true } });
  broker.attach(window, { transport });
  await window.loadFile(path.join(__dirname, "index.html"));
});
