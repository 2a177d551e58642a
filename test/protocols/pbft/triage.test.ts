import { describe, expect, it } from 'vitest';
import { digestOf, proposalBytes } from '../../../src/protocols/pbft/messages.ts';
import type { ReplicaState } from '../../../src/protocols/pbft/state.ts';
import { isNeeded } from '../../../src/protocols/pbft/triage.ts';
import { nodeNumber } from '../../simulation/pbft/keys.ts';
import { clientNode, Table } from './table.ts';

const state = (table: Table, at: number): ReplicaState => table.states[at] as ReplicaState;

describe('triage before signatures', () => {
  it('lets pass what is new, and stops repetitions, votes too many and what lies outside', () => {
    const table = new Table({ n: 4, f: 1 }).open();
    table.hand(0, clientNode, table.request(1, 'a'));
    const proposal = table.take('prePrepare', 0, 1);
    expect(isNeeded(state(table, 1), proposal)).toBe(true);
    table.hand(1, 0, proposal);
    expect(isNeeded(state(table, 1), proposal)).toBe(false);
    table.pass('prePrepare', 0, 2);
    table.pass('prePrepare', 0, 3);
    const [second, third] = [table.take('prepare', 2, 1), table.take('prepare', 3, 1)];
    expect(isNeeded(state(table, 1), third)).toBe(true);
    table.hand(1, 2, second);
    // The certificate is complete: the third prepare changes nothing.
    expect(isNeeded(state(table, 1), third)).toBe(false);
    for (const message of [proposal, second]) {
      if (message.type !== 'prePrepare' && message.type !== 'prepare') throw new Error('unexpected');
      expect(isNeeded(state(table, 1), { ...message, seq: 99 })).toBe(false);
      expect(isNeeded(state(table, 1), { ...message, epoch: 1 })).toBe(false);
    }
  });

  it('lets pass what would convict its author', () => {
    const table = new Table({ n: 4, f: 1 }).open();
    table.order(1, 'a');
    const slot = state(table, 1).log.slots.get(2);
    const known = slot?.prepares.get(nodeNumber(2));
    if (known === undefined) throw new Error('no prepare');
    const digest = digestOf(Uint8Array.of(1));
    const { groupId } = state(table, 1).context;
    const signature = table.keys.signer(nodeNumber(2))(proposalBytes(groupId, 'prepare', 0, 0, 2, digest));
    const other = { ...known, digest, signature };
    expect(isNeeded(state(table, 1), known)).toBe(false);
    expect(isNeeded(state(table, 1), other)).toBe(true);
    expect(table.hand(1, 2, other)).toEqual(['event evidence']);
  });

  it('never stops anything that the core would act on', () => {
    const table = new Table({ n: 4, f: 1 }).open();
    let dropped = 0;
    const check = ({
      from,
      to,
      message,
    }: {
      from: number;
      to: number;
      message: Parameters<typeof isNeeded>[1];
    }): boolean => {
      if (isNeeded(state(table, to), message)) return false;
      dropped++;
      const sent = table.letters.length;
      // Handed over all the same, it makes the replica write nothing and send nothing but its due status.
      expect(table.hand(to, from, message).filter((line) => line !== '')).toEqual([]);
      table.letters.length = sent;
      return true;
    };
    for (let number = 1; number <= 6; number++) table.order(number, `x${number}`, check);
    for (const backup of [1, 2, 3]) table.hand(backup, clientNode, table.request(7, 'y'));
    table.pause(900, (letter) => letter.from === 0 || letter.to === 0 || check(letter));
    expect(table.lengths()).toEqual([6, 7, 7, 7]);
    expect(dropped).toBeGreaterThan(20);
  });
});
