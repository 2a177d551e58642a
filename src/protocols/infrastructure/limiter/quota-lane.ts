/**
 * A lane of a strict limit: uses quotas that the validators granted, and asks for more a little ahead of need.
 *
 * A quota is used within its lifetime, counted from before it was asked for, so on no clock later than that after it was granted; what is left of it then is lost.
 */
import type { Clock, Timer } from '../../../clock.ts';
import { isQuorateError, QuorateError } from '../../../errors.ts';
import type { Quotas } from '../../coordination/quotas/quotas.ts';
import { DemandMeter } from './demand-meter.ts';
import type { Lane } from './lane.ts';
import type { RateDecision } from './limiter.ts';
import type { QuotaTerms } from './quota-terms.ts';
import { finiteMs, type TokenSource, WaitingLine, type WaitOptions } from './waiting-line.ts';

export interface QuotaLaneParts {
  readonly id: string;
  /** Names the bucket at the validators. */
  readonly limit: string;
  readonly clock: Clock;
  readonly rate: number;
  readonly terms: QuotaTerms;
  readonly maxQueue: number;
  readonly quotas: Quotas | undefined;
  readonly onAwake: () => void;
  readonly onError: (error: unknown, where: string) => void;
}

interface Batch {
  tokens: number;
  readonly until: number;
}

/** After a failure the validators are asked again no sooner. */
const pauseAfterFailureMs = 500;
/** What validators need for an answer, about. */
const shortestAnswerMs = 10;
/** A quota lasts a quarter of a second at most, so a later answer is of use only to those who ask again. Shorter than most wait, so that they hear why. */
const answerWithinMs = 2_000;
/** Validators that are well answer sooner. */
const patienceMs = 250;

export class QuotaLane implements Lane, TokenSource {
  readonly #parts: QuotaLaneParts;
  readonly #line: WaitingLine;
  readonly #meter: DemandMeter;
  /** Oldest first. */
  #batches: Batch[] = [];
  readonly #ended = new AbortController();
  #asking = false;
  #askedAt = 0;
  /** The last question was not answered. */
  #failing = false;
  #notBefore = 0;
  #timer: Timer | undefined;
  /** Wanted and not there, by requests that did not wait. */
  #missed = 0;
  #awake = false;

  constructor(parts: QuotaLaneParts) {
    this.#parts = parts;
    const { id, clock, maxQueue } = parts;
    this.#line = new WaitingLine({ id, source: this, clock, maxQueue });
    this.#meter = new DemandMeter(clock.now());
  }

  tryTake(tokens: number): RateDecision {
    const now = this.#count(tokens);
    const passes = this.#line.length === 0 && this.take(tokens, now);
    if (!passes) this.#missed = Math.max(this.#missed, tokens);
    this.#askAhead(now);
    if (passes) return { allowed: true, remaining: this.atHand(now) };
    return { allowed: false, retryAfterMs: finiteMs(this.waitMs(tokens, this.#line.tokens, now)) };
  }

  wait(options: WaitOptions): Promise<void> {
    const now = this.#count(options.tokens);
    const { quotas } = this.#parts;
    if (quotas === undefined) return Promise.reject(noValidators());
    const waited = this.#line.wait(options);
    this.#askAhead(now);
    return waited;
  }

  refund(tokens: number): void {
    const newest = this.#batches.at(-1);
    if (newest !== undefined) newest.tokens += tokens;
    this.#line.wake();
  }

  take(tokens: number, now: number): boolean {
    if (this.atHand(now) < tokens) return false;
    let missing = tokens;
    for (const batch of this.#batches) {
      const used = Math.min(missing, batch.tokens);
      batch.tokens -= used;
      missing -= used;
    }
    return true;
  }

  /** No more than a hope: the validators may hold a full bucket, and nobody knows what the others ask for. */
  waitMs(tokens: number, ahead: number, now: number): number {
    const { rate, terms } = this.#parts;
    const missing = tokens + ahead - this.atHand(now);
    if (missing <= 0) return 0;
    return Math.max(shortestAnswerMs, this.#notBefore - now, ((missing - terms.capacity) * 1_000) / rate);
  }

  atHand(now: number): number {
    if (this.#batches.some(({ tokens, until }) => tokens <= 0 || until <= now)) {
      this.#batches = this.#batches.filter(({ tokens, until }) => tokens > 0 && until > now);
    }
    return this.#batches.reduce((sum, { tokens }) => sum + tokens, 0);
  }

  obstacle(now: number): string | undefined {
    if (!this.#failing && !(this.#asking && now - this.#askedAt >= patienceMs)) return undefined;
    return 'the validators, who give out its quotas, do not answer';
  }

  tick(now: number): boolean {
    this.#meter.look(now, this.#line.tokens);
    this.#awake = !(this.#meter.isIdle && this.#line.length === 0);
    return this.#awake;
  }

  surroundingsChanged(): void {}

  isFresh(now: number): boolean {
    return !this.#awake && this.#line.length === 0 && !this.#asking && this.atHand(now) === 0;
  }

  get waiting(): number {
    return this.#line.length;
  }

  get demand(): number {
    return this.#meter.demand;
  }

  stop(error: unknown): void {
    this.#ended.abort(error);
    this.#timer?.cancel();
    this.#line.fail(error);
  }

  #count(tokens: number): number {
    const now = this.#parts.clock.now();
    if (!this.#awake) {
      this.#awake = true;
      this.#meter.begin(now);
      this.#parts.onAwake();
    }
    this.#meter.count(tokens);
    return now;
  }

  /** Asks when what is at hand would not last for half a lifetime, one question at a time. */
  #askAhead(now: number): void {
    const { terms, quotas, clock } = this.#parts;
    if (this.#asking || quotas === undefined || this.#ended.signal.aborted) return;
    const soon = Math.ceil((this.#meter.demand * terms.lifetimeMs) / 1_000);
    const need = Math.max(this.#line.tokens + soon, this.#missed);
    const atHand = this.atHand(now);
    if (need === 0 || (this.#line.length === 0 && this.#missed === 0 && atHand * 2 > soon)) return;
    if (now < this.#notBefore) {
      this.#timer ??= clock.after(Math.ceil(this.#notBefore - now), () => {
        this.#timer = undefined;
        this.#askAhead(clock.now());
      });
      return;
    }
    void this.#ask(quotas, Math.min(terms.capacity, Math.max(1, Math.ceil(need - atHand))));
  }

  async #ask(quotas: Quotas, want: number): Promise<void> {
    const { limit, rate, terms, clock } = this.#parts;
    const askedAt = clock.now();
    this.#askedAt = askedAt;
    this.#asking = true;
    this.#missed = 0;
    try {
      const request = { limit, rate, capacity: terms.capacity, want };
      const options = { signal: this.#ended.signal, timeoutMs: answerWithinMs };
      const { granted, retryAfterMs } = await quotas.take(request, options);
      if (granted > 0) this.#batches.push({ tokens: granted, until: askedAt + terms.lifetimeMs });
      this.#notBefore = clock.now() + retryAfterMs;
      this.#failing = false;
    } catch (error) {
      this.#notBefore = clock.now() + pauseAfterFailureMs;
      if (!this.#ended.signal.aborted) {
        const failure = isQuorateError(error, 'UNKNOWN_OUTCOME') ? this.#noQuorum(error) : error;
        this.#line.fail(failure);
        // Once for each time that they are away.
        if (!this.#failing) this.#parts.onError(failure, `quotas of '${limit}'`);
        this.#failing = true;
      }
    }
    this.#asking = false;
    this.#line.wake();
    this.#askAhead(clock.now());
  }

  /** A quota that nobody heard of is lost, and harms nobody: whoever waited has got nothing, and that is certain. */
  #noQuorum(cause: QuorateError): QuorateError {
    const text = `The limit '${this.#parts.id}' got no quota: too few validators answered within ${answerWithinMs} ms. Nothing was taken; try again once a quorum of them is up.`;
    return new QuorateError('NO_QUORUM', text, cause.data, { cause });
  }
}

const noValidators = (): QuorateError =>
  new QuorateError(
    'NO_VALIDATORS',
    'A strict limit takes its quotas from validators, and this mesh has no coordination.',
  );
