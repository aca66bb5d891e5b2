/** One run as the window has it: the call that makes it, and what `workflow` tells of it meanwhile. */
import { CallCancelled, SessionLost } from "ionbus";
import { type NodeProgress, Workflow } from "ionbus/packs/workflow";
import { type CallState, useBus, useCall, useEvent, useEventReducer } from "ionbus/react";
import { useState } from "react";
import { newTrace } from "./calls.js";
import {
  Conductor,
  type Flow,
  FlowInvalid,
  type FlowProblem,
  type FlowResult,
  NodeFailed,
} from "./generated/conductor.js";
import { countOf, secondsOf, textOf } from "./words.js";

/** How a node looks. */
export interface Look {
  readonly state: "idle" | NodeProgress["state"];
  readonly percent: number;
  readonly message: string;
}

/** A thumbnail: bytes from Python, shown as a blob. */
export interface Picture {
  readonly file: string;
  readonly size: string;
  readonly url: string;
}

export interface Run {
  readonly isGoing: boolean;
  readonly looks: ReadonlyMap<string, Look>;
  readonly pictures: readonly Picture[];
  readonly result: FlowResult | undefined;
  /** How it stands with it, in a few words. */
  readonly outcome: string;
  readonly problem: { readonly text: string; readonly nodes: readonly FlowProblem[] } | undefined;
  start(flow: Flow, folder: string, paceMs: number): void;
  cancel(reason: string): void;
  reset(): void;
}

interface Told {
  readonly id: string;
  readonly nodes: ReadonlyMap<string, NodeProgress>;
}

/** @param note writes a line to the log */
export function useRun(note: (text: string) => void): Run {
  const bus = useBus();
  const execute = useCall(Conductor.execute);
  const [id, setId] = useState(""); // of the run that is shown; what is told of it may come after its end
  const [pictures, setPictures] = useState<readonly Picture[]>([]);

  const told = useEventReducer(
    Workflow.node.progress,
    (told: Told, progress): Told => {
      if (progress.execution_id !== id) return told;
      const nodes = told.id === id ? told.nodes : new Map<string, NodeProgress>();
      return { id, nodes: new Map(nodes).set(progress.node_id, progress) };
    },
    { id: "", nodes: new Map() },
    { everyMs: 50 }, // of each node the newest: more nobody sees, and Python does not send it
  );
  useEvent(Workflow.node.output, ({ execution_id, media_type, name, content, details }) => {
    if (execution_id !== id || media_type !== "image/jpeg") return;
    const url = URL.createObjectURL(new Blob([content.slice()], { type: media_type }));
    const size = `${details["width"]} × ${details["height"]}`;
    setPictures((shown) => [...shown, { file: name, size, url }]);
  });

  function clear(): void {
    for (const { url } of pictures) URL.revokeObjectURL(url);
    setPictures([]);
  }

  return {
    isGoing: execute.state === "pending",
    looks: looksOf(told.id === id ? told.nodes : new Map(), execute.error),
    pictures,
    result: execute.state === "done" ? execute.data : undefined,
    outcome: outcomeOf(execute),
    problem: problemOf(execute.error),
    start(flow, folder, paceMs) {
      const next = `exec_${Date.now()}_${Math.random().toString(36).slice(2, 6)}`;
      clear();
      setId(next);
      const request = { execution_id: next, flow, folder, pace_ms: paceMs };
      execute.call(request, { trace: newTrace() }).catch((error: unknown) => {
        if (error instanceof SessionLost) note("The run was lost with its Python process");
      });
    },
    cancel(reason) {
      if (execute.state !== "pending") return;
      bus
        .emit(Conductor.cancelled, { execution_id: id, reason })
        .catch((error: unknown) => note(textOf(error)));
      execute.cancel(reason);
    },
    reset() {
      clear();
      setId("");
      execute.reset();
    },
  };
}

/** What is told of the nodes, and what the run's error says of them besides. */
function looksOf(nodes: ReadonlyMap<string, NodeProgress>, error: unknown): ReadonlyMap<string, Look> {
  const looks = new Map<string, Look>();
  const isOver = error !== undefined && !(error instanceof CallCancelled);
  for (const [id, { state, percent, message }] of nodes) {
    const isLeft = isOver && (state === "pending" || state === "running" || state === "waiting");
    looks.set(
      id,
      isLeft ? { state: "cancelled", percent: 0, message: "" } : { state, percent, message: message ?? "" },
    );
  }
  const fail = (id: string, message: string) => looks.set(id, { state: "failed", percent: 0, message });
  if (error instanceof NodeFailed) fail(error.node_id, error.reason);
  if (error instanceof FlowInvalid) {
    for (const id of error.node_ids) {
      fail(id, error.problems.flatMap(({ node_id, message }) => (node_id === id ? [message] : [])).join(" "));
    }
  }
  return looks;
}

function outcomeOf({ state, data, error }: CallState<FlowResult>): string {
  if (state === "pending") return "Running…";
  if (state === "done")
    return `“${data.title}”: ${countOf(data.files.length, "file")} in ${secondsOf(data.duration_ms)}`;
  if (state === "idle") return "";
  if (error instanceof FlowInvalid) return "The flow is invalid";
  if (error instanceof NodeFailed) return "A node failed";
  if (error instanceof CallCancelled) return "Cancelled";
  return error instanceof SessionLost ? "The run was lost with its Python" : "Failed";
}

function problemOf(error: unknown): Run["problem"] {
  if (error instanceof FlowInvalid) return { text: "This flow cannot run.", nodes: error.problems };
  if (error instanceof NodeFailed) {
    return { text: "The run stopped.", nodes: [{ node_id: error.node_id, message: error.reason }] };
  }
  if (error === undefined || error instanceof CallCancelled || error instanceof SessionLost) return undefined;
  return { text: textOf(error), nodes: [] };
}
