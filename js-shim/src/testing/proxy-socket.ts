/** A socket of a proxied connection: reads and writes with back-pressure, and ends in the way that a test wants. Node.js only. */

import type { Socket } from "node:net";
import type { Passage, PassageEnd } from "./passage.js";
import { platform } from "./timers.js";

/** How long bytes have to leave, and the other end has to close, before a socket is reset. */
const PATIENCE_MS = 2_000;

export class ProxySocket implements PassageEnd {
  readonly #socket: Socket;
  readonly #reads: Passage;
  readonly #writes: Passage;
  readonly #hasUnsent: (socket: Socket) => boolean;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #error: Error | undefined;
  #isFinished = false;
  #closesSoon = false;

  /**
   * @param socket - made with `allowHalfOpen`.
   * @param reads - what it is the beginning of.
   * @param writes - what it is the end of.
   * @param hasUnsent - whether bytes that were written have not arrived at the other end's kernel.
   * @param lost - told when it is gone, with what it ended by.
   */
  constructor(
    socket: Socket,
    reads: Passage,
    writes: Passage,
    hasUnsent: (socket: Socket) => boolean,
    lost: (side: ProxySocket, error: Error | undefined) => void,
  ) {
    this.#socket = socket;
    this.#reads = reads;
    this.#writes = writes;
    this.#hasUnsent = hasUnsent;
    socket.on("data", (bytes: Uint8Array) => reads.put(bytes));
    socket.on("end", () => {
      if (reads.isDead) socket.end();
      else reads.finish();
    });
    socket.on("drain", () => this.#behind(false));
    socket.on("error", (error) => {
      this.#error = error;
    });
    socket.on("close", () => {
      platform.clearTimeout(this.#timer);
      lost(this, this.#error);
    });
  }

  /** Whether it is closed. */
  get isOver(): boolean {
    return this.#socket.destroyed;
  }

  /** What it is the beginning of. */
  get reads(): Passage {
    return this.#reads;
  }

  /** What it is the end of. */
  get writes(): Passage {
    return this.#writes;
  }

  write(bytes: Uint8Array): void {
    if (this.#socket.writable && !this.#socket.write(bytes)) this.#behind(true);
  }

  /** FIN, behind what was written. The other end may still send; where that goes nowhere, it is not waited for long. */
  finish(): void {
    this.#isFinished = true;
    this.#socket.end();
    if (this.#reads.isDead || this.#closesSoon) this.#giveUpSoon();
  }

  /** Nobody is there any more for what it reads: `finish`, which comes behind what still waits for it, is its end. */
  closeSoon(): void {
    this.#closesSoon = true;
    if (this.#isFinished) this.#giveUpSoon();
  }

  /** RST, once what was written has arrived: it would take along what has not. */
  reset(atOnce = false): void {
    const until = platform.now() + (atOnce ? 0 : PATIENCE_MS);
    const look = (): void => {
      if (this.#socket.destroyed) return;
      if (platform.now() < until && this.#hasUnsent(this.#socket)) {
        this.#timer = platform.setTimeout(look, 1);
        return;
      }
      resetNow(this.#socket);
    };
    platform.clearTimeout(this.#timer);
    look();
  }

  /** Read on, or leave it in the kernel. */
  read(isWanted: boolean): void {
    if (isWanted) this.#socket.resume();
    else this.#socket.pause();
  }

  #behind(isBehind: boolean): void {
    this.#writes.isBehind = isBehind;
    this.#writes.look();
  }

  #giveUpSoon(): void {
    platform.clearTimeout(this.#timer);
    this.#timer = platform.setTimeout(() => this.#socket.destroy(), PATIENCE_MS);
  }
}

/**
 * RST and nothing else. Node.js' `resetAndDestroy` says FIN first where the socket can still be written to, so that the other
 * end may take it for an orderly end; `destroy` does what it does after that.
 */
function resetNow(socket: Socket): void {
  if (!("resetAndClosing" in socket)) {
    socket.resetAndDestroy();
    return;
  }
  socket.resetAndClosing = true;
  socket.destroy();
}
