/** What the window calls, each as a peer of client/runs/messages.mjs. */

import { connectElectron } from "../../js-shim/dist/esm/electron/renderer.js";
import { call } from "../../js-shim/dist/esm/index.js";
import { call as callRun } from "../client/runs/messages.mjs";

const { ipc } = globalThis;
const toBytes = new TextEncoder();
const toText = new TextDecoder();
const lent = {};
const peers = {};

window.addEventListener("message", ({ data, ports }) => {
  if (typeof data?.lent === "string") [lent[data.lent]] = ports;
});

globalThis.prepare = async ({ fingerprint, url }) => {
  const socket = await openSocket(url);
  peers["ipc-invoke"] = { call: (_kind, payload) => ipc.invoke(payload) };
  peers["ipc-send"] = { call: inOrder((payload) => ipc.send(payload), ipc.onSent) };
  peers["port-echo"] = { call: jsonOver(lent.echo) };
  peers["raw-port"] = rawPeer(jsonOver(lent.pipe), (text) => lent.pipe.postMessage(toBytes.encode(text)));
  peers["raw-websocket"] = rawPeer(
    inOrder(
      (payload) => socket.send(JSON.stringify(payload)),
      (listener) => socket.addEventListener("message", ({ data }) => listener(JSON.parse(data))),
    ),
    (text) => socket.send(text),
  );
  const progress = call({
    name: "bench.call_progress",
    contract: { name: "bench", version: "1.0", fingerprint },
  });
  for (const name of ["port", "websocket"]) {
    const bus = connectElectron({ name });
    peers[`ionbus-${name}`] = { call: (_kind, payload) => bus.call(progress, payload) };
  }
};

globalThis.run = ({ system, workload: _, ...job }) => callRun(peers[system], job);

/** Payloads as JSON in bytes, over a port. */
function jsonOver(port) {
  return inOrder(
    (payload) => port.postMessage(toBytes.encode(JSON.stringify(payload))),
    (listener) => {
      port.onmessage = ({ data }) => listener(JSON.parse(toText.decode(data)));
    },
  );
}

/** A call of which the answers come in the order of the requests. */
function inOrder(send, listen) {
  let waiting = [];
  let next = 0;
  listen((answer) => {
    const resolve = waiting[next];
    next += 1;
    if (next === waiting.length) {
      waiting = [];
      next = 0;
    }
    resolve(answer);
  });
  return (payload) =>
    new Promise((resolve) => {
      waiting.push(resolve);
      send(payload);
    });
}

/** The servers of peers/raw have to be told what is to come. */
function rawPeer(callOne, tell) {
  return {
    begin: (mode, kind) => tell(JSON.stringify({ mode, kind, count: 0 })),
    end: () => tell(""),
    call: (_kind, payload) => callOne(payload),
  };
}

async function openSocket(url) {
  const socket = new WebSocket(url);
  await new Promise((resolve, reject) => {
    socket.addEventListener("open", resolve);
    socket.addEventListener("error", reject);
  });
  return socket;
}
