/** Node.js in front of a real broker's doors: TLS with a certificate of its own, and the endpoint file. */
import { execFile } from "node:child_process";
import { chmod, mkdtemp, rm, stat } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { promisify } from "node:util";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { Probe } from "../app/generated/probe.js";
import { type ServedBroker, startBroker } from "../support/broker.js";
import { inRepository, python } from "../support/paths.js";

const CERTIFICATE = inRepository("tests", "channels", "localhost.pem");
const ANOTHER = inRepository("tests", "security", "other.pem");

let broker: ServedBroker | undefined;
let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(path.join(tmpdir(), "ionbus-e2e-"));
});
afterEach(async () => {
  await broker?.stop();
  await rm(folder, { recursive: true });
});

/** Run the program with what it is told by its environment; what it says, line by line. */
async function run(environment: Record<string, string>, timeoutMs = 10_000): Promise<unknown[]> {
  const { IONBUS_URL: _, IONBUS_TOKEN: __, ...env } = process.env;
  const { stdout } = await promisify(execFile)(
    process.execPath,
    [inRepository("e2e", "node", "client.mjs")],
    {
      env: {
        ...env,
        E2E_FINGERPRINT: Probe.__contract__.fingerprint,
        E2E_TIMEOUT_MS: String(timeoutMs),
        ...environment,
      },
    },
  );
  return stdout
    .trim()
    .split("\n")
    .map((line) => JSON.parse(line));
}

describe("over wss://", () => {
  beforeEach(async () => {
    broker = await startBroker({ certificate: CERTIFICATE, roles: ["admin"] });
  });
  const reach = (url = broker?.url ?? ""): Record<string, string> => ({
    IONBUS_URL: url,
    IONBUS_TOKEN: broker?.token ?? "",
  });

  test.each(["127.0.0.1", "localhost"])(
    "a client that knows the certificate is served as %s",
    async (host) => {
      const url = (broker?.url ?? "").replace("127.0.0.1", host);
      expect(url).toMatch(/^wss:/);
      expect(await run({ ...reach(url), NODE_EXTRA_CA_CERTS: CERTIFICATE })).toEqual([
        { sum: 3 },
        { guarded: "open" },
      ]);
    },
  );

  test("one that does not know it is not", async () => {
    expect(await run(reach(), 1000)).toEqual([
      { name: "CallTimeout", message: expect.stringContaining("wss://127.0.0.1") },
    ]);
    expect(await run({ ...reach(), NODE_EXTRA_CA_CERTS: ANOTHER }, 1000)).toMatchObject([
      { name: "CallTimeout" },
    ]);
  });

  test("one that speaks no TLS is not, and says its token to nobody", async () => {
    expect(await run(reach((broker?.url ?? "").replace("wss:", "ws:")), 1000)).toMatchObject([
      { name: "CallTimeout" },
    ]);
  });
});

describe("with an endpoint file", () => {
  test("a program needs nothing but the file, and it is gone with the broker", async () => {
    const file = path.join(folder, "endpoint.json");
    broker = await startBroker({ endpointFile: file });
    expect((await stat(file)).mode & 0o777).toBe(0o600);
    expect(await run({ IONBUS_ENDPOINT_FILE: file })).toEqual([{ sum: 3 }, { guarded: "not_allowed" }]);
    const { stdout } = await promisify(execFile)(python, [
      ...["-m", "ionbus.cli", "call", "probe.add", '{"a": 2, "b": 3}', "--endpoint-file", file],
    ]);
    expect(stdout.trim()).toBe("5");
    await chmod(file, 0o644);
    expect(await run({ IONBUS_ENDPOINT_FILE: file }, 1000)).toEqual([
      { name: "CallTimeout", message: expect.stringContaining("others may read or write it (mode 0644)") },
    ]);
  });
});
