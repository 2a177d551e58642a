/** Monitors: a measured quantity over a whole mesh, with percentiles that are those of all measurements, and alerts raised once. */
import type { NodeId } from '../../../node-id.ts';
import type { AgentId } from '../../../value.ts';

/**
 * Milliseconds unless said: `coordinationLatency` (ordered commands of a node), `callLatency` (calls sent, by `agent` when given), `eventLoopLag`, `cpu` (share of all cores this process uses, 0 to 1), `memory` (resident bytes),
 * `mailboxDepth` (messages waiting, by `agent` when given), `variableSkew` (age difference of contributions), `replicationLag` (neighbours whose feeds differ, a count). Anything else is measured by the
 * application: `record`.
 */
export type BuiltInMetric =
  | 'coordinationLatency'
  | 'callLatency'
  | 'eventLoopLag'
  | 'cpu'
  | 'memory'
  | 'mailboxDepth'
  | 'variableSkew'
  | 'replicationLag';

/** `rate`: measurements per second, over the window, or since the monitor was made on their node where that is less. Percentiles are within 1 % of the true value (relative). */
export type Aggregation = 'p50' | 'p90' | 'p95' | 'p99' | 'mean' | 'min' | 'max' | 'sum' | 'count' | 'rate';

/** How bad it is; `ok` ends an incident. */
export type AlertLevel = 'ok' | 'warning' | 'critical';

/** The same on all nodes that take part: measurements of one id with another metric, agent, window or scope are not put together. */
export interface MonitorOptions {
  /** The same on all nodes that take part: 1 to 128 characters. */
  readonly id: string;
  readonly metric: BuiltInMetric | (string & {});
  /** Default `p95`. */
  readonly aggregation?: Aggregation | undefined;
  /** With `callLatency` and `mailboxDepth`: of this agent only. */
  readonly agent?: AgentId | undefined;
  /** In the unit of the metric. Either may be left out. */
  readonly thresholds?: { readonly warning?: number | undefined; readonly critical?: number | undefined } | undefined;
  /** Whether too much or too little is bad. Default `above`. */
  readonly direction?: 'above' | 'below' | undefined;
  /** A level is left only when the value is better than its threshold by this share. Default 0.1. */
  readonly hysteresis?: number | undefined;
  /** Measurements of the last so many milliseconds count. Default 60,000. */
  readonly windowMs?: number | undefined;
  /**
   * With fewer measurements in the scope the level is `ok`. Default 1. With 0, `count`, `sum` and `rate` of nothing are judged as well, from one
   * window after the monitor was made: to hear of silence.
   */
  readonly minSamples?: number | undefined;
  /** Default `'cluster'`. */
  readonly scope?: 'node' | 'zone' | 'cluster' | undefined;
  /** Agents called with each alert (method `alert` unless said), once per incident and level in the whole scope. */
  readonly notify?: { readonly agents: readonly AgentId[]; readonly method?: string | undefined } | undefined;
}

/** A change of level, as told to listeners, to the event `alert` and to the agents of `notify`. */
export interface Alert {
  readonly monitor: string;
  /** The same on all nodes; one from the first warning until all is well. */
  readonly incident: string;
  readonly level: AlertLevel;
  readonly previous: AlertLevel;
  /** Undefined when it is over for lack of measurements. */
  readonly value: number | undefined;
  /** The threshold crossed. */
  readonly threshold: number | undefined;
  readonly metric: string;
  readonly aggregation: Aggregation;
  readonly scope: 'node' | 'zone' | 'cluster';
  /** The node that raised it, as who carries it on says. */
  readonly raisedBy: NodeId;
  /** Wall clock there, milliseconds since 1970. */
  readonly at: number;
}

/** What a monitor shows at this moment. */
export interface MonitorStatus {
  readonly id: string;
  readonly metric: string;
  readonly aggregation: Aggregation;
  readonly scope: 'node' | 'zone' | 'cluster';
  readonly value: number | undefined;
  readonly level: AlertLevel;
  /** Measurements that count, over the scope; nodes they are from. */
  readonly samples: number;
  readonly nodes: readonly NodeId[];
  readonly incident: string | undefined;
}

/** Measures, or is given measurements, until it is disposed of. */
export interface Monitor extends Disposable {
  readonly id: string;
  /** Adds a measurement; for metrics of the application, and for built-in ones too. Throws `INVALID_ARGUMENT` for what is no finite number. */
  record(value: number): void;
  /** Aggregated over the scope, as far as this node has heard; undefined without measurements. */
  readonly value: number | undefined;
  /** Any percentile, 0 to 100. */
  percentile(percent: number): number | undefined;
  readonly level: AlertLevel;
  status(): MonitorStatus;
  /** Each alert, once per node; an incident's start, its changes of level, its end (`ok`). */
  onAlert(listener: (alert: Alert) => void): () => void;
  [Symbol.dispose](): void;
}
