/**
 * Where built-in metrics come from: the port between monitors and the rest of a node. `callLatency` is not among them,
 * for `Monitors.admit` measures that itself. Nothing here runs before a monitor needs it.
 */
import type { AgentId } from '../../../value.ts';
import type { BuiltInMetric } from './monitor.ts';

/**
 * `told`: the source calls `record` with each measurement, from `start` until the returned function is called.
 * `sampled`: asked now and then what it is at that moment; undefined when there is nothing to measure.
 */
export type MetricSource =
  | { readonly kind: 'told'; start(record: (value: number) => void): () => void }
  | { readonly kind: 'sampled'; sample(agent: AgentId | undefined): number | undefined };

export type SourcedMetric = Exclude<BuiltInMetric, 'callLatency'>;

/** A metric left out has no measurements here: `replicationLag` in a mesh of one process, say. */
export type MetricSources = { readonly [Metric in SourcedMetric]?: MetricSource | undefined };
