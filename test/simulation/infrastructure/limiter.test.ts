/** A limit shared by ten nodes in virtual time: the sum over any second, under churn, behind a partition, among liars. */
import { describe, expect, test } from 'vitest';
import type { RateLimiterOptions } from '../../../src/protocols/infrastructure/limiter/limiter.ts';
import type { Value } from '../../../src/value.ts';
import { seeds } from '../seeds.ts';
import { LimiterWorld, limitersOn } from './limiter-world.ts';

const rate = 1_000;
const key = 'limit/l';

async function ten(seed: number, perNode: number, options: Partial<RateLimiterOptions> = {}): Promise<LimiterWorld> {
  const world = new LimiterWorld({ id: 'l', requestsPerSecond: rate, ...options }, { seed });
  for (let node = 0; node < 10; node++) world.join();
  for (const node of world.nodes) node.ask(perNode);
  await world.run(3_000);
  return world;
}

describe.each(seeds(3))('seed %i', (seed) => {
  test('with steady demand no second is over by more than 5 %, nor under by more than 10 %', async () => {
    const world = await ten(seed, 150);
    const from = world.now;
    await world.run(6_000);
    const { most, fewest } = world.seconds(from, world.now);
    expect(most).toBeLessThanOrEqual(1.05 * rate);
    expect(fewest).toBeGreaterThanOrEqual(0.9 * rate);
    expect(world.shareSum).toBeLessThanOrEqual(1.001 * rate);
  });

  test('shares follow the demand within a second', async () => {
    const world = await ten(seed, 150);
    const eager = world.nodes[0];
    for (const node of world.nodes) node.ask(node === eager ? 800 : 60);
    await world.run(1_000);
    // 800 of 1,340 in all, but no more than four times the usual: 4 × 100 of 940.
    expect(eager?.limiter.status().share).toBeGreaterThan(330);
    const from = world.now;
    await world.run(3_000);
    expect(world.seconds(from, world.now).most).toBeLessThanOrEqual(1.05 * rate + 100);
  });

  test('while nodes die and come, the sum stays in bounds', async () => {
    const world = await ten(seed, 200);
    const from = world.now;
    for (let round = 0; round < 4; round++) {
      const dying = world.nodes[2 * round];
      if (dying !== undefined) world.kill(dying);
      await world.run(700);
      world.join().ask(200);
      await world.run(700);
    }
    const { most, fewest } = world.seconds(from, world.now);
    expect(most).toBeLessThanOrEqual(1.05 * rate + 10);
    expect(fewest).toBeGreaterThanOrEqual(0.8 * rate);
  });

  test('behind a partition both sides together stay within the limit, until the other is removed', async () => {
    const world = await ten(seed, 150);
    const left = world.nodes.slice(0, 3 + (seed % 3));
    world.shared.partition(left.map(({ entries }) => entries));
    const cutAt = world.now;
    // Each side comes to want all of it, one after the other.
    for (const node of world.nodes) node.ask(left.includes(node) ? rate : 20);
    for (let second = 0; second < 28; second++) {
      if (second === 12) for (const node of world.nodes) node.ask(rate / 2);
      await world.run(1_000);
      expect(world.shareSum).toBeLessThanOrEqual(1.05 * rate);
    }
    expect(world.seconds(cutAt, world.now).most).toBeLessThanOrEqual(1.05 * rate + 100);
    // Removed after silence and 30 s: then each side has all of it.
    await world.run(8_000);
    expect(world.shareSum).toBeGreaterThan(1.9 * rate);
    world.shared.heal();
    await world.run(1_000);
    expect(world.shareSum).toBeLessThanOrEqual(1.001 * rate);
  });

  test('liars keep from the others no more than is stated', async () => {
    const world = new LimiterWorld({ id: 'l', requestsPerSecond: rate }, { seed });
    const liars = [world.shared.join(), world.shared.join()];
    for (const [at, liar] of liars.entries())
      liar.set(key, at === 0 ? { s: rate, d: 1e9, x: true } : { s: rate, d: 0 });
    for (let node = 0; node < 8; node++) world.join();
    for (const node of world.nodes) node.ask(200);
    // What the first liar was entitled to while nobody else asked for anything, it can keep for five seconds.
    await world.run(8_000);
    const lies: Value[] = [
      { s: 1e9, d: 1e9 },
      { s: Number.NaN, d: 1 },
      'nonsense',
      null,
      { s: 900, d: 5 },
      { s: -1, d: -1 },
    ];
    for (const lie of lies) {
      for (const liar of liars) liar.set(key, lie);
      await world.run(6_000);
      const honest = world.nodes.reduce((sum, { limiter }) => sum + limiter.status().share, 0);
      // 4k / (n + 3k), with k = 2 of n = 10, and what honest ones misjudge their demand by.
      expect(honest).toBeGreaterThanOrEqual(0.85 * rate * (1 - 8 / 16));
      expect(honest).toBeLessThanOrEqual(1.001 * rate);
    }
  });
});

test('nothing is said, and no timer runs, while nothing is asked for', async () => {
  const world = await ten(1, 0);
  const said = world.nodes.map(({ entries }) => entries.sent);
  for (const { limiter } of world.nodes) limiter.tryAcquire();
  await world.run(60_000);
  expect(world.nodes.map(({ entries }) => entries.sent)).toEqual(said);
});

test('nobody says more than ten entries a second', async () => {
  const world = await ten(2, 150);
  const before = world.nodes.map(({ entries }) => entries.sent);
  for (let round = 0; round < 20; round++) {
    for (const node of world.nodes) node.ask(20 + world.shared.time.rng.below(500));
    await world.run(250);
  }
  for (const [at, { entries }] of world.nodes.entries())
    expect(entries.sent - (before[at] ?? 0)).toBeLessThanOrEqual(54);
});

test('a zone has a limit of its own', async () => {
  const world = new LimiterWorld({ id: 'l', requestsPerSecond: rate, scope: 'zone' }, { seed: 3 });
  for (const zone of ['north', 'north', 'south']) world.join(zone);
  await world.run(1_000);
  expect(world.nodes.map(({ limiter }) => Math.round(limiter.status().share))).toEqual([500, 500, 1_000]);
});

describe('keys', () => {
  test('are shared each by itself, and forgotten when they are idle', async () => {
    const world = new LimiterWorld({ id: 'l', requestsPerSecond: 100, burst: 100 }, { seed: 4 });
    for (let node = 0; node < 4; node++) world.join();
    await world.run(500);
    const take = (node: number, tenant: string) => world.nodes[node]?.limiter.tryAcquire({ key: tenant }).allowed;
    let admitted = 0;
    for (let ms = 0; ms < 3_000; ms += 5) {
      for (const node of [0, 1]) if (take(node, 'tenant')) admitted += 1;
      await world.run(5);
    }
    // A quarter of the burst at each to begin with, for at most this many nodes.
    expect(admitted).toBeLessThanOrEqual(300 + 100);
    expect(admitted).toBeGreaterThan(250);
    expect(take(2, 'another')).toBe(true);
    expect([...(world.nodes[3]?.entries.keys() ?? [])].sort()).toEqual([key, `${key}/tenant`]);
    await world.run(5_000);
    expect([...(world.nodes[3]?.entries.keys() ?? [])]).toEqual([key]);
    expect(world.nodes.map(({ limiter }) => limiter.status().keys)).toEqual([0, 0, 0, 0]);
  });

  test('of those nobody is told of, each node has an equal part, and the others leave it alone', async () => {
    const world = new LimiterWorld({ id: 'l', requestsPerSecond: 100, burst: 100 }, { seed: 5 });
    const [crowded, other] = [world.join(), world.join()];
    await world.run(500);
    for (let tenant = 0; tenant < 501; tenant++) crowded.limiter.tryAcquire({ key: `t${tenant}` });
    await world.run(100);
    let passed = 0;
    for (let ms = 0; ms < 1_500; ms += 5) {
      if (other.limiter.tryAcquire({ key: 't500' }).allowed) passed += 1;
      await world.run(5);
    }
    // Half of the burst and half of the rate, not all of it.
    expect(passed).toBeLessThanOrEqual(50 + 75 + 2);
  });
});

test('a limiter that is disposed of gives its share back', async () => {
  const world = new LimiterWorld({ id: 'l', requestsPerSecond: rate }, { seed: 6 });
  const [one, two] = [world.join(), world.join()];
  await world.run(500);
  one.limiters.stop();
  await world.run(500);
  expect(two.limiter.status().share).toBe(rate);
  expect(limitersOn(one.entries).rateLimiter(world.options).status().share).toBe(0);
});
