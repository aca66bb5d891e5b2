/** Heartbeats and silence (docs/protocol.md, section 8.5). */

/**
 * Says when to send PING and when the peer is silent. Times in milliseconds.
 *
 * A loop that was late itself must not take a live peer for a dead one: a `tick` that comes more than half an interval
 * after `deadline` begins the measurement anew.
 */
export class Liveness {
  readonly interval: number;
  readonly silence: number;
  #heardAt = Number.POSITIVE_INFINITY;
  #sentAt = Number.POSITIVE_INFINITY;
  #pingedAt = Number.NEGATIVE_INFINITY;
  #due = Number.POSITIVE_INFINITY;
  #isSilent = false;

  constructor(interval: number, silence: number) {
    this.interval = interval;
    this.silence = silence;
  }

  /** A greeted channel is there. */
  start(now: number): void {
    this.#heardAt = now;
    this.#sentAt = now;
    this.#pingedAt = Number.NEGATIVE_INFINITY;
    this.#isSilent = false;
    this.#plan();
  }

  /** The channel is gone. */
  stop(): void {
    this.#due = Number.POSITIVE_INFINITY;
  }

  /** A frame arrived. */
  heard(now: number): void {
    this.#heardAt = now;
    this.#isSilent = false;
  }

  /** A frame leaves. */
  sent(now: number): void {
    this.#sentAt = now;
  }

  /** When `tick` wants to be called next; infinity while there is no channel. */
  deadline(): number {
    return this.#due;
  }

  /** What to do now: send PING, take the peer for silent (told once), or nothing. */
  tick(now: number): "ping" | "silent" | undefined {
    if (now < this.#due) return undefined;
    if (now > this.#due + this.interval / 2) this.#heardAt = Math.max(this.#heardAt, now);
    let action: "ping" | "silent" | undefined;
    if (!this.#isSilent && now - this.#heardAt >= this.silence) {
      this.#isSilent = true;
      action = "silent";
    } else if (
      now - Math.min(this.#sentAt, this.#heardAt) >= this.interval &&
      now - this.#pingedAt >= this.interval
    ) {
      this.#pingedAt = now;
      action = "ping";
    }
    this.#plan();
    if (this.#due <= now) this.#due = now + this.interval;
    return action;
  }

  #plan(): void {
    const ping = Math.max(Math.min(this.#sentAt, this.#heardAt), this.#pingedAt) + this.interval;
    this.#due = this.#isSilent ? ping : Math.min(ping, this.#heardAt + this.silence);
  }
}
