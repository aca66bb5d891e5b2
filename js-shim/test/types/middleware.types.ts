// Right uses of middleware, and wrong ones under @ts-expect-error; `make lint` runs tsc over it.

import type { Bus } from "../../src/client/bus.js";
import { connect } from "../../src/client/connect.js";
import type { CallDescriptor, EventDescriptor, StreamDescriptor } from "../../src/contract.js";
import {
  cache,
  compose,
  deduplicate,
  drop,
  key,
  logging,
  type Message,
  type Middleware,
  type Next,
  only,
  rateLimit,
  retry,
  timeout,
  validation,
} from "../../src/middleware/index.js";
import { tracing } from "../../src/otel/index.js";

type Equal<A, B> = (<T>() => T extends A ? 1 : 2) extends <T>() => T extends B ? 1 : 2 ? true : false;
declare function expect<T extends true>(): T;

interface Order {
  id: string;
}
interface Receipt {
  total: number;
}
declare const Shop: {
  readonly __contract__: { readonly name: string; readonly version: string; readonly fingerprint: string };
  readonly order: CallDescriptor<"shop.order", Order, Receipt>;
  readonly ping: CallDescriptor<"shop.ping", null, null>;
  readonly pick: CallDescriptor<"shop.pick", Order, Receipt, "client">;
  readonly lines: StreamDescriptor<"shop.lines", Order, Receipt>;
  readonly sold: EventDescriptor<"shop.sold", Receipt>;
  readonly left: EventDescriptor<"shop.left", Order, Order, "client">;
};

export function connecting(): Bus {
  connect({ middleware: compose() });
  connect({ middleware: undefined });
  connect({ middleware: only(Shop.order, retry()) });
  // @ts-expect-error: several are composed, and so is one
  connect({ middleware: logging() });
  // @ts-expect-error: no list
  connect({ middleware: [logging()] });
  return connect({
    middleware: compose(
      logging(),
      tracing(),
      rateLimit({ rate: 10 }),
      only(Shop, { direction: "outbound" }, timeout(1_000)),
      only("shop.*", logging()),
      only(Shop.order, { direction: "outbound" }, retry({ attempts: 3 }), cache({ ttlMs: 1_000 })),
      only(Shop.lines, retry(), timeout(10)),
      only(Shop.sold, logging(), deduplicate({ key: (receipt) => receipt.total })),
      only(
        Shop.order,
        validation((order) => (order.id === "" ? [["id", "is empty"]] : [])),
      ),
    ),
  });
}

export function bound(): void {
  only(Shop.order, async (message, next) => {
    expect<Equal<typeof message.payload, Order>>();
    const answer = await next(message.replace({ payload: { id: "a" } }));
    expect<Equal<typeof answer, Receipt>>();
    return { total: answer.total + 1 };
  });
  only(Shop.ping, (message, next) => next(message));
  only(Shop.lines, async (message, next) => {
    const items = await next(message);
    expect<Equal<typeof items, AsyncIterable<Receipt>>>();
    return items;
  });
  only(Shop.sold, async (message, next) => {
    expect<Equal<typeof message.payload, Receipt>>();
    if (message.payload.total === 0) return drop("nothing");
    return next(message);
  });
  only(Shop.pick, () => ({ total: 3 }));
  // @ts-expect-error: another answer
  only(Shop.order, async () => ({ total: "3" }));
  // @ts-expect-error: no answer
  only(Shop.order, async () => undefined);
  // @ts-expect-error: another payload
  only(Shop.order, (message: Message<Receipt>, next: Next<Receipt, Receipt>) => next(message));
  // @ts-expect-error: another payload is passed on
  only(Shop.order, (message, next) => next(message.replace({ payload: { total: 3 } })));
  // @ts-expect-error: the payload has no such field
  only(Shop.order, (message, next) => (message.payload.total ? next(message) : next(message)));
  // @ts-expect-error: other items
  only(Shop.lines, async (message, next) => {
    await next(message);
    return (async function* () {
      yield "text";
    })();
  });
  // @ts-expect-error: an event has no answer
  only(Shop.sold, async () => 5);
  // @ts-expect-error: no such direction
  only(Shop.order, { direction: "sideways" }, logging());
  // @ts-expect-error: for payloads of another type
  only(Shop.sold, deduplicate({ key: (order: Order) => order.id }));
  // @ts-expect-error: nothing that passes
  only(3, logging());
}

export function unbound(): void {
  const log: Middleware = async (message, next) => {
    expect<Equal<typeof message.name, string>>();
    return await next(message);
  };
  compose(log, (message, next) => next(message));
  only(Shop.order, log);
  only(Shop.sold, log);
  // @ts-expect-error: it does not know which answer is right
  compose(async () => ({ total: 3 }));
  // @ts-expect-error: nor which payload
  compose((message, next) => next(message.replace({ payload: { id: "a" } })));
}

export function noting(message: Message): void {
  const user = key<Order>("user");
  message.state.set(user, { id: "a" });
  const noted = message.state.get(user);
  expect<Equal<typeof noted, Order | undefined>>();
  // @ts-expect-error: another value
  message.state.set(user, 5);
}
