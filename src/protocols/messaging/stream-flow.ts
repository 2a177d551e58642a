/**
 * Credit-based flow control of stream items, after HTTP/2's windows: the receiver grants bytes, the sender
 * spends them, and a slow reader stops the producer. An item may be larger than what is left of the credit
 * as long as there is any, so that a window smaller than an item is no deadlock; memory at the receiver is
 * therefore bounded by the window plus one item. Pure.
 */

/** More than any receiver grants; a larger sum is an attack or a bug. */
const maxCredit = 0x7fff_ffff;

export class SendCredit {
  #available = 0;

  get available(): number {
    return this.#available;
  }

  /** True when an item may be sent now. */
  get open(): boolean {
    return this.#available > 0;
  }

  /** False when the sum is more than any receiver grants; nothing was added then. */
  add(bytes: number): boolean {
    if (this.#available + bytes > maxCredit) return false;
    this.#available += bytes;
    return true;
  }

  spend(cost: number): void {
    this.#available -= cost;
  }
}

export class ReceiveWindow {
  readonly #bytes: number;
  #outstanding: number;
  #taken = 0;

  /** The first grant, `bytes`, is sent by the caller when the stream opens. */
  constructor(bytes: number) {
    this.#bytes = bytes;
    this.#outstanding = bytes;
  }

  /** False when the sender had no credit left for it. */
  onArrival(cost: number): boolean {
    if (this.#outstanding <= 0) return false;
    this.#outstanding -= cost;
    return true;
  }

  /** The reader took an item. How much credit to grant now: nothing, or half a window and more at once. */
  onTaken(cost: number): number {
    this.#taken += cost;
    if (this.#taken * 2 < this.#bytes) return 0;
    const grant = this.#taken;
    this.#taken = 0;
    this.#outstanding += grant;
    return grant;
  }
}
