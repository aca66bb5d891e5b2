/** What every channel implements, and what it needs of whoever listens (docs/architecture.md). */

/** One open channel: it moves whole frames in order. */
export interface Channel {
  readonly kind: "websocket" | "stdio" | "port" | "memory";
  /** Whether a silent peer costs the channel (WebSocket) or is only a state (docs/protocol.md, section 8.5). */
  readonly silenceIsFatal: boolean;
  /** False while the transport is behind: what is sent then is buffered. `Receiver.writable` tells when it is over. */
  readonly isWritable: boolean;
  /** The largest frame to take, in bytes: small until the greeting is over, then raised by the link. */
  maxFrameBytes: number;
  /** Send one frame, which the channel may keep; after the channel has closed this does nothing. */
  send(frame: Uint8Array): void;
  /** Close after what was sent has left. `over`: the session ends with it (stdio says so in its record). */
  close(over?: boolean, code?: string, message?: string): void;
}

/** Who listens to a channel. */
export interface Receiver {
  /** One whole frame, at most `maxFrameBytes` long. */
  frameReceived(frame: Uint8Array): void;
  /** The transport has caught up. */
  writable(): void;
  /**
   * The channel is gone; called once, and not after our own `close`.
   *
   * @param code - `too_large`, `protocol_error` or `connection_lost`.
   */
  closed(over: boolean, code: string, message: string): void;
}

/** What an opener gives: the channel, and the token to put into HELLO. */
export interface Opened {
  readonly channel: Channel;
  readonly token?: string | undefined;
}

/**
 * Opens a channel for a client, once an attempt; rejects where it cannot. An error whose `isFinal` is true says that there is
 * no sense in another attempt.
 */
export type Opener = (receiver: Receiver) => Promise<Opened>;

/** Who is at the other end of a channel that a broker accepted, as far as the channel itself knows. */
export interface PeerIdentity {
  readonly role: "main" | "window" | "client";
  readonly origin?: string | undefined;
  /** What its client may use of what asks for a role. Default: nothing of that. */
  readonly roles?: readonly string[] | undefined;
  /** What else OPEN says (docs/protocol.md, section 2.2). */
  readonly details?: Readonly<Record<string, number | string>> | undefined;
}

/** A broker's side: called for each channel that was opened to it. */
export type Accept = (channel: Channel, identity: PeerIdentity) => Receiver;

/** What a channel says of a frame above its bound. */
export function tooLarge(size: number, max: number): string {
  return `a frame of ${size} bytes; at most ${max} are taken`;
}
