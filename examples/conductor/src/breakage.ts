/** Ways to spoil a flow, so that one sees what the broker says to it. */
import type { Flow } from "./generated/conductor.js";

export interface Breakage {
  readonly id: string;
  readonly name: string;
  spoil(flow: Flow): Flow;
}

export const BREAKAGES: readonly Breakage[] = [
  { id: "none", name: "No", spoil: (flow) => flow },
  {
    id: "input",
    name: "Cut an input",
    spoil: (flow) => ({ ...flow, edges: flow.edges.filter((edge) => edge.target !== "words") }),
  },
  {
    id: "cycle",
    name: "Make a circle",
    spoil: (flow) => ({
      ...flow,
      edges: flow.edges.map((edge) => (edge.target === "hash" ? { ...edge, source: "duplicates" } : edge)),
    }),
  },
  {
    id: "kind",
    name: "Unknown kind",
    spoil: (flow) => ({
      ...flow,
      nodes: flow.nodes.map((node) => (node.id === "thumbs" ? { ...node, kind: "images.hologram" } : node)),
    }),
  },
];
