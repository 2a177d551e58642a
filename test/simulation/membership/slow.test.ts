import { afterEach, describe, expect, test } from 'vitest';
import { seeds } from '../seeds.ts';
import { MembersWorld, type TestNode } from './members-world.ts';

let mesh: MembersWorld;
afterEach(async () => {
  await mesh.stop();
  expect(mesh.errors, `seed ${mesh.world.seed}`).toEqual([]);
});

describe.each(seeds(3))('seed %i', (seed) => {
  test('a node whose event loop blocks for two of every three seconds is not condemned and condemns nobody', async () => {
    mesh = new MembersWorld({ seed });
    const nodes = await mesh.formed(8);
    const blocked = nodes[5]!;
    for (let round = 0; round < 20; round++) {
      mesh.world.pause(blocked.network);
      await mesh.world.run(2_000);
      mesh.world.resume(blocked.network);
      await mesh.world.run(1_000);
    }
    expect(mesh.falseVerdicts(nodes, [])).toEqual([]);
    expect(blocked.membership.diagnostics().localHealth).toBeGreaterThan(0);
    await mesh.world.until(() => mesh.agree(nodes, nodes), 15_000);
  });

  test('a slow node finds out the truth about one that died, without a word against the others', async () => {
    mesh = new MembersWorld({ seed });
    const nodes = await mesh.formed(6);
    const [slow, victim] = [nodes[1]!, nodes[4]!];
    mesh.world.slow(slow.network, 60);
    await mesh.world.run(10_000);
    mesh.crash(victim);
    const alive = nodes.filter((node) => node !== victim);
    await mesh.world.until(() => mesh.seenAs(alive, victim, 'unreachable'), 10_000);
    await mesh.world.run(30_000);
    expect(mesh.falseVerdicts(alive, [victim])).toEqual([]);
  });

  test('several nodes stopped for 8 s together accuse nobody when they wake', async () => {
    mesh = new MembersWorld({ seed });
    const nodes = await mesh.formed(9);
    const victims = nodes.slice(2, 5);
    const others = nodes.filter((node) => !victims.includes(node));
    for (const { network } of victims) mesh.world.pause(network);
    await mesh.world.until(() => victims.every((victim) => mesh.seenAs(others, victim, 'unreachable')), 5_500);
    await mesh.world.run(3_000);
    for (const { network } of victims) mesh.world.resume(network);
    await mesh.world.until(() => mesh.agree(nodes, nodes), 5_000);
    await mesh.world.run(30_000);
    expect(mesh.falseVerdicts(others, victims)).toEqual([]);
    // They may learn from the others, late, that their fellows had stopped; of the others they say nothing.
    expect(mesh.falseVerdicts(victims, victims)).toEqual([]);
  });

  test('broadcasts lost, doubled and reordered: the bounds hold all the same', async () => {
    const delay = { minMs: 1, maxMs: 40 };
    const faults = { broadcastLoss: 0.1, broadcastDuplication: 0.1, broadcastReordering: 0.2 };
    mesh = new MembersWorld({ seed, delay, ...faults });
    const nodes = await mesh.formed(12);
    const [dead, stopped, ...others] = nodes;
    mesh.crash(dead!);
    await mesh.world.until(() => mesh.seenAs(others, dead!, 'unreachable'), 1_000);
    mesh.world.pause(stopped!.network);
    await mesh.world.run(3_000);
    mesh.world.resume(stopped!.network);
    // It says that it was slow, and is given more time for a while.
    await mesh.world.run(15_000);
    expect(mesh.falseVerdicts(others, [dead!])).toEqual([]);
    mesh.world.pause(stopped!.network);
    await mesh.world.until(() => mesh.seenAs(others, stopped!, 'unreachable'), 5_000);
  });

  test('skewed and drifting clocks change nothing', async () => {
    mesh = new MembersWorld({ seed });
    const nodes: TestNode[] = [];
    for (let i = 0; i < 8; i++) nodes.push(await mesh.start({ wallSkewMs: i * 1_234_567, clockDrift: (i - 4) / 100 }));
    await mesh.world.run(60_000);
    expect(mesh.agree(nodes, nodes)).toBe(true);
    const victim = nodes[2]!;
    const others = nodes.filter((node) => node !== victim);
    mesh.world.pause(victim.network);
    await mesh.world.until(() => mesh.seenAs(others, victim, 'unreachable'), 5_500);
    mesh.world.resume(victim.network);
    await mesh.world.until(() => mesh.agree(nodes, nodes), 5_000);
    expect(mesh.falseVerdicts(others, [victim])).toEqual([]);
  });

  test('an idle node sends and receives less than 600 bytes a second', async () => {
    mesh = new MembersWorld({ seed });
    const nodes = await mesh.formed(20);
    const frames = (): number =>
      nodes.reduce((total, { membership }) => {
        const { sent, received } = membership.diagnostics().control;
        return total + sent + received;
      }, 0);
    const before = frames();
    await mesh.world.run(60_000);
    const perSecond = (frames() - before) / nodes.length / 60;
    // A frame has 15 bytes at most; multiplexer, encryption and length prefix add about 31.
    expect(perSecond * (15 + 31)).toBeLessThan(600);
    expect(perSecond).toBeGreaterThan(8);
  });
});
