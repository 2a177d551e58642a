/** One attacker that invents authors and members: what an allow-list is for, and what is bounded without one. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { ensureNodeKey } from '../../src/composition/node-key.ts';
import { createIdentity, type Identity } from '../../src/identity.ts';
import { selfKey, selfValue } from '../../src/protocols/membership/entries.ts';
import { pollUntil } from '../mesh/poll.ts';
import { Attacker, authorOf } from './attacker.ts';
import { registryEntry } from './claims.ts';
import { HonestMesh } from './honest-mesh.ts';

let directory: string;
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'quorate-sybils-'));
});
afterEach(() => rm(directory, { recursive: true, force: true }));

/** Envelopes of a member with an agent, whoever sends them. */
function invented(mesh: string, n: number): Uint8Array[] {
  const author = authorOf(mesh, createIdentity());
  const info = { addresses: [], zone: 'default', roles: [], capacity: {}, version: '0.0.0', startedAt: 1 };
  author.set('members', selfKey, selfValue({ ...info, incarnation: 1 }, false));
  author.set('registry', `sybil-${n}`, registryEntry(1));
  return author.flush();
}

const authorsSeen = (honest: HonestMesh, index: number): number =>
  new Set(
    honest
      .node(index)
      .mesh.status()
      .feeds.map(({ author }) => author),
  ).size;

describe('invented members', () => {
  it('with an allow-list: not even a traitor on it can bring any', async () => {
    const mesh = 'sybils-allowed';
    const traitor: Identity = createIdentity();
    const directories = ['a', 'b'].map((name) => join(directory, name));
    const allow = [traitor.id];
    for (const path of directories) allow.push(await ensureNodeKey(path));
    const honest = await HonestMesh.start(mesh, 0);
    for (const dataDir of directories) await honest.add({ dataDir, allow });
    await honest.isWell();
    const attacker = await Attacker.start({ mesh, identity: traitor });
    await attacker.join(...honest.addresses);
    attacker.becomeMember();
    for (let n = 0; n < 50; n++) attacker.publish(...invented(mesh, n));
    for (const index of [0, 1]) await pollUntil(() => honest.counted(index, /^refused: not allowed/) >= 100);
    for (const index of [0, 1]) {
      expect(authorsSeen(honest, index)).toBe(3);
      expect(honest.node(index).mesh.membership.members()).toHaveLength(3);
    }
    const stranger = await Attacker.start({ mesh });
    await stranger.greet(honest.addresses[0] as string);
    await pollUntil(() => stranger.refusal?.code === 'NOT_ALLOWED');
    await honest.isWell();
    honest.nobodyWasCondemned();
    await attacker.stop();
    await stranger.stop();
    await honest.stop();
  });

  it('without one: as many as `maxNodes` allows, and those that were there before stay', async () => {
    const mesh = 'sybils-open';
    const maxNodes = 10;
    const honest = await HonestMesh.start(mesh, 3, { registry: { maxNodes } });
    const attacker = await Attacker.start({ mesh });
    await attacker.join(...honest.addresses);
    for (let n = 0; n < 50; n++) attacker.publish(...invented(mesh, n));
    for (const index of [0, 1, 2]) {
      await pollUntil(() => honest.counted(index, /^refused: authors/) > 0);
      // The limit is of the others.
      expect(authorsSeen(honest, index)).toBeLessThanOrEqual(maxNodes + 1);
      expect(honest.node(index).mesh.membership.members().length).toBeLessThanOrEqual(maxNodes + 1);
    }
    await honest.isWell();
    await attacker.stop();
    await honest.stop();
  });
});
