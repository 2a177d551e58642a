/** Where the built-in metrics of a process come from; each is measured only while a monitor asks for it. */
import { availableParallelism } from 'node:os';
import type { Clock, Timer } from '../clock.ts';
import type { MetricSource, MetricSources } from '../protocols/infrastructure/monitor/metric-sources.ts';
import type { MailboxStatus } from '../protocols/messaging/messaging.ts';

/** Between two looks at how late a timer fires, milliseconds. */
const lagEveryMs = 50;

export interface MetricParts {
  readonly clock: Clock;
  readonly mailboxes: () => readonly MailboxStatus[];
  readonly variableSkewMs: () => number | undefined;
  readonly onCoordinationLatency: (listener: (ms: number) => void) => () => void;
  /** Neighbours whose feeds differ; undefined in a mesh of one process. */
  readonly replicationLag: (() => number) | undefined;
}

export function processMetrics(parts: MetricParts): MetricSources {
  const { clock, mailboxes, variableSkewMs, onCoordinationLatency, replicationLag } = parts;
  return {
    coordinationLatency: { kind: 'told', start: onCoordinationLatency },
    eventLoopLag: { kind: 'told', start: (record) => watchLag(clock, record) },
    cpu: cpuShare(clock),
    memory: { kind: 'sampled', sample: () => process.memoryUsage.rss() },
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

/** How much later than asked a timer fires. */
function watchLag(clock: Clock, record: (ms: number) => void): () => void {
  let timer: Timer;
  const wait = (): void => {
    const due = clock.now() + lagEveryMs;
    timer = clock.after(lagEveryMs, () => {
      record(Math.max(0, clock.now() - due));
      wait();
    });
  };
  wait();
  return () => timer.cancel();
}

/** Of all cores, since the last look. */
function cpuShare(clock: Clock): MetricSource {
  let last: { readonly usage: NodeJS.CpuUsage; readonly at: number } | undefined;
  return {
    kind: 'sampled',
    sample(): number | undefined {
      const now = { usage: process.cpuUsage(), at: clock.now() };
      const before = last;
      last = now;
      if (before === undefined || now.at <= before.at) return undefined;
      const usedMs = (now.usage.user - before.usage.user + now.usage.system - before.usage.system) / 1_000;
      return Math.min(1, usedMs / (now.at - before.at) / availableParallelism());
    },
  };
}
