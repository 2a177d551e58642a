import { describe, expect, it } from 'vitest';
import { type CatchUp, checkpointBytes, type StatePart } from '../../../src/protocols/pbft/messages.ts';
import { nodeNumber } from '../../simulation/pbft/keys.ts';
import { clientNode, Table } from './table.ts';

/** `open` is sequence 1; these are 2, 3, … */
function orderMany(table: Table, count: number, lost?: Parameters<Table['settle']>[0], from = 1): void {
  for (let number = from; number < from + count; number++) {
    const request = { ...table.request(number, `x${number}`) };
    table.hand(0, clientNode, request);
    table.settle(lost);
  }
}

const without =
  (gone: number) =>
  ({ from, to }: { from: number; to: number }): boolean =>
    from === gone || to === gone;

describe('checkpoints', () => {
  it('become stable by a quorum of equal digests, and everything up to them is dropped', () => {
    const table = new Table({ n: 4, f: 1 }).open();
    orderMany(table, 2);
    expect(table.states[1]?.log.slots.size).toBe(3);
    orderMany(table, 1, undefined, 3);
    expect(table.states.map(({ log }) => log.low)).toEqual([4, 4, 4, 4]);
    expect(table.states.map(({ log }) => log.slots.size)).toEqual([0, 0, 0, 0]);
    expect(table.states[1]?.stable.proof.votes.length).toBeGreaterThanOrEqual(3);
    expect(table.states[1]?.snapshots.size).toBe(0);
  });

  it('need a quorum: two honest votes and a liar make nothing stable', () => {
    const table = new Table({ n: 4, f: 1 }).open();
    const groupId = table.states[0]?.context.groupId as Uint8Array;
    // r3 signs another digest, r2 is not heard at all.
    orderMany(table, 3, ({ from, message }) => message.type === 'checkpoint' && (from === 2 || from === 3));
    const digest = '77'.repeat(32);
    const signature = table.keys.signer(nodeNumber(3))(checkpointBytes(groupId, 0, 4, digest));
    table.hand(1, 3, { type: 'checkpoint', epoch: 0, seq: 4, digest, replica: nodeNumber(3), signature });
    expect(table.states[1]?.log.low).toBe(0);
    // And its two digests for one sequence are evidence.
    const other = '78'.repeat(32);
    const again = table.keys.signer(nodeNumber(3))(checkpointBytes(groupId, 0, 4, other));
    const told = table.hand(1, 3, {
      type: 'checkpoint',
      epoch: 0,
      seq: 4,
      digest: other,
      replica: nodeNumber(3),
      signature: again,
    });
    expect(told).toEqual(['event evidence']);
    // The lost votes come again with the next status.
    table.pause(200);
    expect(table.states.map(({ log }) => log.low)).toEqual([4, 4, 4, 4]);
  });

  it('are counted only at their interval and in the window', () => {
    const table = new Table({ n: 4, f: 1 }).open();
    const groupId = table.states[0]?.context.groupId as Uint8Array;
    for (const seq of [3, 12, 2 ** 40]) {
      const digest = '77'.repeat(32);
      const signature = table.keys.signer(nodeNumber(3))(checkpointBytes(groupId, 0, seq, digest));
      table.hand(1, 3, { type: 'checkpoint', epoch: 0, seq, digest, replica: nodeNumber(3), signature });
    }
    expect(table.states[1]?.checkpoints.size).toBe(0);
  });

  it('keep the watermark where it is until the state is here', () => {
    const table = new Table({ n: 4, f: 1 }).open();
    orderMany(table, 3, without(3));
    const catchUp: CatchUp = { type: 'catchUp', epochs: [], checkpoint: table.states[0]?.stable.proof as never };
    expect(table.hand(3, 0, catchUp)).toContain('event transfer');
    expect(table.states[3]?.log.low).toBe(0);
  });
});

describe('a replica that fell behind', () => {
  it('learns single batches from f + 1 others that say they were committed', () => {
    const table = new Table({ n: 4, f: 1 }).open();
    orderMany(table, 2, without(3));
    expect(table.executed()).toEqual([3, 3, 3, 1]);
    const digest = table.states[0]?.log.slots.get(2)?.committed as string;
    expect(table.hand(3, 0, { type: 'committed', epoch: 0, seq: 2, digest })).toEqual([]);
    expect(table.states[3]?.log.slots.get(2)?.committed).toBeUndefined();
    table.hand(3, 0, { type: 'committed', epoch: 0, seq: 2, digest }); // One voice, twice.
    expect(table.states[3]?.log.slots.get(2)?.committed).toBeUndefined();
    table.hand(3, 1, { type: 'committed', epoch: 0, seq: 2, digest });
    expect(table.states[3]?.log.slots.get(2)?.committed).toBe(digest);
    table.pause(300);
    expect(table.executed()).toEqual([3, 3, 3, 3]);
    expect(table.chains().size).toBe(1);
  });

  it('fetches the state of a stable checkpoint in chunks, and goes on from there', () => {
    const table = new Table({ n: 4, f: 1 }).open();
    orderMany(table, 8, without(3));
    expect(table.executed()).toEqual([9, 9, 9, 1]);
    table.pause(1_500);
    expect(table.executed()).toEqual([9, 9, 9, 9]);
    expect(table.chains().size).toBe(1);
    expect(table.events.filter(({ at, event }) => at === 3 && event.kind === 'transfer')).toHaveLength(2);
    // It takes part again.
    orderMany(table, 1, undefined, 9);
    expect(table.executed()).toEqual([10, 10, 10, 10]);
  });

  it('refuses damaged parts, and asks somebody else', () => {
    const table = new Table({ n: 4, f: 1 }).open();
    orderMany(table, 8, without(3));
    const catchUp: CatchUp = { type: 'catchUp', epochs: [], checkpoint: table.states[0]?.stable.proof as never };
    expect(table.hand(3, 0, catchUp)).toEqual(['event transfer', expect.stringMatching(/^fetchState → r[012]$/)]);
    const asked = table.letters.find(({ from, message }) => from === 3 && message.type === 'fetchState')?.to as number;
    table.pass('fetchState', 3, asked);
    const part = table.take('statePart', asked, 3) as StatePart;
    const bytes = Uint8Array.from(part.bytes);
    bytes[0] = (bytes[0] as number) ^ 1;
    const other = (asked + 1) % 3;
    // Not asked, so it is not even refused.
    expect(table.hand(3, other, { ...part, bytes })).toEqual([]);
    const told = table.hand(3, asked, { ...part, bytes });
    expect(told[0]).toBe('event transfer');
    expect(told[1]).toMatch(/^fetchState → r[012]$/);
    expect(told[1]).not.toBe(`fetchState → r${asked}`);
    table.pause(1_500);
    expect(table.executed()).toEqual([9, 9, 9, 9]);
  });

  it('takes a part that comes after it was asked of another: no answer is in time where all are slow', () => {
    const table = new Table({ n: 4, f: 1 }).open();
    orderMany(table, 8, without(3));
    const catchUp: CatchUp = { type: 'catchUp', epochs: [], checkpoint: table.states[0]?.stable.proof as never };
    table.hand(3, 0, catchUp);
    const askedOf = (): number =>
      table.letters.find(({ from, message }) => from === 3 && message.type === 'fetchState')?.to as number;
    const asked = askedOf();
    table.pass('fetchState', 3, asked);
    const part = table.take('statePart', asked, 3) as StatePart;
    table.now += 200;
    table.feed(3, { type: 'wake' });
    expect(askedOf()).not.toBe(asked);
    const told = table.hand(3, asked, part);
    expect(told[0]).toMatch(/^fetchState → r[012]$/);
    expect(table.states[3]?.transfer?.chunks).toBeDefined();
    // Once more it is nothing new.
    expect(table.hand(3, asked, part)).toEqual([]);
  });

  it('does not believe a checkpoint without a quorum', () => {
    const table = new Table({ n: 4, f: 1 }).open();
    orderMany(table, 3, without(3));
    const proof = table.states[0]?.stable.proof;
    if (proof === undefined) throw new Error('no proof');
    const [one, two, three] = proof.votes;
    if (one === undefined || two === undefined || three === undefined) throw new Error('too few votes');
    const tell = (checkpoint: typeof proof): string[] => table.hand(3, 0, { type: 'catchUp', epochs: [], checkpoint });
    expect(tell({ ...proof, votes: [one, two] })).toEqual(['refused: bad-certificate']);
    expect(tell({ ...proof, votes: [one, two, two] })).toEqual(['refused: bad-certificate']);
    expect(tell({ ...proof, head: { ...proof.head, seq: 8 } })).toEqual(['refused: bad-signature']);
    expect(tell({ ...proof, head: { ...proof.head, root: '00'.repeat(32) } })).toEqual(['refused: bad-signature']);
    const intruders = { ...proof.head.group, epoch: 1, since: 4 };
    expect(tell({ ...proof, head: { ...proof.head, group: intruders } })).toEqual(['refused: bad-signature']);
  });
});
