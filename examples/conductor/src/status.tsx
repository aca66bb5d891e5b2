/** The line at the bottom: how it stands with the connection. */
import type { ConnectionState } from "ionbus";
import { useBus, useConnectionState, useStateChange } from "ionbus/react";
import { type ReactNode, useCallback, useEffect, useState } from "react";
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

/** Shows the connection's state, and while it is open how long a call takes there and back. */
export function Status({ children }: { children: ReactNode }) {
  const state = useConnectionState();
  const [session, setSession] = useState("");
  const [reason, setReason] = useState("");
  const pong = usePing();
  useStateChange((change) => {
    if (change.outcome !== undefined) setSession(SESSIONS[change.outcome]);
    setReason(change.reason ?? "");
  });
  return (
    <footer className="status">
      <span id="state" className="state" role="status" data-state={state}>
        <span className="lamp" aria-hidden="true" />
        <span id="state-name">{NAMES[state]}</span>
      </span>
      <span id="state-detail" className="detail">
        {state === "open" ? pong && `${session} · ${pong}` : reason}
      </span>
      <span className="stretch" />
      {children}
    </footer>
  );
}

/** Which process answers, and how soon: asked again and again while the connection is open. */
function usePing(): string {
  const bus = useBus();
  const isOpen = useConnectionState() === "open";
  const [pong, setPong] = useState("");
  const ping = useCallback(async (): Promise<void> => {
    const start = performance.now();
    try {
      const { pid } = await bus.call(Conductor.ping);
      setPong(`process ${pid} · ${(performance.now() - start).toFixed(1)} ms`);
    } catch {
      // What there is to tell of it, the state tells.
    }
  }, [bus]);
  useEffect(() => {
    if (!isOpen) return;
    void ping().then(ping); // the first call after a start takes longer than those after it
    const timer = setInterval(() => void ping(), PING_EVERY_MS);
    return () => {
      clearInterval(timer);
      setPong("");
    };
  }, [isOpen, ping]);
  return pong;
}
