/** Those who wait for tokens, first come first served, none for ever. */
import type { Clock, Timer } from '../../../clock.ts';
import { QuorateError } from '../../../errors.ts';
import { keepAlive } from '../../../keep-alive.ts';

/** Where tokens come from. */
export interface TokenSource {
  /** True, and they are taken; or false, and nothing has changed. */
  take(tokens: number, now: number): boolean;
  /** Milliseconds until `tokens` could be taken once `ahead` others were; as well as can be told now. Infinity: not known. */
  waitMs(tokens: number, ahead: number, now: number): number;
  /** Why there are none, where it is not that all are used up. */
  obstacle?(now: number): string | undefined;
}

interface Waiter {
  readonly tokens: number;
  readonly pass: () => void;
  readonly fail: (error: unknown) => void;
}

export interface WaitOptions {
  readonly tokens: number;
  readonly maxWaitMs: number;
  readonly signal: AbortSignal | undefined;
}

/** Tokens are looked for at least so often while somebody waits, milliseconds. */
const longestSleepMs = 1_000;

export class WaitingLine {
  readonly #id: string;
  readonly #source: TokenSource;
  readonly #clock: Clock;
  readonly #maxQueue: number;
  /** In the order of their coming. */
  readonly #waiters = new Set<Waiter>();
  #tokens = 0;
  #timer: Timer | undefined;
  /** The process shall not end while somebody waits. */
  #letGo: (() => void) | undefined;

  constructor(parts: {
    readonly id: string;
    readonly source: TokenSource;
    readonly clock: Clock;
    readonly maxQueue: number;
  }) {
    this.#id = parts.id;
    this.#source = parts.source;
    this.#clock = parts.clock;
    this.#maxQueue = parts.maxQueue;
  }

  get length(): number {
    return this.#waiters.size;
  }

  /** Tokens that are waited for. */
  get tokens(): number {
    return this.#tokens;
  }

  /** Resolves with the tokens taken. Rejects with `RATE_LIMITED`, or the reason of `signal`. */
  wait({ tokens, maxWaitMs, signal }: WaitOptions): Promise<void> {
    if (signal?.aborted === true) return Promise.reject(signal.reason);
    const now = this.#clock.now();
    if (this.#waiters.size === 0 && this.#source.take(tokens, now)) return Promise.resolve();
    const waitMs = this.#source.waitMs(tokens, this.#tokens, now);
    if (this.#waiters.size >= this.#maxQueue) {
      return Promise.reject(rateLimited(this.#id, waitMs, `${this.#maxQueue} wait already, which is the limit`));
    }
    if (waitMs !== Infinity && waitMs > maxWaitMs) {
      return Promise.reject(rateLimited(this.#id, waitMs, `its turn would come after more than ${maxWaitMs} ms`));
    }
    return this.#enqueue({ tokens, maxWaitMs, signal });
  }

  /** There may be tokens, or more of them to come. */
  wake(): void {
    this.#timer?.cancel();
    this.#timer = undefined;
    const now = this.#clock.now();
    for (const waiter of this.#waiters) {
      if (!this.#source.take(waiter.tokens, now)) {
        const wait = this.#source.waitMs(waiter.tokens, 0, now);
        // A whole millisecond, so that rounding never makes it wake too early and at once again.
        this.#timer = this.#clock.after(Math.min(longestSleepMs, Math.ceil(wait)), () => this.wake());
        return;
      }
      waiter.pass();
    }
  }

  /** Ends all waiting. */
  fail(error: unknown): void {
    this.#timer?.cancel();
    this.#timer = undefined;
    for (const waiter of this.#waiters) waiter.fail(error);
  }

  #enqueue({ tokens, maxWaitMs, signal }: WaitOptions): Promise<void> {
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    const leave = (): void => {
      deadline.cancel();
      signal?.removeEventListener('abort', onAbort);
      if (this.#waiters.delete(waiter)) this.#tokens -= tokens;
      if (this.#waiters.size > 0) return;
      this.#letGo?.();
      this.#letGo = undefined;
    };
    const fail = (error: unknown): void => {
      const wasFirst = this.#waiters.values().next().value === waiter;
      leave();
      reject(error);
      if (wasFirst && this.#waiters.size > 0) this.wake();
    };
    const waiter: Waiter = {
      tokens,
      pass: () => {
        leave();
        resolve();
      },
      fail: (error) => {
        leave();
        reject(error);
      },
    };
    const deadline = this.#clock.after(maxWaitMs, () => {
      // What it waits for may be due at this very moment.
      this.wake();
      if (!this.#waiters.has(waiter)) return;
      const late = this.#clock.now();
      const waitMs = this.#source.waitMs(tokens, 0, late);
      const obstacle = this.#source.obstacle?.(late);
      fail(
        obstacle === undefined
          ? rateLimited(this.#id, waitMs, `nothing was left for it within ${maxWaitMs} ms`)
          : unanswered(this.#id, waitMs, `${obstacle}, and it waited for ${maxWaitMs} ms`),
      );
    });
    const onAbort = (): void => fail(signal?.reason);
    signal?.addEventListener('abort', onAbort, { once: true });
    this.#waiters.add(waiter);
    this.#letGo ??= keepAlive();
    this.#tokens += tokens;
    if (this.#waiters.size === 1) this.wake();
    return promise;
  }
}

/** What is said when nobody can tell. */
const unknownRetryMs = 100;

export const finiteMs = (waitMs: number): number => (waitMs === Infinity ? unknownRetryMs : Math.ceil(waitMs));

function rateLimited(id: string, waitMs: number, why: string): QuorateError {
  const retryAfterMs = finiteMs(waitMs);
  return new QuorateError(
    'RATE_LIMITED',
    `The limit '${id}' is used up and the request did not pass: ${why}. Try again in ${retryAfterMs} ms, ask for less, or raise the limit.`,
    { limit: id, retryAfterMs },
  );
}

function unanswered(id: string, waitMs: number, why: string): QuorateError {
  const retryAfterMs = finiteMs(waitMs);
  const text = `The limit '${id}' let the request not pass: ${why}. Try again in ${retryAfterMs} ms, or wait for longer.`;
  return new QuorateError('RATE_LIMITED', text, { limit: id, retryAfterMs });
}
