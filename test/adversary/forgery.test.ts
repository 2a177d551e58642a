/** Envelopes of others: forged, bent and old. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { seededRng } from '../../src/clock.ts';
import { meshTag, sealEnvelope } from '../../src/crdt/envelope.ts';
import { publicKeyFromNodeId } from '../../src/node-id.ts';
import { encodeSync, syncProtocol } from '../../src/protocols/replication/sync-wire.ts';
import { snapshotPayload } from '../crdt/feed-harness.ts';
import { pollUntil } from '../mesh/poll.ts';
import { Attacker } from './attacker.ts';
import { registryEntry } from './claims.ts';
import { HonestMesh } from './honest-mesh.ts';

const mesh = 'forgery';
const rounds = 30;
let honest: HonestMesh;
let attacker: Attacker;
beforeAll(async () => {
  honest = await HonestMesh.start(mesh);
});
afterAll(() => honest.stop());

async function enter(): Promise<void> {
  attacker = await Attacker.start({ mesh });
  await attacker.join(...honest.addresses);
}

/** An envelope that says to be of the victim, signed with the attacker's key. */
function forged(seq: number): Uint8Array {
  const victim = publicKeyFromNodeId(honest.node(1).id) as Uint8Array;
  const payload = snapshotPayload({ stolen: registryEntry(1) });
  const draft = { mesh: meshTag(mesh), kind: 'snapshot', store: 'registry', payload } as const;
  const place = { epoch: Date.now() + 1_000_000, seq, previous: new Uint8Array(32).fill(seq === 1 ? 0 : 7) };
  const { identity } = attacker;
  return sealEnvelope({ ...draft, ...place }, { publicKey: victim, sign: (bytes) => identity.sign(bytes) }).bytes;
}

async function isCutOffEverywhere(): Promise<void> {
  for (const [index, { id }] of honest.nodes.entries()) {
    await pollUntil(() => !attacker.isConnected(id) && !honest.isConnected(index, attacker.id));
    expect(honest.refusals(index, attacker.id, /^banned/)).toBeGreaterThan(0);
  }
}

describe('forgery', () => {
  it('an envelope in the name of another changes nothing, and its sender is banned', async () => {
    await enter();
    for (let seq = 1; seq <= rounds; seq++) attacker.publish(forged(seq));
    await isCutOffEverywhere();
    for (const [index, { mesh: node }] of honest.nodes.entries()) {
      expect(honest.counted(index, /^invalid/)).toBeGreaterThan(0);
      expect(node.registry.lookup('stolen')).toBeUndefined();
    }
    await honest.isWell();
    // It stays out: the connection is refused before anything is said.
    await expect(attacker.join(honest.addresses[0] as string)).rejects.toThrow();
    await attacker.stop();
  });

  it('the same in an exchange of feeds', async () => {
    await enter();
    const victim = honest.node(0).id;
    const before = honest.counted(0, /^replication: violation/);
    for (let seq = 1; seq <= rounds && attacker.isConnected(victim); seq++) {
      const stream = await attacker.open(victim, syncProtocol).catch(() => undefined);
      stream?.frame(encodeSync({ type: 'buckets', digests: new Uint8Array(512).fill(seq) }));
      stream?.frame(encodeSync({ type: 'heads', buckets: new Set(), authors: [] }));
      stream?.frame(encodeSync({ type: 'envelope', bytes: forged(seq) }));
      await stream?.whenOver();
    }
    await pollUntil(() => !attacker.isConnected(victim) && !honest.isConnected(0, attacker.id));
    expect(honest.refusals(0, attacker.id, /^banned/)).toBe(1);
    expect(honest.counted(0, /^replication: violation/) - before).toBeGreaterThanOrEqual(20);
    await honest.isWell();
    await attacker.stop();
  });

  it('honest envelopes with flipped bits are refused', async () => {
    await enter();
    attacker.becomeMember();
    const rng = seededRng(11);
    const { registry } = honest.node(2).mesh;
    const registration = await registry.register('bent', () => 1, { capabilities: ['original'] });
    await pollUntil(() => attacker.overheard.length > 0);
    const samples = [...attacker.overheard];
    const before = honest.counted(0, /^invalid/);
    for (let round = 0; round < 4 * rounds; round++) {
      const copy = (samples[rng.below(samples.length)] as Uint8Array).slice();
      // Not in the version, which others may raise: that is ignored and not held against anybody.
      const at = 1 + rng.below(copy.length - 1);
      copy[at] = (copy[at] as number) ^ (1 << rng.below(8));
      attacker.publish(copy);
    }
    await isCutOffEverywhere();
    expect(honest.counted(0, /^invalid/)).toBeGreaterThan(before);
    for (const { mesh: node } of honest.nodes) {
      expect(node.registry.lookup('bent')).toMatchObject({ node: honest.node(2).id, capabilities: ['original'] });
    }
    await registration.unregister();
    await honest.isWell();
    await attacker.stop();
  });

  it('what was true once and is said again changes nothing, and blames nobody', async () => {
    await enter();
    attacker.becomeMember();
    const owner = honest.node(2).mesh;
    const registration = await owner.registry.register('mortal', () => 1, { capabilities: ['one'] });
    for (const word of ['two', 'three', 'four']) await registration.update({ capabilities: [word] });
    await pollUntil(() => attacker.overheard.length > 3);
    await registration.unregister();
    await pollUntil(() => honest.nodes.every(({ mesh: node }) => node.registry.lookup('mortal') === undefined));
    const samples = [...attacker.overheard];
    for (let round = 0; round < 5; round++) {
      attacker.publish(...samples);
      for (const { id } of honest.nodes) {
        const stream = await attacker.open(id, syncProtocol);
        stream.frame(encodeSync({ type: 'buckets', digests: attacker.store.bucketDigests() }));
        stream.frame(encodeSync({ type: 'heads', buckets: new Set(), authors: [] }));
        for (const bytes of samples) stream.frame(encodeSync({ type: 'envelope', bytes }));
        stream.frame(encodeSync({ type: 'end' }));
        await stream.whenOver();
      }
    }
    for (const { mesh: node } of honest.nodes) expect(node.registry.lookup('mortal')).toBeUndefined();
    // A replay is also what a slow honest neighbour sends.
    for (const { id } of honest.nodes) expect(attacker.isConnected(id)).toBe(true);
    await honest.isWell();
    await attacker.stop();
  });
});
