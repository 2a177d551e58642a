/** The rate limits of a node, and the place where protected calls pass them. */
import { isDeepStrictEqual } from 'node:util';
import { isQuorateError, QuorateError } from '../../../errors.ts';
import type { AttemptEnd, AttemptInfo } from '../../messaging/call-policy.ts';
import { rejected } from '../../messaging/outcome.ts';
import type { RateLimiter, RateLimiterOptions, RateLimiterStatus } from './limiter.ts';
import { type AgentMatch, limiterTerms, matchOf } from './limiter-options.ts';
import type { LimitersTools } from './limiters-tools.ts';
import { MeshLimiter } from './mesh-limiter.ts';

/** Limiters of one node; each shared one is an entry of its own. */
const maxLimiters = 1_000;
/** A protected call waits so long at most. */
const maxWaitMs = 5_000;

/** A limiter that calls pass. */
interface Guard {
  readonly limiter: MeshLimiter;
  readonly match: AgentMatch;
}

/** What was taken for an attempt so far. */
interface Taken {
  readonly limiter: MeshLimiter;
  readonly key: string;
}

export class Limiters {
  readonly #tools: LimitersTools;
  readonly #limiters = new Map<string, MeshLimiter>();
  /** Those that refuse before those that wait, so that nobody waits in vain. */
  #guards: readonly Guard[] = [];
  #stopped = false;

  constructor(tools: LimitersTools) {
    this.#tools = tools;
  }

  rateLimiter(options: RateLimiterOptions): RateLimiter {
    if (this.#stopped) throw new QuorateError('STOPPED', 'This mesh has stopped; create another.');
    const terms = limiterTerms(options);
    const former = this.#limiters.get(terms.id);
    if (former !== undefined) {
      if (isDeepStrictEqual(former.terms, terms)) return former;
      throw new QuorateError(
        'ALREADY_EXISTS',
        `This node has a rate limiter '${terms.id}' with other options. Use that one, dispose of it first, or choose another id.`,
        { id: terms.id },
      );
    }
    if (this.#limiters.size >= maxLimiters) {
      throw new QuorateError('LIMIT_EXCEEDED', `This node has ${maxLimiters} rate limiters already; use keys.`, {
        limit: maxLimiters,
      });
    }
    const limiter = new MeshLimiter(this.#tools, terms, (gone) => this.#forget(gone));
    this.#limiters.set(terms.id, limiter);
    if (terms.agents !== undefined) {
      const guards = [...this.#guards, { limiter, match: matchOf(terms.agents) }];
      const rank = ({ limiter: { terms: of } }: Guard): number => (of.whenExceeded === 'wait' ? 1 : 0);
      this.#guards = guards.sort((a, b) => rank(a) - rank(b));
    }
    return limiter;
  }

  /** Before each attempt of a call, cast or stream. Throws, or rejects with, `REJECTED` (`rate-limited`). */
  admit(attempt: AttemptInfo): AttemptEnd | undefined | Promise<AttemptEnd | undefined> {
    if (this.#guards.length === 0) return undefined;
    const taken: Taken[] = [];
    try {
      for (let at = 0; at < this.#guards.length; at++) {
        const { limiter, match } = this.#guards[at] as Guard;
        if (!this.#applies(limiter, match, attempt)) continue;
        if (limiter.terms.whenExceeded === 'wait') return this.#admitInTurn(attempt, this.#guards.slice(at), taken);
        const key = this.#keyOf(limiter, attempt);
        const decision = limiter.tryAcquire({ key });
        if (!decision.allowed) throw limited(attempt, limiter, decision.retryAfterMs);
        taken.push({ limiter, key });
      }
    } catch (error) {
      giveBack(taken);
      throw error;
    }
    return undefined;
  }

  status(): RateLimiterStatus[] {
    return [...this.#limiters.values()].map((limiter) => limiter.status());
  }

  /** Takes back what was shared; those who wait are refused with `STOPPED`. Idempotent. */
  stop(): void {
    this.#stopped = true;
    for (const limiter of [...this.#limiters.values()]) limiter[Symbol.dispose]();
  }

  async #admitInTurn(attempt: AttemptInfo, guards: readonly Guard[], taken: Taken[]): Promise<undefined> {
    const { clock } = this.#tools;
    try {
      for (const { limiter, match } of guards) {
        if (!this.#applies(limiter, match, attempt)) continue;
        const key = this.#keyOf(limiter, attempt);
        const left = Math.max(0, Math.min(maxWaitMs, attempt.deadlineAt - clock.now()));
        await limiter.acquire({ key, maxWaitMs: left, signal: attempt.signal });
        taken.push({ limiter, key });
      }
    } catch (error) {
      giveBack(taken);
      if (!isQuorateError(error, 'RATE_LIMITED')) throw error;
      throw rejected(attempt.agent, 'rate-limited', { ...error.data });
    }
    return undefined;
  }

  #applies({ terms }: MeshLimiter, match: AgentMatch, { agent, method }: AttemptInfo): boolean {
    if (terms.method !== undefined && terms.method !== method) return false;
    if (match.id !== undefined) return match.id === agent;
    const record = this.#tools.registry.lookup(agent);
    return record !== undefined && match.holds(record);
  }

  #keyOf({ terms, id }: MeshLimiter, { agent, method }: AttemptInfo): string {
    if (terms.key === undefined) return '';
    let key: unknown;
    try {
      key = terms.key({ agent, method });
    } catch (cause) {
      const text = `The function 'key' of the rate limiter '${id}' threw, so the message to agent ${agent} was not sent: ${String(cause)}`;
      throw new QuorateError('INVALID_ARGUMENT', text, { limit: id }, { cause });
    }
    if (typeof key === 'string') return key;
    throw new QuorateError('INVALID_ARGUMENT', `The function 'key' of the rate limiter '${id}' must answer text.`, {
      limit: id,
    });
  }

  #forget(limiter: MeshLimiter): void {
    this.#limiters.delete(limiter.id);
    this.#guards = this.#guards.filter((guard) => guard.limiter !== limiter);
  }
}

function limited({ agent }: AttemptInfo, { id }: MeshLimiter, retryAfterMs: number): QuorateError {
  return rejected(agent, 'rate-limited', { limit: id, retryAfterMs });
}

function giveBack(taken: readonly Taken[]): void {
  for (const { limiter, key } of taken) limiter.refund(1, key);
}
