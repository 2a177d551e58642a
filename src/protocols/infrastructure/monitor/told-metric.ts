/** A metric whose measurements are made elsewhere as things happen: whoever has one calls `record`. */
import type { Clock } from '../../../clock.ts';
import type { Ordering } from '../../coordination/ordering.ts';
import type { MetricSource } from './metric-sources.ts';

export class ToldMetric {
  readonly source: MetricSource;
  readonly #listeners = new Set<(value: number) => void>();

  constructor() {
    this.source = {
      kind: 'told',
      start: (record) => {
        // A function of its own for each start: two monitors may be given the same.
        const listener = (value: number): void => record(value);
        this.#listeners.add(listener);
        return () => void this.#listeners.delete(listener);
      },
    };
  }

  /** Whether anybody measures it. */
  get wanted(): boolean {
    return this.#listeners.size > 0;
  }

  record(value: number): void {
    for (const listener of [...this.#listeners]) listener(value);
  }
}

/**
 * The same ordering, with the time from submitting each command to its answer told to `metric`, milliseconds. Failures count as well, for those who
 * waited have waited.
 */
export function meteredOrdering(ordering: Ordering, metric: ToldMetric, clock: Clock): Ordering {
  return {
    self: ordering.self,
    async submit(command, options) {
      if (!metric.wanted) return ordering.submit(command, options);
      const startedAt = clock.now();
      try {
        return await ordering.submit(command, options);
      } finally {
        metric.record(clock.now() - startedAt);
      }
    },
    query: (query, options) => ordering.query(query, options),
    subscribe: (topic, subscriber) => ordering.subscribe(topic, subscriber),
    certify: (query, options) => ordering.certify(query, options),
  };
}
