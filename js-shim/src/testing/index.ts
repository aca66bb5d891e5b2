/** `ionbus/testing`: for tests of what uses a bus: a broker in memory, and time under control (docs/testing.md). */

export { FakeClock, type FakeClockOptions, type FakeTimers, NotInTime } from "./clock.js";
export { type FakeBroker, type FakeBrokerOptions, fakeBroker } from "./fake-broker.js";
