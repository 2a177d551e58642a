import { expect, test } from 'vitest';
import { SimulatedWorld } from '../../../../src/p2p/simulated/world.ts';
import type { Ordering } from '../../../../src/protocols/coordination/ordering.ts';
import type { MetricSource } from '../../../../src/protocols/infrastructure/monitor/metric-sources.ts';
import { meteredOrdering, ToldMetric } from '../../../../src/protocols/infrastructure/monitor/told-metric.ts';

test('the time of ordered commands is told, of those that fail as well, and only while somebody measures', async () => {
  const world = new SimulatedWorld({ seed: 1 });
  const wait = (ms: number): Promise<void> => new Promise((resolve) => void world.clock.after(ms, resolve));
  const ordering = {
    self: 'self',
    submit: async (command: Uint8Array) => {
      await wait(command[0] as number);
      if (command[0] === 30) throw new Error('refused');
      return command;
    },
    query: async (query: Uint8Array) => query,
  } as unknown as Ordering;
  const metric = new ToldMetric();
  const metered = meteredOrdering(ordering, metric, world.clock);
  await world.settled(metered.submit(Uint8Array.of(10)));
  const told: number[] = [];
  const stop = (metric.source as Extract<MetricSource, { kind: 'told' }>).start((value) => told.push(value));
  expect(await world.settled(metered.submit(Uint8Array.of(20)))).toEqual(Uint8Array.of(20));
  await expect(world.settled(metered.submit(Uint8Array.of(30)))).rejects.toThrow('refused');
  expect(await metered.query(Uint8Array.of(1))).toEqual(Uint8Array.of(1));
  stop();
  await world.settled(metered.submit(Uint8Array.of(40)));
  expect([told, metered.self]).toEqual([[20, 30], 'self']);
});
