/** The flow as a graph: cards for the nodes, curves for the edges, and how a run stands with each. */
import { memo } from "react";
import type { Edge, Flow, Node as FlowNode } from "./generated/conductor.js";
import { iconPath } from "./icons.js";
import type { Look } from "./run.js";

const CARD = { width: 204, height: 76 };
const MARGIN = 28;
const RING = { x: 31, y: 38, radius: 18 };
const IDLE: Look = { state: "idle", percent: 0, message: "" };

const WORDS: Record<Look["state"], string> = {
  idle: "Ready",
  pending: "Waiting",
  running: "Running",
  waiting: "Asks you",
  finished: "Done",
  failed: "Failed",
  cancelled: "Cancelled",
};

export function Graph({ flow, looks }: { flow: Flow; looks: ReadonlyMap<string, Look> }) {
  const nodes = new Map(flow.nodes.map((node) => [node.id, node]));
  const [xs, ys] = [flow.nodes.map((node) => node.position.x), flow.nodes.map((node) => node.position.y)];
  const [left, top] = [Math.min(...xs) - MARGIN, Math.min(...ys) - MARGIN];
  const width = Math.max(...xs) + CARD.width + MARGIN - left;
  const height = Math.max(...ys) + CARD.height + MARGIN - top;
  const lookOf = (id: string): Look => looks.get(id) ?? IDLE;
  return (
    // biome-ignore lint/a11y/useSemanticElements: what groups in HTML cannot stand in an SVG
    <svg id="graph" role="group" aria-label="Nodes of the flow" viewBox={`${left} ${top} ${width} ${height}`}>
      <g className="edges">
        {flow.edges.map((edge) => {
          const [source, target] = [nodes.get(edge.source), nodes.get(edge.target)];
          if (source === undefined || target === undefined) return null;
          const id = `edge-${edge.source}-${edge.target}`;
          const look = edgeLook(lookOf(edge.source).state, lookOf(edge.target).state);
          return (
            <path
              key={`${id} ${edge.input}`}
              id={id}
              className="edge"
              data-look={look}
              d={curve(source, target, portOf(edge, flow, nodes))}
            />
          );
        })}
      </g>
      <g className="nodes">
        {flow.nodes.map((node) => (
          <Card key={node.id} node={node} {...lookOf(node.id)} />
        ))}
      </g>
    </svg>
  );
}

const Card = memo(function Card({ node, state, percent, message }: { node: FlowNode } & Look) {
  const share = state === "running" ? `, ${Math.round(percent)} percent` : "";
  return (
    // biome-ignore lint/a11y/noInteractiveElementToNoninteractiveRole: an image that the banner leads to
    <g
      className="node"
      id={`node-${node.id}`}
      data-look={state}
      transform={`translate(${node.position.x} ${node.position.y})`}
      tabIndex={0}
      role="img"
      aria-label={`${node.title}: ${WORDS[state]}${share}. ${message}`}
    >
      <rect className="card" width={CARD.width} height={CARD.height} rx={12} />
      <circle className="track" cx={RING.x} cy={RING.y} r={RING.radius} />
      <circle
        className="ring"
        cx={RING.x}
        cy={RING.y}
        r={RING.radius}
        pathLength={100}
        strokeDasharray={`${Math.min(100, percent)} 100`}
      />
      <path className="icon" d={iconPath(node.kind)} transform={`translate(${RING.x - 10} ${RING.y - 10})`} />
      <foreignObject x={60} y={0} width={CARD.width - 68} height={CARD.height}>
        <div className="words">
          <p className="name">{node.title}</p>
          <p className="message" title={message}>
            {message || WORDS[state]}
          </p>
        </div>
      </foreignObject>
      <g className="badge" transform={`translate(${CARD.width - 4} 4)`}>
        <circle r={10} />
        <path d="M0-5V1.2M0 4.4v.2" />
      </g>
    </g>
  );
});

/** Move the keyboard's focus to a node. */
export function focusNode(id: string): void {
  const card = document.getElementById(`node-${id}`);
  if (card instanceof SVGElement) card.focus();
}

function edgeLook(source: Look["state"], target: Look["state"]): string {
  if (target === "failed") return "failed";
  if (source !== "finished") return "idle";
  return target === "finished"
    ? "finished"
    : target === "running" || target === "waiting"
      ? "flowing"
      : "ready";
}

/** Where on the target's left side the edge ends: its inputs share it, in the order of where they come from. */
function portOf(edge: Edge, flow: Flow, nodes: ReadonlyMap<string, FlowNode>): number {
  const height = (one: Edge): number => nodes.get(one.source)?.position.y ?? 0;
  const into = flow.edges.filter((one) => one.target === edge.target).sort((a, b) => height(a) - height(b));
  return ((into.indexOf(edge) + 1) / (into.length + 1)) * CARD.height;
}

function curve(source: FlowNode, target: FlowNode, port: number): string {
  const [x1, y1] = [source.position.x + CARD.width, source.position.y + CARD.height / 2];
  const [x2, y2] = [target.position.x, target.position.y + port];
  const bend = Math.max(40, Math.abs(x2 - x1) / 2);
  if (x2 > x1) return `M${x1} ${y1}C${x1 + bend} ${y1} ${x2 - bend} ${y2} ${x2} ${y2}`;
  // backwards: around the cards, below both
  const low = Math.max(source.position.y, target.position.y) + CARD.height + 12;
  return `M${x1} ${y1}C${x1 + 70} ${y1} ${x1 + 70} ${low} ${x1 - 40} ${low}H${x2 + 40}C${x2 - 70} ${low} ${x2 - 70} ${y2} ${x2} ${y2}`;
}
