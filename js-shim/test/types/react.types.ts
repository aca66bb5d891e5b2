// Right uses of ionbus/react, and wrong ones under @ts-expect-error; `make lint` runs tsc over it.

import type { ContractReference, EventDescriptor } from "../../src/contract.js";
import {
  PublishUi,
  useCall,
  type useConnectionState,
  useEvent,
  useEventReducer,
  useHandler,
  useLatest,
  useStream,
} from "../../src/react/index.js";
import { Conductor, type Progress } from "../conductor.js";

type Equal<A, B> = (<T>() => T extends A ? 1 : 2) extends <T>() => T extends B ? 1 : 2 ? true : false;
declare function expect<T extends true>(): T;
declare const Nested: {
  readonly __contract__: ContractReference;
  readonly done: EventDescriptor<"nested.done", number>;
  readonly deep: {
    readonly __contract__: ContractReference;
    readonly said: EventDescriptor<"nested.deep.said", string>;
  };
};

export function Component({ isOn }: { isOn: boolean }) {
  useEvent(Conductor.progress, ({ percent }) => percent.toFixed());
  useEvent(isOn && Conductor.progress, ({ percent }) => percent.toFixed());
  useEvent(Nested, (received) => {
    if (received.name === "nested.done") expect<Equal<typeof received.payload, number>>();
    else expect<Equal<typeof received.payload, string>>();
  });
  useEvent("conductor.*", (received) => expect<Equal<typeof received.payload, unknown>>());
  useEvent(Conductor.progress, ({ percent }) => percent, { everyMs: 100, where: ["percent", ">=", 50] });
  useEvent(Conductor.progress, (batch) => expect<Equal<typeof batch, Progress[]>>(), { batch: [100, 50] });
  // @ts-expect-error there is no such field to filter by
  useEvent(Conductor.progress, () => undefined, { where: ["percentage", ">=", 50] });
  // @ts-expect-error there is no such field
  useEvent(Conductor.progress, ({ percentage }) => percentage);
  // @ts-expect-error a call is no event
  useEvent(Conductor.ping, () => undefined);

  const latest = useLatest(Conductor.progress);
  expect<Equal<typeof latest, Progress | undefined>>();
  const sum = useEventReducer(Conductor.finished, (sum, { files }) => sum + files, 0);
  expect<Equal<typeof sum, number>>();
  // @ts-expect-error the state is a number
  useEventReducer(Conductor.finished, (sum: number, { files }) => `${sum}${files}`, 0);

  const execute = useCall(Conductor.execute);
  if (execute.state === "done") expect<Equal<typeof execute.data, { files: number }>>();
  if (execute.state === "idle") expect<Equal<typeof execute.data, undefined>>();
  const answer = execute.call({ flow: "a" });
  expect<Equal<typeof answer, Promise<{ files: number }>>>();
  execute.call({ flow: "a" }, { timeoutMs: 5 });
  // @ts-expect-error a request is needed
  execute.call();
  // @ts-expect-error a flow is text
  execute.call({ flow: 1 });
  const ping = useCall(Conductor.ping);
  ping.call();
  // @ts-expect-error the broker makes this call
  useCall(Conductor.pickFile);

  useHandler(Conductor.pickFile, ({ title }) => ({ path: title }));
  useHandler(Conductor.upload, async function* () {
    yield 1;
  });
  // @ts-expect-error a path is text
  useHandler(Conductor.pickFile, () => ({ path: 1 }));
  // @ts-expect-error the broker handles this call
  useHandler(Conductor.execute, () => ({ files: 1 }));

  const { items } = useStream(Conductor.logs, { count: 1 }, { keep: 10, onLost: "again" });
  expect<Equal<typeof items, readonly { line: number }[]>>();
  // @ts-expect-error a request is needed
  useStream(Conductor.logs);
  // @ts-expect-error count is a number
  useStream(Conductor.logs, { count: "1" });

  expect<
    Equal<
      ReturnType<typeof useConnectionState>,
      "connecting" | "open" | "unresponsive" | "reconnecting" | "closed"
    >
  >();
  return PublishUi({ name: "page", fallback: (error, again) => `${error}${again}`, className: "a" });
}
