// @vitest-environment happy-dom
import { act, createElement, Suspense, startTransition, use, useState } from "react";
import { describe, expect, it, vi } from "vitest";
import {
  useBus,
  useConnectionState,
  useEvent,
  useEventReducer,
  useLatest,
  useStateChange,
} from "../../src/react/index.js";
import { Conductor } from "../conductor.js";
import { showing, stage } from "./stage.js";

describe.each([
  ["in StrictMode", true],
  ["without it", false],
])("%s", (_, isStrict) => {
  it("calls the listener once for each event, and always the newest one", async () => {
    const at = stage(isStrict);
    const heard: string[] = [];
    const Heard = ({ who }: { who: string }) => {
      useEvent(Conductor.finished, ({ files }) => heard.push(`${who} ${files}`));
      return null;
    };
    await at.render(createElement(Heard, { who: "first" }));
    await at.inForce();
    const subscribed = vi.spyOn(at.bus, "on");
    await act(() => at.broker.emit(Conductor.finished, { files: 1 }));
    await vi.waitFor(() => expect(heard).toEqual(["first 1"]));
    await at.render(createElement(Heard, { who: "second" }));
    await act(() => at.broker.emit(Conductor.finished, { files: 2 }));
    await vi.waitFor(() => expect(heard).toEqual(["first 1", "second 2"]));
    expect(subscribed).not.toHaveBeenCalled();
  });

  it("hears nothing after it was unmounted, and leaves no listener behind", async () => {
    const at = stage(isStrict);
    const heard = vi.fn();
    let open = 0;
    const on = at.bus.on.bind(at.bus) as (...args: unknown[]) => ReturnType<typeof at.bus.on>;
    vi.spyOn(at.bus, "on").mockImplementation(((...args: unknown[]) => {
      open += 1;
      const subscription = on(...args);
      const close = (): void => {
        open -= 1;
        subscription.close();
      };
      return Object.assign(close, subscription, { close });
    }) as typeof at.bus.on);
    const Heard = showing(() => useEvent(Conductor.finished, heard));
    await at.render([createElement(Heard, { key: 1 }), createElement(Heard, { key: 2 })]);
    expect(open).toBe(2);
    await at.inForce();
    await at.render(createElement(Heard, { key: 1 }));
    expect(open).toBe(1);
    await at.render(null);
    expect(open).toBe(0);
    await act(() => at.broker.emit(Conductor.finished, { files: 1 }));
    await at.inForce();
    expect(heard).not.toHaveBeenCalled();
  });

  it("shows the newest payload, also to who comes later", async () => {
    const at = stage(isStrict);
    await at.inForce();
    const Percent = showing(() => useLatest(Conductor.progress)?.percent);
    await at.render(createElement(Percent));
    expect(at.text).toBe("undefined");
    await at.inForce();
    await at.shows("40", () => at.broker.emit(Conductor.progress, { node: "a", percent: 40 }));
    await at.shows("60", () => at.broker.emit(Conductor.progress, { node: "a", percent: 60 }));
  });

  it("takes each event in once", async () => {
    const at = stage(isStrict);
    const Sum = showing(() => useEventReducer(Conductor.finished, (sum, { files }) => sum + files, 100));
    await at.render(createElement(Sum));
    await at.inForce();
    await at.shows("107", async () => {
      for (const files of [1, 2, 4]) await at.broker.emit(Conductor.finished, { files });
    });
  });

  it("begins anew with another event", async () => {
    const at = stage(isStrict);
    const Newest = ({ which }: { which: "finished" | "nothing" }) =>
      createElement("p", null, String(useLatest(which === "finished" && Conductor.finished)?.files));
    await at.render(createElement(Newest, { which: "finished" }));
    await at.inForce();
    await at.shows("3", () => at.broker.emit(Conductor.finished, { files: 3 }));
    await at.render(createElement(Newest, { which: "nothing" }));
    expect(at.text).toBe("undefined");
    await at.broker.emit(Conductor.finished, { files: 4 });
    await at.render(createElement(Newest, { which: "finished" }));
    expect(at.text).toBe("undefined");
    await at.inForce();
    await at.shows("5", () => at.broker.emit(Conductor.finished, { files: 5 }));
  });

  it("goes over to another bus", async () => {
    const [at, other] = [stage(isStrict), stage(isStrict)];
    const Newest = showing(() => useLatest(Conductor.finished)?.files);
    await at.render(createElement(Newest));
    await at.inForce();
    await at.shows("1", () => at.broker.emit(Conductor.finished, { files: 1 }));
    await at.render(createElement(Newest), other.bus);
    expect(at.text).toBe("undefined");
    await other.inForce();
    await at.broker.emit(Conductor.finished, { files: 2 });
    await at.shows("3", () => other.broker.emit(Conductor.finished, { files: 3 }));
  });
});

it("takes contracts and patterns", async () => {
  const at = stage();
  const heard: string[] = [];
  const Heard = showing(() => {
    useEvent(Conductor, (received) => heard.push(`contract ${received.name}`));
    useEvent("conductor.*", ({ name }) => heard.push(`pattern ${name}`));
    return useEventReducer("conductor.**", (count) => count + 1, 0);
  });
  await at.render(createElement(Heard));
  await at.inForce();
  await at.shows("1", () => at.broker.emit(Conductor.finished, { files: 1 }));
  expect(heard.sort()).toEqual(["contract conductor.finished", "pattern conductor.finished"]);
});

it("asks for some of the events as it is told, and not again for the same", async () => {
  const at = stage(false);
  const asked = vi.spyOn(at.bus, "on");
  const Some = ({ everyMs }: { everyMs: number }) => {
    useEvent(Conductor.finished, () => undefined, { everyMs, where: ["files", ">", 1] });
    useLatest(Conductor.progress, { everyMs, latestBy: ["node"] });
    return null;
  };
  await at.render(createElement(Some, { everyMs: 100 }));
  await at.render(createElement(Some, { everyMs: 100 }));
  const options = () => asked.mock.calls.map((args) => args[2]);
  const at100 = [
    { everyMs: 100, where: ["files", ">", 1] },
    { everyMs: 100, latestBy: ["node"] },
  ];
  expect(options()).toEqual(expect.arrayContaining(at100));
  expect(options()).toHaveLength(2);
  await at.render(createElement(Some, { everyMs: 200 }));
  expect(options()).toHaveLength(4);
});

it("a pattern that is none is an error of the component", async () => {
  const at = stage(false);
  const Wrong = showing(() => useEvent("conductor..x", () => undefined));
  await expect(at.render(createElement(Wrong))).rejects.toThrow(/bus\.on: /);
});

it("a component without a provider is told what is missing", async () => {
  const at = stage();
  const Lost = createElement(showing(() => useBus().state));
  await expect(act(async () => at.root.render(Lost))).rejects.toThrow(/there is no <BusProvider/);
});

it("does not hear with a render that was thrown away", async () => {
  const at = stage();
  const heard: string[] = [];
  const never = new Promise<never>(() => undefined);
  let go: (to: string) => void = () => undefined;
  const Waits = ({ who }: { who: string }) => {
    useEvent(Conductor.finished, () => heard.push(who));
    if (who === "waiting") use(never);
    return who;
  };
  const Frame = () => {
    const [who, setWho] = useState("shown");
    go = setWho;
    return createElement(Suspense, { fallback: "…" }, createElement(Waits, { who }));
  };
  await at.render(createElement(Frame));
  await at.inForce();
  await act(async () => startTransition(() => go("waiting"))); // it is rendered, but never committed
  expect(at.text).toBe("shown");
  await act(() => at.broker.emit(Conductor.finished, { files: 1 }));
  await vi.waitFor(() => expect(heard).toEqual(["shown"]));
});

it("never shows two values at once, whatever is rendered in parts", async () => {
  const at = stage(false);
  const seen = new Set<string>();
  const Part = () => createElement("i", null, String(useLatest(Conductor.finished)?.files ?? 0));
  const Parts = ({ round }: { round: number }) => {
    const parts = Array.from({ length: 50 }, (_, key) => createElement(Part, { key }));
    return createElement("div", { "data-round": round }, ...parts);
  };
  const observer = new MutationObserver(() => {
    const values = new Set([...at.element.querySelectorAll("i")].map((part) => part.textContent));
    if (values.size > 1) seen.add([...values].join(" "));
  });
  await at.render(createElement(Parts, { round: 0 }));
  observer.observe(at.element, { subtree: true, characterData: true, childList: true });
  await at.inForce();
  for (let round = 1; round < 20; round++) {
    await act(async () => {
      startTransition(() => void at.render(createElement(Parts, { round })));
      await at.broker.emit(Conductor.finished, { files: round });
    });
  }
  await at.shows("19".repeat(50));
  expect([...seen]).toEqual([]);
});

describe("the connection", () => {
  it("is shown as it is, and its changes are told", async () => {
    const at = stage();
    const told: string[] = [];
    const State = showing(() => {
      useStateChange(({ to, outcome }) => told.push(`${to} ${outcome}`));
      return useConnectionState();
    });
    await at.render(createElement(State));
    await at.shows("open");
    at.broker.isRefusing = true;
    await at.shows("reconnecting", () => at.broker.cut());
    at.broker.isRefusing = false;
    await at.shows("open", () => at.bus.reconnect());
    expect(told.at(-1)).toBe("open resumed");
    await at.shows("closed", () => at.bus.close());
  });
});
