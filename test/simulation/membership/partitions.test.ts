import { afterEach, describe, expect, test } from 'vitest';
import { seeds } from '../seeds.ts';
import { MembersWorld, type TestNode } from './members-world.ts';

let mesh: MembersWorld;
afterEach(async () => {
  await mesh.stop();
  expect(mesh.errors, `seed ${mesh.world.seed}`).toEqual([]);
});

const networks = (nodes: readonly TestNode[]) => nodes.map(({ network }) => network);

describe.each(seeds(3))('seed %i', (seed) => {
  test.each([
    ['3/2', 3, 2, 30_000],
    ['4/1', 4, 1, 30_000],
    ['1/1', 1, 1, 30_000],
    ['10/10', 10, 10, 60_000],
  ])('a partition %s is seen by both sides, and heals without false verdicts', async (_name, left, right, forMs) => {
    mesh = new MembersWorld({ seed });
    const nodes = await mesh.formed(left + right);
    // Not by order of start: the first one is everybody's bootstrap peer.
    const one = nodes.filter((_, index) => index % 2 === 0 && index / 2 < left).concat(nodes.slice(2 * left));
    const rest = nodes.filter((node) => !one.includes(node));
    const two = rest.slice(0, right);
    one.push(...rest.slice(right));
    const before = mesh.now;
    mesh.world.partition(networks(one), networks(two));
    await mesh.world.until(
      () =>
        two.every((node) => mesh.seenAs(one, node, 'unreachable', 'removed')) &&
        one.every((node) => mesh.seenAs(two, node, 'unreachable', 'removed')),
      forMs,
    );
    await mesh.world.run(20_000);
    expect(mesh.falseVerdicts(one, two, before)).toEqual([]);
    expect(mesh.falseVerdicts(two, one, before)).toEqual([]);
    const healedAt = mesh.now;
    mesh.world.heal();
    await mesh.world.until(() => mesh.agree(nodes, nodes), 70_000);
    await mesh.world.run(30_000);
    expect(mesh.falseVerdicts(nodes, [], healedAt)).toEqual([]);
    expect(mesh.agree(nodes, nodes)).toBe(true);
  });

  test('a long partition heals after removal; who died meanwhile does not rise again', async () => {
    mesh = new MembersWorld({ seed });
    const nodes = await mesh.formed(8);
    const [one, two] = [nodes.slice(0, 4), nodes.slice(4)];
    mesh.world.partition(networks(one), networks(two));
    const dead = two[0]!;
    await mesh.world.run(30_000);
    mesh.crash(dead);
    await mesh.world.run(270_000);
    const alive = nodes.filter((node) => node !== dead);
    const healedAt = mesh.now;
    mesh.world.heal();
    await mesh.world.until(() => mesh.agree(alive, alive), 130_000);
    await mesh.world.run(60_000);
    const risen = alive.flatMap(({ history }) =>
      history.filter(({ at, member, state }) => at >= healedAt && member === dead.identity.id && state === 'alive'),
    );
    expect(risen).toEqual([]);
    expect(mesh.falseVerdicts(alive, [dead], healedAt)).toEqual([]);
    expect(mesh.agree(alive, alive)).toBe(true);
  });

  test('losses one way between two of ten, or of one link, condemn nobody', async () => {
    mesh = new MembersWorld({ seed });
    const nodes = await mesh.formed(10);
    mesh.world.partition([nodes[2]!.network], [nodes[7]!.network], { direction: 'leftToRight' });
    await mesh.world.run(60_000);
    mesh.world.heal();
    mesh.world.partition([nodes[3]!.network], [nodes[5]!.network]);
    await mesh.world.run(120_000);
    expect(mesh.falseVerdicts(nodes, [])).toEqual([]);
    mesh.world.heal();
    await mesh.world.until(() => mesh.agree(nodes, nodes), 70_000);
  });

  test('nobody hears one node, which hears all: it is unreachable to the others, and comes back', async () => {
    mesh = new MembersWorld({ seed });
    const nodes = await mesh.formed(10);
    const mute = nodes[4]!;
    const others = nodes.filter((node) => node !== mute);
    mesh.world.partition([mute.network], undefined, { direction: 'leftToRight' });
    await mesh.world.until(() => mesh.seenAs(others, mute, 'unreachable'), 10_000);
    await mesh.world.run(30_000);
    expect(mesh.falseVerdicts(others, [mute])).toEqual([]);
    const healedAt = mesh.now;
    mesh.world.heal();
    await mesh.world.until(() => mesh.agree(nodes, nodes), 70_000);
    expect(mesh.falseVerdicts(others, [mute], healedAt)).toEqual([]);
  });

  test('two halves that one bridge connects stay one mesh', async () => {
    mesh = new MembersWorld({ seed });
    const nodes = await mesh.formed(7);
    const [bridge, ...rest] = nodes;
    const [one, two] = [rest.slice(0, 3), rest.slice(3)];
    mesh.world.partition(networks(one), networks(two));
    await mesh.world.run(60_000);
    expect(mesh.falseVerdicts([bridge!], [])).toEqual([]);
    expect(mesh.falseVerdicts(one, two)).toEqual([]);
    expect(mesh.falseVerdicts(two, one)).toEqual([]);
    mesh.world.heal();
    await mesh.world.until(() => mesh.agree(nodes, nodes), 70_000);
  });

  test('flapping links lead to no lasting verdict and no storm of entries', async () => {
    mesh = new MembersWorld({ seed });
    const nodes = await mesh.formed(8);
    const [one, two] = [nodes.slice(0, 4), nodes.slice(4)];
    for (let round = 0; round < 15; round++) {
      const lift = mesh.world.partition(networks(one), networks(two));
      await mesh.world.run(2_000);
      lift();
      await mesh.world.run(2_000);
    }
    expect(mesh.falseVerdicts(nodes, [])).toEqual([]);
    await mesh.world.until(() => mesh.agree(nodes, nodes), 20_000);
  });
});
