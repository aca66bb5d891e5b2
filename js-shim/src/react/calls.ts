/** Calls from components, and calls that the broker makes to them. */

import { useEffect, useSyncExternalStore } from "react";
import type { Answered, Bus, CallOptions, RequestArguments } from "../client/bus.js";
import type { AnyCall, AnyStream, CallDescriptor, StreamDescriptor } from "../contract.js";
import type { HandlerContext } from "../dispatch/answers.js";
import type { Subscription } from "../dispatch/subscription.js";
import { CallCancelled } from "../errors.js";
import { useBus } from "./bus.js";
import { useKept, useNewest } from "./kept.js";

/** How it stands with a call: `state` tells which of the others there are. */
export type CallState<Response> =
  | { readonly state: "idle"; readonly data?: undefined; readonly error?: undefined }
  /** `data`: the answer before, if there was one. */
  | { readonly state: "pending"; readonly data?: Response | undefined; readonly error?: undefined }
  | { readonly state: "done"; readonly data: Response; readonly error?: undefined }
  /** `error`: what `bus.call` rejected with, `CallCancelled` where it was cancelled. */
  | { readonly state: "failed"; readonly data?: undefined; readonly error: unknown };

/** A call of a component: how it stands with it, and what it can do. The functions stay the same from render to render. */
export type Calling<Request, Response> = CallState<Response> & {
  /**
   * Makes the call. One that is under way is cancelled: the newest wins. Who does not await it sees what went wrong in `error`.
   *
   * @throws as `bus.call`
   */
  readonly call: (...request: RequestArguments<Request>) => Promise<Response>;
  /** Gives up the call that is under way. */
  readonly cancel: (reason?: unknown) => void;
  /** Gives up the call that is under way, and forgets what the last one brought. */
  readonly reset: () => void;
};

/**
 * A call to the broker that this component makes when it wants to: `idle`, `pending`, then `done` or `failed`. Unmounting
 * cancels it, and so does another bus or call, which begins as `idle`.
 *
 * ```ts
 * const run = useCall(Conductor.execute);
 * <button disabled={run.state === "pending"} onClick={() => run.call({ flow })}>Run</button>
 * ```
 */
export function useCall<Name extends string, Request, Response>(
  call: CallDescriptor<Name, Request, Response, "broker">,
): Calling<Request, Response> {
  const bus = useBus();
  const calls = useKept(() => createCalls(bus, call), bus, call);
  const state = useSyncExternalStore(calls.subscribe, calls.read, calls.read);
  useEffect(() => calls.abandon, [calls]);
  const { call: make, cancel, reset } = calls;
  return { ...state, call: make, cancel, reset };
}

function createCalls<Name extends string, Request, Response>(
  bus: Bus,
  call: CallDescriptor<Name, Request, Response, "broker">,
) {
  let state: CallState<Response> = { state: "idle" };
  let underWay: AbortController | undefined;
  const watching = new Set<() => void>();

  function become(next: CallState<Response>): void {
    state = next;
    for (const changed of watching) changed();
  }

  /** Nobody waits for the call that is under way any more. */
  function abandon(): void {
    const left = underWay;
    underWay = undefined;
    if (state.state === "pending") state = { state: "idle" };
    left?.abort(new CallCancelled(`${call.name}: nobody waits for its answer any more`));
  }

  async function make(...[request, options]: RequestArguments<Request>): Promise<Response> {
    abandon();
    const own = new AbortController();
    underWay = own;
    const stop = follow(options?.signal, own);
    become({ state: "pending", data: state.data });
    try {
      // The descriptor's own types: what may be left out there may be left out here.
      const args = [request, { ...options, signal: own.signal }] as unknown as RequestArguments<
        NoInfer<Request>
      >;
      const data = await bus.call(call, ...args);
      if (underWay === own) become({ state: "done", data });
      return data;
    } catch (error) {
      if (underWay === own) become({ state: "failed", error });
      throw error;
    } finally {
      stop();
      if (underWay === own) underWay = undefined;
    }
  }

  return {
    read: () => state,
    subscribe(changed: () => void): () => void {
      watching.add(changed);
      return () => watching.delete(changed);
    },
    abandon,
    call(...request: RequestArguments<Request>): Promise<Response> {
      const answer = make(...request);
      answer.catch(() => undefined); // it is told in `error`
      return answer;
    },
    cancel: (reason?: unknown) => underWay?.abort(reason),
    reset(): void {
      abandon();
      become({ state: "idle" });
    },
  };
}

/** Abort `own` when the caller's signal is. Electron 22 has no `AbortSignal.any`. */
function follow(signal: CallOptions["signal"], own: AbortController): () => void {
  if (signal === undefined) return () => undefined;
  const abort = (): void => own.abort(signal.reason);
  if (signal.aborted) abort();
  signal.addEventListener("abort", abort, { once: true });
  return () => signal.removeEventListener("abort", abort);
}

/**
 * Answers a call or a stream that the broker asks for, while this component is mounted, with the handler of the newest
 * render. One component at a time: a second one is refused (`NotAllowed`).
 */
export function useHandler<Name extends string, Request, Response>(
  call: CallDescriptor<Name, Request, Response, "client">,
  handler: (request: Request, context: HandlerContext) => Answered<NoInfer<Response>>,
): void;
export function useHandler<Name extends string, Request, Item>(
  stream: StreamDescriptor<Name, Request, Item, "client">,
  handler: (request: Request, context: HandlerContext) => AsyncIterable<Item>,
): void;
export function useHandler(
  member: AnyCall | AnyStream,
  handler: (request: never, context: HandlerContext) => unknown,
): void {
  const bus = useBus();
  const newest = useNewest(handler as (request: unknown, context: HandlerContext) => unknown);
  useEffect(() => {
    const handle = bus.handle as (member: unknown, handler: unknown) => Subscription; // the overloads vouch for it
    const answering = handle(member, (request: unknown, context: HandlerContext) =>
      newest.current(request, context),
    );
    return () => answering.close();
  }, [bus, member, newest]);
}
