/** `ionbus/testing`: a broker in memory, for tests of what uses a bus. */

export { type FakeBroker, type FakeBrokerOptions, fakeBroker } from "./fake-broker.js";
