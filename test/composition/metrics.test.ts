import { describe, expect, it } from 'vitest';
import { type MetricParts, metricSources } from '../../src/composition/metrics.ts';
import type { MetricSource } from '../../src/protocols/infrastructure/monitor/metric-sources.ts';
import { ManualClock } from '../protocols/registry/harness.ts';

function metricsOf(parts: Partial<MetricParts> = {}): {
  readonly clock: ManualClock;
  readonly sources: ReturnType<typeof metricSources>;
} {
  const clock = new ManualClock();
  const sources = metricSources({
    clock,
    mailboxes: () => [],
    variableSkewMs: () => undefined,
    onCoordinationLatency: () => () => undefined,
    replicationLag: undefined,
    ...parts,
  });
  return { clock, sources };
}

function sample(source: MetricSource | undefined, agent?: string): number | undefined {
  if (source?.kind !== 'sampled') throw new Error('not a sampled metric');
  return source.sample(agent);
}

describe('metricSources', () => {
  it('adds up mailboxes, of all agents or of one', () => {
    const { sources } = metricsOf({
      mailboxes: () => [
        { agent: 'a', running: 1, queued: 3 },
        { agent: 'b', running: 0, queued: 4 },
      ],
    });
    expect(sample(sources.mailboxDepth)).toBe(7);
    expect(sample(sources.mailboxDepth, 'a')).toBe(3);
    expect(sample(sources.mailboxDepth, 'c')).toBe(0);
  });

  it('passes on what it is given, and leaves out what is not there', () => {
    const { sources } = metricsOf({ variableSkewMs: () => 12, replicationLag: () => 2 });
    expect([sample(sources.variableSkew), sample(sources.replicationLag)]).toEqual([12, 2]);
    expect(sample(sources.memory)).toBeGreaterThan(1_000_000);
    expect(metricsOf().sources.replicationLag).toBeUndefined();
  });
});
