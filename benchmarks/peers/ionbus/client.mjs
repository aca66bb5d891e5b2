/** ionbus, over WebSocket or stdio. */

import { call, connect, event, stream } from "ionbus";
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
  return {
    pid,
    url: endpoint.url,
    connect: async (url = endpoint.url) => peer(connect({ ...endpoint, url }), contract),
    stop,
  };
}

function peer(bus, contract) {
  const member = (make, name, options) => make({ ...options, contract, name: `bench.${name}` });
  const members = (make, prefix, options) =>
    Object.fromEntries(
      ["tick", "progress", "result", "counted"].map((kind) => [
        kind,
        member(make, `${prefix}_${kind}`, options),
      ]),
    );
  const calls = members(call, "call");
  const incoming = members(event, "in", { source: "client" });
  const outgoing = members(event, "out");
  const publish = members(call, "publish");
  const latest = member(event, "out_latest", { delivery: "latest", key: ["nodeId"] });
  const publishLatest = member(call, "publish_latest");
  const received = member(call, "received");
  const items = member(stream, "items");
  const put = member(call, "put");
  const get = member(call, "get");
  const usage = member(call, "usage");
  return {
    call: (kind, payload) => bus.call(calls[kind], payload),
    emit: (kind, payload) => bus.emit(incoming[kind], payload),
    received: (count) => bus.call(received, count),
    listen: (kind, listener) => bus.on(outgoing[kind], listener),
    publish: (kind, count) => bus.call(publish[kind], count),
    listenLatest: (listener) => bus.on(latest, listener),
    publishLatest: (count) => bus.call(publishLatest, count),
    encodings: (count) => bus.call(publish.counted, count),
    stream: (_kind, count) => bus.stream(items, count),
    put: (content) => bus.call(put, content),
    get: (size) => bus.call(get, size),
    usage: () => bus.call(usage),
    close: () => bus.close(),
  };
}
