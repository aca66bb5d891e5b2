// @vitest-environment happy-dom
import { act, createElement, useEffect } from "react";
import { describe, expect, it, onTestFinished, vi } from "vitest";
import { type Calling, useCall, useHandler } from "../../src/react/index.js";
import { Conductor, FlowInvalid } from "../conductor.js";
import { type Stage, stage } from "./stage.js";

type Execute = Calling<{ flow: string }, { files: number }>;

/** A component with a call, and a broker that answers when it is told to. */
async function calling(isStrict = true) {
  const at = stage(isStrict);
  const fates: string[] = [];
  const answers = new Map<string, (answer: { files: number } | Error) => void>();
  at.broker.handle(Conductor.execute, ({ flow }, { signal }) => {
    signal.addEventListener("abort", () => fates.push(`${flow} cancelled`));
    return new Promise((resolve, reject) => {
      answers.set(flow, (answer) => (answer instanceof Error ? reject(answer) : resolve(answer)));
    });
  });
  let current: Execute | undefined;
  const Runs = () => {
    current = useCall(Conductor.execute);
    return createElement("p", null, `${current.state} ${current.data?.files} ${current.error}`);
  };
  await at.render(createElement(Runs));
  const execute = (): Execute => {
    if (current === undefined) throw new Error("nothing is rendered");
    return current;
  };
  const begin = async (flow: string): Promise<Promise<{ files: number }>[]> => {
    const answer = [execute().call({ flow })];
    await vi.waitFor(() => expect(answers.has(flow)).toBe(true));
    await act(async () => undefined);
    return answer;
  };
  return { at, fates, answers, execute, begin, Runs };
}

describe.each([
  ["in StrictMode", true],
  ["without it", false],
])("%s", (_, isStrict) => {
  it("is idle, pending, done, and pending with the answer before", async () => {
    const { at, answers, begin, execute } = await calling(isStrict);
    expect(at.text).toBe("idle undefined undefined");
    const { call } = execute();
    const [first] = await begin("a");
    expect(at.text).toBe("pending undefined undefined");
    await at.shows("done 3 undefined", () => answers.get("a")?.({ files: 3 }));
    expect(await first).toEqual({ files: 3 });
    await begin("b");
    expect(at.text).toBe("pending 3 undefined");
    await at.shows("done 4 undefined", () => answers.get("b")?.({ files: 4 }));
    expect(execute().call).toBe(call);
  });

  it("gives up the call that is under way when its component goes", async () => {
    const { at, begin, fates } = await calling(isStrict);
    const [answer] = await begin("a");
    await at.render(null);
    await vi.waitFor(() => expect(fates).toEqual(["a cancelled"]));
    await expect(answer).rejects.toMatchObject({ code: "call_cancelled" });
  });
});

it("the newest call wins", async () => {
  const { at, answers, begin, fates } = await calling();
  const [first] = await begin("a");
  await begin("b");
  await vi.waitFor(() => expect(fates).toEqual(["a cancelled"]));
  await expect(first).rejects.toMatchObject({ code: "call_cancelled" });
  expect(at.text).toBe("pending undefined undefined");
  await at.shows("done 2 undefined", () => answers.get("b")?.({ files: 2 }));
});

it("tells what went wrong, and an error that nobody awaits is not unhandled", async () => {
  const { at, answers, begin, execute } = await calling();
  const unhandled = vi.fn();
  process.on("unhandledRejection", unhandled);
  onTestFinished(() => void process.off("unhandledRejection", unhandled));
  await begin("a");
  const text = "failed undefined FlowInvalid: The flow cannot run as given.";
  await at.shows(text, () => answers.get("a")?.(new FlowInvalid({ node_ids: ["x"] })));
  expect((execute().error as FlowInvalid).node_ids).toEqual(["x"]);
  await new Promise((resolve) => setImmediate(resolve));
  expect(unhandled).not.toHaveBeenCalled();
  await at.shows("idle undefined undefined", () => execute().reset());
});

it("is cancelled by whoever has it, or by a signal", async () => {
  const { at, begin, execute, fates } = await calling();
  await begin("a");
  await act(async () => execute().cancel("enough"));
  await vi.waitFor(() => expect(fates).toEqual(["a cancelled"]));
  await vi.waitFor(async () => {
    await act(async () => undefined);
    expect(at.text).toMatch(/^failed undefined CallCancelled/);
  });
  expect(execute().error).toMatchObject({ code: "call_cancelled", cause: "enough" });

  const signal = new AbortController();
  const answer = execute().call({ flow: "b" }, { signal: signal.signal });
  signal.abort("by signal");
  await act(async () => expect(answer).rejects.toMatchObject({ cause: "by signal" }));
});

it("a refused payload is a failure of the call, not of the component", async () => {
  const { at, execute } = await calling();
  const unsendable = (() => undefined) as unknown as string;
  await act(async () =>
    expect(execute().call({ flow: unsendable })).rejects.toThrow(/refused before it was sent/),
  );
  expect(at.text).toMatch(/^failed undefined InvalidPayload/);
});

it("begins anew with another bus, and gives up what the other one had", async () => {
  const { at, begin, fates, Runs } = await calling();
  await begin("a");
  const other = stage();
  await at.render(createElement(Runs), other.bus);
  expect(at.text).toBe("idle undefined undefined");
  await vi.waitFor(() => expect(fates).toEqual(["a cancelled"]));
});

it("may be made as soon as the component is there", async () => {
  const at = stage();
  at.broker.handle(Conductor.execute, () => ({ files: 12 }));
  const Opens = () => {
    const { call, data } = useCall(Conductor.execute);
    useEffect(() => void call({ flow: "x" }), [call]);
    return createElement("p", null, String(data?.files));
  };
  await at.render(createElement(Opens));
  await at.shows("12");
});

describe("a handler", () => {
  const Picks = ({ path }: { path: string }) => {
    useHandler(Conductor.pickFile, ({ title }) => ({ path: `${title} ${path}` }));
    return null;
  };
  const pick = (at: Stage) => at.broker.call(Conductor.pickFile, { title: "File" });

  it("answers with the newest render's, until its component goes", async () => {
    const at = stage();
    await at.render(createElement(Picks, { path: "a" }));
    await at.inForce();
    expect(await pick(at)).toEqual({ path: "File a" });
    await at.render(createElement(Picks, { path: "b" }));
    expect(await pick(at)).toEqual({ path: "File b" });
    await at.render(null);
    await expect(pick(at)).rejects.toMatchObject({ code: "not_found" });
  });

  it("is one at a time", async () => {
    const at = stage(false);
    const two = [1, 2].map((key) => createElement(Picks, { path: "a", key }));
    await expect(at.render(two)).rejects.toMatchObject({ code: "not_allowed" });
  });
});
