/** What passes by: every event of a run and of the window, whoever it is for. */
import { useEventReducer } from "ionbus/react";

interface Passed {
  readonly name: string;
  readonly count: number;
}

/** Names of events, with how many came, in the order in which they came first. */
export function Events() {
  const passed = useEventReducer("workflow.**", count, []);
  const most = Math.max(1, ...passed.map(({ count }) => count));
  return (
    <ol id="events" className="events" aria-labelledby="events-title">
      {passed.length === 0 && <li className="empty">What a run publishes is counted here.</li>}
      {passed.map(({ name, count }) => (
        <li key={name}>
          <span className="name" title={name}>
            {name.replace("workflow.", "")}
          </span>
          <meter min={0} max={most} value={count} />
          <span className="times">{count}</span>
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
