/** JSON-RPC over stdio, as editors have it: vscode-jsonrpc. */

import { createMessageConnection, StreamMessageReader, StreamMessageWriter } from "vscode-jsonrpc/node";
import { startPipe } from "../../client/child.mjs";

export async function start(command) {
  const child = startPipe(command);
  return { pid: child.pid, connect: async () => connect(child), stop: () => child.stdin.end() };
}

function connect(child) {
  const connection = createMessageConnection(
    new StreamMessageReader(child.stdout),
    new StreamMessageWriter(child.stdin),
  );
  connection.listen();
  return {
    call: (kind, payload) => connection.sendRequest(`call/${kind}`, payload),
    emit: (kind, payload) => connection.sendNotification(`in/${kind}`, payload),
    received: (count) => connection.sendRequest("received", { count }),
    listen(kind, listener) {
      const registered = connection.onNotification(`out/${kind}`, listener);
      return () => registered.dispose();
    },
    publish: (kind, count) => connection.sendRequest(`publish/${kind}`, { count }),
    usage: () => connection.sendRequest("usage", {}),
    close: () => connection.dispose(),
  };
}
