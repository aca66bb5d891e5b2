// Emits events to one listener in this process: the twin of ../emitting.py, for the workload `emitter`.
//
// Arguments: by what (ionbus, eventemitter3), which payload (text, 150B), and how many subscriptions to other events there are besides. It
// reads lines with a number from stdin, emits that often, and writes the microseconds of CPU that one took.

import { readFileSync } from "node:fs";
import { createInterface } from "node:readline";
import { EventEmitter } from "eventemitter3";
import { Emitter } from "../../js-shim/dist/esm/index.js";

const [by, payload, others] = process.argv.slice(2);
const value =
  payload === "text"
    ? "Resized 17 of 40 images"
    : JSON.parse(readFileSync(new URL("../payloads/progress-150B.json", import.meta.url), "utf8"));
const contract = { name: "work", version: "1.0", fingerprint: "" };
const progress = {
  kind: "event",
  name: "work.progress",
  contract,
  source: "broker",
  delivery: "session",
  key: [],
};
let heard = 0;
const listen = () => {
  heard += 1;
};

const contenders = {
  ionbus: () => {
    const emitter = new Emitter();
    emitter.on(progress, listen);
    for (let number = 0; number < Number(others); number++) {
      emitter.on(number % 2 === 0 ? `other.of${number}` : `other${number}.*`, listen);
    }
    return () => emitter.emitNowait(progress, value);
  },
  eventemitter3: () => {
    const emitter = new EventEmitter();
    emitter.on("work.progress", listen);
    for (let number = 0; number < Number(others); number++) emitter.on(`other.of${number}`, listen);
    return () => emitter.emit("work.progress", value);
  },
};
const emit = contenders[by]();

for await (const line of createInterface({ input: process.stdin })) {
  const count = Number(line);
  const before = process.cpuUsage();
  for (let number = 0; number < count; number++) emit();
  const { user, system } = process.cpuUsage(before);
  process.stdout.write(`${(user + system) / count}\n`);
}
if (heard === 0) throw new Error("nothing was heard");
