/** Circuit breakers: stop calling what fails, everywhere at once, and find out with one probe whether it is back. */
import type { NodeId } from '../../../node-id.ts';
import type { AgentId } from '../../../value.ts';
import type { Criteria } from '../../registry/records.ts';

/** `closed`: calls pass. `open`: they are refused (`REJECTED`, reason `circuit-open`) or go to a fallback. `halfOpen`: one probe, in the whole scope, may pass. */
export type BreakerState = 'closed' | 'open' | 'halfOpen';

/** How a call counts. `ignore`: not at all. */
export type CallVerdict = 'success' | 'failure' | 'ignore';

/** The same on all nodes that share a breaker: with other times they would probe at other times. */
export interface BreakerOptions {
  /** The protected agent, or every agent that matches, each with a state of its own. */
  readonly agent: AgentId | Criteria;
  /** Only calls of this method. Default: all, together. */
  readonly method?: string | undefined;
  /** Distinguishes several breakers on one agent; the same on all nodes. Default: made of agent and method. */
  readonly id?: string | undefined;
  /**
   * Failures within `windowMs` that open it: those of one node for that node; in a wider scope the sum over its nodes, each counted up to
   * ceil(threshold / (liars + 1)), and of more than `membership.liars` nodes, for all. Default 5.
   */
  readonly failureThreshold?: number | undefined;
  /** … when they are at least this share of the calls counted. Default 0.5. */
  readonly failureRatio?: number | undefined;
  /** Default 10,000. */
  readonly windowMs?: number | undefined;
  /**
   * How long it stays open before a probe. Doubled after each failed probe, up to `maxRecoveryTimeMs`. When then nobody calls for long (at
   * least twice `maxRecoveryTimeMs`), it is as if it had never been open. Default 30,000.
   */
  readonly recoveryTimeMs?: number | undefined;
  /** Default: eight times `recoveryTimeMs`. */
  readonly maxRecoveryTimeMs?: number | undefined;
  /** Replies that took longer count as failures; for a stream, its whole time. Default: none does. */
  readonly slowCallMs?: number | undefined;
  /** Who shares it. Default `'cluster'`. */
  readonly scope?: 'node' | 'zone' | 'cluster' | undefined;
  /** Tried in order while it is open. */
  readonly fallbackAgents?: readonly AgentId[] | undefined;
  /**
   * How an outcome counts. `error` is undefined for a reply. Default: a reply is a success; deadlines, lost connections, unreachable nodes, overload, and what the handler threw are failures;
   * what the caller did wrong (unknown method, unsendable message, cancelled, refused by its own limits) is ignored.
   */
  readonly classify?:
    | ((error: unknown, call: { readonly agent: AgentId; readonly method: string; readonly ms: number }) => CallVerdict)
    | undefined;
}

/** What `onChange` and the event `breaker` tell: one agent became closed, open or half open, as seen by this node. */
export interface BreakerChange {
  readonly id: string;
  readonly agent: AgentId;
  readonly state: BreakerState;
  readonly previous: BreakerState;
  /** In words: what opened it, who reported. */
  readonly reason: string;
}

/** How one protected agent is, as seen by this node. */
export interface AgentBreakerStatus {
  readonly agent: AgentId;
  readonly state: BreakerState;
  /** Failures and successes of this node in the window. */
  readonly failures: number;
  readonly successes: number;
  /** As counted over the scope, and who reported failures. */
  readonly counted: { readonly failures: number; readonly successes: number; readonly reporters: readonly NodeId[] };
  /** Milliseconds until the next probe, while open. */
  readonly retryAfterMs: number | undefined;
  readonly reason: string | undefined;
}

/** A breaker with all agents it has seen calls to. */
export interface BreakerStatus {
  readonly id: string;
  readonly scope: 'node' | 'zone' | 'cluster';
  readonly agents: readonly AgentBreakerStatus[];
  /** Calls refused, answered by a fallback, and let through as probes, on this node since its start. */
  readonly refused: number;
  readonly fallbacks: number;
  readonly probes: number;
}

/** Protects the calls that go out from this node until it is disposed of. `state`, `reset` and `trip` throw `INVALID_ARGUMENT` for an agent it does not protect; `reset` and `trip` throw `STOPPED` afterwards. */
export interface CircuitBreaker extends Disposable {
  readonly id: string;
  /** Of the agent named by `options.agent`; for criteria name the agent. `closed` for one never called. */
  state(agent?: AgentId): BreakerState;
  status(): BreakerStatus;
  /** Closes it in the whole scope, as an operator may: once in each recovery time and node. With criteria name the agent. */
  reset(agent?: AgentId): void;
  /**
   * Opens it until `reset`, or for `ms`: on this node, and in the whole scope when this is the agent's own node (which may refuse every call anyway), or once more
   * than `membership.liars` nodes have. With criteria name the agent.
   */
  trip(options?: { readonly agent?: AgentId | undefined; readonly ms?: number | undefined }): void;
  onChange(listener: (change: BreakerChange) => void): () => void;
  /** Protects no calls any more, and shares nothing. */
  [Symbol.dispose](): void;
}
