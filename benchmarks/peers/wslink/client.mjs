/** wslink's client, which is made for pages: it is given a WebSocket, and what it looks at of a page when it is loaded. */

import { WebSocket } from "ws";
import { startServer } from "../../client/child.mjs";

const PAGE = { baseURI: "", location: { protocol: "http:", hostname: "127.0.0.1", port: "", pathname: "/" } };

class Uncompressed extends WebSocket {
  constructor(url) {
    super(url, { perMessageDeflate: false });
  }
}

export async function start(command) {
  Object.assign(globalThis, { WebSocket: Uncompressed, self: globalThis, window: PAGE, document: PAGE });
  const { default: wslink } = await import("wslink");
  const { pid, endpoint, stop } = await startServer(command);
  return {
    pid,
    url: endpoint.url,
    connect: (url = endpoint.url) => connect(wslink, { ...endpoint, url }),
    stop,
  };
}

async function connect(wslink, { url, token }) {
  const connection = wslink.WebsocketConnection.newInstance({ urls: url, secret: token });
  const session = connection.connect();
  await new Promise((resolve, reject) => {
    connection.onConnectionReady(resolve);
    connection.onConnectionError(reject);
  });
  return {
    call: (kind, payload) => session.call("bench.call", [kind, payload]),
    emit: (kind, payload) => void session.call("bench.in", [kind, payload]),
    received: (count) => session.call("bench.received", [count]),
    listen(kind, listener) {
      const subscription = session.subscribe(`bench.${kind}`, ([event]) => listener(event));
      return () => subscription.unsubscribe();
    },
    publish: (kind, count) => session.call("bench.publish", [kind, count]),
    put: (content) => session.call("bench.put", [content]),
    get: (size) => session.call("bench.get", [size]),
    usage: () => session.call("bench.usage"),
    close: () => session.close(),
  };
}
