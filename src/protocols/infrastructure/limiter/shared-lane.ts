/** A lane that decides by its own bucket, filled at this node's share of the rate. */
import type { Clock } from '../../../clock.ts';
import { DemandMeter } from './demand-meter.ts';
import type { Lane } from './lane.ts';
import type { RateDecision } from './limiter.ts';
import { TokenBucket } from './token-bucket.ts';
import { finiteMs, WaitingLine, type WaitOptions } from './waiting-line.ts';

/** Where the share of a lane comes from. */
export interface ShareOfLane {
  readonly share: number;
  setDemand(demand: number): void;
  lookSoon(): void;
  stop(): void;
}

export interface SharedLaneParts {
  readonly id: string;
  readonly clock: Clock;
  readonly rate: number;
  readonly burst: number;
  readonly maxQueue: number;
  /** Its share, told by `onShare` whenever it is another; once before this returns. */
  readonly openShare: (onShare: (share: number) => void) => ShareOfLane;
  /** It was used after a pause: it wants to be ticked. */
  readonly onAwake: () => void;
}

export class SharedLane implements Lane {
  readonly #parts: SharedLaneParts;
  readonly #bucket: TokenBucket;
  readonly #line: WaitingLine;
  readonly #meter: DemandMeter;
  readonly #share: ShareOfLane;
  #awake = false;
  #initial = true;

  constructor(parts: SharedLaneParts) {
    this.#parts = parts;
    const { id, clock, maxQueue, openShare } = parts;
    const now = clock.now();
    this.#bucket = new TokenBucket({ rate: 0, capacity: 0, tokens: 0, now });
    this.#line = new WaitingLine({ id, source: this.#bucket, clock, maxQueue });
    this.#meter = new DemandMeter(now);
    this.#share = openShare((share) => this.#onShare(share));
    this.#initial = false;
  }

  tryTake(tokens: number): RateDecision {
    const now = this.#parts.clock.now();
    this.#count(tokens, now);
    if (this.#line.length === 0 && this.#bucket.take(tokens, now)) {
      return { allowed: true, remaining: Math.max(0, Math.floor(this.#bucket.level(now))) };
    }
    return { allowed: false, retryAfterMs: finiteMs(this.#bucket.waitMs(tokens, this.#line.tokens, now)) };
  }

  wait(options: WaitOptions): Promise<void> {
    this.#count(options.tokens, this.#parts.clock.now());
    return this.#line.wait(options);
  }

  refund(tokens: number): void {
    this.#bucket.refund(tokens, this.#parts.clock.now());
    this.#line.wake();
  }

  tick(now: number): boolean {
    this.#share.setDemand(this.#meter.look(now, this.#line.tokens));
    this.#awake = !(this.#meter.isIdle && this.#line.length === 0);
    return this.#awake;
  }

  surroundingsChanged(): void {
    this.#share.lookSoon();
  }

  isFresh(now: number): boolean {
    return !this.#awake && this.#line.length === 0 && this.#bucket.isFull(now);
  }

  get waiting(): number {
    return this.#line.length;
  }

  get demand(): number {
    return this.#meter.demand;
  }

  stop(error: unknown): void {
    this.#share.stop();
    this.#line.fail(error);
  }

  #count(tokens: number, now: number): void {
    if (!this.#awake) {
      this.#awake = true;
      this.#meter.begin(now);
      this.#parts.onAwake();
    }
    this.#meter.count(tokens);
  }

  /** The burst is divided as the rate is. A share taken later begins with an empty bucket: what is in it was used, or will be, by whoever had the share before. */
  #onShare(share: number): void {
    const { rate, burst, clock } = this.#parts;
    const now = clock.now();
    const capacity = burst * Math.min(1, share / rate);
    this.#bucket.reshape(share, capacity, now);
    if (this.#initial) this.#bucket.refund(capacity, now);
    else this.#line.wake();
  }
}
