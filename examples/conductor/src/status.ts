/** The line at the bottom: how it stands with the connection. */
import type { Bus, ConnectionState } from "ionbus";
import { byId } from "./dom.js";
import { Conductor } from "./generated/conductor.js";

const PING_EVERY_MS = 2000;

const NAMES: Record<ConnectionState, string> = {
  connecting: "Connecting",
  open: "Connected",
  unresponsive: "Python does not answer",
  reconnecting: "Reconnecting",
  closed: "Closed",
};

const SESSIONS = {
  fresh: "new session",
  resumed: "session resumed",
  lost: "new session, the old one was lost",
};

/** Show the connection's state, and while it is open how long a call takes there and back. */
export function showConnection(bus: Bus): void {
  const state = byId("state", HTMLSpanElement);
  const name = byId("state-name", HTMLSpanElement);
  const detail = byId("state-detail", HTMLSpanElement);
  let session = "";
  let reason = "";

  function show(): void {
    state.dataset["state"] = document.body.dataset["state"] = bus.state;
    name.textContent = NAMES[bus.state];
    if (bus.state !== "open") detail.textContent = reason;
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
    if (change.outcome !== undefined) session = SESSIONS[change.outcome];
    reason = change.reason ?? "";
    show();
    void ping().then(ping); // the first call after a start takes longer than those after it
  });
  setInterval(() => void ping(), PING_EVERY_MS);
  show();
}
