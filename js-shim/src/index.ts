/** `ionbus`: connect to a broker from a page, an Electron renderer, or Node.js. */

export { type Discontinuity, Ionbus } from "./builtin.js";
export type { Channel, Opened, Opener, Receiver } from "./channels/base.js";
export { type PortLike, portChannel } from "./channels/port.js";
export type {
  Bus,
  BusOptions,
  CallOptions,
  EmitOptions,
  PayloadPart,
  RequestArguments,
  StateChange,
  Validator,
  Validators,
} from "./client/bus.js";
export { type ConnectOptions, connect } from "./client/connect.js";
export type { Inside, Interposed } from "./client/interposed.js";
export * from "./contract.js";
export { serve } from "./dispatch/answer.js";
export type { HandlerContext } from "./dispatch/answers.js";
export type { ItemStream } from "./dispatch/reader.js";
export type { EventSubscription, Subscription } from "./dispatch/subscription.js";
export {
  CallCancelled,
  CallTimeout,
  ConnectionLost,
  ContractError,
  type ContractErrorClass,
  type ContractErrorOptions,
  ContractMismatch,
  type ErrorDetails,
  InternalError,
  InvalidPayload,
  IonbusError,
  type IonbusErrorOptions,
  isIonbusError,
  LocalProtocolError,
  NotAllowed,
  NotFound,
  type PayloadProblem,
  ProtocolError,
  RemoteProtocolError,
  SessionLost,
  SlowConsumer,
  TooLarge,
  Unauthenticated,
} from "./errors.js";
export {
  Emitter,
  type EmitterOptions,
  type SubscriptionShown,
} from "./events/emitter.js";
export type { ListenerFailure } from "./events/failures.js";
export type { Filter, PathOf } from "./events/filters.js";
export type { ListenOptions, Until } from "./events/lifetimes.js";
export type { Some, SomeInBatches } from "./events/options.js";
export type { ListenerSubscription } from "./events/place.js";
export type { EventReader, Overflow, ReadOptions } from "./events/reader.js";
export type { WaitOptions } from "./events/waiting.js";
export type { Limits } from "./generated/protocol.js";
export type { ConnectionState } from "./generated/states.js";
export { allValues } from "./wire/all_values.js";
export { type BigintPaths, type Bigints, bigintsAt } from "./wire/bigints.js";
export { mappings, sets } from "./wire/collections.js";
export { Decimal, decimals } from "./wire/decimal.js";
export {
  DateTime,
  Duration,
  dateTimes,
  durations,
  PlainDate,
  PlainTime,
  plainDates,
  plainTimes,
} from "./wire/times.js";
export { typedArrays } from "./wire/typed_arrays.js";
export { Uuid, uuids } from "./wire/uuid.js";
export type { ValueKind } from "./wire/values.js";
