/** A rate limit of a node, as its user holds it. */
import { QuorateError } from '../../../errors.ts';
import { Lanes } from './lanes.ts';
import type { RateDecision, RateLimiter, RateLimiterStatus } from './limiter.ts';
import type { LimiterTerms } from './limiter-options.ts';
import type { LimitersTools } from './limiters-tools.ts';
import { quotaTerms } from './quota-terms.ts';

const defaultMaxWaitMs = 5_000;
/** Characters of a key. */
const maxKeyLength = 256;

export class MeshLimiter implements RateLimiter {
  readonly id: string;
  readonly terms: LimiterTerms;
  readonly #lanes: Lanes;
  readonly #onDisposed: (limiter: MeshLimiter) => void;
  /** More at once never pass. */
  readonly #most: number;
  #admitted = 0;
  #refused = 0;
  #stopped = false;

  constructor(tools: LimitersTools, terms: LimiterTerms, onDisposed: (limiter: MeshLimiter) => void) {
    this.id = terms.id;
    this.terms = terms;
    this.#most = terms.strict ? quotaTerms(terms).capacity : terms.burst;
    this.#onDisposed = onDisposed;
    this.#lanes = new Lanes(tools, terms);
  }

  tryAcquire(options?: { readonly tokens?: number | undefined; readonly key?: string | undefined }): RateDecision {
    const tokens = options?.tokens ?? 1;
    const key = options?.key ?? '';
    this.#check(tokens, key);
    const decision = (key === '' ? this.#lanes.whole : this.#lanes.of(key)).tryTake(tokens);
    if (decision.allowed) this.#admitted += tokens;
    else this.#refused += tokens;
    return decision;
  }

  async acquire(options: Parameters<RateLimiter['acquire']>[0] = {}): Promise<void> {
    const { tokens = 1, key = '', maxWaitMs = defaultMaxWaitMs, signal } = options;
    this.#check(tokens, key);
    if (!(maxWaitMs >= 0 && maxWaitMs <= longestWaitMs)) {
      throw invalid(`maxWaitMs must be 0 to ${longestWaitMs}, not ${String(maxWaitMs)}`, { maxWaitMs });
    }
    try {
      await this.#lanes.of(key).wait({ tokens, maxWaitMs, signal });
    } catch (error) {
      this.#refused += tokens;
      throw error;
    }
    this.#admitted += tokens;
  }

  /** Gives back what was taken a moment ago, for a call that another limit then refused. */
  refund(tokens: number, key: string): void {
    if (this.#stopped) return;
    this.#admitted -= tokens;
    this.#lanes.of(key).refund(tokens);
  }

  status(): RateLimiterStatus {
    const { scope, strict, rate } = this.terms;
    const lane = this.#lanes.whole;
    return {
      id: this.id,
      scope,
      strict,
      requestsPerSecond: rate,
      share: this.#lanes.share,
      demand: lane.demand,
      shares: this.#lanes.shares(),
      admitted: this.#admitted,
      refused: this.#refused,
      waiting: this.#lanes.waiting,
      keys: this.#lanes.keys,
    };
  }

  [Symbol.dispose](): void {
    if (this.#stopped) return;
    this.#stopped = true;
    this.#lanes.stop(this.#stoppedError());
    this.#onDisposed(this);
  }

  #check(tokens: number, key: string): void {
    if (this.#stopped) throw this.#stoppedError();
    if (!(tokens > 0 && tokens <= this.#most)) {
      const why = this.terms.strict ? 'what the validators hold at once, about half of its burst' : 'its burst';
      throw invalid(
        `tokens must be more than 0 and at most ${this.#most}, which is ${why}: more would never pass; not ${String(tokens)}`,
        { limit: this.id, tokens, most: this.#most },
      );
    }
    if (typeof key !== 'string' || key.length > maxKeyLength) {
      throw invalid(`a key is text of at most ${maxKeyLength} characters`, { limit: this.id });
    }
  }

  #stoppedError(): QuorateError {
    return new QuorateError('STOPPED', `The rate limiter '${this.id}' was disposed of, or its mesh has stopped.`, {
      limit: this.id,
    });
  }
}

const longestWaitMs = 2 ** 31 - 1;

const invalid = (why: string, data: Readonly<Record<string, unknown>>): QuorateError =>
  new QuorateError('INVALID_ARGUMENT', `The limiter cannot do that: ${why}.`, data);
