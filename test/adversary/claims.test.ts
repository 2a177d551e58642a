/** Entries that claim what is not theirs, or too much, or nonsense. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Value } from '../../src/value.ts';
import { pollUntil } from '../mesh/poll.ts';
import { Attacker } from './attacker.ts';
import { registryEntry } from './claims.ts';
import { HonestMesh } from './honest-mesh.ts';

const mesh = 'claims';
/** A hybrid stamp of that wall clock. */
const stamp = (ms: number): number => ms * 2_048;
let honest: HonestMesh;
beforeAll(async () => {
  honest = await HonestMesh.start(mesh);
});
afterAll(() => honest.stop());

async function member(): Promise<Attacker> {
  const attacker = await Attacker.start({ mesh });
  await attacker.join(...honest.addresses);
  attacker.becomeMember();
  await pollUntil(() => honest.nodes.every(({ mesh: node }) => node.membership.get(attacker.id)?.state === 'alive'));
  return attacker;
}

async function leaves(attacker: Attacker): Promise<void> {
  attacker.leave();
  await pollUntil(() => honest.nodes.every(({ mesh: node }) => node.membership.get(attacker.id)?.state === 'left'));
  await attacker.stop();
}

function write(attacker: Attacker, entries: Readonly<Record<string, Value>>): void {
  for (const [key, value] of Object.entries(entries)) attacker.store.set('registry', key, value);
  attacker.publish(...attacker.store.flush());
}

/** Its feed has arrived everywhere as it stands. */
async function isHeard(attacker: Attacker): Promise<void> {
  const head = attacker.store.head(attacker.id, 'registry');
  const reached = ({ mesh: node }: (typeof honest.nodes)[number]): boolean =>
    node
      .status()
      .feeds.some(({ author, store, seq }) => author === attacker.id && store === 'registry' && seq === head?.seq);
  await pollUntil(() => honest.nodes.every(reached));
}

describe('claims', () => {
  it('to agents of others, made later, lose; made in the future, wait', async () => {
    const attacker = await member();
    const future = stamp(Date.now() + 3_600_000);
    write(attacker, {
      'worker-0': registryEntry(stamp(Date.now())),
      'worker-1': registryEntry(future),
      'not yet': registryEntry(future),
    });
    await isHeard(attacker);
    for (const { mesh: node } of honest.nodes) expect(node.registry.lookup('not yet')).toBeUndefined();
    await honest.isWell();
    await leaves(attacker);
  });

  it('that are back-dated win, as documented: the same everywhere, the loser is told, and it ends with their author', async () => {
    const victim = honest.node(2).mesh;
    const registration = await victim.registry.register('coveted', () => 'mine', { capabilities: ['work'] });
    const lost: unknown[] = [];
    registration.onLost((event) => lost.push(event));
    await pollUntil(() => honest.nodes.every(({ mesh: node }) => node.registry.lookup('coveted')?.node === victim.id));
    const attacker = await member();
    write(attacker, { coveted: registryEntry(1) });
    for (const { mesh: node } of honest.nodes) {
      await pollUntil(() => node.registry.lookup('coveted')?.node === attacker.id);
    }
    await pollUntil(() => lost.length === 1);
    expect(lost).toMatchObject([{ id: 'coveted', winner: { node: attacker.id } }]);
    // Who calls it gets nothing from the thief, and is not held up longer than it said.
    const call = victim.call('coveted', 1, { timeoutMs: 300 });
    await expect(call).rejects.toMatchObject({ code: expect.stringMatching(/UNKNOWN_OUTCOME|NOT_DELIVERED/) });
    await leaves(attacker);
    await pollUntil(() => honest.nodes.every(({ mesh: node }) => node.registry.lookup('coveted') === undefined));
    await victim.registry.register('coveted', () => 'mine again', { capabilities: ['work'] });
    await pollUntil(() => honest.node(0).mesh.registry.lookup('coveted') !== undefined);
    expect(await honest.node(0).mesh.call('coveted', 1)).toBe('mine again');
    await honest.isWell();
  });

  it('that are nonsense are counted and shown nowhere', async () => {
    const attacker = await member();
    const before = honest.nodes.map((_, index) => honest.counted(index, /malformed entry/));
    const nonsense: Readonly<Record<string, Value>> = {
      'no object': 7,
      'no time': { zone: 'x', capabilities: [] },
      'bad time': { claimedAt: -1, zone: 'x', capabilities: [] },
      'bad zone': { claimedAt: 1, zone: { toString: 'x' }, capabilities: [] },
      'too many': { claimedAt: 1, zone: 'x', capabilities: Array.from({ length: 5_000 }, (_, n) => `c${n}`) },
      polluted: { claimedAt: 1, zone: 'x', capabilities: ['work'], capacity: { constructor: 'x' } },
      'not a map': { claimedAt: 1, zone: 'x', capabilities: new Map([['0', 'work']]) },
    };
    write(attacker, nonsense);
    await isHeard(attacker);
    for (const [index, { mesh: node }] of honest.nodes.entries()) {
      expect(honest.counted(index, /malformed entry/) - (before[index] as number)).toBe(Object.keys(nonsense).length);
      expect(node.registry.query().filter((record) => record.node === attacker.id)).toEqual([]);
      expect(node.registry.query({ capabilities: 'work' })).toHaveLength(node.registry.query().length);
    }
    await honest.isWell();
    await leaves(attacker);
  });

  it('of one author are bounded by its limits, in number and in size', async () => {
    const attacker = await member();
    for (let n = 0; n < 5_000; n++) attacker.store.set('registry', `many-${n}`, registryEntry(stamp(Date.now())));
    attacker.publish(...attacker.store.flush().slice(0, 1));
    const payload = new Uint8Array(70_000);
    for (const { id } of honest.nodes)
      attacker.publishTo(id, attacker.seal({ seq: 2, payload, store: 'counters' }).bytes);
    await honest.isWell();
    for (const { mesh: node } of honest.nodes) {
      expect(node.status().feeds.some(({ store }) => store === 'counters')).toBe(false);
    }
    await leaves(attacker);
  });
});
