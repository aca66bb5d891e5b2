/** A short run over each target, and every input that was a finding once; `make fuzz` is the long one. */

import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { corpus, drive, judge } from "./driver.js";
import { targets } from "./targets.js";

const SEED = 20_261_124;
/** Fewer where one input is a whole conversation. */
const INPUTS: { readonly [name: string]: number } = { bus: 1_500, stdio: 2_000, values: 3_000 };

describe.each(targets())("$name", (target) => {
  test("hostile input does no harm", async () => {
    const report = await drive(target, SEED, INPUTS[target.name] ?? 5_000);
    expect(report.findings).toStrictEqual([]);
    expect(report.outcomes.size).toBeGreaterThan(5); // else nothing but refusals of one kind
  });

  test("nor does what fast-check thinks of", async () => {
    const property = fc.asyncProperty(fc.uint8Array({ maxLength: target.longest }), async (data) => {
      await target.run(data);
    });
    await fc.assert(property, { seed: SEED, numRuns: 300 });
  });

  test("what was a finding is none any more", async () => {
    for (const [, data] of corpus(target.name)) {
      const [, finding] = await judge(target, data);
      expect(finding).toBeUndefined();
    }
  });
});
