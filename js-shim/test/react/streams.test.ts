// @vitest-environment happy-dom
import { createElement } from "react";
import { expect, it, vi } from "vitest";
import { stream } from "../../src/contract.js";
import { type StreamOptions, useStream } from "../../src/react/index.js";
import { allValues } from "../../src/wire/all_values.js";
import { DateTime } from "../../src/wire/times.js";
import { Conductor } from "../conductor.js";
import { type Stage, stage } from "./stage.js";

const Bytewise = stream<
  "conductor.bytewise",
  { readonly data: Uint8Array; readonly at: DateTime; readonly tags: ReadonlySet<string> },
  string,
  "broker"
>({ name: "conductor.bytewise", contract: Conductor.__contract__, values: allValues });

const Lines = ({ count, options }: { count: number | null; options?: StreamOptions }) => {
  const { state, items, error } = useStream(count !== null && Conductor.logs, { count: count ?? 0 }, options);
  return createElement("p", null, `${state} ${items.map(({ line }) => line).join("")} ${error ?? ""}`);
};

/** A broker that gives so many lines, and then waits if it is told to. */
function serve(at: Stage, isEndless = false): { asked: number; left: number } {
  const seen = { asked: 0, left: 0 };
  at.broker.handle(Conductor.logs, async function* ({ count }, { signal }) {
    seen.asked += 1;
    try {
      for (let line = 1; line <= count; line++) yield { line };
      if (isEndless) await new Promise((_, reject) => signal.addEventListener("abort", reject));
    } finally {
      seen.left += 1;
    }
  });
  return seen;
}

it.each([true, false])("reads to the end (StrictMode: %s)", async (isStrict) => {
  const at = stage(isStrict);
  serve(at);
  await at.render(createElement(Lines, { count: 5 }));
  await at.shows("ended 12345 ");
});

it("asks again for another request, and not for one that says the same", async () => {
  const at = stage(false);
  const seen = serve(at);
  await at.render(createElement(Lines, { count: 2 }));
  await at.shows("ended 12 ");
  await at.render(createElement(Lines, { count: 2 }));
  await at.inForce();
  expect(seen.asked).toBe(1);
  await at.render(createElement(Lines, { count: 3 }));
  await at.shows("ended 123 ");
  await at.render(createElement(Lines, { count: null }));
  expect(at.text).toBe("idle  ");
});

it("takes bytes and other values of the wire where it is used, too", async () => {
  const at = stage(false);
  const Bytes = () => {
    const request = {
      data: new Uint8Array([1, 2]),
      at: new DateTime("2026-01-02T00:00:00Z"),
      tags: new Set(["a"]),
    };
    return createElement("p", null, useStream(Bytewise, request).items.join(" "));
  };
  let asked = 0;
  at.broker.handle(Bytewise, async function* ({ data, tags }) {
    asked += 1;
    yield `${data.length} ${[...tags]}`;
  });
  await at.render(createElement(Bytes));
  await at.shows("2 a");
  await at.render(createElement(Bytes));
  await at.inForce();
  expect(asked).toBe(1);
});

it("tells the broker to stop when its component goes", async () => {
  const at = stage();
  const seen = serve(at, true);
  await at.render(createElement(Lines, { count: 2 }));
  await at.shows("reading 12 ");
  await at.render(null);
  await vi.waitFor(() => expect(seen.left).toBe(seen.asked));
});

it("keeps so many items", async () => {
  const at = stage();
  serve(at);
  await at.render(createElement(Lines, { count: 9, options: { keep: 3 } }));
  await at.shows("ended 789 ");
});

it("fails with what the broker says", async () => {
  const at = stage();
  at.broker.handle(Conductor.logs, async function* () {
    yield { line: 1 };
    throw new Error("no");
  });
  await at.render(createElement(Lines, { count: 1 }));
  await vi.waitFor(async () => {
    await at.inForce();
    expect(at.text).toMatch(/^failed 1 InternalError/);
  });
});

it.each([
  ["fails", "fail", /^failed 12 SessionLost/],
  ["is asked for again", "again", /^reading 1212 /],
] as const)("%s when the session is lost", async (_, onLost, expected) => {
  const at = stage(false);
  serve(at, true);
  await at.render(createElement(Lines, { count: 2, options: { onLost } }));
  await at.shows("reading 12 ");
  at.broker.restart();
  await vi.waitFor(async () => {
    await at.inForce();
    expect(at.text).toMatch(expected);
  });
});
