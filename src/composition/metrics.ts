/** Where the built-in metrics of a node come from; each is measured only while a monitor asks for it. */
import type { Clock } from '../clock.ts';
import type { MetricSources } from '../protocols/infrastructure/monitor/metric-sources.ts';
import { processMetrics } from '../protocols/infrastructure/monitor/process-metrics.ts';
import type { MailboxStatus } from '../protocols/messaging/messaging.ts';

export interface MetricParts {
  readonly clock: Clock;
  readonly mailboxes: () => readonly MailboxStatus[];
  readonly variableSkewMs: () => number | undefined;
  readonly onCoordinationLatency: (listener: (ms: number) => void) => () => void;
  /** Neighbours whose feeds differ; undefined in a mesh of one process. */
  readonly replicationLag: (() => number) | undefined;
}

export function metricSources(parts: MetricParts): MetricSources {
  const { clock, mailboxes, variableSkewMs, onCoordinationLatency, replicationLag } = parts;
  return {
    ...processMetrics(clock),
    coordinationLatency: { kind: 'told', start: onCoordinationLatency },
    mailboxDepth: {
      kind: 'sampled',
      sample: (agent) =>
        mailboxes().reduce((sum, box) => (agent === undefined || box.agent === agent ? sum + box.queued : sum), 0),
    },
    variableSkew: { kind: 'sampled', sample: variableSkewMs },
    replicationLag:
      replicationLag === undefined
        ? undefined
        : { kind: 'sampled', sample: (): number | undefined => replicationLag() },
  };
}
