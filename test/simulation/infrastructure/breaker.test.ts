/** Behaviours 29 and 30 over many nodes, many seeds, and whatever liars say. */
import { describe, expect, test } from 'vitest';
import { seeds } from '../seeds.ts';
import { BreakerWorld } from './breaker-world.ts';

const everySeed = async (run: (seed: number) => Promise<void>): Promise<void> => {
  for (const seed of seeds(10)) {
    try {
      await run(seed);
    } catch (error) {
      throw new Error(`seed ${seed}`, { cause: error });
    }
  }
};

const tenCallers = (seed: number, options = {}, liars = 1): BreakerWorld => {
  const world = new BreakerWorld({ seed }, { recoveryTimeMs: 2_000, windowMs: 5_000, ...options }, liars);
  for (let index = 0; index < 10; index++) world.join();
  return world;
};

describe('ten nodes that call one agent', () => {
  test('it fails for all: open at all within a moment of the deciding failure, one probe at a time, closed at all', async () => {
    await everySeed(async (seed) => {
      const world = tenCallers(seed);
      world.fails = () => world.now < 6_000;
      for (const caller of world.callers) world.callOften(caller, 50, 20_000);
      await world.run(1_000);
      expect(new Set(world.states())).toEqual(new Set(['open']));
      const opened = world.callers.map(({ changes }) => changes[0]?.at ?? Number.NaN);
      expect(Math.max(...opened) - Math.min(...opened)).toBeLessThan(100);
      await world.run(14_000);
      expect(new Set(world.states())).toEqual(new Set(['closed']));
      expect(world.mostProbing).toBe(1);
      // Each of the ten was let through as a caller before, so only probes came through while it failed.
      const probes = world.callers.reduce((sum, { breaker }) => sum + breaker.status().probes, 0);
      expect(probes).toBeGreaterThanOrEqual(2);
      expect(probes).toBeLessThanOrEqual(4);
    });
  });

  test('one whose calls fail by its own fault is the only one that stops calling', async () => {
    await everySeed(async (seed) => {
      const world = tenCallers(seed);
      const [faulty, ...others] = world.callers;
      world.fails = (caller) => caller === faulty;
      for (const caller of world.callers) world.callOften(caller, 50, 15_000);
      await world.run(15_000);
      for (const { changes, breaker } of others) {
        expect(changes).toEqual([]);
        expect(breaker.status().refused).toBe(0);
      }
      expect(faulty?.changes[0]).toMatchObject({ state: 'open' });
    });
  });

  test('two whose calls fail by their own fault do not outvote eight that succeed', async () => {
    await everySeed(async (seed) => {
      const world = tenCallers(seed);
      const faulty = world.callers.slice(0, 2);
      world.fails = (caller) => faulty.includes(caller);
      for (const caller of world.callers) world.callOften(caller, 50, 10_000);
      // The others have been calling for a while when it begins.
      await world.run(10_000);
      for (const { breaker } of world.callers.slice(2)) expect(breaker.state()).toBe('closed');
    });
  });

  test('clocks and delays that are off by a quarter of a second together still give one probe at a time', async () => {
    await everySeed(async (seed) => {
      const world = new BreakerWorld(
        { seed, entryDelay: { minMs: 1, maxMs: 100 } },
        { recoveryTimeMs: 2_000, windowMs: 5_000 },
      );
      for (let index = 0; index < 10; index++) world.join('default', (seed * 7 + index * 31) % 150);
      world.fails = () => world.now < 12_000;
      // Longer than a slot.
      world.callMs = 700;
      for (const caller of world.callers) world.callOften(caller, 50, 40_000);
      await world.run(40_000);
      expect(world.mostProbing).toBe(1);
      expect(new Set(world.states())).toEqual(new Set(['closed']));
    });
  });

  test('a prober that dies is followed by another', async () => {
    await everySeed(async (seed) => {
      const world = tenCallers(seed);
      world.fails = () => world.now < 1_500;
      world.callMs = 400;
      for (const caller of world.callers) world.callOften(caller, 50, 30_000);
      await world.run(1_200);
      let killed = false;
      for (let step = 0; step < 400; step++) {
        await world.run(50);
        const prober = world.callers.find(({ breaker }) => breaker.status().probes > 0);
        if (prober !== undefined && !killed) {
          killed = true;
          world.shared.kill(prober.node);
          world.probing = 0;
        }
      }
      expect(killed).toBe(true);
      expect(new Set(world.states())).toEqual(new Set(['closed']));
    });
  });

  test('nothing is said while all is well, and nothing for ever after', async () => {
    const world = tenCallers(1);
    for (const caller of world.callers) world.callOften(caller, 20, 20_000);
    await world.run(20_000);
    expect(world.callers.map(({ node }) => node.sent)).toEqual(Array(10).fill(0));
    world.fails = () => world.now < 21_000;
    for (const caller of world.callers) world.callOften(caller, 20, 40_000);
    await world.run(200_000);
    const sent = world.callers.map(({ node }) => node.sent);
    expect(world.callers.map(({ node }) => node.written.size)).toEqual(Array(10).fill(0));
    await world.run(100_000);
    expect(world.callers.map(({ node }) => node.sent)).toEqual(sent);
  });

  test('it fails all the time: little is said, and the rounds get longer', async () => {
    const world = tenCallers(1, { recoveryTimeMs: 1_000 });
    world.fails = () => true;
    for (const caller of world.callers) world.callOften(caller, 20, 60_000);
    await world.run(60_000);
    const probes = world.callers.reduce((sum, { breaker }) => sum + breaker.status().probes, 0);
    expect(world.mostProbing).toBe(1);
    // 1 + 2 + 4 + 8 + 8 … seconds.
    expect(probes).toBeGreaterThanOrEqual(6);
    expect(probes).toBeLessThanOrEqual(11);
    for (const { node } of world.callers) expect(node.sent).toBeLessThan(60);
  });
});
