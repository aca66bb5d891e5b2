/** The window: what is pressed becomes a call, and what Python tells becomes visible. */
import { type Bus, CallCancelled, SessionLost } from "ionbus";
import { createBanner } from "./banner.js";
import { BREAKAGES } from "./breakage.js";
import { byId, countOf, html } from "./dom.js";
import { Conductor, type Flow, FlowInvalid, NodeFailed, type OpenedFlow } from "./generated/conductor.js";
import { createGraph } from "./graph.js";
import { createLog } from "./log.js";
import { createPictures } from "./pictures.js";
import { createQuestionDialog } from "./question.js";
import { createReportView } from "./report.js";
import { showConnection } from "./status.js";

const SLOW_PACE_MS = 160;

export function startWindow(bus: Bus): void {
  const runButton = byId("run", HTMLButtonElement);
  const cancelButton = byId("cancel", HTMLButtonElement);
  const killButton = byId("kill", HTMLButtonElement);
  const folderButton = byId("choose-folder", HTMLButtonElement);
  const slow = byId("slow", HTMLInputElement);
  const breakage = byId("breakage", HTMLSelectElement);
  const outcome = byId("outcome", HTMLSpanElement);

  const graph = createGraph(byId("graph", SVGSVGElement));
  const banner = createBanner(byId("banner", HTMLDivElement), graph);
  const log = createLog(byId("log", HTMLOListElement));
  const pictures = createPictures(
    byId("pictures", HTMLUListElement),
    byId("pictures-count", HTMLSpanElement),
  );
  const report = createReportView(byId("report", HTMLDivElement), showReport);
  const dialog = createQuestionDialog(pictures.urlOf, () => cancel("“Cancel run” was pressed in the dialog"));

  let opened: OpenedFlow | undefined;
  let shownRun = ""; // the run whose events are shown; they may come after its end
  let going: AbortController | undefined; // stops the run that is going on

  // --- What Python tells and asks ---------------------------------------------------------------

  bus.on(Conductor.progress, (progress) => {
    if (progress.execution_id === shownRun) graph.progress(progress);
  });
  bus.on(Conductor.thumbnail, (thumbnail) => {
    if (thumbnail.execution_id === shownRun) pictures.add(thumbnail);
  });
  bus.on(Conductor.finished, ({ title, file_count, duration_ms }) => {
    outcome.textContent = `“${title}”: ${countOf(file_count, "file")} in ${(duration_ms / 1000).toFixed(1)} s`;
  });
  bus.handle(Conductor.ask, (question, { signal }) => dialog.ask(question, signal));
  bus.onState((change) => {
    if (change.outcome === "lost") {
      log.note("Python is back: a new process, a new session");
      void open(opened?.is_sample === false ? opened.folder : null);
    }
    enable();
  });

  async function followLog(): Promise<void> {
    while (bus.state !== "closed") {
      try {
        for await (const line of bus.stream(Conductor.logs, { level: "info" })) log.add(line);
      } catch (error) {
        if (error instanceof SessionLost) continue; // the next broker has a log of its own
        return log.note(`The log has ended: ${textOf(error)}`);
      }
    }
  }

  // --- What is pressed --------------------------------------------------------------------------

  async function open(folder: string | null): Promise<void> {
    try {
      opened = await bus.call(Conductor.openFlow, { folder });
      byId("flow-name", HTMLHeadingElement).textContent = opened.flow.name;
      const name = opened.folder.split(/[\\/]/).pop() ?? opened.folder;
      const place = byId("folder", HTMLParagraphElement);
      place.textContent = `${name} · ${countOf(opened.file_count, "file")}${opened.is_sample ? " · sample" : ""}`;
      place.title = opened.folder;
      showFlow();
    } catch (error) {
      banner.show(textOf(error));
    }
    enable();
  }

  function flow(): Flow | undefined {
    const chosen = BREAKAGES.find(({ id }) => id === breakage.value);
    return opened && chosen ? chosen.spoil(opened.flow) : opened?.flow;
  }

  function showFlow(): void {
    const shown = flow();
    if (shown) graph.show(shown);
    banner.hide();
  }

  async function run(): Promise<void> {
    const [toRun, folder] = [flow(), opened?.folder];
    if (!toRun || folder === undefined || going) return;
    going = new AbortController();
    shownRun = `exec_${Date.now()}_${Math.random().toString(36).slice(2, 6)}`;
    graph.reset();
    banner.hide();
    pictures.clear();
    report.clear("The report comes at the end of the run.");
    outcome.textContent = "Running…";
    enable();
    try {
      const result = await bus.call(
        Conductor.execute,
        { execution_id: shownRun, flow: toRun, folder, pace_ms: slow.checked ? SLOW_PACE_MS : 0 },
        { signal: going.signal },
      );
      pictures.keep(result.kept);
      report.show(result);
    } catch (error) {
      showFailure(error);
    }
    going = undefined;
    enable();
  }

  function showFailure(error: unknown): void {
    report.clear("No report: the run did not reach its end.");
    if (error instanceof FlowInvalid) {
      outcome.textContent = "The flow is invalid";
      for (const id of error.node_ids) {
        const own = error.problems.filter(({ node_id }) => node_id === id).map(({ message }) => message);
        graph.fail(id, own.join(" "));
      }
      banner.show("This flow cannot run.", error.problems);
    } else if (error instanceof NodeFailed) {
      outcome.textContent = "A node failed";
      graph.fail(error.node_id, error.reason);
      banner.show("The run stopped.", [{ node_id: error.node_id, message: error.reason }]);
    } else if (error instanceof CallCancelled) {
      outcome.textContent = "Cancelled";
    } else if (error instanceof SessionLost) {
      outcome.textContent = "The run was lost with its Python";
      graph.stop();
      log.note("The run was lost with its Python process");
    } else {
      outcome.textContent = "Failed";
      graph.stop();
      banner.show(textOf(error));
    }
  }

  function cancel(reason: string): void {
    if (!going || going.signal.aborted) return;
    bus
      .emit(Conductor.cancelled, { execution_id: shownRun, reason })
      .catch((error: unknown) => log.note(textOf(error)));
    going.abort(reason);
  }

  async function kill(): Promise<void> {
    log.note("Killing Python");
    try {
      await bus.call(Conductor.debug.kill);
    } catch (error) {
      if (!(error instanceof SessionLost)) log.note(textOf(error)); // nobody is left to answer
    }
  }

  async function chooseFolder(): Promise<void> {
    try {
      const { folder } = await bus.call(Conductor.chooseFolder);
      if (folder === null) return;
      outcome.textContent = "";
      await open(folder);
    } catch (error) {
      banner.show(textOf(error));
    }
  }

  function showReport(executionId: string): void {
    bus
      .call(Conductor.showReport, { execution_id: executionId })
      .catch((error: unknown) => banner.show(textOf(error)));
  }

  function enable(): void {
    const isOpen = bus.state === "open";
    runButton.disabled = !isOpen || !opened || going !== undefined;
    cancelButton.disabled = going === undefined;
    killButton.disabled = !isOpen;
    folderButton.disabled = breakage.disabled = !isOpen || going !== undefined;
  }

  breakage.append(...BREAKAGES.map(({ id, name }) => html("option", { value: id }, name)));
  breakage.addEventListener("change", showFlow);
  runButton.addEventListener("click", () => void run());
  cancelButton.addEventListener("click", () => cancel("“Cancel” was pressed"));
  killButton.addEventListener("click", () => void kill());
  folderButton.addEventListener("click", () => void chooseFolder());
  document.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) void run();
  });

  report.clear("Run the flow to get a report.");
  showConnection(bus);
  enable();
  void followLog();
  void open(null);
}

function textOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
