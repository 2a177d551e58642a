/**
 * The infrastructure protocol: protects agents and shows how they are, over one process or a whole mesh. Breakers and limits made here apply to the
 * calls that go out from this node; each node that calls makes its own, with the same id, and those of one scope act as one.
 */
import type { BreakerOptions, BreakerStatus, CircuitBreaker } from './breaker/breaker.ts';
import type { RateLimiter, RateLimiterOptions, RateLimiterStatus } from './limiter/limiter.ts';
import type { Monitor, MonitorOptions, MonitorStatus } from './monitor/monitor.ts';

/** Those that make something throw `INVALID_ARGUMENT` (every wrong field named), `INVALID_CRITERIA` (a breaker's `agent`), `ALREADY_EXISTS` for an id this node has with other options, `LIMIT_EXCEEDED`, `STOPPED`. The same again gives the same object. */
export interface Infrastructure {
  /**
   * @example
   * mesh.infrastructure.circuitBreaker({ agent: 'inference', failureThreshold: 5, recoveryTimeMs: 30_000, fallbackAgents: ['backup-1'] });
   */
  circuitBreaker(options: BreakerOptions): CircuitBreaker;
  /** A breaker that this node has made and not disposed of: for operators, who know its id and not its options. */
  breaker(id: string): CircuitBreaker | undefined;
  /**
   * @example
   * const limiter = mesh.infrastructure.rateLimiter({ id: 'model-requests', requestsPerSecond: 1000, agents: { capabilities: 'llm' } });
   */
  rateLimiter(options: RateLimiterOptions): RateLimiter;
  /**
   * @example
   * const monitor = mesh.infrastructure.monitor({ id: 'agree', metric: 'coordinationLatency', aggregation: 'p95', thresholds: { warning: 100, critical: 500 } });
   */
  monitor(options: MonitorOptions): Monitor;
  status(): InfrastructureStatus;
}

/** Everything made here and not disposed of; part of `mesh.status()`. */
export interface InfrastructureStatus {
  readonly breakers: readonly BreakerStatus[];
  readonly limiters: readonly RateLimiterStatus[];
  readonly monitors: readonly MonitorStatus[];
}
