import { describe, expect, it } from 'vitest';
import type { NodeId } from '../../../src/node-id.ts';
import type { CatchUp } from '../../../src/protocols/pbft/messages.ts';
import { decodeOutcome } from '../../../src/protocols/pbft/outcome.ts';
import { nodeNumber } from '../../simulation/pbft/keys.ts';
import { Table } from './table.ts';

const nodes = (...indexes: number[]): NodeId[] => indexes.map(nodeNumber);

/** Each of `voters` opens a session and votes. */
function vote(table: Table, voters: readonly number[], validators: readonly NodeId[], f = 1, number = 1): void {
  for (const voter of voters) {
    const client = nodeNumber(voter);
    table.hand(0, client, table.request(1, { kind: 'open' }, { client }));
    table.settle();
    const session = table.states[0]?.replicated.sessions.sessions.get(client)?.id as number;
    table.hand(0, client, table.request(number, { kind: 'reconfigure', validators, f }, { client, session }));
    table.settle();
  }
}

describe('changing the validators', () => {
  it('takes a quorum of votes, then waits for a checkpoint a window ahead', () => {
    const table = new Table({ n: 4, f: 1, spares: 1 });
    const next = nodes(0, 1, 2, 4);
    vote(table, [0, 1], next);
    expect(table.states[0]?.replicated.membership.next).toBeUndefined();
    vote(table, [2], next);
    // The last vote was sequence 6: 6 + 8, rounded up to a checkpoint. Null requests lead there at once.
    expect(table.states[0]?.group).toMatchObject({ epoch: 1, since: 16, validators: next });
    expect(table.states.slice(0, 4).map(({ log, view }) => `${log.low} ${view}`)).toEqual(Array(4).fill('16 0'));
  });

  it('is not decided by liars, outsiders, or votes for different sets', () => {
    const table = new Table({ n: 4, f: 1, spares: 2 });
    vote(table, [3], nodes(3, 4, 5, 6));
    vote(table, [4, 5], nodes(3, 4, 5, 6)); // No validators.
    vote(table, [0, 1], nodes(0, 1, 2, 4));
    expect(table.states[0]?.replicated.membership.next).toBeUndefined();
    expect(table.states[0]?.replicated.membership.votes.size).toBe(3);
  });

  it('refuses unsound sets without counting them', () => {
    const table = new Table({ n: 4, f: 1 });
    vote(table, [0, 1, 2, 3], nodes(0, 1, 2)); // 3 < 3f + 1
    vote(table, [0, 1, 2], nodes(0, 1, 2, 2));
    vote(table, [0, 1, 2], ['nobody' as NodeId, ...nodes(0, 1, 2)]);
    expect(table.states[0]?.replicated.membership).toMatchObject({ next: undefined });
    expect(table.states[0]?.replicated.membership.votes.size).toBe(0);
  });

  it('brings a newcomer in with the state, and lets it vote', () => {
    const table = new Table({ n: 4, f: 1, spares: 1 }).open();
    table.order(1, 'a');
    vote(table, [0, 1, 2], nodes(0, 1, 2, 4));
    table.pause(3_000);
    expect(table.states[4]?.group.epoch).toBe(1);
    expect(table.lengths()).toEqual([1, 1, 1, 1, 1]);
    // r3 is out and r0 is dead: the newcomer's vote is needed.
    table.letters = [];
    table.hand(1, nodeNumber(100), table.request(2, 'b'));
    table.pause(1_000, ({ from, to }) => from === 0 || to === 0 || from === 3 || to === 3);
    expect(table.lengths()[4]).toBe(2);
  });

  it('lets the old epoch’s word count for nothing in the new one', () => {
    const table = new Table({ n: 4, f: 1, spares: 1 });
    vote(table, [0, 1, 2], nodes(0, 1, 2, 4));
    table.pause(1_000);
    const digest = '55'.repeat(32);
    const commit = { type: 'commit', epoch: 0, view: 0, seq: 17, digest, replica: nodeNumber(3) } as const;
    expect(table.hand(1, 3, commit)).toEqual([]);
    expect(table.states[1]?.log.slots.size).toBe(0);
    // And the removed one has no word in the new epoch.
    expect(table.hand(1, 3, { ...commit, epoch: 1 })).toEqual(['refused: not-a-member']);
    expect(table.hand(1, 4, { ...commit, epoch: 1, replica: nodeNumber(4) })).toEqual([]);
    expect(table.states[1]?.log.slots.size).toBe(1);
  });

  it('is proved to a newcomer step by step, and not without every step', () => {
    const table = new Table({ n: 4, f: 1, spares: 2 });
    vote(table, [0, 1, 2], nodes(0, 1, 2, 4));
    table.pause(1_000);
    vote(table, [0, 1, 2], nodes(0, 1, 5, 4), 1, 2);
    table.pause(1_000);
    const state = table.states[0];
    if (state === undefined) throw new Error('no replica');
    expect(state.group.epoch).toBe(2);
    const [first, second] = state.epochProofs;
    if (first === undefined || second === undefined) throw new Error('no proofs');
    const newcomer = new Table({ n: 4, f: 1, spares: 2 });
    const tell = (message: Omit<CatchUp, 'type'>): string[] => newcomer.hand(5, 0, { type: 'catchUp', ...message });
    expect(tell({ epochs: [], checkpoint: second })).toEqual(['refused: unknown-epoch']);
    expect(tell({ epochs: [second], checkpoint: second })).toEqual(['refused: unknown-epoch']);
    const alone = { ...first, votes: first.votes.slice(0, 2) };
    expect(tell({ epochs: [alone, second], checkpoint: state.stable.proof })).toEqual(['refused: bad-certificate']);
    expect(tell({ epochs: [first, second], checkpoint: state.stable.proof })).toContain('event transfer');
  });

  it('tells a voter when its change takes effect', () => {
    const table = new Table({ n: 4, f: 1, spares: 1 });
    vote(table, [0, 1, 2], nodes(0, 1, 2, 4));
    const outcomes = table.events.flatMap(({ at, event }) =>
      at === 0 && event.kind === 'executed' ? event.results.map(({ result }) => decodeOutcome(result)) : [],
    );
    expect(outcomes.filter((outcome) => outcome?.kind === 'voted')).toEqual([
      { kind: 'voted', effective: 0 },
      { kind: 'voted', effective: 0 },
      { kind: 'voted', effective: 16 },
    ]);
  });
});
