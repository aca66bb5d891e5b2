/** WebSocket, of the platform or of whoever provides one (docs/protocol.md, section 2.1). */

import { ConnectionLost } from "../errors.js";
import { DEFAULT_LIMITS, SUBPROTOCOL } from "../generated/protocol.js";
import { findWebSocket } from "../platform.js";
import { type Channel, type Receiver, tooLarge } from "./base.js";

/** Above this many unsent bytes the channel is not writable. */
const HIGH_WATER_BYTES = 262_144;
/** How often to look whether they have left: a WebSocket has no event for it. */
const DRAIN_POLL_MS = 10;
/** `ws` for Node.js tells when a frame has left; the platform's does not. Both take any view of bytes. */
interface Sending {
  send(frame: Uint8Array, sent: () => void): void;
}
/** 1002, 1003 and 1009 as a page may say them: there `close` throws at any code between 1000 and 3000. */
const CLOSE_CODES = { protocolError: 4002, text: 4003, tooLarge: 4009 };

/**
 * Open a WebSocket to a broker.
 *
 * @throws NotFound there is no WebSocket; @throws ConnectionLost `url` is no broker's, or the
 *   broker cannot be reached or refuses.
 */
export function openWebSocket(url: string, receiver: Receiver): Promise<Channel> {
  return new Promise((resolve, reject) => {
    const problem = urlProblem(url);
    if (problem !== undefined) throw new ConnectionLost(problem);
    const WebSocketClass = findWebSocket();
    const socket = new WebSocketClass(url, SUBPROTOCOL);
    // `ws` for Node.js gives views of what it has read, unless it is asked for buffers: then it copies.
    if (socket.binaryType === "blob") socket.binaryType = "arraybuffer";
    let isOpen = false;
    let isClosed = false;
    let drain: ReturnType<typeof setInterval> | undefined;

    function stopPolling(): void {
      clearInterval(drain);
      drain = undefined;
    }

    function poll(): void {
      if (socket.bufferedAmount > HIGH_WATER_BYTES) return;
      stopPolling();
      if (!isClosed) receiver.writable();
    }

    function sent(): void {
      if (drain !== undefined) poll();
    }

    function end(code: string, message: string): void {
      stopPolling();
      if (isClosed) return;
      isClosed = true;
      if (isOpen) receiver.closed(false, code, message);
      else reject(new ConnectionLost(`${withoutQuery(url)}: ${message}`));
    }

    const channel: Channel = {
      kind: "websocket",
      silenceIsFatal: true,
      get isWritable() {
        if (socket.bufferedAmount <= HIGH_WATER_BYTES) return true;
        drain ??= setInterval(poll, DRAIN_POLL_MS);
        return false;
      },
      maxFrameBytes: DEFAULT_LIMITS.maxGreetingBytes,
      send(frame) {
        if (!isClosed) (socket as Sending).send(frame, sent);
      },
      close() {
        if (isClosed) return;
        isClosed = true;
        stopPolling();
        socket.close(1000);
      },
    };

    socket.addEventListener("open", () => {
      isOpen = true;
      if (socket.protocol === SUBPROTOCOL) {
        resolve(channel);
        return;
      }
      isOpen = false;
      socket.close(CLOSE_CODES.protocolError);
      end("protocol_error", `a WebSocket server that does not speak ${SUBPROTOCOL}`);
    });
    socket.addEventListener("message", ({ data }: MessageEvent<unknown>) => {
      if (isClosed) return;
      const frame = plainBytes(data);
      if (frame === undefined) {
        end("protocol_error", "a text message on a WebSocket: frames are binary");
        socket.close(CLOSE_CODES.text);
      } else if (frame.length > channel.maxFrameBytes) {
        end("too_large", tooLarge(frame.length, channel.maxFrameBytes));
        socket.close(CLOSE_CODES.tooLarge);
      } else {
        receiver.frameReceived(frame);
      }
    });
    // What went wrong no browser tells; `close` follows. Node.js's `ws` throws where nobody listens.
    socket.addEventListener("error", (event) => {
      const { message } = event as { message?: unknown };
      if (typeof message === "string" && !isOpen) end("connection_lost", message);
    });
    socket.addEventListener("close", ({ code, reason }: CloseEvent) => {
      const said = reason === "" ? "" : `: ${reason}`;
      end(
        "connection_lost",
        isOpen ? `the WebSocket was closed (${code}${said})` : "cannot be reached, or refuses",
      );
    });
  });
}

/** The bytes of an ArrayBuffer or a Buffer, not copied; undefined where there are none. */
function plainBytes(data: unknown): Uint8Array | undefined {
  if (data instanceof ArrayBuffer) return new Uint8Array(data);
  if (data instanceof Uint8Array) return new Uint8Array(data.buffer, data.byteOffset, data.length);
  return undefined;
}

/** What is wrong with a broker's URL, without what may be secret in it. */
export function urlProblem(url: string): string | undefined {
  if (/^[^/?#]*\/\/[^/?#]*@/.test(url))
    return "a broker's URL holds no user name and no password; pass `token` instead";
  if (/^wss?:\/\//i.test(url) && isReadable(url)) return undefined;
  return `"${withoutQuery(url)}" is no URL of a broker, as ws://127.0.0.1:8765`;
}

/** What `URL.canParse` says, which Electron 22 does not have. */
function isReadable(url: string): boolean {
  try {
    new URL(url);
    return true;
  } catch {
    return false;
  }
}

/** An address without what may hold a secret. */
function withoutQuery(url: string): string {
  return url.replace(/[?#].*$/, "");
}
