/** A bare WebSocket, and a bare pipe: payloads as JSON, answered in order. See server.py for the modes. */

import { WebSocket } from "ws";
import { startPipe, startServer } from "../../client/child.mjs";

export async function start(command, { channel }) {
  if (channel === "stdio") {
    const child = startPipe(command);
    return { pid: child.pid, connect: async () => peer(pipe(child)), stop: () => child.stdin.end() };
  }
  const { pid, endpoint, stop } = await startServer(command);
  return { pid, connect: async () => peer(await webSocket(endpoint.url)), stop };
}

function peer(connection) {
  let waiting = []; // for answers, in the order of the requests
  let next = 0;
  let heard;
  connection.onmessage = (text) => {
    if (heard !== undefined) heard(JSON.parse(text));
    else if (next < waiting.length) {
      const resolve = waiting[next];
      next += 1;
      if (next === waiting.length) {
        waiting = [];
        next = 0;
      }
      resolve(JSON.parse(text));
    }
  };
  const ask = (text) =>
    new Promise((resolve) => {
      waiting.push(resolve);
      connection.send(text);
    });
  const mode = (mode, kind, count) => JSON.stringify({ mode, kind, count });
  return {
    begin: (name, kind) => connection.send(mode(name, kind, 0)),
    end: () => connection.send(""),
    call: (_kind, payload) => ask(JSON.stringify(payload)),
    emit: (_kind, payload) => connection.send(JSON.stringify(payload)),
    received: () => ask(""),
    listen(_kind, listener) {
      heard = listener;
      return () => {
        heard = undefined;
      };
    },
    publish: (kind, count) => connection.send(mode("out", kind, count)),
    usage() {
      const listener = heard;
      heard = undefined;
      return ask(mode("usage", "", 0)).finally(() => {
        heard = listener;
      });
    },
    close: () => connection.close(),
  };
}

async function webSocket(url) {
  const socket = new WebSocket(url, { perMessageDeflate: false });
  const connection = { send: (text) => void socket.send(text), close: () => socket.close(), onmessage() {} };
  socket.on("message", (content) => connection.onmessage(content.toString()));
  await new Promise((resolve, reject) => {
    socket.once("open", resolve);
    socket.once("error", reject);
  });
  return connection;
}

/** Records of a length, 4 bytes, and that many of content. What is sent in one turn leaves in one write. */
function pipe(child) {
  let isCorked = false;
  const connection = {
    onmessage() {},
    send(text) {
      if (!isCorked) {
        isCorked = true;
        child.stdin.cork();
        process.nextTick(() => {
          isCorked = false;
          child.stdin.uncork();
        });
      }
      const size = Buffer.byteLength(text);
      const record = Buffer.allocUnsafe(4 + size);
      record.writeUInt32LE(size);
      record.write(text, 4);
      child.stdin.write(record);
    },
    close() {},
  };
  let rest = Buffer.alloc(0);
  child.stdout.on("data", (chunk) => {
    const content = rest.length === 0 ? chunk : Buffer.concat([rest, chunk]);
    let at = 0;
    while (content.length - at >= 4) {
      const end = at + 4 + content.readUInt32LE(at);
      if (content.length < end) break;
      connection.onmessage(content.toString("utf8", at + 4, end));
      at = end;
    }
    rest = content.subarray(at);
  });
  return connection;
}
