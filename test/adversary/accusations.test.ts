/** A member that says of others that they are dead. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { NodeId } from '../../src/node-id.ts';
import { accusationValue, accuseKey } from '../../src/protocols/membership/entries.ts';
import { pollUntil } from '../mesh/poll.ts';
import { Attacker } from './attacker.ts';
import { HonestMesh } from './honest-mesh.ts';

const mesh = 'accusations';
let honest: HonestMesh;
beforeAll(async () => {
  honest = await HonestMesh.start(mesh);
});
afterAll(() => honest.stop());

function accuse(attacker: Attacker, accused: NodeId, incarnation: number, by = attacker): void {
  const evidence = {
    accuser: by.id,
    accused,
    accuserIncarnation: 1,
    evidence: 'missed-probes',
    detail: 'lies',
  } as const;
  attacker.store.set('members', accuseKey(accused), accusationValue({ ...evidence, incarnation, at: Date.now() }));
  attacker.publish(...attacker.store.flush());
}

describe('false accusations', () => {
  it('of everybody, again and again: refuted each time, nobody is condemned, and all can ask who lied', async () => {
    const attacker = await Attacker.start({ mesh });
    await attacker.join(...honest.addresses);
    attacker.becomeMember();
    await pollUntil(() => honest.nodes.every(({ mesh: node }) => node.membership.get(attacker.id)?.state === 'alive'));
    const incarnation = (index: number): number => {
      const { mesh: node, id } = honest.node(index);
      return node.membership.get(id)?.incarnation as number;
    };
    for (let round = 0; round < 10; round++) {
      const before = honest.nodes.map((_, index) => incarnation(index));
      for (const [index, { id }] of honest.nodes.entries()) accuse(attacker, id, before[index] as number);
      for (const index of honest.nodes.keys()) await pollUntil(() => incarnation(index) > (before[index] as number));
    }
    await honest.isWell();
    honest.nobodyWasCondemned();
    // A standing lie about the incarnation of now is there to be read.
    const { mesh: reader, id } = honest.node(0);
    accuse(attacker, id, incarnation(0) + 1);
    await honest.isWell();
    for (const { accuser } of reader.membership.accusations()) expect(accuser).toBe(attacker.id);
    await attacker.stop();
  });

  it('by somebody that is no member count for nothing', async () => {
    const stranger = await Attacker.start({ mesh });
    await stranger.join(...honest.addresses);
    const { mesh: node, id } = honest.node(1);
    const before = node.membership.get(id)?.incarnation as number;
    const seen = honest.nodes.map(() => new Set<string>());
    for (const [index, { mesh: reader }] of honest.nodes.entries()) {
      reader.on('member', ({ member }) => member.id === id && seen[index]?.add(member.state));
    }
    accuse(stranger, id, before);
    const heard = ({ mesh: reader }: (typeof honest.nodes)[number]): boolean =>
      reader.status().feeds.some(({ author }) => author === stranger.id);
    await pollUntil(() => honest.nodes.every(heard));
    await honest.isWell();
    for (const states of seen) expect([...states].filter((state) => state !== 'alive')).toEqual([]);
    honest.nobodyWasCondemned();
    await stranger.stop();
  });

  it('by two observers together do work, which is one more liar than was allowed for, and are refuted too', async () => {
    const liars = [await Attacker.start({ mesh }), await Attacker.start({ mesh })];
    for (const liar of liars) {
      await liar.join(...honest.addresses);
      liar.becomeMember();
    }
    for (const { mesh: node } of honest.nodes) {
      for (const liar of liars) await pollUntil(() => node.membership.get(liar.id)?.state === 'alive');
    }
    const { mesh: node, id } = honest.node(2);
    const before = node.membership.get(id)?.incarnation as number;
    for (const liar of liars) accuse(liar, id, before);
    await pollUntil(() => (node.membership.get(id)?.incarnation as number) > before);
    await honest.isWell();
    for (const liar of liars) await liar.stop();
  });
});
