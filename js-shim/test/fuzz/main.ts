/**
 * `make fuzz` runs this, bundled: `fuzz.mjs TARGET SEED INPUTS` gives a report as JSON, `--list` the targets, `--replay TARGET HEX` runs one
 * input, `--judge` answers tests/fuzz/differential.py.
 *
 * The target runs in a thread, and the main one watches that it takes up inputs: a loop without end is a finding like any other.
 */

import { isMainThread, parentPort, Worker, workerData } from "node:worker_threads";
import { fromHex, toHex } from "../replay.js";
import { drive, judge, plainReport } from "./driver.js";
import { answerAll } from "./judge.js";
import { targets } from "./targets.js";

/** A single input takes milliseconds. */
const SILENT_MS = 60_000;
const LONGEST = 1 << 20;

interface Work {
  readonly name: string;
  readonly seed: number;
  readonly inputs: number;
  /** How many inputs were begun and the size of the newest, then its bytes. */
  readonly board: SharedArrayBuffer;
}

function named(name: string | undefined) {
  const target = targets().find((each) => each.name === name);
  if (target === undefined) throw new Error(`${name}: no such target`);
  return target;
}

async function work({ name, seed, inputs, board }: Work): Promise<void> {
  const counts = new Int32Array(board, 0, 2);
  const bytes = new Uint8Array(board, 8);
  const report = await drive(named(name), seed, inputs, (data) => {
    bytes.set(data.subarray(0, LONGEST));
    counts[1] = Math.min(data.length, LONGEST);
    Atomics.add(counts, 0, 1);
  });
  parentPort?.postMessage(plainReport(report));
}

function watch(name: string, seed: number, inputs: number): void {
  const board = new SharedArrayBuffer(8 + LONGEST);
  const counts = new Int32Array(board, 0, 2);
  const data: Work = { name, seed, inputs, board };
  const worker = new Worker(new URL(import.meta.url), { workerData: data });
  const input = () => toHex(new Uint8Array(board, 8, counts[1]).slice());
  let seen = -1;
  let silent = 0;
  const timer = setInterval(() => {
    const count = Atomics.load(counts, 0);
    silent = count === seen ? silent + 1_000 : 0;
    seen = count;
    if (silent < SILENT_MS) return;
    end({ found: [{ kind: "hung", text: `no end after ${SILENT_MS} ms`, hex: input() }] });
    void worker.terminate();
  }, 1_000);
  const end = (report: unknown) => {
    clearInterval(timer);
    process.stdout.write(JSON.stringify(report));
  };
  worker.on("message", end);
  worker.on("error", (error: Error) => {
    end({ found: [{ kind: "died", text: String(error.stack ?? error), hex: input() }] });
  });
}

if (!isMainThread) await work(workerData as Work);
else {
  const [name, ...rest] = process.argv.slice(2);
  if (name === "--list")
    console.log(
      targets()
        .map((target) => target.name)
        .join("\n"),
    );
  else if (name === "--judge") await answerAll();
  else if (name === "--replay") {
    const [outcome, finding] = await judge(named(rest[0]), fromHex(rest[1] ?? ""));
    console.log(finding?.text ?? outcome.label);
    process.exitCode = finding === undefined ? 0 : 1;
  } else watch(name ?? "", Number(rest[0]), Number(rest[1]));
}
