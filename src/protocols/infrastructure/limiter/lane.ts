/** One stream of requests through a limiter: all of it, or those of one key. */
import type { RateDecision } from './limiter.ts';
import type { WaitOptions } from './waiting-line.ts';

export interface Lane {
  tryTake(tokens: number): RateDecision;
  wait(options: WaitOptions): Promise<void>;
  /** Puts back what was taken a moment ago and not used. */
  refund(tokens: number): void;
  /** Every 100 ms while it is used. False: it has nothing to do until it is used again. */
  tick(now: number): boolean;
  /** Nodes, zones or capacities have changed. */
  surroundingsChanged(): void;
  /** Nothing is lost when it is made anew: nobody waits, and its tokens are as at its beginning. */
  isFresh(now: number): boolean;
  readonly waiting: number;
  readonly demand: number;
  /** Ends it; those who wait get the error. */
  stop(error: unknown): void;
}
