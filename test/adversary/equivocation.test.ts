/** An author that signs two histories, or nonsense. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { seededRng } from '../../src/clock.ts';
import type { Envelope } from '../../src/crdt/envelope.ts';
import type { NodeId } from '../../src/node-id.ts';
import { encodeSync, syncProtocol } from '../../src/protocols/replication/sync-wire.ts';
import { snapshotPayload } from '../crdt/feed-harness.ts';
import { pollUntil } from '../mesh/poll.ts';
import { Attacker } from './attacker.ts';
import { registryEntry } from './claims.ts';
import { HonestMesh } from './honest-mesh.ts';

const mesh = 'equivocation';
let honest: HonestMesh;
beforeAll(async () => {
  honest = await HonestMesh.start(mesh);
});
afterAll(() => honest.stop());

async function member(): Promise<Attacker> {
  const attacker = await Attacker.start({ mesh });
  await attacker.join(...honest.addresses);
  attacker.becomeMember();
  await pollUntil(() => honest.nodes.every(({ mesh: node }) => node.membership.get(attacker.id) !== undefined));
  return attacker;
}

function history(attacker: Attacker, agent: string, at = Date.now()): Envelope {
  return attacker.seal({ seq: 1, payload: snapshotPayload({ [agent]: registryEntry(at * 2_048) }) });
}

async function isOutEverywhere(attacker: Attacker): Promise<void> {
  for (const [index, node] of honest.nodes.entries()) {
    await pollUntil(() => node.quarantined.includes(attacker.id));
    await pollUntil(() => !attacker.isConnected(node.id) && !honest.isConnected(index, attacker.id));
    await pollUntil(() => !node.mesh.registry.query().some((record) => record.node === attacker.id));
    expect(node.mesh.status().feeds.some(({ author }) => author === attacker.id)).toBe(false);
    expect(honest.counted(index, /^quarantined|^proof/)).toBeGreaterThan(0);
  }
  await honest.isWell();
  honest.nobodyWasCondemned();
}

describe('equivocation', () => {
  it('two histories to everybody: the author is quarantined and cut off everywhere', async () => {
    const attacker = await member();
    attacker.publish(history(attacker, 'one').bytes, history(attacker, 'two').bytes);
    await isOutEverywhere(attacker);
    await expect(attacker.join(honest.addresses[0] as string)).rejects.toThrow();
    await attacker.stop();
  });

  it('one history to A, another to B: the same, by the proof that passes between them', async () => {
    const attacker = await member();
    attacker.publishTo(honest.node(0).id, history(attacker, 'left').bytes);
    attacker.publishTo(honest.node(1).id, history(attacker, 'right').bytes);
    await isOutEverywhere(attacker);
    await attacker.stop();
  });

  it('a split by exchanges alone, each side asked to keep its own', async () => {
    const attacker = await member();
    const offer = async (peer: NodeId, { bytes }: Envelope): Promise<void> => {
      const stream = await attacker.open(peer, syncProtocol);
      stream.frame(encodeSync({ type: 'buckets', digests: new Uint8Array(512) }));
      stream.frame(encodeSync({ type: 'heads', buckets: new Set(), authors: [] }));
      stream.frame(encodeSync({ type: 'envelope', bytes }));
      stream.frame(encodeSync({ type: 'end' }));
    };
    await Promise.all([
      offer(honest.node(0).id, history(attacker, 'left')),
      offer(honest.node(1).id, history(attacker, 'right')),
      offer(honest.node(2).id, history(attacker, 'middle')),
    ]);
    await isOutEverywhere(attacker);
    await attacker.stop();
  });

  it('a broken chain of hashes is a proof too', async () => {
    const attacker = await member();
    const first = history(attacker, 'chain');
    const payload = snapshotPayload({ other: registryEntry(Date.now() * 2_048) });
    const second = attacker.seal({ seq: 2, kind: 'snapshot', payload, previous: new Uint8Array(32).fill(9) });
    attacker.publish(first.bytes, second.bytes);
    await isOutEverywhere(attacker);
    await attacker.stop();
  });

  it('signed bytes that are no update are a proof too', async () => {
    const attacker = await member();
    attacker.publish(attacker.seal({ seq: 1, payload: seededRng(3).bytes(200) }).bytes);
    await isOutEverywhere(attacker);
    await attacker.stop();
  });

  it('flipped bits that still decode, signed again: taken at their word or a proof, never harm to others', async () => {
    const rng = seededRng(5);
    const entries = { bent: registryEntry(Date.now() * 2_048), 'worker-0': registryEntry(Date.now() * 2_048) };
    const valid = snapshotPayload(entries);
    let quarantined = 0;
    for (let round = 0; round < 6; round++) {
      const attacker = await member();
      for (let seq = 1, previous = new Uint8Array(32); seq <= 40; seq++) {
        const payload = valid.slice();
        const at = rng.below(payload.length);
        payload[at] = (payload[at] as number) ^ (1 << rng.below(8));
        const envelope = attacker.seal({ seq, kind: 'snapshot', payload, previous });
        previous = new Uint8Array(envelope.hash);
        attacker.publish(envelope.bytes);
      }
      // Its own last word, or the proof against it, comes after all of that.
      await pollUntil(() =>
        honest.nodes.every(({ mesh: node, quarantined: out }) => {
          const feed = node.status().feeds.find(({ author, store }) => author === attacker.id && store === 'registry');
          return out.includes(attacker.id) || feed?.seq === 40;
        }),
      );
      if (honest.node(0).quarantined.includes(attacker.id)) quarantined += 1;
      await honest.isWell();
      await attacker.stop();
    }
    expect(quarantined).toBeGreaterThan(0);
  });
});
