// Uses of the generated showcase, right ones and, under @ts-expect-error, wrong ones. Compiled by test_typescript.py.

import {
  type AnyMember,
  type CallDescriptor,
  type DateTime,
  type Decimal,
  type EventDescriptor,
  type Duration as IonbusDuration,
  membersOf,
  type PlainDate,
  type PlainTime,
  type ReceivedOf,
  type Source,
  type StreamDescriptor,
  type Uuid,
} from "ionbus";
import {
  type Branch,
  Busy,
  type Duration,
  NotFoundHere,
  type Optionals,
  type Owner,
  type Scalars,
  Showcase,
} from "./generated/showcase.js";

type Equal<A, B> = (<T>() => T extends A ? 1 : 2) extends <T>() => T extends B ? 1 : 2 ? true : false;
declare function expect<T extends true>(): T;

// What a bus asks of descriptors.
declare function on<Received, Sent>(
  event: EventDescriptor<string, Received, Sent, Source>,
  listener: (payload: Received) => unknown,
): void;
declare function emit<Received, Sent>(
  event: EventDescriptor<string, Received, Sent, "client" | "any">,
  payload: Sent,
): void;
declare function callBroker<Request, Response>(
  call: CallDescriptor<string, Request, Response>,
  request: Request,
): Response;
declare function handle<Request, Response>(
  call: CallDescriptor<string, Request, Response, "client">,
  handler: (request: Request) => Response,
): void;
declare function read<Request, Item>(stream: StreamDescriptor<string, Request, Item>, request: Request): Item;

export function scalars(value: Scalars): void {
  expect<Equal<typeof value.at, DateTime>>();
  expect<Equal<typeof value.day, PlainDate>>();
  expect<Equal<typeof value.clock, PlainTime>>();
  expect<Equal<typeof value.lasting, IonbusDuration>>();
  expect<Equal<typeof value.price, Decimal>>();
  expect<Equal<typeof value.id, Uuid>>();
  expect<Equal<typeof value.binary, Uint8Array>>();
  expect<Equal<typeof value.word, "a" | 1 | true>>();
  expect<Equal<typeof value.rank, 1 | 2>>();
  // @ts-expect-error: the model Duration is not ionbus's own
  value.lasting satisfies Duration;
}

export function events(): void {
  on(Showcase.scalars, (value) => value.level satisfies "low" | "high");
  on(Showcase.optionals, (value) => expect<Equal<typeof value, Optionals>>());
  on(Showcase.subPart.event, (value) => expect<Equal<(typeof value)[string], Uint8Array>>());
  emit(Showcase.optionals, { nullable: null });
  emit(Showcase.derived, { id: "a", displayName: "b", "content-type": "c" });
  // @ts-expect-error: nullable is not optional
  emit(Showcase.optionals, {});
  // @ts-expect-error: exactly what is named
  emit(Showcase.optionals, { nullable: 1, defaulted: undefined });
  // @ts-expect-error: aliases are the names on the wire
  emit(Showcase.derived, { id: "a", display_name: "b", "content-type": "c" });
  // @ts-expect-error: the broker's event
  emit(Showcase.number, 3);
  // @ts-expect-error: a listener of another payload
  on(Showcase.number, (value: string) => value);
}

export function calls(): void {
  expect<Equal<ReturnType<typeof branch>, Branch>>();
  function branch() {
    return callBroker(Showcase.branch, { leaves: [{}, { leaves: [] }] });
  }
  const owner: Owner = callBroker(Showcase.adopt, { kind: "dog" });
  if (owner.pet.kind === "dog") owner.pet.tricks satisfies string[];
  // @ts-expect-error: a cat has no tricks
  else owner.pet.tricks;
  callBroker(Showcase.delete, null);
  callBroker(Showcase.call, null);
  handle(Showcase.pageOf, (page) => ({
    items: page.items.map(() => ({ length: null as unknown as IonbusDuration })),
  }));
  expect<Equal<ReturnType<typeof number>, number>>();
  function number() {
    return read(Showcase.numbers, null);
  }
  // @ts-expect-error: the tag has a default, and has to be sent all the same
  callBroker(Showcase.adopt, {});
  // @ts-expect-error: served by the client
  callBroker(Showcase.pageOf, { items: [] });
  // @ts-expect-error: served by the broker
  handle(Showcase.branch, () => ({}));
  // @ts-expect-error: a stream is no call
  callBroker(Showcase.numbers, null);
  // @ts-expect-error: a handler of another answer
  handle(Showcase.pageOf, () => 3);
}

export function errors(problem: unknown): void {
  if (problem instanceof NotFoundHere) {
    expect<Equal<typeof problem.code, "gone">>();
    problem.tried satisfies string[];
    problem.where.y satisfies number;
    // @ts-expect-error: no such field
    problem.nowhere;
  }
  new Busy();
  new NotFoundHere({ where: { x: 1, y: 2 }, tried: [] }, { message: "m", cause: problem });
  // @ts-expect-error: fields are required
  new NotFoundHere();
  // @ts-expect-error: and complete
  new NotFoundHere({ where: { x: 1, y: 2 } });
}

export function received(event: ReceivedOf<typeof Showcase>): void {
  if (event.name === "showcase.number") expect<Equal<typeof event.payload, number>>();
  if (event.name === "showcase.sub_part.event")
    expect<Equal<typeof event.payload, { [key: string]: Uint8Array }>>();
  // @ts-expect-error: no event of the contract
  if (event.name === "showcase.branch") return;
}

membersOf(Showcase) satisfies AnyMember[];
// @ts-expect-error: an event of one payload is none of another
Showcase.number satisfies EventDescriptor<"showcase.number", number | string>;
