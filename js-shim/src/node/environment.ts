/** The way to the broker that the environment names: by `IONBUS_URL`, or by a file that the broker has written. */

import { openWebSocket } from "../channels/websocket.js";
import type { Route } from "../client/bus.js";
import { type Source, webSocketRoute } from "../client/connect.js";
import { readEndpointFile } from "./endpoint-file.js";

/** Give it; undefined where the environment names none. */
export function routeFromEnvironment(token: Source<string | undefined> | undefined): Route | undefined {
  const { IONBUS_URL: url, IONBUS_TOKEN: secret, IONBUS_ENDPOINT_FILE: file } = process.env;
  if (url !== undefined && url !== "") return webSocketRoute(url, token ?? secret);
  return file !== undefined && file !== "" ? fileRoute(file, token) : undefined;
}

/** The file is read at each attempt: a broker that was started anew has written another. */
function fileRoute(path: string, token: Source<string | undefined> | undefined): Route {
  return {
    mayRenewToken: true,
    async open(receiver) {
      const endpoint = await readEndpointFile(path);
      const secret = typeof token === "function" ? await token() : token;
      return { channel: await openWebSocket(endpoint.url, receiver), token: secret ?? endpoint.token };
    },
  };
}
