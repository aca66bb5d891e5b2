/** ionbus, over WebSocket or stdio. */

import { call, connect, event } from "ionbus";
import { launchBroker } from "ionbus/node";
import { startServer } from "../../client/child.mjs";

export async function start(command, { channel, fingerprint }) {
  const contract = { name: "bench", version: "1.0", fingerprint };
  if (channel === "stdio") {
    const [program, ...args] = command;
    const broker = launchBroker({ command: program, args, restart: false });
    broker.onLog((line) => console.error(line));
    await broker.ready;
    return {
      pid: broker.health.pid,
      connect: async () => peer(broker.connect(), contract),
      stop: () => broker.stop(),
    };
  }
  const { pid, endpoint, stop } = await startServer(command);
  return { pid, connect: async () => peer(connect(endpoint), contract), stop };
}

function peer(bus, contract) {
  const member = (make, options) =>
    Object.fromEntries(
      ["tick", "progress", "result"].map((kind) => [
        kind,
        make({ ...options, contract, name: `bench.${options.name}_${kind}` }),
      ]),
    );
  const calls = member(call, { name: "call" });
  const incoming = member(event, { name: "in", source: "client" });
  const outgoing = member(event, { name: "out" });
  const publish = member(call, { name: "publish" });
  const received = call({ name: "bench.received", contract });
  const usage = call({ name: "bench.usage", contract });
  return {
    call: (kind, payload) => bus.call(calls[kind], payload),
    emit: (kind, payload) => bus.emit(incoming[kind], payload),
    received: (count) => bus.call(received, count),
    listen: (kind, listener) => bus.on(outgoing[kind], listener),
    publish: (kind, count) => bus.call(publish[kind], count),
    usage: () => bus.call(usage),
    close: () => bus.close(),
  };
}
