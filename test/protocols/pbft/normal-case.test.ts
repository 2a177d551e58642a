import { describe, expect, it } from 'vitest';
import { checkEvidence } from '../../../src/protocols/pbft/evidence.ts';
import { makeBatch, type PrePrepare, proposalBytes } from '../../../src/protocols/pbft/messages.ts';
import { nodeNumber } from '../../simulation/pbft/keys.ts';
import { clientNode, Table } from './table.ts';

describe('the normal case, four validators of which one may lie', () => {
  it('goes request, pre-prepare, prepare, commit, reply, each promise on disk before it is sent', () => {
    const table = new Table({ n: 4, f: 1 });
    // The primary writes its proposal down, then sends it. A lone request is not delayed.
    expect(table.hand(0, clientNode, table.request(1, { kind: 'open' }))).toEqual([
      'persist proposal 0/1',
      'prePrepare 0/1 → r1 r2 r3',
    ]);
    // A backup writes it down and prepares.
    expect(table.pass('prePrepare', 0, 1)).toEqual(['persist proposal 0/1', 'prepare 0/1 → r0 r2 r3']);
    expect(table.pass('prePrepare', 0, 2)).toEqual(['persist proposal 0/1', 'prepare 0/1 → r0 r1 r3']);
    // Pre-prepare, own prepare and one more are a certificate (quorum 3): written down, then committed.
    expect(table.pass('prepare', 2, 1)).toEqual(['persist prepared 0/1', 'commit 0/1 → r0 r2 r3']);
    expect(table.pass('prepare', 1, 2)).toEqual(['persist prepared 0/1', 'commit 0/1 → r0 r1 r3']);
    // The primary does not prepare: it needs the prepares of two backups.
    expect(table.pass('prepare', 1, 0)).toEqual([]);
    expect(table.pass('prepare', 2, 0)).toEqual(['persist prepared 0/1', 'commit 0/1 → r1 r2 r3']);
    // Three commits decide.
    expect(table.pass('commit', 2, 1)).toEqual([]);
    expect(table.pass('commit', 0, 1)).toEqual(['reply → client', 'execute 1']);
    // r3 has heard of nothing but commits: a quorum of them decides, and it asks for the batch.
    for (const from of [0, 1]) expect(table.pass('commit', from, 3)).toEqual([]);
    table.pass('commit', 2, 3);
    expect(table.pass('prePrepare', 0, 3)).toContain('execute 1');
  });

  it('counts votes that come before the pre-prepare', () => {
    const table = new Table({ n: 4, f: 1 });
    table.hand(0, clientNode, table.request(1, { kind: 'open' }));
    table.pass('prePrepare', 0, 2);
    expect(table.pass('prepare', 2, 1)).toEqual([]);
    expect(table.pass('prePrepare', 0, 1)).toEqual([
      'persist proposal 0/1',
      'prepare 0/1 → r0 r2 r3',
      'persist prepared 0/1',
      'commit 0/1 → r0 r2 r3',
    ]);
  });

  it('executes in order, whatever order the decisions come in', () => {
    const table = new Table({ n: 4, f: 1 }).open();
    table.hand(0, clientNode, table.request(1, 'a'));
    table.hand(0, clientNode, table.request(2, 'b'));
    const held = table.letters.filter(({ to, message }) => to === 3 && 'seq' in message && message.seq === 2);
    table.settle(({ to, message }) => to === 3 && 'seq' in message && message.seq === 2);
    expect(table.executed()).toEqual([3, 3, 3, 1]);
    table.letters = held;
    table.pause(200);
    expect(table.executed()).toEqual([3, 3, 3, 3]);
    expect(table.chains().size).toBe(1);
  });

  it('batches what comes while batches are under way', () => {
    const table = new Table({ n: 4, f: 1, options: { maxInFlight: 1 } }).open();
    expect(table.hand(0, clientNode, table.request(1, 'a'))).toContain('prePrepare 0/2 → r1 r2 r3');
    for (const number of [2, 3, 4]) expect(table.hand(0, clientNode, table.request(number, `x${number}`))).toEqual([]);
    table.settle();
    // Three requests in one batch: sequence 3 was the last.
    expect(table.executed()).toEqual([3, 3, 3, 3]);
    expect(table.lengths()).toEqual([4, 4, 4, 4]);
  });

  it('works on nothing outside the window', () => {
    const table = new Table({ n: 4, f: 1 }).open();
    const far = { epoch: 0, view: 0, seq: 9, digest: 'ab'.repeat(32), replica: nodeNumber(2) };
    expect(table.hand(1, 2, { type: 'commit', ...far })).toEqual([]);
    expect(table.states[1]?.log.slots.has(9)).toBe(false);
    expect(table.hand(1, 2, { type: 'commit', ...far, seq: 8 })).toEqual([]);
    expect(table.states[1]?.log.slots.has(8)).toBe(true);
    expect(table.hand(1, 2, { type: 'commit', ...far, seq: 2 ** 50 })).toEqual([]);
    expect(table.hand(1, 2, { type: 'commit', ...far, seq: 0 })).toEqual([]);
    expect(table.states[1]?.log.slots.size).toBe(2);
  });

  it('never proposes above the window', () => {
    const table = new Table({ n: 4, f: 1 }).open();
    for (let number = 1; number <= 8; number++) table.hand(0, clientNode, table.request(number, `x${number}`));
    expect(Math.max(...(table.states[0]?.log.slots.keys() ?? []))).toBe(8);
    expect(table.states[0]?.pending.count).toBe(8);
  });

  it('handles no pre-prepare of another view under its own', () => {
    const table = new Table({ n: 4, f: 1 }).open();
    const batch = makeBatch(1_700_000_001_000, [table.request(1, 'a')]);
    const groupId = table.states[0]?.context.groupId as Uint8Array;
    const signature = table.keys.signer(nodeNumber(1))(proposalBytes(groupId, 'prePrepare', 0, 1, 2, batch.digest));
    const proposal = { epoch: 0, view: 1, seq: 2, digest: batch.digest, replica: nodeNumber(1), signature };
    expect(table.hand(2, 1, { type: 'prePrepare', ...proposal, batch })).toEqual([]);
    // And one that claims view 0 for a primary of view 1 does not get in.
    expect(table.hand(2, 1, { type: 'prePrepare', ...proposal, view: 0, batch })).toEqual(['refused: not-a-member']);
  });

  it('keeps the first of two proposals for a slot, and the pair as evidence', () => {
    const table = new Table({ n: 4, f: 1 }).open();
    table.hand(0, clientNode, table.request(1, 'a'));
    const first = table.take('prePrepare', 0, 1) as PrePrepare;
    const batch = makeBatch(1_700_000_001_000, []);
    const groupId = table.states[0]?.context.groupId as Uint8Array;
    const signature = table.keys.signer(nodeNumber(0))(proposalBytes(groupId, 'prePrepare', 0, 0, 2, batch.digest));
    const second: PrePrepare = { ...first, digest: batch.digest, signature, batch };
    expect(table.hand(1, 0, first)).toContain('prepare 0/2 → r0 r2 r3');
    expect(table.hand(1, 0, second)).toEqual(['event evidence']);
    expect(table.hand(1, 0, second)).toEqual([]); // Shown once.
    const shown = table.events.at(-1)?.event;
    if (shown?.kind !== 'evidence') throw new Error('no evidence');
    expect(shown.evidence.offender).toBe(nodeNumber(0));
    const context = table.states[3]?.context;
    if (context === undefined) throw new Error('no replica');
    expect(checkEvidence(shown.evidence, context, table.keys.verify)).toBe(true);
    // Nobody is convicted by one statement twice, nor by somebody else's.
    expect(checkEvidence({ ...shown.evidence, second: shown.evidence.first }, context, table.keys.verify)).toBe(false);
    expect(checkEvidence({ ...shown.evidence, offender: nodeNumber(1) }, context, table.keys.verify)).toBe(false);
  });

  it('shows its proposal to a backup that prepared another', () => {
    const table = new Table({ n: 4, f: 1 }).open();
    table.hand(0, clientNode, table.request(1, 'a'));
    const first = table.take('prePrepare', 0, 1) as PrePrepare;
    const batch = makeBatch(1_700_000_001_000, []);
    const groupId = table.states[0]?.context.groupId as Uint8Array;
    const signature = table.keys.signer(nodeNumber(0))(proposalBytes(groupId, 'prePrepare', 0, 0, 2, batch.digest));
    table.hand(1, 0, first);
    table.hand(2, 0, { ...first, digest: batch.digest, signature, batch });
    expect(table.pass('prepare', 2, 1)).toEqual(['prePrepare 0/2 → r2']);
    expect(table.pass('prePrepare', 1, 2)).toEqual(['event evidence']);
  });

  it('doubts a time far from its clock until an honest replica must have accepted it', () => {
    const table = new Table({ n: 4, f: 1 }).open();
    const batch = makeBatch(1_700_000_900_000, [table.request(1, 'a')]);
    const groupId = table.states[0]?.context.groupId as Uint8Array;
    const signed = (replica: number, type: 'prePrepare' | 'prepare'): Uint8Array =>
      table.keys.signer(nodeNumber(replica))(proposalBytes(groupId, type, 0, 0, 2, batch.digest));
    const vote = { epoch: 0, view: 0, seq: 2, digest: batch.digest };
    const proposal: PrePrepare = {
      type: 'prePrepare',
      ...vote,
      replica: nodeNumber(0),
      signature: signed(0, 'prePrepare'),
      batch,
    };
    expect(table.hand(1, 0, proposal)).toEqual([]);
    const prepare = { type: 'prepare', ...vote, replica: nodeNumber(2), signature: signed(2, 'prepare') } as const;
    expect(table.hand(1, 2, prepare)).toContain('prepare 0/2 → r0 r2 r3');
  });

  it('answers a repeated request from the table of replies, the client only', () => {
    const table = new Table({ n: 4, f: 1 }).open();
    table.order(1, 'a');
    const again = table.request(1, 'a');
    expect(table.hand(1, clientNode, again)).toEqual(['reply → client']);
    // The primary, or anybody, replaying it gets nothing and causes nothing.
    expect(table.hand(1, 0, again)).toEqual([]);
    expect(table.hand(0, 3, again)).toEqual([]);
    expect(table.lengths()).toEqual([1, 1, 1, 1]);
  });

  it('passes a request on to the primary', () => {
    const table = new Table({ n: 4, f: 1 }).open();
    expect(table.hand(2, clientNode, table.request(1, 'a'))).toEqual(['request → r0']);
    table.settle();
    expect(table.lengths()).toEqual([1, 1, 1, 1]);
  });
});

describe('with f = 0', () => {
  it('skips the prepare phase: three validators, one dead', () => {
    const table = new Table({ n: 3, f: 0 });
    expect(table.hand(0, clientNode, table.request(1, { kind: 'open' }))).toEqual([
      'persist proposal 0/1',
      'prePrepare 0/1 → r1 r2',
      'commit 0/1 → r1 r2',
    ]);
    expect(table.pass('prePrepare', 0, 1)).toEqual(['persist proposal 0/1', 'commit 0/1 → r0 r2']);
    expect(table.pass('commit', 1, 0)).toEqual(['reply → client', 'execute 1']);
  });

  it('decides alone in a group of one', () => {
    const table = new Table({ n: 1, f: 0 });
    expect(table.hand(0, clientNode, table.request(1, { kind: 'open' }))).toEqual([
      'persist proposal 0/1',
      'reply → client',
      'execute 1',
    ]);
  });
});

describe('reads without ordering', () => {
  it('wait for everything the replica has voted to commit', () => {
    const table = new Table({ n: 4, f: 1 }).open();
    const read = { type: 'read', number: 1, query: new Uint8Array() } as const;
    expect(table.hand(1, clientNode, read)).toEqual(['readReply → client']);
    table.hand(0, clientNode, table.request(1, 'a'));
    table.settle(({ to, message }) => to === 1 && message.type === 'commit');
    // r1 has voted to commit `a` and not executed it: an answer now could miss an acknowledged write.
    expect(table.hand(1, clientNode, { ...read, number: 2 })).toEqual([]);
    table.pause(200);
    expect(table.toClients.filter(({ from, message }) => from === 1 && message.type === 'readReply')).toHaveLength(2);
  });
});
