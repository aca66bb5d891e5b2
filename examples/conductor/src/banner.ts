/** The strip above the graph that says what went wrong. */
import { html } from "./dom.js";
import type { FlowProblem } from "./generated/conductor.js";
import type { Graph } from "./graph.js";

export interface Banner {
  /** @param problems each names its node, which can be pressed to get there */
  show(text: string, problems?: readonly FlowProblem[]): void;
  hide(): void;
}

export function createBanner(root: HTMLElement, graph: Graph): Banner {
  const hide = (): void => {
    root.hidden = true;
    root.replaceChildren();
  };

  return {
    show: (text, problems = []) => {
      const dismiss = html("button", { type: "button", class: "dismiss", "aria-label": "Dismiss" }, "✕");
      dismiss.addEventListener("click", hide);
      const items = problems.map(({ node_id, message }) => {
        if (node_id === null) return html("li", {}, message);
        const link = html("button", { type: "button", class: "link" }, graph.titleOf(node_id));
        link.addEventListener("click", () => graph.focus(node_id));
        return html("li", {}, link, " ", message);
      });
      root.replaceChildren(
        html("p", {}, text),
        ...(items.length > 0 ? [html("ul", {}, ...items)] : []),
        dismiss,
      );
      root.hidden = false;
    },
    hide,
  };
}
