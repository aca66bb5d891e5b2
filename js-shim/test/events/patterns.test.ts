import fc from "fast-check";
import { expect, test } from "vitest";
import { matcher, PatternTable } from "../../src/events/patterns.js";

// A broker may send anything for a pattern, in what it withholds.
const PATTERNS = ["a.b", "a.c", "a.*", "*.b", "a.**", "**", "", ".", "a.", "a..b", "a..*", "*..b", "a.**.b"];
const NAMES = ["a.b", "a.c", "b.b", "a.b.c", "d", "", "a.", "a..b"];

const step = fc.record({
  what: fc.constantFrom("add", "remove", "look"),
  pattern: fc.constantFrom(...PATTERNS),
  name: fc.constantFrom(...NAMES),
  which: fc.nat(9),
});

test("a table of patterns finds what a look at every pattern finds, in the order in which they were added", () => {
  fc.assert(
    fc.property(fc.array(step, { maxLength: 40 }), (steps) => {
      const table = new PatternTable<number>();
      const plain: { pattern: string; value: number; remove: () => void }[] = [];
      for (const [value, { what, pattern, name, which }] of steps.entries()) {
        if (what === "add") plain.push({ pattern, value, remove: table.add(pattern, value) });
        else if (what === "remove") plain.splice(which, 1)[0]?.remove();
        else {
          const found = plain.filter((each) => matcher(each.pattern)(name)).map((each) => each.value);
          expect(table.matching(name)).toStrictEqual(found);
        }
      }
      for (const name of NAMES) {
        const found = plain.filter((each) => matcher(each.pattern)(name)).map((each) => each.value);
        expect(table.matching(name)).toStrictEqual(found);
      }
    }),
    { numRuns: 300 },
  );
});
