import { afterEach, describe, expect, test } from 'vitest';
import type { QuorateError } from '../../../src/errors.ts';
import { MembersWorld, type TestNode } from './members-world.ts';

let mesh: MembersWorld;
afterEach(async () => {
  await mesh.stop();
  expect(mesh.errors, `seed ${mesh.world.seed}`).toEqual([]);
});

test('100 nodes join at once through one seed, know each other, and keep few links', async () => {
  mesh = new MembersWorld({ seed: 1 });
  const nodes: TestNode[] = [];
  for (let i = 0; i < 100; i++) nodes.push(await mesh.start());
  await mesh.world.until(() => mesh.agree(nodes, nodes), 5_000);
  await mesh.world.run(30_000);
  expect(mesh.falseVerdicts(nodes, [])).toEqual([]);
  const links = nodes.map(({ network }) => network.peers().length);
  expect(Math.max(...links)).toBeLessThanOrEqual(20);
  expect(Math.min(...links)).toBeGreaterThanOrEqual(5);
  const victim = nodes[0]!;
  const others = nodes.slice(1);
  mesh.world.pause(victim.network);
  await mesh.world.until(() => mesh.seenAs(others, victim, 'unreachable'), 5_000);
  expect(mesh.falseVerdicts(others, [victim])).toEqual([]);
}, 300_000);

describe.each([1, 2])('seed %i', (seed) => {
  test('islands that started without their common seed become one mesh when it comes up', async () => {
    mesh = new MembersWorld({ seed });
    const meeting = ['/memory/meeting'];
    const a = await mesh.start({ bootstrap: meeting });
    const b = await mesh.start({ bootstrap: meeting });
    const a2 = await mesh.start({ bootstrap: [...a.network.addresses(), ...meeting] });
    const b2 = await mesh.start({ bootstrap: [...b.network.addresses(), ...meeting] });
    await mesh.world.until(() => mesh.agree([a, a2], [a, a2]) && mesh.agree([b, b2], [b, b2]), 10_000);
    await mesh.world.run(300_000);
    expect(mesh.agree([a, a2], [a, a2])).toBe(true);
    const hub = await mesh.start({ bootstrap: meeting, host: 'meeting' });
    const all = [a, b, a2, b2, hub];
    await mesh.world.until(() => mesh.agree(all, all), 90_000);
    expect(mesh.falseVerdicts(all, [])).toEqual([]);
  });

  test('a node that is killed and started again at once comes back as the new one', async () => {
    mesh = new MembersWorld({ seed });
    const nodes = await mesh.formed(6);
    const old = nodes[2]!;
    const others = nodes.filter((node) => node !== old);
    const before = others[0]!.membership.get(old.identity.id)!;
    mesh.crash(old);
    await mesh.world.run(60);
    const again = await mesh.start({ before: old });
    const all = [...others, again];
    await mesh.world.until(
      () =>
        mesh.agree(all, all) &&
        others.every(({ membership }) => membership.get(old.identity.id)!.startedAt > before.startedAt),
      30_000,
    );
    const settledAt = mesh.now;
    await mesh.world.run(60_000);
    expect(mesh.falseVerdicts(all, [], settledAt)).toEqual([]);
    for (const { membership } of all) {
      expect(membership.get(old.identity.id)!.incarnation).toBeGreaterThan(before.incarnation);
      expect(membership.accusations()).toEqual([]);
    }
  });

  test('a node started again after its removal is back within seconds', async () => {
    mesh = new MembersWorld({ seed });
    const nodes = await mesh.formed(6);
    const old = nodes[2]!;
    const others = nodes.filter((node) => node !== old);
    mesh.crash(old);
    await mesh.world.run(90_000);
    expect(mesh.seenAs(others, old, 'removed')).toBe(true);
    const again = await mesh.start({ before: old });
    await mesh.world.until(() => mesh.agree([...others, again], [...others, again]), 5_000);
  });

  test('leaving is known at once, accuses nobody, and ends in no verdict', async () => {
    mesh = new MembersWorld({ seed });
    const nodes = await mesh.formed(6);
    const leaver = nodes[3]!;
    const others = nodes.filter((node) => node !== leaver);
    await leaver.membership.leave();
    await mesh.world.until(() => mesh.seenAs(others, leaver, 'left'), 100);
    leaver.membership.stop();
    leaver.feeds.stop();
    await leaver.network.stop();
    await mesh.world.run(60_000);
    expect(mesh.seenAs(others, leaver, 'left')).toBe(true);
    expect(mesh.falseVerdicts(others, [])).toEqual([]);
    expect(others.flatMap(({ membership }) => membership.accusations())).toEqual([]);
  });

  test('nodes come and go for two minutes: those that stay are never doubted, and agree in the end', async () => {
    mesh = new MembersWorld({ seed });
    const stable = await mesh.formed(8);
    const visitors: TestNode[] = [];
    const guilty: TestNode[] = [];
    for (let round = 0; round < 40; round++) {
      visitors.push(await mesh.start());
      await mesh.world.run(1_500);
      if (visitors.length < 4) {
        await mesh.world.run(1_500);
        continue;
      }
      const [gone] = visitors.splice(mesh.world.rng.below(visitors.length), 1);
      guilty.push(gone!);
      mesh.crash(gone!);
      await mesh.world.run(1_500);
    }
    const all = [...stable, ...visitors];
    await mesh.world.until(() => mesh.agree(all, all), 20_000);
    expect(mesh.falseVerdicts(all, guilty)).toEqual([]);
  });

  test('a refused join says why, and is tried again', async () => {
    mesh = new MembersWorld({ seed });
    const node = await mesh.start({ meshName: 'one' });
    const other = await mesh.start({ meshName: 'two', bootstrap: node.network.addresses() });
    const errors: QuorateError[] = [];
    other.membership.on('joinFailed', ({ error }) => errors.push(error));
    await mesh.world.until(() => errors.length >= 2, 60_000);
    expect(errors.map(({ code }) => code)).toEqual(['WRONG_MESH', 'WRONG_MESH']);
    expect(other.membership.members().map(({ id }) => id)).toEqual([other.identity.id]);
  });

  test('the second process of one identity stops joining and says so', async () => {
    mesh = new MembersWorld({ seed });
    const first = await mesh.start();
    const second = await mesh.start();
    await mesh.world.until(() => mesh.agree([first, second], [first, second]), 5_000);
    const twin = await mesh.start({ identity: second.identity, host: 'twin' });
    let final = false;
    twin.membership.on('joinFailed', (event) => {
      final ||= event.final && event.error.code === 'IDENTITY_IN_USE';
    });
    const joined = expect(twin.membership.whenJoined()).rejects.toMatchObject({ code: 'IDENTITY_IN_USE' });
    await mesh.world.until(() => final, 10_000);
    await joined;
  });

  test('whenJoined resolves with the first of several bootstrap peers', async () => {
    mesh = new MembersWorld({ seed });
    const first = await mesh.start();
    const joiner = await mesh.start({ bootstrap: ['/memory/nobody', ...first.network.addresses()] });
    await mesh.world.settled(joiner.membership.whenJoined(), 5_000);
    expect(joiner.membership.get(first.identity.id)?.state).toBe('alive');
    const alone = await mesh.start({ bootstrap: [] });
    await mesh.world.settled(alone.membership.whenJoined(), 10);
    const aborted = await mesh.start({ bootstrap: ['/memory/nobody'] });
    const abort = new AbortController();
    const waiting = expect(aborted.membership.whenJoined(abort.signal)).rejects.toThrow('enough');
    abort.abort(new Error('enough'));
    await waiting;
  });
});
