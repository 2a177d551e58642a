/**
 * How long a quota from the validators may be used, and how many tokens they hold.
 *
 * Intuition: tokens granted at one moment of agreed time are used within `lifetimeMs` after it. So what is used within a second was granted within `1 s + lifetime`, and is at most
 * `capacity + rate × (1 + lifetime)`; with a capacity of `burst − rate × lifetime` that is `rate + burst`. Half of the burst goes into the lifetime, as long as a quota need be.
 *
 * A bucket cannot hold less than one token, so where `burst` is below 2 the bound is over by less than half a request.
 */
/** Longer than any agreement takes that is not in trouble. */
const longestLifetimeMs = 250;
/** An agreement on one machine takes a few milliseconds, over a wide area several tens. */
export const leastLifetimeMs = 25;

export interface QuotaTerms {
  readonly lifetimeMs: number;
  /** Whole tokens. */
  readonly capacity: number;
}

export function quotaTerms({ rate, burst }: { readonly rate: number; readonly burst: number }): QuotaTerms {
  const lifetimeMs = Math.min(longestLifetimeMs, (burst / (2 * rate)) * 1_000);
  return { lifetimeMs, capacity: Math.max(1, Math.floor(burst - (rate * lifetimeMs) / 1_000)) };
}
