/** Monitors of simulated nodes over shared entries, for tests: what was measured, heard and called. */
import type { Clock } from '../../../../src/clock.ts';
import { QuorateError } from '../../../../src/errors.ts';
import type { MetricSources } from '../../../../src/protocols/infrastructure/monitor/metric-sources.ts';
import type { Alert, Monitor, MonitorOptions } from '../../../../src/protocols/infrastructure/monitor/monitor.ts';
import { Monitors } from '../../../../src/protocols/infrastructure/monitor/monitors.ts';
import { type SharedNode, SharedWorld, type SharedWorldOptions } from '../../../simulation/sharing/shared-world.ts';

export interface MonitorNodeOptions {
  readonly liars?: number;
  readonly metrics?: MetricSources;
  /** What the node takes for its clock. */
  readonly clockOf?: (clock: Clock) => Clock;
}

/** A call to an agent about an alert. */
export interface AlertCall {
  readonly from: string;
  readonly agent: string;
  readonly method: string | undefined;
  readonly key: string | undefined;
  readonly alert: Alert;
}

export class MonitorWorld {
  readonly shared: SharedWorld;
  readonly nodes: MonitorNode[] = [];
  readonly calls: AlertCall[] = [];
  /** What becomes of calls to agents; throws to fail one. */
  answer: (call: AlertCall) => void = () => undefined;

  constructor(options: SharedWorldOptions) {
    this.shared = new SharedWorld(options);
  }

  join(zone?: string, options: MonitorNodeOptions = {}): MonitorNode {
    const node = new MonitorNode(this, this.shared.join(zone), options);
    this.nodes.push(node);
    return node;
  }

  joinMany(count: number, options: MonitorOptions): MonitorNode[] {
    const nodes = Array.from({ length: count }, () => this.join());
    for (const node of nodes) node.monitor(options);
    return nodes;
  }

  async run(ms: number): Promise<void> {
    await this.shared.time.run(ms);
  }
}

export class MonitorNode {
  readonly entries: SharedNode;
  readonly monitors: Monitors;
  readonly heard: Alert[] = [];
  readonly errors: unknown[] = [];
  /** The incident that was under way when the monitor was made. */
  foundAtStart: { readonly incident: string; readonly level: string } | undefined;
  readonly #world: MonitorWorld;
  readonly #made: Monitor[] = [];

  constructor(
    world: MonitorWorld,
    entries: SharedNode,
    { liars = 1, metrics = {}, clockOf = (clock) => clock }: MonitorNodeOptions,
  ) {
    this.#world = world;
    this.entries = entries;
    const { zone, clock, rng } = entries;
    this.monitors = new Monitors({
      entries,
      zone,
      clock: clockOf(clock),
      rng,
      liars,
      metrics,
      registry: { lookup: () => undefined, query: () => [] },
      messaging: { call: (agent, message, options) => this.#call(agent as string, message as Alert, options) as never },
      onError: (error) => this.errors.push(error),
      onAlert: (alert) => this.heard.push(alert),
    });
  }

  monitor(options: MonitorOptions): Monitor {
    const monitor = this.monitors.monitor(options);
    this.#made.push(monitor);
    const { incident, level } = monitor.status();
    if (incident !== undefined) this.foundAtStart = { incident, level };
    return monitor;
  }

  /** The monitor made last. */
  get only(): Monitor {
    return this.#made.at(-1) as Monitor;
  }

  record(...values: readonly number[]): void {
    if (this.entries.alive) for (const value of values) this.only.record(value);
  }

  /** Levels heard, e.g. `wco`. */
  get levels(): string {
    return this.heard.map(({ level }) => level[0]).join('');
  }

  async #call(agent: string, alert: Alert, options?: { method?: string; idempotencyKey?: string }): Promise<undefined> {
    if (!this.entries.alive) throw new QuorateError('NOT_DELIVERED', 'dead', { reason: 'stopped' });
    const call = { from: this.entries.self, agent, method: options?.method, key: options?.idempotencyKey, alert };
    this.#world.calls.push(call);
    this.#world.answer(call);
    return undefined;
  }
}
