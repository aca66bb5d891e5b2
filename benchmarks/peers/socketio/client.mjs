/** socket.io-client, without the HTTP requests before its WebSocket. */

import { io } from "socket.io-client";
import parser from "socket.io-msgpack-parser";
import { startServer } from "../../client/child.mjs";

export async function start(command, { serializer }) {
  const { pid, endpoint, stop } = await startServer(command);
  const options = {
    transports: ["websocket"],
    perMessageDeflate: false,
    forceNew: true,
    ...(serializer === "msgpack" ? { parser } : {}),
  };
  return { pid, url: endpoint.url, connect: (url = endpoint.url) => connect(url, options), stop };
}

async function connect(url, options) {
  const socket = io(url, options);
  await new Promise((resolve, reject) => {
    socket.once("connect", resolve);
    socket.once("connect_error", reject);
  });
  const names = Object.fromEntries(
    ["tick", "progress", "result"].map((kind) => [
      kind,
      { call: `call-${kind}`, in: `in-${kind}`, out: `out-${kind}`, publish: `publish-${kind}` },
    ]),
  );
  const ask = (name, ...values) => new Promise((resolve) => socket.emit(name, ...values, resolve));
  return {
    call: (kind, payload) => ask(names[kind].call, payload),
    emit: (kind, payload) => void socket.emit(names[kind].in, payload),
    received: (count) => ask("received", count),
    listen(kind, listener) {
      socket.on(names[kind].out, listener);
      return () => socket.off(names[kind].out, listener);
    },
    publish: (kind, count) => void socket.emit(names[kind].publish, count),
    listenLatest(listener) {
      socket.on("out-latest", listener);
      return () => socket.off("out-latest", listener);
    },
    publishLatest: (count) => ask("publish-latest", count),
    put: (content) => ask("put", Buffer.from(content.buffer)), // the msgpack parser takes a Uint8Array for an object
    get: (size) => ask("get", size),
    untilCut: () => new Promise((resolve) => socket.once("disconnect", resolve)),
    usage: () => ask("usage"),
    close: () => socket.disconnect(),
  };
}
