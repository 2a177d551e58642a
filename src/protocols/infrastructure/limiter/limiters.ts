/** The rate limits of a node, and the place where protected calls pass them. */
import type { NodeId } from '../../../node-id.ts';
import type { Quotas } from '../../coordination/quotas/quotas.ts';
import type { AttemptEnd, AttemptInfo } from '../../messaging/call-policy.ts';
import type { InfrastructureTools } from '../tools.ts';
import type { RateLimiter, RateLimiterOptions, RateLimiterStatus } from './limiter.ts';

export interface LimitersTools extends InfrastructureTools {
  /** For `strict`; undefined where the mesh has no coordination. */
  readonly quotas: Quotas | undefined;
  /** A resource as the member announces it, for `weightedByCapacity`. */
  readonly capacityOf: (node: NodeId, name: string) => number | undefined;
}

export class Limiters {
  readonly #limiters = new Map<string, RateLimiter>();

  constructor(_tools: LimitersTools) {}

  rateLimiter(options: RateLimiterOptions): RateLimiter {
    throw new Error(`not built yet: ${options.id}`);
  }

  /** Before each attempt of a call, cast or stream. */
  admit(_attempt: AttemptInfo): AttemptEnd | undefined | Promise<AttemptEnd | undefined> {
    return undefined;
  }

  status(): RateLimiterStatus[] {
    return [...this.#limiters.values()].map((limiter) => limiter.status());
  }

  /** Takes back what was shared; those who wait are refused with `STOPPED`. Idempotent. */
  stop(): void {
    this.#limiters.clear();
  }
}
