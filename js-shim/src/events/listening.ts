/** How listening is typed, the same for an emitter and for a bus. */

import type { ContractNamespace, EventDescriptor, Received, ReceivedOf, Source } from "../contract.js";
import type { ListenOptions } from "./lifetimes.js";
import type { Some, SomeInBatches } from "./options.js";
import type { EventReader, ReadOptions } from "./reader.js";

/** A payload that may be nothing may be left out. */
export type PayloadArguments<Payload> = null extends Payload ? [payload?: Payload] : [payload: Payload];

/** What `on` and `once` of an emitter are. */
export interface Listen<Added> {
  /** Listen to an event. */
  <Name extends string, Payload, Sent, By extends Source, Owner extends object>(
    event: EventDescriptor<Name, Payload, Sent, By>,
    listener: (this: NoInfer<Owner>, payload: Payload) => unknown,
    options?: ListenOptions<Owner> | undefined,
  ): Added;
  /** Listen to all events of a contract and of those in it. */
  <Contract extends ContractNamespace, Owner extends object>(
    contract: Contract,
    listener: (this: NoInfer<Owner>, received: ReceivedOf<Contract>) => unknown,
    options?: ListenOptions<Owner> | undefined,
  ): Added;
  /** Listen to all events whose name matches, as in "conductor.*" or "conductor.**". */
  <Owner extends object>(
    pattern: string,
    listener: (this: NoInfer<Owner>, received: Received) => unknown,
    options?: ListenOptions<Owner> | undefined,
  ): Added;
}

/** What `on` and `once` of a bus are: they may ask for some of the events. With `batch` a listener is handed lists. */
export interface ListenToSome<Added> {
  /** Listen to an event. */
  <Name extends string, Payload, Sent, By extends Source, Owner extends object>(
    event: EventDescriptor<Name, Payload, Sent, By>,
    listener: (this: NoInfer<Owner>, payload: Payload) => unknown,
    options?: (ListenOptions<Owner> & Some<NoInfer<Payload>>) | undefined,
  ): Added;
  <Name extends string, Payload, Sent, By extends Source, Owner extends object>(
    event: EventDescriptor<Name, Payload, Sent, By>,
    listener: (this: NoInfer<Owner>, payloads: Payload[]) => unknown,
    options: ListenOptions<Owner> & SomeInBatches<NoInfer<Payload>>,
  ): Added;
  /** Listen to all events of a contract and of those in it. */
  <Contract extends ContractNamespace, Owner extends object>(
    contract: Contract,
    listener: (this: NoInfer<Owner>, received: ReceivedOf<Contract>) => unknown,
    options?: (ListenOptions<Owner> & Some) | undefined,
  ): Added;
  <Contract extends ContractNamespace, Owner extends object>(
    contract: Contract,
    listener: (this: NoInfer<Owner>, received: ReceivedOf<Contract>[]) => unknown,
    options: ListenOptions<Owner> & SomeInBatches,
  ): Added;
  /** Listen to all events whose name matches, as in "conductor.*" or "conductor.**". */
  <Owner extends object>(
    pattern: string,
    listener: (this: NoInfer<Owner>, received: Received) => unknown,
    options?: (ListenOptions<Owner> & Some) | undefined,
  ): Added;
  <Owner extends object>(
    pattern: string,
    listener: (this: NoInfer<Owner>, received: Received[]) => unknown,
    options: ListenOptions<Owner> & SomeInBatches,
  ): Added;
}

/** What `events` is. */
export interface Read {
  <Name extends string, Payload, Sent, By extends Source>(
    event: EventDescriptor<Name, Payload, Sent, By>,
    options?: ReadOptions | undefined,
  ): EventReader<Payload>;
  <Contract extends ContractNamespace>(
    contract: Contract,
    options?: ReadOptions | undefined,
  ): EventReader<ReceivedOf<Contract>>;
  (pattern: string, options?: ReadOptions | undefined): EventReader<Received>;
}
