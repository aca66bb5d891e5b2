/** Runs a target over many inputs, and watches time, memory and what comes out. The twin of tests/fuzz/driver.py. */

import { existsSync, readdirSync, readFileSync } from "node:fs";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { fromHex, toHex } from "../replay.js";
import { joined, Mutator } from "./mutation.js";

/** What came of an input: a new label makes it worth keeping. `inputs`: frames, where one run is a conversation. */
export interface Outcome {
  readonly label: string;
  readonly inputs: number;
}

export interface Target {
  readonly name: string;
  /** Takes one input; throws where something is wrong. */
  readonly run: (data: Uint8Array) => Outcome | Promise<Outcome>;
  /** Inputs to begin with; none: inputs are decisions. */
  readonly seeds: readonly Uint8Array[];
  readonly longest: number;
}

export interface Finding {
  readonly kind: "raised" | "slow" | "grew";
  readonly text: string;
  readonly data: Uint8Array;
}

export interface Report {
  inputs: number;
  runs: number;
  seconds: number;
  slowestMs: number;
  growthMib: number;
  readonly outcomes: Map<string, number>;
  readonly findings: Finding[];
}

/** More than this for one input is a finding. */
const SLOW_MS = 1_000;
/** More than this beyond what a target used after its first tenth is a finding: garbage is collected before it is measured. */
const GROWTH_MIB = 64;
const MAX_FINDINGS = 5;
const MAX_LABELS = 2_000;

/** Raise unless something holds. */
export function check(isSo: boolean, what: string): void {
  if (!isSo) throw new Error(what);
}

/** Run a target over so many inputs; `watch` is told each before it is run. */
export async function drive(
  target: Target,
  seed: number,
  inputs: number,
  watch: (data: Uint8Array) => void = () => {},
): Promise<Report> {
  const report: Report = {
    inputs: 0,
    runs: 0,
    seconds: 0,
    slowestMs: 0,
    growthMib: 0,
    outcomes: new Map(),
    findings: [],
  };
  const mutator = new Mutator(`${seed} ${target.name}`, target.seeds, target.longest);
  const known = new Set<string>();
  const begun = performance.now();
  let baseline: number | undefined;
  while (report.inputs < inputs && report.findings.length < MAX_FINDINGS) {
    const data = mutator.next();
    watch(data);
    const [outcome, finding] = await judge(target, data, report);
    report.runs++;
    report.inputs += outcome.inputs;
    if (finding !== undefined && !known.has(finding.kind + kindOf(finding.text))) {
      known.add(finding.kind + kindOf(finding.text));
      report.findings.push(await minimised(target, finding));
    }
    const count = report.outcomes.get(outcome.label);
    if (count !== undefined) report.outcomes.set(outcome.label, count + 1);
    else if (report.outcomes.size < MAX_LABELS) {
      report.outcomes.set(outcome.label, 1);
      mutator.keep(data);
    }
    if (report.runs % 65_536 === 0) {
      const used = usedMib();
      if (baseline === undefined && report.inputs * 10 >= inputs) baseline = used;
      if (baseline !== undefined) report.growthMib = Math.max(report.growthMib, used - baseline);
    }
  }
  if (report.growthMib > GROWTH_MIB) {
    const text = `grew by ${Math.round(report.growthMib)} MiB after the first tenth of ${report.inputs} inputs`;
    report.findings.push({ kind: "grew", text, data: new Uint8Array(0) });
  }
  report.seconds = (performance.now() - begun) / 1_000;
  return report;
}

/** Run one input. */
export async function judge(
  target: Target,
  data: Uint8Array,
  report?: Report,
): Promise<[outcome: Outcome, finding: Finding | undefined]> {
  const begun = performance.now();
  let outcome: Outcome;
  try {
    const given = target.run(data);
    outcome = given instanceof Promise ? await given : given;
  } catch (error) {
    return [
      { label: "finding", inputs: 1 },
      { kind: "raised", text: told(error), data },
    ];
  }
  const ms = performance.now() - begun;
  if (ms > SLOW_MS) {
    const before = process.cpuUsage(); // perhaps it was not its turn: once more, by the processor's time
    await target.run(data);
    const spent = process.cpuUsage(before).user / 1_000;
    if (spent > SLOW_MS) {
      const text = `took ${Math.round(spent)} ms for ${data.length} bytes`;
      return [
        { label: "finding", inputs: 1 },
        { kind: "slow", text, data },
      ];
    }
  } else if (report !== undefined && ms > report.slowestMs) report.slowestMs = ms;
  return [outcome, undefined];
}

function told(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  const where = /\n\s+at ([^\n]+)/.exec(error.stack ?? "")?.[1] ?? "nowhere";
  return `${error.constructor.name}: ${error.message.slice(0, 300)} at ${where}`;
}

/** Two findings of the same kind are taken for the same mistake. */
function kindOf(text: string): string {
  return text.replace(/:.* at /s, " at ");
}

/** The same finding with as little input as can be found in some steps. */
async function minimised(target: Target, finding: Finding): Promise<Finding> {
  if (finding.kind !== "raised") return finding;
  let best = finding;
  let steps = 2_000;
  const isSame = async (data: Uint8Array): Promise<boolean> => {
    steps--;
    const [, found] = await judge(target, data);
    if (found === undefined || kindOf(found.text) !== kindOf(finding.text)) return false;
    best = found;
    return true;
  };
  for (let size = Math.max(1, best.data.length >> 1); steps > 0; size = Math.max(1, size >> 1)) {
    const was = best.data.length;
    let at = 0;
    while (at < best.data.length && steps > 0) {
      if (!(await isSame(joined(best.data.subarray(0, at), best.data.subarray(at + size))))) at += size;
    }
    if (size === 1 && best.data.length === was) break;
  }
  return best;
}

function usedMib(): number {
  setFlagsFromString("--expose-gc");
  (runInNewContext("gc") as () => void)();
  const { heapUsed, external, arrayBuffers } = process.memoryUsage();
  return (heapUsed + external + arrayBuffers) / 2 ** 20;
}

/** A report as it stands in the JSON of `make fuzz`. */
export function plainReport(report: Report): Record<string, unknown> {
  const common = [...report.outcomes].sort((a, b) => b[1] - a[1]).slice(0, 8);
  const round = (value: number) => Math.round(value * 10) / 10;
  return {
    inputs: report.inputs,
    runs: report.runs,
    seconds: round(report.seconds),
    inputs_per_second: Math.round(report.inputs / Math.max(report.seconds, 1e-3)),
    slowest_ms: round(report.slowestMs),
    growth_mib: round(report.growthMib),
    different_outcomes: report.outcomes.size,
    outcomes: Object.fromEntries(common),
    findings: report.findings.length,
    found: report.findings.map(({ kind, text, data }) => ({ kind, text, hex: toHex(data) })),
  };
}

/** A target's findings of earlier times, whichever side had them: tests/fuzz/corpus/TARGET/NAME.hex. */
export function corpus(name: string): [name: string, data: Uint8Array][] {
  const folder = new URL(`../../../tests/fuzz/corpus/${name}/`, import.meta.url);
  if (!existsSync(folder)) return [];
  const files = readdirSync(folder).filter((file) => file.endsWith(".hex"));
  return files.map((file) => {
    const lines = readFileSync(new URL(file, folder), "utf8").split("\n");
    return [file, fromHex(lines.filter((line) => !line.startsWith("#")).join(""))];
  });
}
