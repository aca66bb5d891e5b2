/** What goes on between the window and Python: the panes that show ionbus at work. */
import type { CallDescriptor } from "ionbus";
import { useBus, useCall, useConnectionState, useEventReducer } from "ionbus/react";
import { useCallback, useEffect, useRef, useSyncExternalStore } from "react";
import type { CallBook } from "./calls.js";
import { Conductor } from "./generated/conductor.js";
import { CannotBeResent, IonbusAdmin } from "./generated/ionbus_admin.js";
import { secondsOf, textOf } from "./words.js";

const LOOK_EVERY_MS = 1_000;

interface Passed {
  readonly name: string;
  readonly count: number;
}

/** Every event of every run, counted by name: a subscription to a pattern. */
export function Events() {
  const passed = useEventReducer("workflow.**", count, []);
  const most = Math.max(1, ...passed.map(({ count }) => count));
  return (
    <ol id="events" className="rows" aria-labelledby="events-title">
      {passed.length === 0 && <li className="empty">What a run publishes is counted here.</li>}
      {passed.map(({ name, count }) => (
        <li key={name}>
          <span title={name}>{name.replace("workflow.", "")}</span>
          <meter min={0} max={most} value={count} />
          <span className="figure">{count}</span>
        </li>
      ))}
    </ol>
  );
}

function count(passed: readonly Passed[], { name }: { readonly name: string }): readonly Passed[] {
  const before = passed.find((each) => each.name === name);
  if (before === undefined) return [...passed, { name, count: 1 }];
  return passed.map((each) => (each === before ? { name, count: each.count + 1 } : each));
}

/** What a middleware has noted of the calls in both directions. */
export function Calls({ book }: { book: CallBook }) {
  const calls = useSyncExternalStore(book.subscribe, book.read);
  return (
    <ol id="calls" className="rows" aria-labelledby="calls-title">
      {calls.map(({ name, direction, count, failed, lastMs, trace }) => (
        <li key={`${direction} ${name}`} className={failed > 0 ? "has-failed" : ""}>
          <span title={name}>
            {direction === "outbound" ? "→" : "←"} {name}
          </span>
          <span className="trace" title={trace}>
            {trace?.split("-")[1]?.slice(0, 6)}
          </span>
          <span className="figure">{lastMs < 1000 ? `${lastMs.toFixed(1)} ms` : secondsOf(lastMs)}</span>
          <span className="figure">{failed > 0 ? `${failed} of ${count}` : count}</span>
        </li>
      ))}
    </ol>
  );
}

/** What Python says is wrong with itself. */
export function Health({ note }: { note: (text: string) => void }) {
  const bus = useBus();
  const [health, look] = useAnswer(IonbusAdmin.health, null);
  const block = (): void => {
    bus.call(Conductor.debug.block).then(look, (error: unknown) => note(textOf(error)));
  };
  return (
    <div id="health" className="health">
      <p className="row-of-buttons">
        <button type="button" id="block" disabled={health === undefined} onClick={block}>
          Block Python
        </button>
      </p>
      <ul>
        {health?.problems.map(({ kind, subject, sentence }) => (
          <li key={`${kind} ${subject}`} className="problem">
            {sentence}
          </li>
        ))}
      </ul>
      {health?.is_well && <p className="empty">All is well.</p>}
    </div>
  );
}

/** The answer to a call that is made again and again while the connection is open; and what asks at once. */
function useAnswer<Request, Response>(
  call: CallDescriptor<string, Request, Response>,
  request: Request,
): [Response | undefined, () => void] {
  const bus = useBus();
  const isOpen = useConnectionState() === "open";
  const { call: ask, data } = useCall(call);
  const same = useRef(request);
  const look = useCallback((): void => {
    if (bus.state === "open") void ask(...([same.current] as Parameters<typeof ask>));
  }, [bus, ask]);
  useEffect(() => {
    if (!isOpen) return;
    look();
    const timer = setInterval(look, LOOK_EVERY_MS);
    return () => clearInterval(timer);
  }, [isOpen, look]);
  return [data, look];
}

/** Events that came to nothing, with the reason: listed, and sent again once the reason is gone. */
export function DeadLetters({ note }: { note: (text: string) => void }) {
  const bus = useBus();
  const [letters = [], look] = useAnswer(IonbusAdmin.deadLetters.list, {});

  const doing = (what: Promise<unknown>): void => {
    what.catch((error: unknown) => note(textOf(error))).finally(look);
  };
  const resend = (id: number): void =>
    doing(
      bus.call(IonbusAdmin.deadLetters.resend, { id }).catch((error: unknown) => {
        if (error instanceof CannotBeResent) note(`Again in vain: ${error.message}`);
        else throw error;
      }),
    );
  return (
    <div id="letters" className="letters">
      <p className="row-of-buttons">
        <button type="button" id="stumble" onClick={() => doing(stumble())}>
          Stumble
        </button>
        <button type="button" id="mend" onClick={() => doing(bus.call(Conductor.debug.mend))}>
          Mend Python
        </button>
      </p>
      <ol>
        {letters.map(({ id, name, reason, error, resent }) => (
          <li key={id} className="letter">
            <p title={name}>
              {name} {reason}
              {resent > 0 && ` (tried again ${resent} times)`}
            </p>
            <p className="detail">{error}</p>
            <button type="button" className="resend" onClick={() => resend(id)}>
              Send again
            </button>
          </li>
        ))}
      </ol>
      {letters.length === 0 && <p className="empty">Nothing has come to nothing.</p>}
    </div>
  );

  function stumble(): Promise<void> {
    return bus.emit(Conductor.debug.stumbled, {
      over: `its shoelace at ${new Date().toLocaleTimeString("en-GB")}`,
    });
  }
}
