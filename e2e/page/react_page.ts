/** The page of the tests that are about React, in Electron. */
import { connectElectron } from "ionbus/electron-renderer";

import { Workflow } from "ionbus/packs/workflow";
import { BusProvider, PublishUi, useConnectionState, useEventReducer } from "ionbus/react";
import { createElement, type ReactNode, StrictMode, useState } from "react";
import { createRoot } from "react-dom/client";

/** Which runs have come to their end, and what they made. */
function Runs(): ReactNode {
  const ended = useEventReducer(
    Workflow.finished,
    (ended: readonly string[], { summary }) => [...ended, summary ?? ""],
    [],
  );
  return createElement("p", { id: "runs" }, ended.join(", "));
}

function Breaks({ isBroken }: { isBroken: boolean }): ReactNode {
  if (isBroken) throw new Error("boom");
  return "whole";
}

function button(id: string, onClick: () => void): ReactNode {
  return createElement("button", { id, type: "button", onClick }, id);
}

function Page(): ReactNode {
  const state = useConnectionState();
  const [sketches, setSketches] = useState(0);
  const [isBroken, setBroken] = useState(false);
  return createElement(
    "main",
    null,
    createElement("p", { id: "state" }, state),
    createElement(Runs),
    button("add", () => setSketches(sketches + 1)),
    button("remove", () => setSketches(0)),
    button("break", () => setBroken(true)),
    Array.from({ length: sketches }, (_, key) =>
      createElement(
        PublishUi,
        { key, name: `Sketch ${key}`, id: `sketch-${key}`, fallback: "broken" },
        createElement("h1", null, `Sketch ${key}`),
        createElement(Breaks, { isBroken }),
      ),
    ),
  );
}

const root = document.createElement("div");
document.body.append(root);
const page = createElement(BusProvider, { bus: connectElectron() }, createElement(Page));
createRoot(root).render(createElement(StrictMode, null, page));
