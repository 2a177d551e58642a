/** Breakers, limits and monitors of a node as one: the public interface, and the policy that every call passes. */
import type { AttemptEnd, AttemptInfo, CallPolicy } from '../messaging/call-policy.ts';
import type { BreakerOptions, CircuitBreaker } from './breaker/breaker.ts';
import type { Breakers } from './breaker/breakers.ts';
import type { Infrastructure, InfrastructureStatus } from './infrastructure.ts';
import type { RateLimiter, RateLimiterOptions } from './limiter/limiter.ts';
import type { Limiters } from './limiter/limiters.ts';
import type { Monitor, MonitorOptions } from './monitor/monitor.ts';
import type { Monitors } from './monitor/monitors.ts';

export class MeshInfrastructure implements Infrastructure, CallPolicy {
  readonly #breakers: Breakers;
  readonly #limiters: Limiters;
  readonly #monitors: Monitors;

  readonly #setPolicy: (policy: CallPolicy | undefined) => void;

  /** `setPolicy` puts this in the way of calls; until something protects them, they go without. */
  constructor(
    parts: { readonly breakers: Breakers; readonly limiters: Limiters; readonly monitors: Monitors },
    setPolicy: (policy: CallPolicy | undefined) => void,
  ) {
    this.#setPolicy = setPolicy;
    this.#breakers = parts.breakers;
    this.#limiters = parts.limiters;
    this.#monitors = parts.monitors;
  }

  circuitBreaker(options: BreakerOptions): CircuitBreaker {
    const breaker = this.#breakers.circuitBreaker(options);
    this.#setPolicy(this);
    return breaker;
  }

  breaker(id: string): CircuitBreaker | undefined {
    return this.#breakers.get(id);
  }

  rateLimiter(options: RateLimiterOptions): RateLimiter {
    const limiter = this.#limiters.rateLimiter(options);
    if (options.agents !== undefined) this.#setPolicy(this);
    return limiter;
  }

  monitor(options: MonitorOptions): Monitor {
    const monitor = this.#monitors.monitor(options);
    if (options.metric === 'callLatency') this.#setPolicy(this);
    return monitor;
  }

  status(): InfrastructureStatus {
    return {
      breakers: this.#breakers.status(),
      limiters: this.#limiters.status(),
      monitors: this.#monitors.status(),
    };
  }

  /** Entries of other nodes that were none, since the start; of breakers, monitors and alerts. */
  get malformed(): number {
    return this.#breakers.malformed + this.#monitors.refused.malformed;
  }

  /** Stops protecting and sharing. Idempotent. */
  stop(): void {
    this.#setPolicy(undefined);
    this.#monitors.stop();
    this.#limiters.stop();
    this.#breakers.stop();
  }

  /** The breaker first, so that what it refuses uses nothing up; the meter last, so that waiting for a turn is not counted as the agent's time. */
  admit(attempt: AttemptInfo): AttemptEnd | undefined | Promise<AttemptEnd | undefined> {
    const ended = this.#breakers.admit(attempt);
    let passed: AttemptEnd | undefined | Promise<AttemptEnd | undefined>;
    try {
      passed = this.#limiters.admit(attempt);
    } catch (error) {
      ended?.(error);
      throw error;
    }
    if (!(passed instanceof Promise)) return both(both(ended, passed), this.#monitors.admit(attempt));
    return passed.then(
      (end) => both(both(ended, end), this.#monitors.admit(attempt)),
      (error: unknown) => {
        ended?.(error);
        throw error;
      },
    );
  }
}

function both(one: AttemptEnd | undefined, other: AttemptEnd | undefined): AttemptEnd | undefined {
  if (one === undefined) return other;
  if (other === undefined) return one;
  return (error) => {
    one(error);
    other(error);
  };
}
