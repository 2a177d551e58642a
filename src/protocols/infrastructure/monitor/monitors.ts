/**
 * The monitors of a node: makes them, connects them with what they measure, and measures calls itself. A source runs only while
 * a monitor needs it.
 */
import { isQuorateError, QuorateError } from '../../../errors.ts';
import type { AgentId } from '../../../value.ts';
import type { AttemptEnd, AttemptInfo } from '../../messaging/call-policy.ts';
import type { InfrastructureTools } from '../tools.ts';
import { MeshMonitor } from './mesh-monitor.ts';
import type { MetricSource, MetricSources, SourcedMetric } from './metric-sources.ts';
import type { Alert, Monitor, MonitorOptions, MonitorStatus } from './monitor.ts';
import { type ResolvedMonitorOptions, resolveMonitorOptions } from './monitor-options.ts';
import { sampleRegularly } from './sampling.ts';

export interface MonitorsOptions extends InfrastructureTools {
  readonly metrics: MetricSources;
  /** Each alert of each monitor of this node, once: for events of the mesh. */
  readonly onAlert?: ((alert: Alert) => void) | undefined;
}

/** Monitors one node may have: each is an entry in its feed, and a timer while it measures. */
const maxMonitors = 1_000;

interface Running {
  readonly monitor: MeshMonitor;
  /** What it was made with, to tell whether it is asked for again. */
  readonly made: string;
  readonly disconnect: () => void;
}

export class Monitors {
  readonly #options: MonitorsOptions;
  readonly #monitors = new Map<string, Running>();
  /** Monitors of `callLatency` by agent; those of all agents under ''. */
  readonly #callMeters = new Map<AgentId | '', Set<MeshMonitor>>();
  #stopped = false;

  constructor(options: MonitorsOptions) {
    this.#options = options;
  }

  /** Throws `INVALID_ARGUMENT`, `ALREADY_EXISTS` for an id this node has with other options, `LIMIT_EXCEEDED`, `STOPPED`. */
  monitor(options: MonitorOptions): Monitor {
    if (this.#stopped) throw new QuorateError('STOPPED', 'This mesh has stopped.');
    const resolved = resolveMonitorOptions(options);
    const { id } = resolved;
    const made = JSON.stringify(resolved);
    const running = this.#monitors.get(id);
    if (running !== undefined) {
      if (running.made === made) return running.monitor;
      throw new QuorateError(
        'ALREADY_EXISTS',
        `Monitor '${id}' exists on this node with other options. Ask for it with the same ones, dispose it first, or choose another id.`,
        { id, existing: JSON.parse(running.made) as unknown, asked: resolved },
      );
    }
    if (this.#monitors.size >= maxMonitors) {
      throw new QuorateError(
        'LIMIT_EXCEEDED',
        `This node has ${maxMonitors} monitors, and may have no more; dispose some.`,
        { id, limit: maxMonitors },
      );
    }
    const monitor: MeshMonitor = new MeshMonitor(this.#options, resolved, {
      onAlert: (alert) => this.#options.onAlert?.(alert),
      onDisposed: () => this.#forget(id),
    });
    this.#monitors.set(id, { monitor, made, disconnect: this.#connect(monitor, resolved) });
    return monitor;
  }

  /** The meter of `callLatency`: undefined unless a monitor measures calls to that agent. */
  admit(attempt: AttemptInfo): AttemptEnd | undefined {
    if (this.#callMeters.size === 0) return undefined;
    const ofAgent = this.#callMeters.get(attempt.agent);
    const ofAll = this.#callMeters.get('');
    if (ofAgent === undefined && ofAll === undefined) return undefined;
    const { clock } = this.#options;
    const startedAt = clock.now();
    return (error) => {
      if (!tellsLatency(error)) return;
      const ms = clock.now() - startedAt;
      for (const monitor of ofAgent ?? []) monitor.record(ms);
      for (const monitor of ofAll ?? []) monitor.record(ms);
    };
  }

  status(): readonly MonitorStatus[] {
    return [...this.#monitors.values()].map(({ monitor }) => monitor.status());
  }

  /** Entries of others that were ignored, over all monitors. */
  get refused(): { readonly malformed: number; readonly conflicting: number } {
    const sum = { malformed: 0, conflicting: 0 };
    for (const { monitor } of this.#monitors.values()) {
      sum.malformed += monitor.refused.malformed;
      sum.conflicting += monitor.refused.conflicting;
    }
    return sum;
  }

  /** Ends all timers; idempotent. Entries stay for as long as this node's feeds do. */
  stop(): void {
    this.#stopped = true;
    for (const { monitor, disconnect } of this.#monitors.values()) {
      disconnect();
      monitor.stop(false);
    }
    this.#monitors.clear();
  }

  #forget(id: string): void {
    this.#monitors.get(id)?.disconnect();
    this.#monitors.delete(id);
  }

  #connect(monitor: MeshMonitor, { metric, agent, windowMs }: ResolvedMonitorOptions): () => void {
    if (metric === 'callLatency') return this.#meterCalls(monitor, agent ?? '');
    const { metrics, clock, onError } = this.#options;
    const source: MetricSource | undefined = Object.hasOwn(metrics, metric)
      ? metrics[metric as SourcedMetric]
      : undefined;
    const record = (value: number): void => {
      // A source that has nothing yet may say so by NaN; a monitor's `record` would throw.
      if (Number.isFinite(value)) monitor.record(value);
    };
    if (source === undefined) return () => undefined;
    if (source.kind === 'told') return source.start(record);
    const where = `measuring ${metric}`;
    return sampleRegularly(() => source.sample(agent), record, { clock, windowMs, onError, where });
  }

  #meterCalls(monitor: MeshMonitor, agent: AgentId | ''): () => void {
    const meters = this.#callMeters.get(agent) ?? new Set();
    this.#callMeters.set(agent, meters.add(monitor));
    return () => {
      meters.delete(monitor);
      if (meters.size === 0 && this.#callMeters.get(agent) === meters) this.#callMeters.delete(agent);
    };
  }
}

/**
 * How long an agent takes is known when it has answered, if only with a failure, and when it was waited for in vain. A refusal
 * comes at once, and what never left took no time at all: those would make an overloaded agent look quick.
 */
function tellsLatency(error: unknown): boolean {
  if (error === undefined || isQuorateError(error, 'HANDLER_FAILED')) return true;
  return isQuorateError(error, 'UNKNOWN_OUTCOME') && error.data['reason'] === 'deadline';
}
