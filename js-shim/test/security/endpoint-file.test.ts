/** The endpoint file as Node.js reads it: only what is our own and nobody else's. Its twin is tests/security/test_endpoint_file.py. */

import { once } from "node:events";
import { chmod, mkdtemp, rm, symlink, writeFile } from "node:fs/promises";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { WebSocketServer } from "ws";
import { ConnectionLost } from "../../src/errors.js";
import { connect } from "../../src/index-node.js";
import { readEndpointFile } from "../../src/node/endpoint-file.js";
import { decodeFrame, greetingMap } from "../../src/wire/frames.js";

let folder: string;
let file: string;

beforeEach(async () => {
  folder = await mkdtemp(path.join(tmpdir(), "ionbus-"));
  file = path.join(folder, "endpoint.json");
});
afterEach(async () => {
  vi.unstubAllEnvs();
  await rm(folder, { recursive: true });
});

async function write(content: unknown, mode = 0o600): Promise<void> {
  await writeFile(file, typeof content === "string" ? content : JSON.stringify(content), { mode });
  await chmod(file, mode);
}

describe("reading", () => {
  it("gives the URL and the token", async () => {
    await write({ url: "ws://127.0.0.1:1", token: "secret", pid: 7 });
    await expect(readEndpointFile(file)).resolves.toEqual({ url: "ws://127.0.0.1:1", token: "secret" });
    await write({ url: "ws://127.0.0.1:1", token: null });
    await expect(readEndpointFile(file)).resolves.toEqual({ url: "ws://127.0.0.1:1", token: undefined });
  });

  it.each([0o604, 0o640, 0o660, 0o602, 0o620, 0o610, 0o777])(
    "refuses the mode %o, and says what to do",
    async (mode) => {
      await write({ url: "ws://127.0.0.1:1", token: "my-token" }, mode);
      const error = await readEndpointFile(file).catch((reason: unknown) => reason);
      expect(error).toBeInstanceOf(ConnectionLost);
      expect(String(error)).toMatch(new RegExp(`mode 0${mode.toString(8)}\\).*start the broker anew`));
      expect(String(error)).not.toContain("my-token");
    },
  );

  it("refuses what belongs to another user", async () => {
    await write({ url: "ws://127.0.0.1:1", token: "secret" });
    const me = process.geteuid?.() ?? 0;
    vi.spyOn(process, "geteuid").mockReturnValue(me + 1);
    await expect(readEndpointFile(file)).rejects.toThrow(
      `belongs to the user with the id ${me} and not to you`,
    );
  });

  it("refuses a link, a folder, and what is not there", async () => {
    await write({ url: "ws://127.0.0.1:1", token: "secret" });
    const link = path.join(folder, "link");
    await symlink(file, link);
    await expect(readEndpointFile(link)).rejects.toThrow("symbolic link; name the file itself");
    await expect(readEndpointFile(folder)).rejects.toThrow("no regular file");
    await expect(readEndpointFile(path.join(folder, "nothing"))).rejects.toThrow(
      "no broker has written its endpoint there",
    );
  });

  it.each(["", "{", "[]", "null", "7", '{"token":"x"}', '{"url":7}', '{"url":"ws://a","token":7}'])(
    "refuses %s",
    async (text) => {
      await write(text);
      await expect(readEndpointFile(file)).rejects.toThrow("it holds no endpoint");
    },
  );
});

describe("connect", () => {
  /** Serve a WebSocket; `token` is that of the first HELLO. */
  async function listen(): Promise<{
    readonly server: WebSocketServer;
    readonly token: Promise<unknown>;
    readonly url: string;
  }> {
    const server = new WebSocketServer({ host: "127.0.0.1", port: 0 });
    const token = new Promise((resolve) => {
      server.on("connection", (socket) => {
        socket.once("message", (frame: Buffer) =>
          resolve(greetingMap(decodeFrame(new Uint8Array(frame)))["token"]),
        );
      });
    });
    await once(server, "listening");
    return { server, token, url: `ws://127.0.0.1:${(server.address() as AddressInfo).port}` };
  }

  it("reads the file that IONBUS_ENDPOINT_FILE names at each attempt", async () => {
    const { server, token, url } = await listen();
    vi.stubEnv("IONBUS_URL", "");
    vi.stubEnv("IONBUS_TOKEN", "of something else");
    vi.stubEnv("IONBUS_ENDPOINT_FILE", file);
    const bus = connect(); // there is no file yet
    await write({ url, token: "secret" });
    await expect(token).resolves.toBe("secret");
    await bus.close();
    server.close();
  });

  it("takes IONBUS_URL first", async () => {
    const { server, token, url } = await listen();
    vi.stubEnv("IONBUS_URL", url);
    vi.stubEnv("IONBUS_TOKEN", "mine");
    vi.stubEnv("IONBUS_ENDPOINT_FILE", file);
    const bus = connect();
    await expect(token).resolves.toBe("mine");
    await bus.close();
    server.close();
  });
});
