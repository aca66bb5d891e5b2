/** `ionbus/testing`: for tests of what uses a bus: a broker in memory, time under control, and channels that fail (docs/testing.md). */

export { FakeClock, type FakeClockOptions, type FakeTimers, NotInTime } from "./clock.js";
export {
  type FakeBroker,
  type FakeBrokerOptions,
  type FakeConnectOptions,
  fakeBroker,
} from "./fake-broker.js";
export {
  type Direction,
  type Fault,
  type FaultSettings,
  Faults,
  type FaultsOptions,
  type Injected,
} from "./faults.js";
export { FaultyChannel, faulty, faultyAccept } from "./faulty.js";
export { Client, Pair, type PairOptions, pair } from "./pair.js";
export {
  type AfterBytes,
  type CutOptions,
  FaultProxy,
  type FaultProxyOptions,
  type How,
  type InDirection,
  ProxyConnection,
} from "./proxy.js";
export {
  type Recorded,
  type ValueOf,
  type Wanted,
  type WantedOptions,
  type What,
  wanted,
} from "./recorded.js";
export { NotRecorded, Recorder, type Recording, type WaitOptions } from "./recorder.js";
