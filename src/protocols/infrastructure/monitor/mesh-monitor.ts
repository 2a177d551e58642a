/** A monitor of this node: measurements, alerts, and who listens. */
import { QuorateError } from '../../../errors.ts';
import type { InfrastructureTools } from '../tools.ts';
import { Alerting } from './alerting.ts';
import type { Alert, AlertLevel, Monitor, MonitorStatus } from './monitor.ts';
import type { ResolvedMonitorOptions } from './monitor-options.ts';
import { SharedMeasurements } from './shared-measurements.ts';

export interface MeshMonitorHooks {
  onAlert(alert: Alert): void;
  /** Disposed by its user. */
  onDisposed(): void;
}

export class MeshMonitor implements Monitor {
  readonly id: string;
  readonly #tools: InfrastructureTools;
  readonly #options: ResolvedMonitorOptions;
  readonly #measurements: SharedMeasurements;
  readonly #alerting: Alerting;
  readonly #hooks: MeshMonitorHooks;
  readonly #listeners = new Set<(alert: Alert) => void>();
  #stopped = false;

  constructor(tools: InfrastructureTools, options: ResolvedMonitorOptions, hooks: MeshMonitorHooks) {
    this.id = options.id;
    this.#tools = tools;
    this.#options = options;
    this.#hooks = hooks;
    this.#measurements = new SharedMeasurements(tools, options, (members) => {
      if (members) this.#alerting.onMembers();
      else this.#alerting.onMeasurements();
    });
    this.#alerting = new Alerting(tools, options, this.#measurements, (alert) => this.#onAlert(alert));
  }

  record(value: number): void {
    if (typeof value !== 'number' || !Number.isFinite(value)) {
      throw new QuorateError(
        'INVALID_ARGUMENT',
        `Monitor '${this.id}' was given ${String(value)}, which is no finite number; leave out what was not measured.`,
        { id: this.id, fields: { value: 'must be a finite number' } },
      );
    }
    if (!this.#stopped) this.#measurements.record(value);
  }

  get value(): number | undefined {
    const aggregate = this.#measurements.aggregate();
    return aggregate.samples === 0 ? undefined : aggregate.value(this.#options.aggregation);
  }

  percentile(percent: number): number | undefined {
    if (typeof percent !== 'number' || !(percent >= 0 && percent <= 100)) {
      throw new QuorateError(
        'INVALID_ARGUMENT',
        `Monitor '${this.id}' was asked for percentile ${String(percent)}; there are those from 0 to 100.`,
        { id: this.id, fields: { percent: 'must be a number from 0 to 100' } },
      );
    }
    return this.#measurements.aggregate().percentile(percent);
  }

  get level(): AlertLevel {
    return this.#alerting.level;
  }

  status(): MonitorStatus {
    const { id, metric, aggregation, scope } = this.#options;
    return {
      id,
      metric,
      aggregation,
      scope,
      value: this.value,
      level: this.level,
      samples: this.#measurements.aggregate().samples,
      nodes: this.#measurements.nodes(),
      incident: this.#alerting.incident,
    };
  }

  onAlert(listener: (alert: Alert) => void): () => void {
    this.#listeners.add(listener);
    return () => void this.#listeners.delete(listener);
  }

  /** Entries of others that were ignored: malformed, or of a monitor that measures something else under the same id. */
  get refused(): { readonly malformed: number; readonly conflicting: number } {
    const { malformed, conflicting } = this.#measurements.refused;
    return { malformed: malformed + this.#alerting.refused, conflicting };
  }

  /** `forget`: tells the other nodes that this one has the monitor no longer; not needed when the node itself goes. */
  stop(forget: boolean): void {
    if (this.#stopped) return;
    this.#stopped = true;
    this.#alerting.stop(forget);
    this.#measurements.stop(forget);
    this.#listeners.clear();
  }

  [Symbol.dispose](): void {
    if (this.#stopped) return;
    this.stop(true);
    this.#hooks.onDisposed();
  }

  #onAlert(alert: Alert): void {
    for (const listener of [...this.#listeners, this.#hooks.onAlert]) {
      try {
        listener(alert);
      } catch (error) {
        this.#tools.onError(error, `listener of alerts of monitor '${this.id}'`);
      }
    }
  }
}
