/** @grpc/grpc-js: each message a unary request, or all of them in one stream of each direction. */

import { fileURLToPath } from "node:url";
import { credentials, loadPackageDefinition } from "@grpc/grpc-js";
import { loadSync } from "@grpc/proto-loader";
import { startServer } from "../../client/child.mjs";

const IN_FLIGHT = 64; // events under way, where each is a request of its own

export async function start(command, { mode }) {
  const { pid, endpoint, stop } = await startServer(command);
  const definition = loadSync(fileURLToPath(new URL("bench.proto", import.meta.url)), {
    keepCase: true,
    longs: Number,
  });
  const { bench } = loadPackageDefinition(definition);
  const connect = async (url = endpoint.url) => {
    const client = new bench.Bench(new URL(url).host, credentials.createInsecure(), {
      "grpc.max_receive_message_length": -1,
      "grpc.use_local_subchannel_pool": 1, // a connection for each client
    });
    return { ...common(client), ...(mode === "unary" ? unary(client) : streaming(client)) };
  };
  return { pid, url: endpoint.url, connect, stop };
}

function common(client) {
  const heard = new Set();
  return {
    listen(_kind, listener) {
      heard.add(listener);
      return () => heard.delete(listener);
    },
    publish: (_kind, count) =>
      new Promise((resolve, reject) => {
        const events = client.listen({ count });
        events.on("data", (event) => {
          for (const listener of heard) listener(event);
        });
        events.on("end", resolve);
        events.on("error", reject);
      }),
    stream: (_kind, count) => client.listen({ count }),
    put: (content) => ask(client, "put", { content }).then(({ count }) => count),
    get: (size) => ask(client, "get", { count: size }).then(({ content }) => content),
    usage: () => ask(client, "usage", {}).then(({ seconds }) => seconds),
    close: async () => client.close(),
  };
}

function unary(client) {
  let pending = 0;
  let wake = () => {};
  return {
    call: (_kind, payload) => ask(client, "call", payload),
    emit(_kind, payload) {
      pending += 1;
      ask(client, "emit", payload).finally(() => {
        pending -= 1;
        wake();
      });
      if (pending < IN_FLIGHT) return undefined;
      return new Promise((resolve) => {
        wake = resolve;
      });
    },
    received: (count) => ask(client, "received", { count }).then((answer) => answer.count),
  };
}

function streaming(client) {
  let isClosed = false;
  let talk;
  let answers = [];
  let emitted;
  const drained = () => new Promise((resolve) => emitted.stream.once("drain", resolve));
  return {
    call(_kind, payload) {
      if (talk === undefined) {
        talk = client.talk();
        let next = 0;
        talk.on("error", (error) => {
          if (!isClosed) throw error;
        });
        talk.on("data", (answer) => {
          answers[next](answer);
          next += 1;
          if (next === answers.length) {
            answers = [];
            next = 0;
          }
        });
      }
      return new Promise((resolve) => {
        answers.push(resolve);
        talk.write(payload);
      });
    },
    emit(_kind, payload) {
      if (emitted === undefined) {
        emitted = {};
        emitted.count = new Promise((resolve, reject) => {
          emitted.stream = client.emitMany((error, answer) =>
            error ? reject(error) : resolve(answer.count),
          );
        });
      }
      return emitted.stream.write(payload) ? undefined : drained();
    },
    received() {
      const { stream, count } = emitted;
      emitted = undefined;
      stream.end();
      return count;
    },
    async close() {
      isClosed = true;
      talk?.cancel();
      client.close();
    },
  };
}

function ask(client, method, request) {
  return new Promise((resolve, reject) => {
    client[method](request, (error, answer) => (error ? reject(error) : resolve(answer)));
  });
}
