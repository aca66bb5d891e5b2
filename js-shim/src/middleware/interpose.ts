/** Joins middleware to a bus: makes the messages of what leaves and what arrives, and stands around both. */

import type { Bus, CallOptions, EmitOptions } from "../client/bus.js";
import type { Inside, Through } from "../client/interposed.js";
import { refusal } from "../client/payloads.js";
import type { AnyCall, AnyEvent, AnyStream } from "../contract.js";
import type { HandlerContext } from "../dispatch/answers.js";
import { reportListenerError, type Target } from "../dispatch/listeners.js";
import type { ItemStream } from "../dispatch/reader.js";
import { ContractError, isIonbusError } from "../errors.js";
import { entropy } from "../platform.js";
import { now } from "../time.js";
import { toHex } from "../wire/hex.js";
import { abortable, untilGivenUp } from "./giving_up.js";
import { createMessage, Dropped, type End, type Message, type MessageContext } from "./message.js";

/** What all passes. */
type Around = (message: Message, end: End) => Promise<unknown>;

type Handler = (request: unknown, context: HandlerContext) => unknown;

const UNKNOWN: MessageContext = { requestId: 0, deadline: null, trace: undefined, signal: undefined };

/** Stand between an application and its bus. */
export function interpose(
  around: Around,
  { bus, members, validators }: Inside,
): { readonly bus: Bus; readonly through: Through } {
  const dropped: Record<string, Record<string, number>> = {};
  /** The event that passes: those behind it wait, so that they keep their order. */
  let last: Promise<void> | undefined;

  /** Pass an event, and count it where it is dropped. */
  async function passEvent(message: Message, end: End): Promise<void> {
    const result = await around(message, end);
    if (!(result instanceof Dropped)) return;
    const { name } = message;
    dropped[name] = { ...dropped[name], [result.reason]: (dropped[name]?.[result.reason] ?? 0) + 1 };
  }

  /** What arrives was validated; what middleware has made of it is now. */
  function validate(name: string, part: "event" | "request", value: unknown): void {
    const problems = validators[name]?.[part]?.(value) ?? [];
    if (problems.length > 0) throw refusal(name, problems, "refused as middleware has changed it");
  }

  // What leaves.

  function emit(member: AnyEvent, payload?: unknown, options: EmitOptions = {}): Promise<void> {
    const send = bus.emit as (...emitted: unknown[]) => Promise<void>;
    if (member?.kind !== "event") return send(member, payload, options);
    const context = { ...UNKNOWN, trace: options.trace };
    const { kind, name } = member;
    const message = createMessage({ kind, direction: "outbound", name, member, payload, context });
    return passEvent(message, (passed) => send(member, passed.payload, { trace: passed.context.trace }));
  }

  function call(member: AnyCall, payload?: unknown, options: CallOptions = {}): Promise<unknown> {
    const send = bus.call as (...called: unknown[]) => Promise<unknown>;
    const { timeoutMs = member?.timeoutMs, signal, trace } = options;
    if (member?.kind !== "call" || (timeoutMs !== null && typeof timeoutMs !== "number"))
      return send(member, payload, options);
    const { kind, name } = member;
    const deadline = timeoutMs === null ? null : now() + timeoutMs;
    // One for all attempts: a broker that has answered the first does not run the next.
    const key = member.idempotent ? toHex(entropy(8)) : undefined;
    return untilGivenUp(name, timeoutMs, signal, (given, reached) => {
      const context = { requestId: 0, deadline, trace, signal: given };
      const message = createMessage({ kind, direction: "outbound", name, member, payload, context });
      return around(message, ({ payload, context: { deadline, ...rest } }) =>
        reached(send(member, payload, { ...rest, key, timeoutMs: timeLeft(deadline) })),
      );
    });
  }

  function stream(member: AnyStream, payload?: unknown, options: CallOptions = {}): ItemStream<unknown> {
    const send = bus.stream as (...asked: unknown[]) => ItemStream<unknown>;
    const { timeoutMs = member?.timeoutMs, signal, trace } = options;
    if (member?.kind !== "stream" || (timeoutMs !== null && typeof timeoutMs !== "number"))
      return send(member, payload, options);
    const { kind, name } = member;
    const deadline = timeoutMs === null ? null : now() + timeoutMs;
    return abortable(name, signal, (given) => {
      const context = { requestId: 0, deadline, trace, signal: given };
      const message = createMessage({ kind, direction: "outbound", name, member, payload, context });
      return around(message, async ({ payload, context: { deadline, ...rest } }) =>
        send(member, payload, { ...rest, timeoutMs: timeLeft(deadline) }),
      ) as Promise<AsyncIterable<unknown>>;
    });
  }

  // What arrives.

  function handle(member: AnyCall | AnyStream, handler: Handler): unknown {
    const serve = bus.handle as (...served: unknown[]) => unknown;
    if (typeof handler !== "function") return serve(member, handler);

    /** Pass a request to the handler; what fails other than by it is a refusal, which its caller is told. */
    async function answer(
      request: unknown,
      context: HandlerContext,
      run: (passed: Message) => unknown,
      didFail: (error: unknown) => boolean,
    ): Promise<unknown> {
      const { kind, name } = member;
      const { deadline, ...told } = context;
      const message = createMessage({
        kind,
        direction: "inbound",
        name,
        member,
        payload: request,
        context: { ...told, deadline: deadline < Number.POSITIVE_INFINITY ? deadline : null },
      });
      try {
        return await around(message, async (passed) => {
          if (passed.payload !== request) validate(name, "request", passed.payload);
          return run(passed);
        });
      } catch (error) {
        if (isIonbusError(error) && !(error instanceof ContractError) && !didFail(error))
          Object.defineProperty(error, "isRefusal", { value: true, configurable: true });
        throw error;
      }
    }

    function answerCall(request: unknown, context: HandlerContext): Promise<unknown> {
      let failure: unknown;
      const run = async (passed: Message): Promise<unknown> => {
        try {
          return await handler(passed.payload, contextOf(passed, context));
        } catch (error) {
          failure = error;
          throw error;
        }
      };
      return answer(request, context, run, (error) => error === failure);
    }

    async function* answerStream(request: unknown, context: HandlerContext): AsyncGenerator<unknown> {
      let failure: unknown;
      async function* items(passed: Message): AsyncGenerator<unknown> {
        try {
          yield* handler(passed.payload, contextOf(passed, context)) as AsyncIterable<unknown>;
        } catch (error) {
          failure = error;
          throw error;
        }
      }
      const didFail = (error: unknown): boolean => error === failure;
      yield* (await answer(request, context, items, didFail)) as AsyncIterable<unknown>;
    }

    return serve(member, member?.kind === "stream" ? answerStream : answerCall);
  }

  function through(targets: readonly Target[], options: unknown): readonly Target[] {
    const { trace } = (options ?? {}) as { readonly trace?: unknown };
    const context = { ...UNKNOWN, trace: typeof trace === "string" ? trace : undefined };
    return [
      {
        isOpen: true,
        decode: (name, payload) => (targets[0] as Target).decode(name, payload),
        async hand(name, payload) {
          const running: unknown[] = [];
          const member = members.get(name);
          const message = createMessage({
            kind: "event",
            direction: "inbound",
            name,
            member,
            payload,
            context,
          });
          const begin = (): Promise<void> =>
            passEvent(message, async (passed) => {
              if (passed.payload !== payload) validate(name, "event", passed.payload);
              for (const target of targets) running.push(start(target, name, passed.payload));
            });
          const own = (last === undefined ? begin() : last.then(begin)).catch((error: unknown) =>
            reportListenerError(name, error),
          );
          last = own;
          await own;
          if (last === own) last = undefined;
          await Promise.all(running);
        },
      },
    ];
  }

  const outside = Object.assign(Object.create(bus) as object, { emit, call, stream, handle });
  Object.defineProperty(outside, "dropped", {
    get() {
      const all: Record<string, Readonly<Record<string, number>>> = { ...bus.dropped };
      for (const [name, reasons] of Object.entries(dropped)) all[name] = sum(all[name] ?? {}, reasons);
      return all;
    },
  });
  return { bus: outside as Bus, through }; // the overloads of `Bus` vouch for what the four are given
}

/** Start a listener; one that fails harms no other. */
async function start(target: Target, name: string, value: unknown): Promise<void> {
  try {
    if (target.isOpen) await target.hand(name, value);
  } catch (error) {
    reportListenerError(name, error);
  }
}

/** What a handler is told, as middleware has left it. */
function contextOf({ state: passage, context }: Message, told: HandlerContext): HandlerContext {
  const { deadline, trace, signal = told.signal } = context;
  return {
    requestId: told.requestId,
    deadline: deadline ?? Number.POSITIVE_INFINITY,
    trace,
    signal,
    passage,
  };
}

/** A deadline as a time-out from now, in whole milliseconds; null: none. */
function timeLeft(deadline: number | null): number | null {
  return deadline === null ? null : Math.max(0, Math.round(deadline - now()));
}

function sum(
  some: Readonly<Record<string, number>>,
  more: Readonly<Record<string, number>>,
): Record<string, number> {
  const all = { ...some };
  for (const [reason, times] of Object.entries(more)) all[reason] = (all[reason] ?? 0) + times;
  return all;
}
