import { afterEach, expect, test } from 'vitest';
import { controlProtocol, encodeControlFrame } from '../../../src/p2p/detector/frames.ts';
import type { Channel } from '../../../src/p2p/network.ts';
import { accusationValue, accuseKey } from '../../../src/protocols/membership/entries.ts';
import { MembersWorld, type TestNode } from './members-world.ts';

let mesh: MembersWorld;
afterEach(async () => {
  await mesh.stop();
  expect(mesh.errors, `seed ${mesh.world.seed}`).toEqual([]);
});

async function channelTo(from: TestNode, to: TestNode): Promise<Channel> {
  if (!from.network.isConnected(to.identity.id)) {
    await mesh.world.settled(from.network.connect(to.network.addresses()[0]!, { timeoutMs: 5_000 }));
  }
  const channel = await mesh.world.settled(from.network.open(to.identity.id, controlProtocol));
  channel.listen({ onFrame: () => undefined, onClose: () => undefined });
  return channel;
}

test('a member that accuses everybody, again and again, condemns nobody', async () => {
  mesh = new MembersWorld({ seed: 1 });
  const nodes = await mesh.formed(8);
  const liar = nodes[3]!;
  const others = nodes.filter((node) => node !== liar);
  for (let round = 0; round < 60; round++) {
    for (const { identity } of others) {
      const seen = liar.membership.get(identity.id)!;
      const accuserIncarnation = liar.membership.get(liar.identity.id)!.incarnation;
      const accusation = {
        accuser: liar.identity.id,
        accused: identity.id,
        incarnation: seen.incarnation,
        accuserIncarnation,
        evidence: 'connection-reset' as const,
        at: 1,
        detail: 'I say so',
      };
      liar.feeds.set('members', accuseKey(identity.id), accusationValue(accusation));
    }
    await mesh.world.run(500);
  }
  expect(mesh.falseVerdicts(others, [])).toEqual([]);
  // Meanwhile a real death is still found out.
  const victim = others[0]!;
  mesh.crash(victim);
  await mesh.world.until(() => mesh.seenAs(others.slice(1), victim, 'unreachable'), 5_000);
  expect(mesh.falseVerdicts(others, [victim])).toEqual([]);
});

test('a flood of control frames is cut off at a rate, garbage at once, and membership goes on', async () => {
  mesh = new MembersWorld({ seed: 2 });
  const nodes = await mesh.formed(6);
  const [target, hostile] = [nodes[1]!, nodes[4]!];
  const flood = await channelTo(hostile, target);
  for (let seq = 0; seq < 5_000; seq++) flood.send(encodeControlFrame({ type: 'probe', seq, lagMs: 0 }));
  for (let seq = 0; seq < 5_000; seq++) {
    flood.send(encodeControlFrame({ type: 'ping-req', seq, target: '0123456789abcdef' }));
  }
  const before = target.membership.diagnostics().control.sent;
  await mesh.world.run(1_000);
  expect(target.membership.diagnostics().control.overRate).toBeGreaterThan(9_000);
  expect(target.membership.diagnostics().control.sent - before).toBeLessThan(200);
  flood.abort(new Error('enough'));
  await mesh.world.run(100);
  const garbage = await channelTo(hostile, target);
  garbage.send(Uint8Array.of(9, 9, 9, 9, 9, 9, 9));
  await mesh.world.run(10_000);
  garbage.send(Uint8Array.of(9, 9, 9, 9, 9, 9, 9));
  await mesh.world.run(1_000);
  expect(garbage.closed).toBe(true);
  expect(target.membership.diagnostics().control.malformed).toBeGreaterThan(0);
  await mesh.world.run(20_000);
  expect(mesh.falseVerdicts(nodes, [])).toEqual([]);
  expect(mesh.agree(nodes, nodes)).toBe(true);
});

test('connections on demand are shared, fail with a code, and go when they are idle', async () => {
  mesh = new MembersWorld({ seed: 3 });
  const nodes = await mesh.formed(40);
  await mesh.world.run(60_000);
  const caller = nodes[0]!;
  const far = nodes.find((node) => node !== caller && !caller.network.isConnected(node.identity.id))!;
  const both = [0, 1].map(() => caller.membership.ensureConnected(far.identity.id));
  await mesh.world.settled(Promise.all(both), 1_000);
  expect(caller.network.isConnected(far.identity.id)).toBe(true);
  await mesh.world.until(() => far.network.isConnected(caller.identity.id), 1_000);
  // A call went there: the callee hears it, and keeps the connection as well.
  far.membership.heardFrom(caller.identity.id);
  await mesh.world.run(40_000);
  caller.membership.heardFrom(far.identity.id);
  far.membership.heardFrom(caller.identity.id);
  await mesh.world.run(50_000);
  expect(caller.network.isConnected(far.identity.id)).toBe(true);
  await mesh.world.until(() => !caller.network.isConnected(far.identity.id), 60_000);
  mesh.crash(far);
  const failed = caller.membership.ensureConnected(far.identity.id).then(
    () => 'connected',
    (error: { code: string }) => error.code,
  );
  expect(await mesh.world.settled(failed, 10_000)).toBe('PEER_UNREACHABLE');
});
