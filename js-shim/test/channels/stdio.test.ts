import { PassThrough, Writable } from "node:stream";
import { beforeEach, describe, expect, it, vi } from "vitest";
import type { Receiver } from "../../src/channels/base.js";
import { type Pipe, type PipeEnd, stdioPipe } from "../../src/channels/stdio.js";
import { Record } from "../../src/generated/protocol.js";
import { encodeRecord, type PipeRecord, RecordReader } from "../../src/wire/records.js";
import { decode, encode } from "../../src/wire/values.js";

interface Heard extends Receiver {
  readonly frames: number[][];
  readonly ends: unknown[];
}

function hear(): Heard {
  const frames: number[][] = [];
  const ends: unknown[] = [];
  return {
    frames,
    ends,
    frameReceived: (frame) => frames.push([...frame]),
    writable: vi.fn(),
    closed: (...end) => ends.push(end),
  };
}

/** A child's input that is behind until it is told to go on. */
class SlowInput extends Writable {
  readonly records: PipeRecord[] = [];
  isSlow = false;
  readonly #reader = new RecordReader();
  #go: (() => void)[] = [];

  constructor() {
    super({ highWaterMark: 64 });
  }

  override _write(chunk: Buffer, _encoding: string, done: () => void): void {
    this.records.push(...this.#reader.feed(chunk));
    if (this.isSlow) this.#go.push(done);
    else done();
  }

  goOn(): void {
    this.isSlow = false;
    for (const done of this.#go.splice(0)) done();
  }

  /** Channel and first byte of each frame. */
  get sent(): [channel: number, byte: number | undefined][] {
    return this.records
      .filter(({ kind }) => kind === Record.Data)
      .map(({ channel, body }) => [channel, body[0]]);
  }
}

let input: SlowInput;
let output: PassThrough;
let ended: ReturnType<typeof vi.fn<(end: PipeEnd) => void>>;
let pipe: Pipe;

beforeEach(() => {
  input = new SlowInput();
  output = new PassThrough();
  ended = vi.fn<(end: PipeEnd) => void>();
  pipe = stdioPipe(input, output, ended);
});

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

describe("the pipe", () => {
  it("says who a channel is for, and moves frames both ways", async () => {
    const heard = hear();
    const details = { web_contents: 3, frame: 7 };
    const channel = pipe.open({ role: "window", origin: "file://", details }, heard);
    channel.send(new Uint8Array([1, 2]));
    output.write(encodeRecord(Record.Data, 1, new Uint8Array([3])));
    await turn();
    const [open, data] = input.records;
    expect(open).toMatchObject({ kind: Record.Open, channel: 1 });
    expect(decode(open?.body ?? new Uint8Array())).toEqual({ role: "window", ...details, origin: "file://" });
    expect(data).toMatchObject({ kind: Record.Data, channel: 1 });
    expect(heard.frames).toEqual([[3]]);
    pipe.open({ role: "window", origin: "file://", roles: ["admin"], details }, hear());
    pipe.open({ role: "main", roles: [] }, hear());
    await turn();
    const [withRoles, main] = input.records.slice(2).map(({ body }) => decode(body));
    expect(withRoles).toMatchObject({ role: "window", roles: ["admin"] });
    expect(main).toEqual({ role: "main" });
  });

  it("loses a channel for which too much waits, and no other", async () => {
    const [flooding, quiet] = [hear(), hear()];
    const channel = pipe.open({ role: "window" }, flooding);
    pipe.open({ role: "window" }, quiet);
    input.isSlow = true;
    for (let sent = 0; sent < 40 && flooding.ends.length === 0; sent += 1)
      channel.send(new Uint8Array(1_000_000));
    expect(flooding.ends).toEqual([
      [false, "connection_lost", "more than 33554432 bytes wait and nobody reads them"],
    ]);
    expect(quiet.ends).toEqual([]);
    channel.send(new Uint8Array([1]));
    expect(pipe.isOpen).toBe(true);
  });

  it("keeps channels apart, and gives no id twice", async () => {
    const [one, two] = [hear(), hear()];
    const first = pipe.open({ role: "window" }, one);
    pipe.open({ role: "window" }, two);
    first.close(true, "closed", "the page is gone");
    pipe.open({ role: "window" }, hear());
    output.write(encodeRecord(Record.Data, 1, new Uint8Array([1])));
    output.write(encodeRecord(Record.Data, 2, new Uint8Array([2])));
    await turn();
    expect([one.frames, two.frames]).toEqual([[], [[2]]]);
    const close = input.records.find(({ kind }) => kind === Record.Close);
    expect(decode(close?.body ?? new Uint8Array())).toEqual([true, "closed", "the page is gone"]);
    expect(input.records.filter(({ kind }) => kind === Record.Open).map(({ channel }) => channel)).toEqual([
      1, 2, 3,
    ]);
  });

  it("takes turns between channels while it is behind, and tells them when it has caught up", async () => {
    const [one, two] = [hear(), hear()];
    const first = pipe.open({ role: "window" }, one);
    const second = pipe.open({ role: "window" }, two);
    await turn();
    input.isSlow = true;
    const frame = (byte: number): Uint8Array => new Uint8Array(100).fill(byte);
    first.send(frame(0));
    expect(first.isWritable).toBe(false);
    expect(second.isWritable).toBe(false);
    for (const byte of [1, 2, 3]) first.send(frame(byte));
    for (const byte of [1, 2]) second.send(frame(byte));
    input.goOn();
    await vi.waitUntil(() => input.sent.length === 6);
    expect(input.sent).toEqual([
      [1, 0],
      [1, 1],
      [2, 1],
      [1, 2],
      [2, 2],
      [1, 3],
    ]);
    await vi.waitUntil(() => first.isWritable);
    expect(one.writable).toHaveBeenCalledOnce();
    expect(two.writable).toHaveBeenCalledOnce();
  });

  it("hears that the broker has closed a channel", async () => {
    const heard = hear();
    pipe.open({ role: "main" }, heard);
    output.write(encodeRecord(Record.Close, 1, encode([true, "stopping", "enough"])));
    await turn();
    expect(heard.ends).toEqual([[true, "stopping", "enough"]]);
    expect(ended).not.toHaveBeenCalled();
  });

  it("shows what a child wrote that is no record", async () => {
    const heard = hear();
    pipe.open({ role: "main" }, heard);
    output.write("Traceback (most recent call last):\n");
    await turn();
    expect(ended).toHaveBeenCalledOnce();
    expect(ended.mock.calls[0]?.[0]).toMatchObject({
      isViolation: true,
      deed: expect.stringContaining(
        'no record on its standard output: "Traceback (most recent call last):\\n"',
      ),
    });
    expect([pipe.isOpen, heard.ends]).toEqual([false, []]);
    pipe.close("it was no broker");
    expect(heard.ends).toEqual([[false, "connection_lost", "it was no broker"]]);
  });

  it("shows what a child wrote that is too short for a record", async () => {
    output.end("Hi\n");
    await turn();
    await turn();
    expect(ended.mock.calls).toMatchObject([
      [{ isViolation: true, deed: expect.stringContaining('"Hi\\n"') }],
    ]);
  });

  it("ends on a channel that was never opened", async () => {
    output.write(encodeRecord(Record.Data, 9, new Uint8Array([1])));
    await turn();
    expect(ended).toHaveBeenCalledWith({
      isViolation: true,
      deed: "wrote to channel 9, which was never opened",
    });
  });

  it("loses a channel whose frame is too large, and no other", async () => {
    const [one, two] = [hear(), hear()];
    pipe.open({ role: "window" }, one);
    pipe.open({ role: "window" }, two);
    output.write(encodeRecord(Record.Data, 1, new Uint8Array(20_000)));
    output.write(encodeRecord(Record.Data, 2, new Uint8Array([1])));
    await turn();
    expect(one.ends).toMatchObject([[false, "too_large", expect.any(String)]]);
    expect(two.frames).toEqual([[1]]);
  });

  it("takes EPIPE for the end, not for an exception", async () => {
    const heard = hear();
    pipe.open({ role: "main" }, heard);
    input.destroy(Object.assign(new Error("write EPIPE"), { code: "EPIPE" }));
    await turn();
    const deed = "has closed its standard input (EPIPE)";
    expect(ended).toHaveBeenCalledWith({ isViolation: false, deed });
    output.write(encodeRecord(Record.Data, 1, new Uint8Array([7])));
    await turn();
    expect(heard.frames).toEqual([[7]]); // its last words
    const late = hear();
    pipe.open({ role: "main" }, late).send(new Uint8Array([1]));
    await turn();
    expect(late.ends).toHaveLength(1);
  });

  it("says once that the output has ended", async () => {
    output.end();
    await turn();
    await turn();
    expect(ended.mock.calls).toEqual([[{ isViolation: false, deed: "has closed its standard output" }]]);
  });
});
