/** What keeps a node from starting or joining: each has its own code, and comes within seconds. */
import { randomBytes } from 'node:crypto';
import { chmod, cp, mkdir, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { wireVersions } from '../../src/p2p/handshake.ts';
import { Attacker } from '../adversary/attacker.ts';
import { addressOf, beside, directory, eventsOf, failure, meet, node, socketOf } from './mesh-nodes.ts';
import { pollUntil } from './poll.ts';

const keyA = randomBytes(32).toString('hex');
const keyB = randomBytes(32).toString('hex');

describe('joining is refused', () => {
  it('by a mesh of another name, on both sides', async () => {
    const a = await node({ name: 'one' });
    const refused = eventsOf(a, 'refused');
    const error = await failure(node({ name: 'two', bootstrap: [addressOf(a)] }), 'WRONG_MESH');
    expect(error.message).toContain('"one"');
    await pollUntil(() => refused.some(({ reason }) => reason.startsWith('WRONG_MESH')));
    expect(a.membership.members()).toHaveLength(1);
  });

  it.each([
    ['another network key', keyA, keyB],
    ['a network key where there is none', undefined, keyA],
    ['no network key where there is one', keyA, undefined],
  ])('with %s', async (_, theirs, ours) => {
    const keyed = (networkKey: string | undefined) => (networkKey === undefined ? {} : { networkKey });
    const a = await node(keyed(theirs));
    const refused = eventsOf(a, 'refused');
    await failure(node({ bootstrap: [addressOf(a)], ...keyed(ours) }), 'WRONG_NETWORK_KEY');
    await pollUntil(() => refused.length > 0);
    expect(refused[0]?.reason).toMatch(/^WRONG_NETWORK_KEY/);
  });

  it('and granted with the right network key', async () => {
    const a = await node({ networkKey: keyA });
    await meet(a, await beside([a], { networkKey: keyA.toUpperCase() }));
  });

  it('to nodes that are not on the allow-list', async () => {
    const [known, unknown] = [await directory(), await directory()];
    const first = await node({ dataDir: known });
    await first.stop();
    const a = await node({ allow: [first.id] });
    await failure(node({ bootstrap: [addressOf(a)], dataDir: unknown }), 'NOT_ALLOWED');
    await meet(a, await beside([a], { dataDir: known }));
  });

  it('to a node of another wire version', async () => {
    const a = await node({ name: 'versions' });
    const refused = eventsOf(a, 'refused');
    const stranger = await Attacker.start({ mesh: 'versions' });
    const max = wireVersions.max;
    await stranger.greet(addressOf(a), { wireMin: max + 1, wireMax: max + 3 });
    await pollUntil(() => refused.some(({ reason }) => reason.startsWith('WRONG_VERSION')));
    await pollUntil(() => stranger.refusal?.code === 'WRONG_VERSION');
    expect(stranger.refusal?.detail).toContain(`${max + 1} to ${max + 3}`);
    await stranger.stop();
  });

  it('when all addresses refuse but its own', async () => {
    const first = await node();
    const socket = socketOf(first);
    await first.stop();
    const a = await node({ name: 'one' });
    const membership = { joinTimeoutMs: 3_600_000 };
    const second = node({ name: 'two', listen: [socket], bootstrap: [socket, addressOf(a)], membership });
    await failure(second, 'WRONG_MESH');
  });

  it('only when all bootstrap addresses refuse', async () => {
    const a = await node({ name: 'one' });
    const b = await node({ name: 'two' });
    const c = await node({ name: 'one', bootstrap: [addressOf(b), addressOf(a)] });
    await meet(a, c);
  });
});

describe('encryption', () => {
  it('a peer that has noise and no TLS is accepted', async () => {
    const a = await node({ name: 'noisy' });
    const peer = await Attacker.start({ mesh: 'noisy', encryption: 'noise' });
    await peer.join(addressOf(a));
    peer.becomeMember();
    await pollUntil(() => a.membership.get(peer.id)?.state === 'alive');
    await peer.stop();
  });
});

describe('starting fails', () => {
  it('on a port in use', async () => {
    const a = await node();
    const error = await failure(node({ listen: [socketOf(a)] }), 'PORT_IN_USE');
    expect(error.message).toContain(socketOf(a));
  });

  it('with a data directory that another node uses, and not after that one has stopped', async () => {
    const dataDir = await directory();
    const a = await node({ dataDir });
    await failure(node({ dataDir }), 'DATA_DIR_LOCKED');
    await a.stop();
    expect((await node({ dataDir })).id).toBe(a.id);
  });

  it('and leaves nothing locked or open behind', async () => {
    const dataDir = await directory();
    const a = await node();
    await failure(node({ dataDir, listen: [socketOf(a)] }), 'PORT_IN_USE');
    await failure(node({ dataDir, name: 'other', bootstrap: [addressOf(a)] }), 'WRONG_MESH');
    await node({ dataDir });
  });

  it('with a data directory that is a file', async () => {
    const path = join(await directory(), 'file');
    await writeFile(path, 'not a directory');
    await failure(node({ dataDir: path }), 'DATA_DIR_UNUSABLE');
    await failure(node({ dataDir: join(path, 'below') }), 'DATA_DIR_UNUSABLE');
  });

  it('with a key that is damaged or that others can read', async () => {
    const dataDir = await directory();
    await (await node({ dataDir })).stop();
    await chmod(join(dataDir, 'node.key'), 0o644);
    await failure(node({ dataDir }), 'KEY_INVALID');
    await rm(join(dataDir, 'node.key'));
    await writeFile(join(dataDir, 'node.key'), 'rubbish', { mode: 0o600 });
    await failure(node({ dataDir }), 'KEY_INVALID');
  });

  it('with every wrong option named at once', async () => {
    const error = await failure(node({ name: 'no spaces', zone: '', listen: ['somewhere'] }), 'INVALID_OPTIONS');
    expect(Object.keys(error.data['fields'] as object).sort()).toEqual(['listen.0', 'name', 'zone']);
  });
});

describe('one identity in two processes', () => {
  /** Two data directories with one key, as a careless copy of a machine has. */
  async function copies(): Promise<[string, string]> {
    const [dataDir, copy] = [await directory(), await directory()];
    await (await node({ dataDir })).stop();
    await rm(copy, { recursive: true });
    await mkdir(copy, { mode: 0o700 });
    for (const name of ['node.key', 'node.epoch']) await cp(join(dataDir, name), join(copy, name));
    await chmod(join(copy, 'node.key'), 0o600);
    return [dataDir, copy];
  }

  it('the later one that dials the earlier stops and says why; the earlier goes on', async () => {
    const [dataDir, copy] = await copies();
    const a = await node({ dataDir });
    const refused = eventsOf(a, 'refused');
    await failure(node({ dataDir: copy, bootstrap: [addressOf(a)] }), 'IDENTITY_IN_USE');
    await pollUntil(() => refused.length > 0);
    expect(a.status().state).toBe('running');
  });

  it('and the same when a third node stands between them', async () => {
    const [dataDir, copy] = await copies();
    const third = await node();
    const a = await beside([third], { dataDir });
    await meet(a, third);
    await failure(beside([third], { dataDir: copy }), 'IDENTITY_IN_USE');
    expect(a.status().state).toBe('running');
    expect(third.membership.get(a.id)?.state).toBe('alive');
    await a.registry.register('unharmed', () => 'yes', { capabilities: [] });
    await pollUntil(() => third.registry.lookup('unharmed') !== undefined);
    expect(await third.call('unharmed', 1)).toBe('yes');
  });
});
