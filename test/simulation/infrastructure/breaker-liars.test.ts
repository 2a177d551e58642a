/** What nodes that lie, die and are cut off can do to a breaker of all. */
import { describe, expect, test } from 'vitest';
import type { Rng } from '../../../src/clock.ts';
import { breakerKey } from '../../../src/protocols/infrastructure/breaker/agent-breaker.ts';
import type { Value } from '../../../src/value.ts';
import { seeds } from '../seeds.ts';
import type { SharedNode } from '../sharing/shared-world.ts';
import { agent, BreakerWorld } from './breaker-world.ts';

const key = breakerKey(agent, agent);

const worldOf = (seed: number, nodes: number, liars: number): BreakerWorld => {
  const world = new BreakerWorld({ seed }, { recoveryTimeMs: 2_000, windowMs: 5_000 }, liars);
  for (let index = 0; index < nodes; index++) world.join();
  return world;
};

/** Writes something else every few moments: well-formed lies with plausible and absurd numbers, and rubbish. */
function lie(world: BreakerWorld, node: SharedNode, untilMs: number, except: readonly string[] = []): void {
  const rng = world.shared.time.rng;
  const step = (): void => {
    if (world.now >= untilMs) return;
    node.set(key, madeUp(rng, node.clock.wallNow(), except));
    world.shared.time.clock.after(5 + rng.float() * 200, step);
  };
  step();
}

function madeUp(rng: Rng, wall: number, except: readonly string[]): Value {
  if (rng.below(10) === 0) return [0, 'rubbish', null, { g: -1, v: [1] }, [[[]]]][rng.below(5)];
  const amount = (): number => [0, 1, 3, 100, 1e9][rng.below(5)] as number;
  const count = (): number => [0, 0, 1, 2, 50, 2 ** 50][rng.below(6)] as number;
  const time = (): number => Math.max(0, wall + ([-1e9, -2_000, -500, 0, 500, 1e9][rng.below(6)] as number));
  const maybe = (name: string, value: readonly number[]): { [name: string]: readonly number[] } =>
    rng.below(2) === 0 || except.includes(name) ? {} : { [name]: value };
  return {
    g: count(),
    v: [amount(), amount(), rng.below(1e6)],
    ...maybe('o', [count(), time()]),
    ...maybe('w', [count(), time()]),
    ...maybe('p', [count(), count(), time()]),
    ...maybe('f', [count(), count(), time(), time()]),
    ...maybe('c', [count(), count(), rng.below(3) - 1, time()]),
    ...maybe('t', rng.below(2) === 0 ? [] : [time()]),
  };
}

describe.each([
  { liars: 1, nodes: 4 },
  { liars: 1, nodes: 10 },
  { liars: 2, nodes: 10 },
])('$liars of $nodes nodes lie', ({ liars, nodes }) => {
  test('it works for the others: nobody stops calling it', async () => {
    for (const seed of seeds(3)) {
      const world = worldOf(seed, nodes, liars);
      const honest = world.callers.slice(liars);
      for (const { node } of world.callers.slice(0, liars)) lie(world, node, 20_000);
      const calls = honest.map((caller) => world.callOften(caller, 50, 20_000));
      await world.run(20_000);
      for (const { passed, refused } of calls)
        expect({ seed, refused, some: passed > 0 }).toEqual({ seed, refused: 0, some: true });
    }
  });

  test('it fails for all others: they stop, whatever is claimed to have succeeded', async () => {
    for (const seed of seeds(3)) {
      const world = worldOf(seed, nodes, liars);
      const honest = world.callers.slice(liars);
      // Closing is what a liar can do; of that below.
      for (const { node } of world.callers.slice(0, liars)) lie(world, node, 3_000, ['c']);
      world.fails = () => true;
      for (const caller of honest) world.callOften(caller, 50, 3_000);
      await world.run(1_500);
      for (const { breaker } of honest) expect({ seed, state: breaker.state() }).toEqual({ seed, state: 'open' });
    }
  });

  test('once it works again, they call it again, whatever is said', async () => {
    for (const seed of seeds(3)) {
      const world = worldOf(seed, nodes, liars);
      const honest = world.callers.slice(liars);
      for (const { node } of world.callers.slice(0, liars)) lie(world, node, 90_000, ['c']);
      world.fails = () => world.now < 3_000;
      for (const caller of honest) world.callOften(caller, 100, 90_000);
      await world.run(90_000);
      for (const { breaker } of honest) expect({ seed, state: breaker.state() }).toEqual({ seed, state: 'closed' });
    }
  });

  test('what they can do is to close it: once in each recovery time, and it opens again', async () => {
    for (const seed of seeds(3)) {
      const world = worldOf(seed, nodes, liars);
      const honest = world.callers.slice(liars);
      for (const { node } of world.callers.slice(0, liars)) lie(world, node, 20_000);
      world.fails = () => true;
      const calls = honest.map((caller) => world.callOften(caller, 20, 20_000));
      await world.run(20_000);
      const passed = calls.reduce((sum, call) => sum + call.passed, 0);
      const refused = calls.reduce((sum, call) => sum + call.refused, 0);
      expect({ seed, share: passed / (passed + refused) < 0.2 }).toEqual({ seed, share: true });
    }
  });
});

describe('a mesh that is cut in two', () => {
  test('each side has a breaker and a probe of its own; whole again, they agree', async () => {
    for (const seed of seeds(3)) {
      const world = worldOf(seed, 10, 1);
      world.fails = () => world.now < 20_000;
      for (const caller of world.callers) world.callOften(caller, 50, 60_000);
      await world.run(1_000);
      world.shared.partition(world.callers.slice(0, 4).map(({ node }) => node));
      await world.run(14_000);
      expect(world.states()).not.toContain('closed');
      expect(world.mostProbing).toBeLessThanOrEqual(2);
      world.shared.heal();
      await world.run(1_000);
      world.mostProbing = world.probing;
      await world.run(40_000);
      expect({ seed, states: new Set(world.states()) }).toEqual({ seed, states: new Set(['closed']) });
    }
  });
});

test('nodes come, go, die and are cut off while it works and fails by turns: in the end all call it', async () => {
  for (const seed of seeds(3)) {
    const world = worldOf(seed, 6, 1);
    const { rng, clock } = world.shared.time;
    let failing = false;
    world.fails = () => failing;
    for (const caller of world.callers) world.callOften(caller, 50, 120_000);
    for (let step = 0; step < 20; step++) {
      clock.after(rng.float() * 60_000, () => {
        const { nodes } = world.shared;
        const one = nodes[rng.below(nodes.length)] as SharedNode;
        switch (rng.below(5)) {
          case 0:
            world.callOften(world.join(), 50, 120_000);
            break;
          case 1:
            if (nodes.filter(({ alive }) => alive).length > 3) world.shared.kill(one);
            break;
          case 2:
            world.shared.partition([one]);
            break;
          case 3:
            world.shared.heal();
            break;
          default:
            failing = !failing;
        }
      });
    }
    await world.run(60_000);
    failing = false;
    world.shared.heal();
    await world.run(60_000);
    expect({ seed, states: new Set(world.states()) }).toEqual({ seed, states: new Set(['closed']) });
  }
});
