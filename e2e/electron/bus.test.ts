import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { describeBus } from "../support/cases.js";
import { App, transports } from "../support/electron.js";

describe.each(transports)("Electron's renderer over %s", (transport) => {
  let app: App;
  beforeAll(async () => {
    app = await App.start({ transport });
  });
  afterAll(() => app?.quit());

  test("is isolated and sandboxed", async () => {
    expect(
      await app.evaluate(() => [
        typeof globalThis.require,
        typeof globalThis.process,
        typeof globalThis.Buffer,
      ]),
    ).toEqual(["undefined", "undefined", "undefined"]);
    // What a test evaluates may itself do more than the page may: so a turn later.
    const evaluated = app.evaluate(
      () =>
        new Promise((resolve) => {
          setTimeout(() => {
            try {
              resolve(new Function("return 'evaluated'")());
            } catch (error) {
              resolve(String(error));
            }
          });
        }),
    );
    expect(await evaluated).toMatch(/EvalError/);
  });

  describeBus(() => app);

  test("what a handler printed is in the log", async () => {
    const log = (await app.logs()).join("\n");
    for (const line of ["printed by the handler", "printed by the child", "written to descriptor 1"]) {
      expect(log).toContain(line);
    }
  });
});
