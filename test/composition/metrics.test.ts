import { describe, expect, it } from 'vitest';
import type { Clock } from '../../src/clock.ts';
import { type MetricParts, processMetrics } from '../../src/composition/metrics.ts';
import type { MetricSource } from '../../src/protocols/infrastructure/monitor/metric-sources.ts';
import { ManualClock } from '../protocols/registry/harness.ts';

function metricsOf(parts: Partial<MetricParts> = {}): {
  readonly clock: ManualClock;
  readonly sources: ReturnType<typeof processMetrics>;
} {
  const clock = new ManualClock();
  const sources = processMetrics({
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

describe('processMetrics', () => {
  it('says how late timers fire, for as long as it is asked', () => {
    let [now, cancelled] = [0, 0];
    let due: { readonly at: number; readonly fire: () => void } | undefined;
    const clock: Clock = {
      now: () => now,
      wallNow: () => now,
      after(delayMs, fire) {
        due = { at: now + delayMs, fire };
        return { cancel: () => (cancelled += 1) };
      },
    };
    const source = metricsOf({ clock }).sources.eventLoopLag;
    if (source?.kind !== 'told') throw new Error('not told');
    const lags: number[] = [];
    const stop = source.start((ms) => lags.push(ms));
    for (const late of [0, 7, 0.5]) {
      now = (due?.at ?? 0) + late;
      due?.fire();
    }
    expect(lags).toEqual([0, 7, 0.5]);
    stop();
    expect(cancelled).toBe(1);
  });

  it('measures the share of the processor since the last look', () => {
    const { clock, sources } = metricsOf();
    expect(sample(sources.cpu)).toBeUndefined();
    clock.advance(1_000);
    const share = sample(sources.cpu) as number;
    expect(share).toBeGreaterThanOrEqual(0);
    expect(share).toBeLessThanOrEqual(1);
    // No time has passed, so there is no share.
    expect(sample(sources.cpu)).toBeUndefined();
  });

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
