/** The two ends of a flow of items over a channel: a reader that grants credit, and a pump that spends it. */
import type { Clock, Timer } from '../../clock.ts';
import type { QuorateError } from '../../errors.ts';
import type { Channel } from '../../p2p/network.ts';
import type { Value } from '../../value.ts';
import { encodeItem, itemCost } from './frames.ts';
import { ReceiveWindow, SendCredit } from './stream-flow.ts';

interface Taker {
  resolve(result: IteratorResult<Value>): void;
  reject(error: unknown): void;
}

const finished: IteratorResult<Value> = { done: true, value: undefined };

/** Items that arrived and wait to be read, in order; then the end, or the failure. */
export class ItemReader implements AsyncIterableIterator<Value> {
  readonly #window: ReceiveWindow;
  readonly #grant: (bytes: number) => void;
  readonly #onReturn: () => void;
  #items: { readonly value: Value; readonly cost: number }[] = [];
  #first = 0;
  #takers: Taker[] = [];
  #end: { readonly error: QuorateError | undefined } | undefined;
  /** The reader left before the end, which the sender may not know yet. */
  #left = false;

  constructor(windowBytes: number, grant: (bytes: number) => void, onReturn: () => void) {
    this.#window = new ReceiveWindow(windowBytes);
    this.#grant = grant;
    this.#onReturn = onReturn;
  }

  get ended(): boolean {
    return this.#end !== undefined;
  }

  /** False when the peer sent more than it was granted, or after its end. What comes after the reader left is dropped. */
  onItem(value: Value, frameBytes: number): boolean {
    const cost = itemCost(frameBytes);
    if (this.#end !== undefined && !this.#left) return false;
    if (!this.#window.onArrival(cost)) return false;
    if (this.#left) return true;
    const taker = this.#takers.shift();
    if (taker === undefined) this.#items.push({ value, cost });
    else {
      taker.resolve({ done: false, value });
      this.#taken(cost);
    }
    return true;
  }

  /** No more items will come; those that came can still be read. Later ends say nothing. */
  onEnd(error?: QuorateError): void {
    if (this.#end !== undefined) return;
    const takers = this.#takers;
    this.#takers = [];
    const [first, ...others] = takers;
    if (first !== undefined && error !== undefined) {
      first.reject(error);
      this.#end = { error: undefined };
    } else {
      first?.resolve(finished);
      this.#end = { error };
    }
    for (const taker of others) taker.resolve(finished);
  }

  /** Drops what was not read, and ends. */
  discard(): void {
    this.#left ||= this.#end === undefined;
    this.onEnd();
    this.#items = [];
    this.#first = 0;
    this.#end = { error: undefined };
  }

  next(): Promise<IteratorResult<Value>> {
    const item = this.#items[this.#first];
    if (item !== undefined) {
      this.#first += 1;
      if (this.#first * 2 > this.#items.length + 32) {
        this.#items = this.#items.slice(this.#first);
        this.#first = 0;
      }
      this.#taken(item.cost);
      return Promise.resolve({ done: false, value: item.value });
    }
    if (this.#end !== undefined) {
      const { error } = this.#end;
      this.#end = { error: undefined };
      return error === undefined ? Promise.resolve(finished) : Promise.reject(error);
    }
    return new Promise((resolve, reject) => this.#takers.push({ resolve, reject }));
  }

  async return(): Promise<IteratorResult<Value>> {
    this.discard();
    this.#onReturn();
    return finished;
  }

  [Symbol.asyncIterator](): AsyncIterableIterator<Value> {
    return this;
  }

  #taken(cost: number): void {
    const grant = this.#window.onTaken(cost);
    if (grant > 0 && this.#end === undefined) this.#grant(grant);
  }
}

export type PumpEnd =
  | { readonly kind: 'done' }
  /** The iterable threw, or an item cannot travel. */
  | { readonly kind: 'threw'; readonly error: unknown }
  /** `stop` was called or the channel closed. */
  | { readonly kind: 'stopped' }
  /** The reader granted nothing for too long. */
  | { readonly kind: 'stalled' };

/** Reads an iterable as fast as the other side takes its items, and closes it in every case. */
export class ItemPump {
  readonly #channel: Channel;
  readonly #clock: Clock;
  readonly #stallMs: number;
  readonly #maxBytes: number;
  readonly #credit = new SendCredit();
  #wake: (() => void) | undefined;
  #stopped = false;
  #iterator: AsyncIterator<unknown> | undefined;

  constructor(channel: Channel, clock: Clock, stallMs: number, maxBytes: number) {
    this.#channel = channel;
    this.#clock = clock;
    this.#stallMs = stallMs;
    this.#maxBytes = maxBytes;
  }

  /** False when the peer grants more than the protocol allows. */
  onCredit(bytes: number): boolean {
    if (!this.#credit.add(bytes)) return false;
    this.#wake?.();
    return true;
  }

  /** Ends the pump after the item it is at. */
  stop(): void {
    this.#stopped = true;
    this.#wake?.();
  }

  /** Never rejects. */
  async run(items: AsyncIterable<unknown>): Promise<PumpEnd> {
    let end: PumpEnd;
    try {
      this.#iterator = items[Symbol.asyncIterator]();
      end = await this.#pump(this.#iterator);
      if (end.kind !== 'done') await this.#iterator.return?.();
    } catch (error) {
      end = this.#stopped ? { kind: 'stopped' } : { kind: 'threw', error };
    }
    return end;
  }

  async #pump(iterator: AsyncIterator<unknown>): Promise<PumpEnd> {
    for (;;) {
      if (!this.#credit.open && !(await this.#creditComes())) {
        return { kind: this.#stopped || this.#channel.closed ? 'stopped' : 'stalled' };
      }
      const result = await iterator.next();
      if (this.#stopped || this.#channel.closed) return { kind: 'stopped' };
      if (result.done === true) return { kind: 'done' };
      let frame: Uint8Array;
      try {
        frame = encodeItem(result.value, this.#maxBytes);
      } catch (error) {
        await iterator.return?.();
        return { kind: 'threw', error };
      }
      this.#credit.spend(itemCost(frame.length));
      if (!this.#channel.send(frame) && !(await this.#drained())) return { kind: 'stopped' };
    }
  }

  /** False when the pump was stopped or nothing came for too long. */
  async #creditComes(): Promise<boolean> {
    let timer: Timer | undefined;
    let stalled = false;
    while (!this.#credit.open && !this.#stopped && !this.#channel.closed && !stalled) {
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
        timer ??= this.#clock.after(this.#stallMs, () => {
          stalled = true;
          this.#wake?.();
        });
      });
    }
    this.#wake = undefined;
    timer?.cancel();
    return this.#credit.open && !this.#stopped;
  }

  async #drained(): Promise<boolean> {
    try {
      await this.#channel.drained();
      return true;
    } catch (_closed) {
      return false; // The channel's onClose tells everybody why.
    }
  }
}
