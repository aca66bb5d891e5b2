/** Renders into a document, with a bus that leads to a broker in memory. */

import { act, createElement, type FunctionComponent, type ReactNode, StrictMode } from "react";
import { createRoot, type Root } from "react-dom/client";
import { onTestFinished, vi } from "vitest";
import type { Bus } from "../../src/client/bus.js";
import { BusProvider } from "../../src/react/index.js";
import { type FakeBroker, fakeBroker } from "../../src/testing/index.js";
import { Conductor } from "../conductor.js";

Reflect.set(globalThis, "IS_REACT_ACT_ENVIRONMENT", true);

export interface Stage {
  readonly broker: FakeBroker;
  readonly bus: Bus;
  readonly root: Root;
  readonly element: HTMLElement;
  /** What is shown. */
  readonly text: string;
  /** Render in a provider of `bus`; again: an update. */
  render(children: ReactNode, bus?: Bus): Promise<void>;
  unmount(): Promise<void>;
  /** Let `step` happen, and wait until it is shown. */
  shows(text: string, step?: () => unknown): Promise<void>;
  /** What was subscribed is in force at the broker. */
  inForce(bus?: Bus): Promise<void>;
}

/** @param isStrict whether React mounts everything twice, to find what does not end what it began */
export function stage(isStrict = true): Stage {
  const broker = fakeBroker();
  broker.handle(Conductor.ping, () => null);
  const element = document.createElement("main");
  document.body.append(element);
  const root = createRoot(element);
  let isMounted = true;
  const unmount = async (): Promise<void> => {
    if (!isMounted) return;
    isMounted = false;
    await act(async () => root.unmount());
  };
  onTestFinished(async () => {
    await unmount();
    element.remove();
    await broker.close();
  });
  return {
    broker,
    bus: broker.bus,
    root,
    element,
    get text() {
      return element.textContent ?? "";
    },
    async render(children, bus = broker.bus) {
      const tree = createElement(BusProvider, { bus }, children);
      await act(async () => root.render(isStrict ? createElement(StrictMode, null, tree) : tree));
    },
    unmount,
    async shows(text, step = () => undefined) {
      await act(async () => {
        await step();
      });
      await vi.waitFor(async () => {
        await act(async () => undefined);
        if (element.textContent !== text) throw new Error(`shows ${element.textContent}, not ${text}`);
      });
    },
    async inForce(bus = broker.bus) {
      await act(async () => {
        await bus.call(Conductor.ping);
      });
    },
  };
}

/** A component that shows what a hook gives. */
export function showing(useText: () => unknown): FunctionComponent {
  return function Shown() {
    return createElement("p", null, String(useText()));
  };
}
