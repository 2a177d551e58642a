/** The monitors of a node. */
import { QuorateError } from '../../../errors.ts';
import type { AttemptEnd, AttemptInfo } from '../../messaging/call-policy.ts';
import type { InfrastructureTools } from '../tools.ts';
import type { MetricSources } from './metric-sources.ts';
import type { Alert, Monitor, MonitorOptions, MonitorStatus } from './monitor.ts';

export interface MonitorsOptions extends InfrastructureTools {
  readonly metrics: MetricSources;
  /** Each alert of each monitor of this node, once: for events of the mesh. */
  readonly onAlert?: ((alert: Alert) => void) | undefined;
}

export class Monitors {
  readonly #options: MonitorsOptions;
  readonly #monitors = new Map<string, Monitor>();

  constructor(options: MonitorsOptions) {
    this.#options = options;
  }

  monitor({ id }: MonitorOptions): Monitor {
    const monitor = this.#monitors.get(id);
    if (monitor === undefined) throw new QuorateError('STOPPED', `${this.#options.entries.self} keeps no monitors.`);
    return monitor;
  }

  /** The meter of `callLatency`: undefined unless a monitor measures calls to that agent. */
  admit(_attempt: AttemptInfo): AttemptEnd | undefined {
    return undefined;
  }

  status(): readonly MonitorStatus[] {
    return [...this.#monitors.values()].map((monitor) => monitor.status());
  }

  stop(): void {
    for (const monitor of this.#monitors.values()) monitor[Symbol.dispose]();
  }
}
