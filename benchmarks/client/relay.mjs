/** Stands between a client and its server: counts what goes through, and can cut it. */

import { connect, createServer } from "node:net";

/** A port of this machine that leads to that of `url`. */
export async function openRelay(url) {
  const { hostname, port } = new URL(url);
  const sockets = new Set();
  let bytes = 0;
  const server = createServer((near) => {
    const far = connect(Number(port), hostname);
    const forward = (from, to) => {
      sockets.add(from);
      from.setNoDelay(true);
      from.on("data", (chunk) => {
        bytes += chunk.length;
        to.write(chunk);
      });
      from.on("error", () => {});
      from.on("close", () => {
        sockets.delete(from);
        to.destroy();
      });
    };
    near.once("data", (greeting) => {
      near.pause();
      far.write(named(greeting, near.localPort, port));
      bytes += greeting.length;
      forward(near, far);
      forward(far, near);
      near.resume();
    });
  });
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  const here = new URL(url);
  here.port = server.address().port;
  const cut = () => {
    for (const socket of sockets) socket.destroy();
  };
  return {
    url: here.href.replace(/\/$/, ""),
    bytes: () => bytes,
    cut,
    close() {
      cut();
      server.close();
    },
  };
}

/** A request as the server expects it: under its own port. */
function named(greeting, here, there) {
  return Buffer.from(
    greeting.toString("latin1").replace(`Host: 127.0.0.1:${here}`, `Host: 127.0.0.1:${there}`),
    "latin1",
  );
}
