/** A little of `make kill-test`: its part that needs a screen. */
import { execFile } from "node:child_process";
import { promisify } from "node:util";
import { expect, test } from "vitest";
import { inRepository, python } from "../support/paths.js";

test("a window recovers each time that Python is killed, and of a killed Electron nothing is left", async () => {
  const trial = inRepository("tests", "trials", "kill.py");
  const { stdout } = await promisify(execFile)(
    python,
    [trial, "--kills", "3", "--parts", "window,electron", "--seed", "1", "--limit", "5"],
    { env: { ...process.env, PYTHONPATH: inRepository("tests") } },
  );
  expect(JSON.parse(stdout)).toMatchObject({
    window: { kills: 3, recovered: 3 },
    electron: { kills: 3, left: 0 },
    violations: [],
  });
});
