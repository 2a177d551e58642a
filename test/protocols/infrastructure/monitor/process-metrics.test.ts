import { describe, expect, test } from 'vitest';
import { realClock } from '../../../../src/clock.ts';
import { SimulatedWorld } from '../../../../src/p2p/simulated/world.ts';
import type { MetricSource } from '../../../../src/protocols/infrastructure/monitor/metric-sources.ts';
import {
  cpuShare,
  eventLoopLag,
  processMetrics,
} from '../../../../src/protocols/infrastructure/monitor/process-metrics.ts';

type Told = Extract<MetricSource, { kind: 'told' }>;

describe('what a process measures of itself', () => {
  test('cpu: the share of all cores since the sample before', async () => {
    const { clock, run } = bind(new SimulatedWorld({ seed: 1 }));
    let usedMs = 5_000;
    const told: number[] = [];
    const stop = (cpuShare(clock, () => usedMs, 4) as Told).start((value) => told.push(value));
    usedMs += 1_000;
    await run(1_000);
    usedMs += 4_100;
    await run(1_000);
    await run(1_000);
    expect(told).toEqual([0.25, 1, 0]);
    stop();
    await run(10_000);
    expect(told.length).toBe(3);
  });

  test('event-loop lag: how late a timer fires', async () => {
    const { clock, run } = bind(new SimulatedWorld({ seed: 1 }));
    const told: number[] = [];
    let lateMs = 0;
    const late = { ...clock, after: (ms: number, fire: () => void) => clock.after(ms + lateMs, fire) };
    const stop = (eventLoopLag(late) as Told).start((value) => told.push(value));
    lateMs = 40;
    await run(250);
    expect(told).toEqual([0, 40]);
    stop();
  });

  test('of this process', async () => {
    const { memory, cpu, eventLoopLag: lag } = processMetrics(realClock);
    expect(memory?.kind === 'sampled' && memory.sample(undefined)).toBeGreaterThan(1e6);
    // The clock does not keep the process alive, so something else has to.
    const alive = setInterval(() => undefined, 1_000);
    for (const source of [cpu, lag]) {
      const value = await new Promise<number>((resolve) => {
        const stop = (source as Told).start((told) => {
          stop();
          resolve(told);
        });
      });
      expect(value).toBeGreaterThanOrEqual(0);
    }
    clearInterval(alive);
  });
});

function bind(world: SimulatedWorld): { clock: SimulatedWorld['clock']; run: (ms: number) => Promise<void> } {
  return { clock: world.clock, run: (ms) => world.run(ms) };
}
