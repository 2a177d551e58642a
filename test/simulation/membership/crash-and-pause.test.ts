import { afterEach, describe, expect, test } from 'vitest';
import { seeds } from '../seeds.ts';
import { MembersWorld } from './members-world.ts';

let mesh: MembersWorld;
afterEach(async () => {
  await mesh.stop();
  expect(mesh.errors, `seed ${mesh.world.seed}`).toEqual([]);
});

describe.each(seeds(3))('seed %i', (seed) => {
  test.each([2, 3, 5, 20])('kill -9 of one of %i is known to all within a second', async (count) => {
    mesh = new MembersWorld({ seed });
    const nodes = await mesh.formed(count);
    const [victim, ...others] = nodes;
    const before = mesh.now;
    mesh.crash(victim!);
    await mesh.world.until(() => mesh.seenAs(others, victim!, 'unreachable'), 1_000);
    await mesh.world.run(29_000);
    expect(mesh.seenAs(others, victim!, 'unreachable')).toBe(true);
    await mesh.world.run(2_000);
    expect(mesh.seenAs(others, victim!, 'removed')).toBe(true);
    expect(mesh.falseVerdicts(others, [victim!], before)).toEqual([]);
    expect(others.some(({ membership }) => membership.accusations(victim!.identity.id).length > 0)).toBe(true);
  });

  test('a majority killed at once is known to the rest', async () => {
    mesh = new MembersWorld({ seed });
    const nodes = await mesh.formed(9);
    const victims = nodes.slice(0, 6);
    const others = nodes.slice(6);
    for (const victim of victims) mesh.crash(victim);
    await mesh.world.until(() => victims.every((victim) => mesh.seenAs(others, victim, 'unreachable')), 5_000);
    expect(mesh.falseVerdicts(others, victims)).toEqual([]);
  });

  test.each([3, 5, 20])('a stop of 3 s gives no verdict on anybody, among %i', async (count) => {
    mesh = new MembersWorld({ seed });
    const nodes = await mesh.formed(count);
    const victim = nodes[1]!;
    mesh.world.pause(victim.network);
    await mesh.world.run(3_000);
    mesh.world.resume(victim.network);
    await mesh.world.run(10_000);
    expect(mesh.falseVerdicts(nodes, [])).toEqual([]);
    expect(mesh.agree(nodes, nodes)).toBe(true);
  });

  test.each([2, 3, 5, 20])(
    'a stop of 8 s is known to all in 5 s, accuses nobody, and heals, among %i',
    async (count) => {
      mesh = new MembersWorld({ seed });
      const nodes = await mesh.formed(count);
      const victim = nodes[1]!;
      const others = nodes.filter((node) => node !== victim);
      const before = mesh.now;
      mesh.world.pause(victim.network);
      await mesh.world.until(() => mesh.seenAs(others, victim, 'unreachable'), 5_000);
      await mesh.world.run(8_000 - (mesh.now - before));
      mesh.world.resume(victim.network);
      await mesh.world.until(() => mesh.agree(nodes, nodes), 3_000);
      await mesh.world.run(20_000);
      expect(mesh.falseVerdicts(others, [victim])).toEqual([]);
      expect(mesh.falseVerdicts([victim], [])).toEqual([]);
      expect(victim.membership.accusations()).toEqual([]);
      expect(mesh.agree(nodes, nodes)).toBe(true);
    },
  );

  test('a stop of 60 s leads to removal and back', async () => {
    mesh = new MembersWorld({ seed });
    const nodes = await mesh.formed(10);
    const victim = nodes[3]!;
    const others = nodes.filter((node) => node !== victim);
    mesh.world.pause(victim.network);
    await mesh.world.run(60_000);
    expect(mesh.seenAs(others, victim, 'removed')).toBe(true);
    mesh.world.resume(victim.network);
    await mesh.world.until(() => mesh.agree(nodes, nodes), 30_000);
    await mesh.world.run(20_000);
    expect(mesh.agree(nodes, nodes)).toBe(true);
    expect(mesh.falseVerdicts(others, [victim])).toEqual([]);
    expect(mesh.falseVerdicts([victim], [])).toEqual([]);
  });
});
