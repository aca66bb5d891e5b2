/** The flow as a graph: cards for the nodes, curves for the edges, and how a run stands with each. */
import { html, svg } from "./dom.js";
import type { Edge, Flow, Node as FlowNode, NodeProgress } from "./generated/conductor.js";
import { iconPath } from "./icons.js";

const CARD = { width: 204, height: 76 };
const MARGIN = 28;
const RING = { x: 31, y: 38, radius: 18 };

type Look = "idle" | NodeProgress["state"];

interface Card {
  readonly group: SVGGElement;
  readonly ring: SVGCircleElement;
  readonly message: HTMLElement;
  readonly title: string;
  look: Look;
}

interface Line {
  readonly edge: Edge;
  readonly path: SVGPathElement;
}

export interface Graph {
  /** Draw this flow, every node idle. */
  show(flow: Flow): void;
  /** Show how a run stands with one node. */
  progress(progress: NodeProgress): void;
  /** Show what is wrong with one node. */
  fail(nodeId: string, message: string): void;
  /** Every node idle again. */
  reset(): void;
  /** Every node that is not done is over. */
  stop(): void;
  titleOf(nodeId: string): string;
  /** Move the keyboard's focus to a node. */
  focus(nodeId: string): void;
}

export function createGraph(root: SVGSVGElement): Graph {
  const cards = new Map<string, Card>();
  let lines: Line[] = [];

  function show(flow: Flow): void {
    cards.clear();
    const nodes = new Map(flow.nodes.map((node) => [node.id, node]));
    lines = flow.edges.flatMap((edge) => {
      const [source, target] = [nodes.get(edge.source), nodes.get(edge.target)];
      return source && target ? [{ edge, path: drawEdge(source, target, portOf(edge, flow, nodes)) }] : [];
    });
    for (const node of flow.nodes) cards.set(node.id, drawCard(node));

    const [xs, ys] = [flow.nodes.map((node) => node.position.x), flow.nodes.map((node) => node.position.y)];
    const [left, top] = [Math.min(...xs) - MARGIN, Math.min(...ys) - MARGIN];
    const width = Math.max(...xs) + CARD.width + MARGIN - left;
    const height = Math.max(...ys) + CARD.height + MARGIN - top;
    root.setAttribute("viewBox", `${left} ${top} ${width} ${height}`);
    root.replaceChildren(
      svg("g", { class: "edges" }, ...lines.map((line) => line.path)),
      svg("g", { class: "nodes" }, ...[...cards.values()].map((card) => card.group)),
    );
    for (const id of cards.keys()) set(id, "idle", 0, "");
  }

  function set(nodeId: string, look: Look, percent: number, message: string): void {
    const card = cards.get(nodeId);
    if (!card) return;
    card.look = look;
    card.group.setAttribute("data-look", look);
    card.ring.setAttribute("stroke-dasharray", `${Math.min(100, percent)} 100`);
    card.message.textContent = message || WORDS[look];
    card.message.title = message;
    const share = look === "running" ? `, ${Math.round(percent)} percent` : "";
    card.group.setAttribute("aria-label", `${card.title}: ${WORDS[look]}${share}. ${message}`);
    for (const line of lines) line.path.setAttribute("data-look", lookOf(line.edge));
  }

  function lookOf(edge: Edge): string {
    const [source, target] = [cards.get(edge.source)?.look, cards.get(edge.target)?.look];
    if (target === "failed") return "failed";
    if (source !== "done") return "idle";
    return target === "done" ? "done" : target === "running" || target === "asking" ? "flowing" : "ready";
  }

  return {
    show,
    progress: ({ node_id, state, percent, message }) => set(node_id, state, percent, message ?? ""),
    fail: (nodeId, message) => set(nodeId, "failed", 0, message),
    reset: () => {
      for (const id of cards.keys()) set(id, "idle", 0, "");
    },
    stop: () => {
      for (const [id, card] of cards) {
        if (card.look !== "done" && card.look !== "failed" && card.look !== "idle")
          set(id, "cancelled", 0, "");
      }
    },
    titleOf: (nodeId) => cards.get(nodeId)?.title ?? nodeId,
    focus: (nodeId) => cards.get(nodeId)?.group.focus(),
  };
}

const WORDS: Record<Look, string> = {
  idle: "Ready",
  waiting: "Waiting",
  running: "Running",
  asking: "Asks you",
  done: "Done",
  failed: "Failed",
  cancelled: "Cancelled",
};

function drawCard(node: FlowNode): Card {
  const ring = svg("circle", { class: "ring", cx: RING.x, cy: RING.y, r: RING.radius, pathLength: 100 });
  const message = html("p", { class: "message" });
  const text = svg("foreignObject", { x: 60, y: 0, width: CARD.width - 68, height: CARD.height });
  text.append(html("div", { class: "words" }, html("p", { class: "name" }, node.title), message));
  const group = svg(
    "g",
    { class: "node", id: `node-${node.id}`, transform: `translate(${node.position.x} ${node.position.y})` },
    svg("rect", { class: "card", width: CARD.width, height: CARD.height, rx: 12 }),
    svg("circle", { class: "track", cx: RING.x, cy: RING.y, r: RING.radius }),
    ring,
    svg("path", {
      class: "icon",
      d: iconPath(node.kind),
      transform: `translate(${RING.x - 10} ${RING.y - 10})`,
    }),
    text,
    svg(
      "g",
      { class: "badge", transform: `translate(${CARD.width - 4} 4)` },
      svg("circle", { r: 10 }),
      svg("path", { d: "M0-5V1.2M0 4.4v.2" }),
    ),
  );
  group.setAttribute("tabindex", "0");
  group.setAttribute("role", "img");
  return { group, ring, message, title: node.title, look: "idle" };
}

/** Where on the target's left side the edge ends: its inputs share it, in the order of where they come from. */
function portOf(edge: Edge, flow: Flow, nodes: Map<string, FlowNode>): number {
  const height = (one: Edge): number => nodes.get(one.source)?.position.y ?? 0;
  const into = flow.edges.filter((one) => one.target === edge.target).sort((a, b) => height(a) - height(b));
  return ((into.indexOf(edge) + 1) / (into.length + 1)) * CARD.height;
}

function drawEdge(source: FlowNode, target: FlowNode, port: number): SVGPathElement {
  const [x1, y1] = [source.position.x + CARD.width, source.position.y + CARD.height / 2];
  const [x2, y2] = [target.position.x, target.position.y + port];
  const bend = Math.max(40, Math.abs(x2 - x1) / 2);
  const low = Math.max(source.position.y, target.position.y) + CARD.height + 12;
  const curve =
    x2 > x1
      ? `M${x1} ${y1}C${x1 + bend} ${y1} ${x2 - bend} ${y2} ${x2} ${y2}`
      : // backwards: around the cards, below both
        `M${x1} ${y1}C${x1 + 70} ${y1} ${x1 + 70} ${low} ${x1 - 40} ${low}H${x2 + 40}C${x2 - 70} ${low} ${x2 - 70} ${y2} ${x2} ${y2}`;
  return svg("path", { class: "edge", d: curve, id: `edge-${source.id}-${target.id}` });
}
