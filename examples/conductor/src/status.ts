/** The line at the bottom: how it stands with the connection. */
import type { Bus, ConnectionState } from "ionbus";
import { byId } from "./dom.js";
import { Conductor } from "./generated/conductor.js";

const PING_EVERY_MS = 5000;

const NAMES: Record<ConnectionState, string> = {
  connecting: "Connecting",
  open: "Connected",
  unresponsive: "Python does not answer",
  reconnecting: "Reconnecting",
  closed: "Closed",
};

/** Show the connection's state, and while it is open how long a call takes there and back. */
export function showConnection(bus: Bus): void {
  const state = byId("state", HTMLSpanElement);
  const name = byId("state-name", HTMLSpanElement);
  const detail = byId("state-detail", HTMLSpanElement);
  let session = "";

  function show(): void {
    state.dataset["state"] = bus.state;
    name.textContent = NAMES[bus.state];
    if (bus.state !== "open") detail.textContent = session;
  }

  async function ping(): Promise<void> {
    if (bus.state !== "open") return;
    const start = performance.now();
    try {
      const { pid } = await bus.call(Conductor.ping);
      const elapsed = performance.now() - start;
      if (bus.state === "open") detail.textContent = `${session} · process ${pid} · ${elapsed.toFixed(1)} ms`;
    } catch {
      // What there is to tell of it, the state tells.
    }
  }

  bus.onState((change) => {
    if (change.to === "open" && change.from !== "unresponsive") {
      session = change.resumed ? "session resumed" : "new session";
    } else if (change.to !== "open") {
      session = change.reason ?? "";
    }
    show();
    void ping();
  });
  setInterval(() => void ping(), PING_EVERY_MS);
  show();
  void ping();
}
