import { execFile } from "node:child_process";
import path from "node:path";
import { promisify } from "node:util";
import { test } from "vitest";
import { brokerCommand, python } from "../support/paths.js";

test("the generated TypeScript of app/ is not stale", async () => {
  const ionbus = path.join(path.dirname(python), "ionbus");
  const codegen = ["codegen", "contracts", "--typescript", "generated", "--check"];
  await promisify(execFile)(ionbus, codegen, { cwd: brokerCommand.cwd });
});
