import fc from "fast-check";
import { expect, test } from "vitest";
import { Deque } from "../../src/session/deque.js";

type Action = { push: number } | { shift: true } | { prepend: number[] };

test("does what an array does", () => {
  const action = fc.oneof<fc.Arbitrary<Action>[]>(
    fc.record({ push: fc.nat(20) }),
    fc.record({ shift: fc.constant(true as const) }),
    fc.record({ prepend: fc.array(fc.nat(20), { maxLength: 3 }) }),
  );
  fc.assert(
    fc.property(fc.array(action, { maxLength: 60 }), (actions) => {
      const deque = new Deque<number>();
      const model: number[] = [];
      for (const given of actions) {
        if ("push" in given) {
          deque.push(given.push);
          model.push(given.push);
        } else if ("shift" in given) {
          expect(deque.shift()).toBe(model.shift());
        } else {
          deque.prepend(given.prepend);
          model.unshift(...given.prepend);
        }
        expect([deque.toArray(), deque.length, deque.first, deque.at(1)]).toStrictEqual([
          model,
          model.length,
          model[0],
          model[1],
        ]);
      }
    }),
  );
});

test("a long queue that is never empty does not grow for ever", () => {
  const deque = new Deque<number>();
  for (let number = 0; number < 10_000; number++) {
    deque.push(number);
    if (number >= 10) expect(deque.shift()).toBe(number - 10);
  }
  expect(deque.toArray()).toStrictEqual([
    9_990, 9_991, 9_992, 9_993, 9_994, 9_995, 9_996, 9_997, 9_998, 9_999,
  ]);
});
