/** MessagePorts: of a page, of Node.js's worker_threads, of Electron's main (docs/protocol.md, section 2.3). */

import { DEFAULT_LIMITS } from "../generated/protocol.js";
import { type Channel, type Receiver, tooLarge } from "./base.js";

/** What all kinds of ports have in common. */
export interface PortLike {
  postMessage(message: unknown): void;
  start(): void;
  close(): void;
}

/** What a port says when its other end is gone, since not every runtime tells by an event. */
export const CLOSED = "closed";

type Listen = (event: string, listener: (event: { readonly data?: unknown }) => void) => void;

/** Call `listener` with each message, and `gone` when the runtime says that the other end is no more. */
export function listenToPort(port: PortLike, listener: (message: unknown) => void, gone: () => void): void {
  // A page's port and Node.js's are event targets; Electron's main gives an emitter of the same events.
  const { addEventListener, on } = port as { addEventListener?: Listen; on?: Listen };
  const listen = addEventListener ?? on;
  if (listen === undefined) throw new TypeError("a MessagePort is needed: this has no way to listen to it");
  listen.call(port, "message", (event) => listener(event.data));
  listen.call(port, "close", gone);
  port.start();
}

/** Give the bytes in a buffer of their own: a port copies all that a view's buffer holds. */
export function ownBuffer(bytes: Uint8Array): Uint8Array {
  return bytes.byteLength === bytes.buffer.byteLength ? bytes : new Uint8Array(bytes);
}

/** Make a channel of one end of a port; frames are cloned, never transferred (Electron's main takes no transfers). */
export function portChannel(port: PortLike, receiver: Receiver): Channel {
  let isClosed = false;

  function end(code: string, message: string): void {
    if (isClosed) return;
    isClosed = true;
    port.close();
    receiver.closed(false, code, message);
  }

  const channel: Channel = {
    kind: "port",
    silenceIsFatal: false,
    isWritable: true, // a port has no bound of its own: the session's bounds hold
    maxFrameBytes: DEFAULT_LIMITS.maxGreetingBytes,
    send(frame) {
      if (!isClosed) port.postMessage(ownBuffer(frame));
    },
    close() {
      if (isClosed) return;
      isClosed = true;
      port.postMessage(CLOSED);
      port.close();
    },
  };

  listenToPort(
    port,
    (message) => {
      if (isClosed) return;
      if (message instanceof Uint8Array) {
        if (message.length <= channel.maxFrameBytes) {
          receiver.frameReceived(message);
          return;
        }
        port.postMessage(CLOSED);
        end("too_large", tooLarge(message.length, channel.maxFrameBytes));
      } else if (message === CLOSED) {
        end("connection_lost", "the other end of the port is gone");
      } else {
        port.postMessage(CLOSED);
        end("protocol_error", `a port's message is bytes or "${CLOSED}", not ${typeof message}`);
      }
    },
    () => end("connection_lost", "the port was closed"),
  );
  return channel;
}
