/** A bare WebSocket, and a bare pipe: payloads as JSON, answered in order. See server.py for the modes. */

import { WebSocket } from "ws";
import { startPipe, startServer } from "../../client/child.mjs";

export async function start(command, { channel }) {
  if (channel === "stdio") {
    const child = startPipe(command);
    return { pid: child.pid, connect: async () => peer(pipe(child)), stop: () => child.stdin.end() };
  }
  const { pid, endpoint, stop } = await startServer(command);
  return { pid, url: endpoint.url, connect: async (url = endpoint.url) => peer(await webSocket(url)), stop };
}

const parse = (content) => JSON.parse(content.toString());

function peer(connection) {
  let waiting = []; // for answers, in the order of the requests
  let next = 0;
  let heard;
  connection.onmessage = (content) => {
    if (next < waiting.length) {
      const answered = waiting[next];
      next += 1;
      if (next === waiting.length) {
        waiting = [];
        next = 0;
      }
      answered(content);
    } else heard?.(parse(content));
  };
  const answer = (read) => new Promise((resolve) => waiting.push((content) => resolve(read(content))));
  const ask = (message, read = parse) => {
    connection.send(message);
    return answer(read);
  };
  const mode = (mode, kind = "", count = 0) => JSON.stringify({ mode, kind, count });
  return {
    begin: (name, kind) => (name === "join" ? ask(mode(name, kind)) : connection.send(mode(name, kind))),
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
    publish: (kind, count, toAll) => connection.send(mode(toAll ? "out-to-all" : "out", kind, count)),
    listenLatest(listener) {
      heard = listener;
      return () => {};
    },
    publishLatest: (count) =>
      new Promise((resolve) => {
        const listener = heard;
        heard = (event) => (typeof event === "number" ? resolve(event) : listener(event));
        connection.send(mode("latest", "", count));
      }),
    put(content) {
      connection.send(mode("put"));
      return ask(content);
    },
    get: (size) => ask(mode("get", "", size), (content) => content),
    usage: () => ask(mode("usage")),
    close: () => connection.close(),
  };
}

async function webSocket(url) {
  const socket = new WebSocket(url, { perMessageDeflate: false });
  const connection = {
    send: (message) => void socket.send(message),
    close: () => socket.close(),
    onmessage() {},
  };
  socket.on("message", (content) => connection.onmessage(content));
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
    send(message) {
      if (!isCorked) {
        isCorked = true;
        child.stdin.cork();
        process.nextTick(() => {
          isCorked = false;
          child.stdin.uncork();
        });
      }
      child.stdin.write(record(message));
    },
    close() {},
  };
  let chunks = [];
  let size = 0;
  let wanted = 4; // bytes, before there is anything to do
  child.stdout.on("data", (chunk) => {
    chunks.push(chunk);
    size += chunk.length;
    if (size < wanted) return;
    const content = chunks.length === 1 ? chunk : Buffer.concat(chunks, size);
    let at = 0;
    wanted = 4;
    while (size - at >= 4) {
      wanted = 4 + content.readUInt32LE(at);
      if (size - at < wanted) break;
      connection.onmessage(content.subarray(at + 4, at + wanted));
      at += wanted;
      wanted = 4;
    }
    size -= at;
    chunks = size === 0 ? [] : [content.subarray(at)];
  });
  return connection;
}

function record(message) {
  const size = Buffer.byteLength(message);
  const made = Buffer.allocUnsafe(4 + size);
  made.writeUInt32LE(size);
  if (typeof message === "string") made.write(message, 4);
  else made.set(message, 4);
  return made;
}
