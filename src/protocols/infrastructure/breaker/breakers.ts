/** The circuit breakers of a node, and the place where calls pass them. */
import type { AttemptEnd, AttemptInfo } from '../../messaging/call-policy.ts';
import type { InfrastructureTools } from '../tools.ts';
import type { BreakerChange, BreakerOptions, BreakerStatus, CircuitBreaker } from './breaker.ts';

export class Breakers {
  readonly #breakers = new Map<string, CircuitBreaker>();

  constructor(_tools: InfrastructureTools, _onChange: (change: BreakerChange) => void = () => undefined) {}

  circuitBreaker(options: BreakerOptions): CircuitBreaker {
    throw new Error(`not built yet: ${options.id}`);
  }

  /** Before each attempt of a call, cast or stream. Throws `REJECTED`, reason `circuit-open`. */
  admit(_attempt: AttemptInfo): AttemptEnd | undefined {
    return undefined;
  }

  status(): BreakerStatus[] {
    return [...this.#breakers.values()].map((breaker) => breaker.status());
  }

  /** Takes back what was shared. Idempotent. */
  stop(): void {
    this.#breakers.clear();
  }
}
