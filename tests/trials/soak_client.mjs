/**
 * A client of the soak in Node.js, the twin of soak_client.py: `node soak_client.mjs SPEC`, the same JSON object with the contract's
 * `fingerprint`; prints what it counted. What it sends and expects is in soaking.py.
 */
import { createHash } from "node:crypto";
import { setTimeout as sleep } from "node:timers/promises";
import { CallTimeout, ContractError, call, connect, event, serve, stream } from "ionbus";

const CALLERS = 24;
const PATIENCE = 20_000;
const SMALLEST_BIG = 300_000;
const LARGEST_BIG = 3_000_000;

const spec = JSON.parse(process.argv[2]);
const violations = [];
const violated = (what) => {
  if (violations.length < 20) violations.push(`Node.js client: ${what}`);
};

class Refused extends ContractError {
  static code = "refused";
  constructor(fields) {
    super("Refused, as asked.", fields);
  }
}

const contract = { name: "soak", version: "1.0", fingerprint: spec.fingerprint };
const Soak = {
  begin: call({ name: "soak.begin", contract, timeoutMs: null }),
  tally: call({ name: "soak.tally", contract, timeoutMs: null }),
  told: event({ name: "soak.told", contract }),
  announced: event({ name: "soak.announced", contract }),
  said: event({ name: "soak.said", contract, source: "client" }),
  do: call({ name: "soak.do", contract, timeoutMs: 90_000, raises: [Refused] }),
  asked: call({ name: "soak.asked", contract, servedBy: "client", serve, raises: [Refused] }),
  pace: call({ name: "soak.pace", contract, servedBy: "client", serve }),
  counted: stream({ name: "soak.counted", contract, timeoutMs: null }),
  drawn: stream({ name: "soak.drawn", contract, servedBy: "client", serve }),
};

// Numbers and the bytes that belong to them.

const pattern = Buffer.concat(
  Array.from({ length: 120_000 }, (_, number) => {
    const counter = Buffer.alloc(4);
    counter.writeUInt32BE(number);
    return createHash("sha256").update(counter).digest();
  }),
);

function body(number, size) {
  const bytes = Buffer.allocUnsafe(size);
  bytes.writeUInt32BE(Math.floor(number / 2 ** 32), 0);
  bytes.writeUInt32BE(number % 2 ** 32, 4);
  const shift = (number * 31) % 65_536;
  pattern.copy(bytes, 8, shift, shift + size - 8);
  return new Uint8Array(bytes.buffer, bytes.byteOffset, size);
}

function numberOf(data) {
  const bytes = Buffer.from(data.buffer, data.byteOffset, data.length);
  const number = bytes.readUInt32BE(0) * 2 ** 32 + bytes.readUInt32BE(4);
  return bytes.equals(body(number, data.length)) ? number : undefined;
}

/** Numbers in [0, 1) from a seed. */
function dice(seed) {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x9e3779b9) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 16), 0x21f0aaad);
    mixed = Math.imul(mixed ^ (mixed >>> 15), 0x735a2d97);
    return ((mixed ^ (mixed >>> 15)) >>> 0) / 2 ** 32;
  };
}

const bigSize = (random) => Math.floor(SMALLEST_BIG * (LARGEST_BIG / SMALLEST_BIG) ** random());

/** Numbers that must arrive 0, 1, 2, … */
class Sequence {
  got = 0;
  constructor(name) {
    this.name = name;
  }
  take(data) {
    const number = numberOf(data);
    if (number !== this.got) violated(`${this.name}: ${number} came where ${this.got} was due`);
    this.got++;
  }
  close(sent) {
    if (this.got !== sent) violated(`${this.name}: ${sent} were sent and ${this.got} have come`);
  }
}

// What it gets.

const told = new Sequence("events");
const announced = new Sequence("announced events");
const executed = new Set();
const tally = {
  sent_events: 0,
  got_events: 0,
  got_announced: 0,
  calls: {},
  executed: 0,
  streams: 0,
  left_streams: 0,
  items: 0,
  big_payloads: 0,
  violations: [],
};
let openStreams = 0;
let resumed = 0;
let replayed = 0;

const bus = connect({ url: spec.url, token: spec.token, limits: { retryBaseMs: 1, retryCapMs: 5 } });
bus.onState((change) => {
  if (change.outcome === "resumed") {
    resumed++;
    replayed += change.replayed;
  }
  if (change.outcome === "lost") violated(`the session was lost: ${change.code} ${change.reason}`);
});
bus.onError((error) => violated(`${error} was refused later`));
const subscriptions = [
  bus.on(Soak.told, (data) => told.take(data)),
  bus.on(Soak.announced, (data) => announced.take(data)),
];
bus.handle(Soak.pace, () => {});
bus.handle(Soak.asked, async (job, { signal }) => {
  if (executed.has(job.id)) violated(`call ${job.id} was executed twice`);
  executed.add(job.id);
  if (job.kind === "refuse") throw new Refused({ id: job.id });
  if (job.kind === "wait") await sleep(30_000, undefined, { signal });
  return { id: job.id, body: job.body };
});
bus.handle(Soak.drawn, async function* drawn(count) {
  openStreams++;
  try {
    for (let number = 0; number < count.items; number++) yield body(number, count.size);
  } finally {
    openStreams--;
  }
});

// What it sends.

const counted = (outcome) => {
  tally.calls[outcome] = (tally.calls[outcome] ?? 0) + 1;
};

async function emitEvents(work) {
  const random = dice(work.seed);
  const every = Math.max(1, Math.floor(work.events / work.big_events));
  for (let number = 0; number < work.events; number++) {
    let size = number % 8 === 0 ? 8 + Math.floor(random() * 200) : 8;
    if (number % every === every - 1) {
      size = bigSize(random);
      tally.big_payloads++;
    }
    await bus.emit(Soak.said, body(number, size));
    tally.sent_events++;
  }
}

async function oneCall(job, options, expected) {
  try {
    const done = await bus.call(Soak.do, job, options);
    counted("answered");
    const isSame = Buffer.compare(done.body, job.body) === 0;
    if (expected !== "answered" || done.id !== job.id || !isSame)
      violated(`call ${job.id} (${job.kind}) has another one's answer`);
  } catch (error) {
    const outcome =
      error instanceof CallTimeout ? "timed out" : error.code === "call_cancelled" ? "cancelled" : error.code;
    counted(outcome ?? String(error));
    if (outcome !== expected) violated(`call ${job.id} (${job.kind}) ended with ${error}`);
    if (outcome === "refused" && error.id !== job.id) violated(`call ${job.id} was refused as ${error.id}`);
  }
}

async function callMany(ids, random) {
  for (const id of ids) {
    const chance = random();
    const nothing = new Uint8Array();
    if (chance < 0.02) await oneCall({ id, kind: "refuse", body: nothing }, {}, "refused");
    else if (chance < 0.025)
      await oneCall({ id, kind: "wait", body: nothing }, { timeoutMs: 20 }, "timed out");
    else if (chance < 0.03)
      await oneCall({ id, kind: "wait", body: nothing }, { signal: AbortSignal.timeout(10) }, "cancelled");
    else await oneCall({ id, kind: "echo", body: body(id, 8 + Math.floor(random() * 100)) }, {}, "answered");
  }
}

async function callBig(work) {
  const random = dice(work.seed + 1);
  for (let id = work.calls; id < work.calls + work.big_calls; id++) {
    tally.big_payloads += 2;
    await oneCall({ id, kind: "echo", body: body(id, bigSize(random)) }, {}, "answered");
  }
}

async function readStreams(work, reader) {
  const random = dice(work.seed + 2 + reader);
  for (let number = reader; number < work.streams; number += 2) {
    const count = { items: 1 + Math.floor(random() * 299), size: 8 + Math.floor(random() * 400) };
    const leavesAt = number % 4 === 0 ? 1 + Math.floor(random() * count.items) : undefined;
    const items = new Sequence(`stream ${number}`);
    for await (const item of bus.stream(Soak.counted, count)) {
      items.take(item);
      if (items.got === leavesAt) break;
    }
    tally.streams++;
    tally.items += items.got;
    if (items.got === leavesAt) tally.left_streams++;
    else items.close(count.items);
  }
}

async function doHalf(work) {
  const ids = Array.from({ length: work.calls }, (_, id) => id).values();
  await Promise.all([
    emitEvents(work),
    callBig(work),
    readStreams(work, 0),
    readStreams(work, 1),
    ...Array.from({ length: CALLERS }, (_, number) => callMany(ids, dice(work.seed * 1000 + number))),
  ]);
}

/** Events that wait for credit are passed by answers: wait as long as any come. */
async function settle(sentEvents) {
  let seen = -1;
  let still = 0;
  while (told.got + announced.got < sentEvents + spec.announced || openStreams > 0) {
    const got = told.got + announced.got;
    still = got > seen ? 0 : still + 20;
    if (still > PATIENCE) break;
    seen = got;
    await sleep(20);
  }
  told.close(sentEvents);
  announced.close(spec.announced);
  if (openStreams > 0) violated(`${openStreams} streams go on that nobody reads`);
}

await Promise.all(subscriptions.map((subscription) => subscription.confirmed()));
console.log("subscribed");
let lastProgress = -1;
setInterval(() => {
  const progress = told.got + announced.got + executed.size + tally.items;
  if (progress > lastProgress) console.log(`progress ${progress}`);
  lastProgress = progress;
}, 1000).unref();
const [theirs] = await Promise.all([bus.call(Soak.begin, spec.work), doHalf(spec.work)]);
const atBroker = await bus.call(Soak.tally, tally.sent_events);
await settle(theirs.sent_events);
await bus.close();

tally.got_events = told.got;
tally.got_announced = announced.got;
tally.executed = executed.size;
tally.violations = violations;
const brokers = [
  {
    ...theirs,
    ...pick(atBroker, "got_events", "got_announced", "executed"),
    violations: [...theirs.violations, ...atBroker.violations],
  },
];
console.log(JSON.stringify({ clients: [tally], brokers, resumed, replayed, cuts: 0, violations: [] }));
process.exit(0);

function pick(from, ...names) {
  return Object.fromEntries(names.map((name) => [name, from[name]]));
}
