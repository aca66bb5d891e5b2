/**
 * Who gets a channel of a window's broker, with an Electron of our own whose events come in the order that a test wants.
 * What a real one does is in e2e/electron/trust.test.ts.
 */

import { EventEmitter } from "node:events";
import type { BrowserWindow, WebFrameMain } from "electron";
import { beforeEach, describe, expect, it, vi } from "vitest";
import type { Channel, PeerIdentity, Receiver } from "../../src/channels/base.js";
import type { AttachOptions } from "../../src/electron/attach.js";
import { attachWindow } from "../../src/electron/attach.js";
import { ANSWER, ASK, type HandOver } from "../../src/electron/messages.js";
import type { Supervisor } from "../../src/node/supervisor.js";

class FakePort extends EventEmitter {
  isClosed = false;
  postMessage = vi.fn();
  start(): void {}
  close(): void {
    this.isClosed = true;
  }
}

/** Main's ends of the ports that it has made, in order. */
const mains: FakePort[] = [];

vi.mock("electron", () => ({
  MessageChannelMain: class {
    port1 = new FakePort();
    port2 = new FakePort();
    constructor() {
      mains.push(this.port1);
    }
  },
}));

const APP = "https://app.example/index.html";

class FakeFrame implements Pick<WebFrameMain, "url" | "processId" | "routingId"> {
  readonly answers: { told: HandOver; ports: readonly unknown[] }[] = [];
  constructor(
    public url: string,
    public origin: string | undefined = new URL(url).origin,
    readonly processId = 1,
    readonly routingId = 1,
  ) {}
  postMessage(channel: string, told: HandOver, ports: readonly unknown[]): void {
    expect(channel).toBe(ANSWER);
    this.answers.push({ told, ports });
  }
  get ports(): number {
    return this.answers.filter(({ ports }) => ports.length > 0).length;
  }
  get problems(): (string | undefined)[] {
    return this.answers.map(({ told }) => told.problem);
  }
}

class FakeContents extends EventEmitter {
  readonly ipc = new EventEmitter();
  readonly id = 7;
  mainFrame: FakeFrame;
  constructor(url = "") {
    super();
    this.mainFrame = new FakeFrame(url || "about:blank");
    this.getURL = () => url;
  }
  getURL: () => string;
  isDestroyed = (): boolean => false;
  /** A message of the preload of a frame. */
  ask(frame: FakeFrame | null = this.mainFrame, name: unknown = "main"): void {
    this.ipc.emit(ASK, { senderFrame: frame }, name);
  }
  startNavigation(url: string, isMainFrame = true, isInPlace = false): void {
    this.emit("did-start-navigation", {}, url, isInPlace, isMainFrame);
  }
  /** The document of another page is there; the frame stays the same object, as in Electron. */
  commit(url: string, origin: string | undefined = new URL(url).origin): void {
    this.mainFrame.url = url;
    this.mainFrame.origin = origin;
    this.emit("did-navigate", {}, url);
  }
  load(url: string): void {
    this.startNavigation(url);
    this.commit(url);
  }
}

interface Opened {
  readonly identity: PeerIdentity;
  readonly receiver: Receiver;
  readonly channel: Channel & { close: ReturnType<typeof vi.fn> };
  readonly let: () => void;
}

let contents: FakeContents;
let opened: Opened[];
let endpoints: { readonly request: unknown; readonly give: (token: string) => void }[];
let released: string[];
let logs: string[];
let supervisor: Supervisor;

function makeSupervisor(): Supervisor {
  return {
    token: "launch-token",
    log: (line: string) => logs.push(line),
    open: (identity: PeerIdentity, receiver: Receiver) =>
      new Promise((resolve) => {
        const channel = { kind: "stdio", maxFrameBytes: 0, send: vi.fn(), close: vi.fn() };
        opened.push({ identity, receiver, channel, let: () => resolve(channel) } as unknown as Opened);
      }),
    bus: {
      call: (member: { name: string }, request: unknown) => {
        if (member.name === "ionbus.release") {
          released.push(...(request as string[]));
          return Promise.resolve(null);
        }
        return new Promise((resolve) => {
          endpoints.push({ request, give: (token) => resolve({ url: "ws://127.0.0.1:1", token }) });
        });
      },
    },
  } as unknown as Supervisor;
}

function attach(options?: AttachOptions, name = "main"): ReturnType<typeof attachWindow> {
  return attachWindow(supervisor, name, { webContents: contents } as unknown as BrowserWindow, options);
}

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

/** Let the broker give what was asked for. */
async function letAll(): Promise<void> {
  for (const each of opened) each.let();
  endpoints.forEach(({ give }, index) => {
    give(`token-${index}`);
  });
  await turn();
}

beforeEach(() => {
  contents = new FakeContents();
  opened = [];
  endpoints = [];
  released = [];
  logs = [];
  supervisor = makeSupervisor();
});

describe("a window's main frame", () => {
  it("gets a port, no address, and no role unless main says so", async () => {
    attach();
    contents.load(APP);
    contents.ask();
    await letAll();
    expect(contents.mainFrame.ports).toBe(1);
    expect(contents.mainFrame.answers[0]?.told).toEqual({ ionbus: 1, name: "main", token: "launch-token" });
    expect(opened[0]?.identity).toEqual({
      role: "window",
      origin: "https://app.example",
      roles: [],
      details: { web_contents: 7, frame: 1 },
    });
  });

  it("gets the roles that main says, over either transport", async () => {
    attach({ roles: ["admin"] });
    contents.load(APP);
    contents.ask();
    expect(opened[0]?.identity.roles).toEqual(["admin"]);
    contents = new FakeContents();
    attach({ roles: ["admin"], transport: "websocket" });
    contents.load(APP);
    contents.ask();
    expect(endpoints[0]?.request).toEqual({ origin: "https://app.example", roles: ["admin"] });
    await letAll();
    expect(contents.mainFrame.answers[0]?.told).toEqual({
      ionbus: 1,
      name: "main",
      url: "ws://127.0.0.1:1",
      token: "token-0",
    });
  });
});

describe("nothing is given", () => {
  it.each([
    ["a frame inside", new FakeFrame(APP, undefined, 1, 2)],
    ["a frame of another process with the same number", new FakeFrame(APP, undefined, 2, 1)],
    ["a frame of another origin", new FakeFrame("https://evil.example/", undefined, 2, 2)],
  ])("to %s", async (_, frame) => {
    attach();
    contents.load(APP);
    contents.ask(frame);
    await letAll();
    expect(opened).toEqual([]);
    expect(frame.answers).toEqual([
      {
        told: { ionbus: 1, name: "main", problem: "only the window's main frame may connect", isFinal: true },
        ports: [],
      },
    ]);
  });

  it("to a frame that has gone", async () => {
    attach();
    contents.load(APP);
    contents.ask(null);
    await letAll();
    expect(opened).toEqual([]);
  });

  it.each([["other"], [null], [7], [["main"]], [{ name: "main" }], ["main "], ["MAIN"]])(
    "by the name %j",
    async (name) => {
      attach();
      contents.load(APP);
      contents.ask(contents.mainFrame, name);
      await letAll();
      expect([opened, contents.mainFrame.answers]).toEqual([[], []]);
    },
  );

  it.each([
    "https://evil.example/",
    "https://app.example.evil.example/",
    "http://app.example/",
    "https://app.example:8443/",
    "https://app.example@evil.example/",
    "file:///tmp/page.html",
    "data:text/html,<p>",
    "about:blank",
    "about:srcdoc",
    "",
  ])("to a page of %s in a window of another origin", async (url) => {
    attach();
    contents.load(APP);
    contents.mainFrame.url = url;
    contents.mainFrame.origin = undefined;
    contents.ask();
    await letAll();
    expect(opened).toEqual([]);
    expect(contents.mainFrame.problems[0]).toMatch(
      /may not connect: this window was attached for https:\/\/app\.example$/,
    );
  });

  it("to a page that is in a sandbox, whose address is the right one", async () => {
    attach();
    contents.load(APP);
    contents.mainFrame.origin = "null";
    contents.ask();
    await letAll();
    expect(opened).toEqual([]);
  });

  it.each(["", "about:blank"])("because a window showed %j when it was attached", async (shown) => {
    contents = new FakeContents(shown);
    attach();
    contents.ask();
    await letAll();
    expect(opened).toEqual([]);
    contents.startNavigation("about:blank"); // nor is that the window's own page
    contents.load(APP);
    contents.ask();
    expect(opened).toHaveLength(1);
    contents.commit("about:blank", "https://evil.example");
    contents.ask();
    expect(opened).toHaveLength(1);
  });

  it("where the origins that were named do not have it", async () => {
    attach({ origins: ["https://other.example"] });
    contents.load(APP);
    contents.ask();
    await letAll();
    expect(opened).toEqual([]);
  });

  it("because a frame inside was navigated first", async () => {
    attach();
    contents.startNavigation("https://evil.example/", false);
    contents.load(APP);
    contents.ask();
    expect(opened).toHaveLength(1);
  });
});

describe.each(["port", "websocket"] as const)("over a %s, a navigation", (transport) => {
  const handed = (): number =>
    contents.mainFrame.answers.filter(({ told, ports }) => ports.length > 0 || told.url !== undefined).length;
  /** Whether everything that was asked for has been taken back. */
  const isTakenBack = (): boolean =>
    transport === "port"
      ? opened.every(({ channel }) => channel.close.mock.calls.some(([over]) => over === true))
      : released.length === endpoints.length;

  beforeEach(() => {
    attach({ transport });
    contents.load(APP);
  });

  it("to another origin while the broker makes a channel leaves the new page without it", async () => {
    contents.ask();
    contents.startNavigation("https://evil.example/");
    contents.commit("https://evil.example/");
    await letAll();
    expect(handed()).toBe(0);
    expect(isTakenBack()).toBe(true);
  });

  it("that has begun when the old page asks leaves the new page without it", async () => {
    contents.startNavigation("https://evil.example/");
    contents.ask(); // of the document that is being left
    contents.commit("https://evil.example/");
    await letAll();
    expect(handed()).toBe(0);
    expect(isTakenBack()).toBe(true);
  });

  it("to the same origin ends what the old page has, and what it asked for while it was left", async () => {
    contents.ask();
    await letAll();
    contents.startNavigation(APP);
    contents.ask();
    contents.commit(APP);
    await letAll();
    expect(handed()).toBe(1);
    expect(isTakenBack()).toBe(true);
    contents.ask();
    await letAll();
    expect(handed()).toBe(2);
    expect(isTakenBack()).toBe(false);
  });

  it("that is not told of is seen from where the page is when the answer is made", async () => {
    contents.ask();
    contents.mainFrame.url = "https://evil.example/";
    contents.mainFrame.origin = "https://evil.example";
    await letAll();
    expect(handed()).toBe(0);
    expect(isTakenBack()).toBe(true);
  });

  it("that became a download ends nothing", async () => {
    contents.ask();
    await letAll();
    contents.startNavigation("https://app.example/file.zip");
    contents.startNavigation("https://app.example/#below", true, true);
    expect(handed()).toBe(1);
    expect(isTakenBack()).toBe(false);
  });

  it.each(["render-process-gone", "destroyed"])("and so does the event %s", async (event) => {
    contents.ask();
    await letAll();
    contents.emit(event);
    expect(isTakenBack()).toBe(true);
  });
});

describe("several windows and brokers", () => {
  it("do not hear one another", async () => {
    attach();
    contents.load(APP);
    const first = contents;
    contents = new FakeContents();
    attach({ roles: ["admin"] }, "second");
    contents.load(APP);
    contents.ask(contents.mainFrame, "main"); // of the other window
    contents.ask(first.mainFrame, "main");
    await letAll();
    expect(opened).toEqual([]);
    contents.ask(contents.mainFrame, "second");
    await letAll();
    expect(opened.map(({ identity }) => identity.roles)).toEqual([["admin"]]);
    expect(first.mainFrame.answers).toEqual([]);
  });

  it("of one window each have their own roles and origins", async () => {
    attach({ roles: ["admin"], origins: ["https://trusted.example"] }, "one");
    attach({}, "other");
    contents.load(APP);
    contents.ask(contents.mainFrame, "one");
    contents.ask(contents.mainFrame, "other");
    await letAll();
    expect(opened.map(({ identity }) => identity.roles)).toEqual([[]]);
  });

  it("are let in no more after their attachment was closed", async () => {
    const attached = attach();
    contents.load(APP);
    contents.ask();
    await letAll();
    attached.close();
    expect(opened[0]?.channel.close).toHaveBeenCalledOnce();
    contents.ask();
    await letAll();
    expect(opened).toHaveLength(1);
  });
});

describe("what a page says on its port", () => {
  beforeEach(async () => {
    mains.length = 0;
    attach();
    contents.load(APP);
    contents.ask();
    await letAll();
  });
  const say = (data: unknown): void => void mains[0]?.emit("message", { data });

  it("goes on to the broker where it is a frame", () => {
    say(new Uint8Array([1, 2]));
    expect(opened[0]?.channel.send).toHaveBeenCalledWith(new Uint8Array([1, 2]));
  });

  it.each([
    ["a text", "open the door", "protocol_error"],
    ["an object", { kind: 1, role: "main" }, "protocol_error"],
    ["nothing", undefined, "protocol_error"],
    ["a buffer", new ArrayBuffer(8), "protocol_error"],
    ["too much", new Uint8Array(1_048_577), "too_large"],
  ])("costs it the channel where it is %s, and nobody else notices", (_, data, code) => {
    say(data);
    const [channel] = opened.map(({ channel }) => channel);
    expect(channel?.send).not.toHaveBeenCalled();
    expect(channel?.close).toHaveBeenCalledWith(false, code, expect.any(String));
    expect(mains[0]?.isClosed).toBe(true);
    say(new Uint8Array([1]));
    expect(channel?.send).not.toHaveBeenCalled();
  });
});

describe("a page that asks again and again", () => {
  it("keeps so many ports, and the newest of them", async () => {
    attach();
    contents.load(APP);
    for (let count = 0; count < 80; count++) contents.ask();
    await letAll();
    const isOpen = opened.map(({ channel }) => channel.close.mock.calls.length === 0);
    expect(isOpen.filter(Boolean)).toHaveLength(64);
    expect(isOpen.lastIndexOf(false)).toBe(15);
  });

  it("keeps the session of the newest tokens, and loses it with its document", async () => {
    attach({ transport: "websocket" });
    contents.load(APP);
    for (let count = 0; count < 80; count++) contents.ask();
    await letAll();
    expect(released).toEqual([]); // an older token may have opened the session that a newer one goes on with
    contents.commit(APP);
    expect(released).toHaveLength(64);
    expect(released).toContain("token-79");
  });

  it("is told that it asks too often, and costs no more", async () => {
    attach();
    contents.load(APP);
    for (let count = 0; count < 1_000; count++) contents.ask();
    expect(opened).toHaveLength(100);
    expect(contents.mainFrame.problems.at(-1)).toBe("more than 100 channels were asked for in 10 s");
    expect(contents.mainFrame.answers.at(-1)?.told.isFinal).toBe(false);
    expect(logs).toHaveLength(1);
  });

  it("does not fill the log where it is refused", () => {
    attach();
    contents.load(APP);
    const frame = new FakeFrame("https://evil.example/", undefined, 2, 2);
    for (let count = 0; count < 100; count++) contents.ask(frame);
    expect(logs).toEqual(["ionbus: refused: only the window's main frame may connect"]);
  });
});
