import { describe, expect, it } from 'vitest';
import { newViewBody, viewChangeBody } from '../../../src/protocols/pbft/encoding.ts';
import {
  bodyBytes,
  makeBatch,
  type NewView,
  nullBatch,
  type PrePrepare,
  type PreparedCertificate,
  proposalBytes,
  type ViewChange,
} from '../../../src/protocols/pbft/messages.ts';
import { planNewView } from '../../../src/protocols/pbft/re-proposals.ts';
import { nodeNumber } from '../../simulation/pbft/keys.ts';
import { clientNode, Table } from './table.ts';

const dead =
  (...gone: number[]) =>
  ({ from, to }: { from: number; to: number }): boolean =>
    gone.includes(from) || gone.includes(to);

/** Nobody hears that anything was decided. */
const undecided = ({ message }: { message: { type: string } }): boolean =>
  message.type === 'commit' || message.type === 'committed';

/** The primary is dead and a client has told everybody what it wants. */
function tableWithDeadPrimary(): Table {
  const table = new Table({ n: 4, f: 1 }).open();
  for (const backup of [1, 2, 3]) table.hand(backup, clientNode, table.request(1, 'a'));
  return table;
}

function resign(table: Table, message: NewView): NewView {
  const body = newViewBody(message);
  const groupId = table.states[0]?.context.groupId as Uint8Array;
  return { ...message, body, signature: table.keys.signer(message.replica)(bodyBytes(groupId, 'newView', body)) };
}

describe('a view change', () => {
  it('follows when the primary does not serve, and the request is executed in the next view', () => {
    const table = tableWithDeadPrimary();
    table.pause(600, dead(0));
    expect(table.states.map(({ view, active }) => `${view} ${active}`)).toEqual([
      '0 true',
      '1 true',
      '1 true',
      '1 true',
    ]);
    expect(table.lengths()).toEqual([0, 1, 1, 1]);
  });

  it('needs a quorum that wants it: one impatient replica changes nothing, and stays in the view', () => {
    const table = new Table({ n: 4, f: 1 }).open();
    table.hand(3, clientNode, table.request(1, 'a'));
    // The others never hear of the request.
    table.pause(2_000, ({ from, message }) => from === 3 && message.type === 'request');
    expect(table.states.map(({ view }) => view)).toEqual([0, 0, 0, 0]);
    expect(table.states[3]?.suspecting).toBe(true);
  });

  it('is joined when f + 1 others are further, not when f are', () => {
    const table = tableWithDeadPrimary();
    const missed: ViewChange[] = [];
    table.pause(400, ({ from, to, message }) => {
      if (to === 0 && message.type === 'viewChange') missed.push(message);
      return from === 0 || to === 0;
    });
    const [one, two] = [1, 2].map((index) => missed.find(({ replica }) => replica === nodeNumber(index)));
    if (one === undefined || two === undefined) throw new Error('no view changes');
    // r0 wants nothing. One voice may be a liar's, two are not both.
    table.hand(0, 1, one);
    expect(table.states[0]?.view).toBe(0);
    expect(table.hand(0, 2, two)).toContain('persist viewChange 1/0');
    expect(table.states[0]).toMatchObject({ view: 1, active: false });
  });

  it('keeps what may have been committed: one replica executed it, nobody else', () => {
    const table = new Table({ n: 4, f: 1 }).open();
    table.hand(0, clientNode, table.request(1, 'a'));
    // Everybody prepares; only the primary hears the commits, executes, and dies.
    table.settle((letter) => letter.to !== 0 && undecided(letter));
    expect(table.lengths()).toEqual([1, 0, 0, 0]);
    for (const backup of [1, 2, 3]) table.hand(backup, clientNode, table.request(2, 'b'));
    table.pause(800, dead(0));
    expect(table.lengths()).toEqual([1, 2, 2, 2]);
    table.pause(3_000);
    expect(table.lengths()).toEqual([2, 2, 2, 2]);
    expect(table.chains().size).toBe(1);
  });

  it('fills gaps with null requests', () => {
    const table = new Table({ n: 4, f: 1 }).open();
    table.hand(0, clientNode, table.request(1, 'a'));
    table.hand(0, clientNode, table.request(2, 'b'));
    // Nobody ever hears of sequence 2; sequence 3 is prepared everywhere.
    table.settle(({ message }) => 'seq' in message && message.seq === 2);
    expect(table.executed()).toEqual([1, 1, 1, 1]);
    for (const backup of [1, 2, 3]) table.hand(backup, clientNode, table.request(1, 'a'));
    table.pause(800, dead(0));
    // Sequence 2 is null, 3 is `b`, and `a` comes after them.
    expect(table.states[1]?.newView?.proposals.map(({ digest }) => digest === nullBatch.digest)).toEqual([
      false,
      true,
      false,
    ]);
    expect(table.executed()).toEqual([1, 4, 4, 4]);
    expect(table.lengths()).toEqual([0, 2, 2, 2]);
  });

  it('waits twice as long for each next view', () => {
    const table = tableWithDeadPrimary();
    const entered: number[] = [];
    // r1 and r2 lead views 1 and 2 and are not heard as primaries.
    for (let passed = 0; passed < 4_000 && entered.length < 3; passed += 50) {
      table.pause(50, ({ from, to, message }) => from === 0 || to === 0 || message.type === 'newView');
      const view = table.states[3]?.view ?? 0;
      if (view > entered.length) entered.push(table.now);
    }
    const [first = 0, second = 0, third = 0] = entered;
    expect(second - first).toBeGreaterThanOrEqual(400);
    expect(third - second).toBeGreaterThanOrEqual(800);
  });

  it('writes view change and new view down before it sends them', () => {
    const table = tableWithDeadPrimary();
    table.now += 250;
    for (const backup of [1, 2, 3]) table.feed(backup, { type: 'wake' });
    // Each says that it wants to leave; the third voice makes it a quorum.
    expect(table.pass('status', 2, 1)).toEqual([]);
    expect(table.pass('status', 3, 1)).toEqual([
      'persist viewChange 1/0',
      'viewChange 1 → r0 r2 r3',
      'event view',
      'viewChange 1 → r3', // Which is not in view 1 yet, by its status.
    ]);
    table.pass('status', 1, 2);
    expect(table.pass('status', 3, 2)).toContain('viewChange 1 → r0 r1 r3');
    table.pass('status', 1, 3);
    table.pass('status', 2, 3);
    expect(table.pass('viewChange', 2, 1)).toEqual([]);
    const begun = table.pass('viewChange', 3, 1);
    expect(begun.slice(0, 3)).toEqual(['persist newView 1/0', 'newView 1 → r0 r2 r3', 'event view']);
    expect(begun).toContain('prePrepare 1/2 → r0 r2 r3');
  });

  it('is told again to who missed it', () => {
    const table = tableWithDeadPrimary();
    table.pause(600, ({ from, to, message }) => from === 0 || to === 0 || (to === 3 && message.type === 'newView'));
    expect(table.states[3]?.active).toBe(false);
    table.pause(200, dead(0));
    expect(table.states[3]?.active).toBe(true);
    expect(table.lengths()).toEqual([0, 1, 1, 1]);
  });
});

describe('a primary that is slow, just below the patience of the others', () => {
  /** Every request is decided one status interval late; says which view that ends in. */
  function viewAfterSlowService(maxViewMs: number): number | undefined {
    const table = new Table({ n: 4, f: 1, options: { maxViewMs } }).open();
    for (let number = 1; number <= 16; number++) {
      for (const replica of [0, 1, 2, 3]) table.hand(replica, clientNode, table.request(number, `x${number}`));
      table.settle(undecided);
      table.pause(50, ({ message }) => message.type === 'committed');
    }
    expect(new Set(table.lengths())).toEqual(new Set([16]));
    return table.states[2]?.view;
  }

  it('stays for ever, unless views end after a time', () => {
    expect(viewAfterSlowService(0)).toBe(0);
    expect(viewAfterSlowService(300)).toBeGreaterThan(0);
  });
});

describe('a new view is checked by everybody', () => {
  function tableWithNewView(): { table: Table; newView: NewView } {
    const table = new Table({ n: 4, f: 1 }).open();
    table.hand(0, clientNode, table.request(1, 'a'));
    table.settle(undecided);
    table.pause(500, (letter) => dead(0)(letter) || undecided(letter) || letter.message.type === 'newView');
    const newView = table.states[1]?.newView;
    if (newView === undefined) throw new Error('no new view');
    return { table, newView };
  }

  it('is accepted as it is', () => {
    const { table, newView } = tableWithNewView();
    expect(newView.proposals.map(({ seq }) => seq)).toEqual([1, 2]);
    expect(table.hand(2, 1, newView)).toContain('persist newView 1/0');
  });

  it('is refused when it leaves a prepared batch out, replaces it, or adds one', () => {
    const { table, newView } = tableWithNewView();
    const groupId = table.states[0]?.context.groupId as Uint8Array;
    const other = makeBatch(5, []);
    const sign = table.keys.signer(nodeNumber(1));
    const proposed = (seq: number, digest: string): NewView['proposals'][number] => {
      return { seq, digest, signature: sign(proposalBytes(groupId, 'prePrepare', 0, 1, seq, digest)) };
    };
    const [first, second] = newView.proposals as [NewView['proposals'][number], NewView['proposals'][number]];
    for (const proposals of [
      [first],
      [first, proposed(2, other.digest)],
      [first, proposed(2, nullBatch.digest)],
      [first, second, proposed(3, other.digest)],
      [],
    ]) {
      expect(table.hand(2, 1, resign(table, { ...newView, proposals }))).toEqual(['refused: bad-certificate']);
    }
  });

  it('is refused with too few view changes, one counted twice, one of another view, or by another primary', () => {
    const { table, newView } = tableWithNewView();
    const [a, b, c] = newView.viewChanges as [ViewChange, ViewChange, ViewChange];
    const groupId = table.states[0]?.context.groupId as Uint8Array;
    const content = { ...c, view: 2 };
    const body = viewChangeBody(content);
    const other = { ...content, body, signature: table.keys.signer(c.replica)(bodyBytes(groupId, 'viewChange', body)) };
    for (const viewChanges of [
      [a, b],
      [a, b, b],
      [a, b, other],
    ]) {
      expect(table.hand(2, 1, resign(table, { ...newView, viewChanges }))).toEqual(['refused: bad-certificate']);
    }
    expect(table.hand(2, 3, resign(table, { ...newView, replica: nodeNumber(3) }))).toEqual(['refused: not-a-member']);
    const unsigned = { ...c, signature: table.keys.signer(nodeNumber(1))(Uint8Array.of(1)) };
    expect(table.hand(2, 1, resign(table, { ...newView, viewChanges: [a, b, unsigned] }))).toEqual([
      'refused: bad-signature',
    ]);
  });

  it('binds the primary: nothing fresh at or below what the view starts from', () => {
    const { table, newView } = tableWithNewView();
    table.hand(2, 1, newView);
    const batch = makeBatch(1_700_000_001_000, []);
    const groupId = table.states[0]?.context.groupId as Uint8Array;
    const state = table.states[2];
    if (state === undefined) throw new Error('no replica');
    for (const seq of [1, 2]) {
      const slot = state.log.slots.get(seq);
      if (slot !== undefined) slot.proposal = undefined; // As if the re-proposal had not been taken over yet.
      const signature = table.keys.signer(nodeNumber(1))(proposalBytes(groupId, 'prePrepare', 0, 1, seq, batch.digest));
      const proposal = { epoch: 0, view: 1, seq, digest: batch.digest, replica: nodeNumber(1), signature };
      expect(table.hand(2, 1, { type: 'prePrepare', ...proposal, batch })).toEqual([]);
    }
  });
});

describe('a view change is checked by everybody', () => {
  function tableWithChange(): { table: Table; change: ViewChange } {
    const table = new Table({ n: 4, f: 1 }).open();
    table.hand(0, clientNode, table.request(1, 'a'));
    table.settle(undecided);
    table.pause(500, (letter) => dead(0)(letter) || undecided(letter) || letter.message.type === 'newView');
    const change = table.states[3]?.viewChanges.get(nodeNumber(3));
    if (change === undefined) throw new Error('no view change');
    return { table, change };
  }

  it('is refused with a certificate that does not prove what it says', () => {
    const { table, change } = tableWithChange();
    const groupId = table.states[0]?.context.groupId as Uint8Array;
    const [, certificate] = change.prepared as [PreparedCertificate, PreparedCertificate];
    const [one, two] = certificate.prepares;
    if (one === undefined || two === undefined) throw new Error('no prepares');
    const digest = makeBatch(3, []).digest;
    const { view, seq } = certificate;
    const otherProposal = table.keys.signer(nodeNumber(0))(proposalBytes(groupId, 'prePrepare', 0, view, seq, digest));
    const wrong: [PreparedCertificate[], string][] = [
      [[{ ...certificate, prepares: [one] }], 'bad-certificate'],
      [[{ ...certificate, prepares: [one, one] }], 'bad-certificate'],
      [[{ ...certificate, prepares: [one, { ...two, replica: nodeNumber(0) }] }], 'bad-certificate'],
      [[{ ...certificate, prepares: [one, { ...two, replica: nodeNumber(9) }] }], 'bad-certificate'],
      [[{ ...certificate, view: 1 }], 'bad-certificate'],
      [[{ ...certificate, seq: 9 }], 'bad-certificate'],
      [[certificate, certificate], 'bad-certificate'],
      [[{ ...certificate, digest }], 'bad-signature'],
      // A lying primary signs another batch and borrows the prepares given to the first.
      [[{ ...certificate, digest, signature: otherProposal }], 'bad-signature'],
      [[{ ...certificate, seq: 3 }], 'bad-signature'],
    ];
    for (const [prepared, verdict] of wrong) {
      const content = { ...change, prepared };
      const body = viewChangeBody(content);
      const signature = table.keys.signer(nodeNumber(3))(bodyBytes(groupId, 'viewChange', body));
      expect(table.hand(1, 3, { ...content, body, signature })).toEqual([`refused: ${verdict}`]);
    }
    expect(table.accept(1, nodeNumber(3), change)).toBeTypeOf('object');
  });

  it('is refused with a checkpoint nobody signed', () => {
    const { table, change } = tableWithChange();
    const groupId = table.states[0]?.context.groupId as Uint8Array;
    const head = { ...change.checkpoint.head, seq: 4 };
    const votes = [1, 2, 3].map((index) => ({ replica: nodeNumber(index), signature: Uint8Array.of(1) }));
    for (const [checkpoint, verdict] of [
      [{ ...change.checkpoint, head: { ...head, seq: 0, root: '11'.repeat(32) } }, 'bad-certificate'],
      [{ epoch: 0, head, votes: votes.slice(1) }, 'bad-certificate'],
      [{ epoch: 0, head, votes }, 'bad-signature'],
    ] as const) {
      const content = { ...change, checkpoint, prepared: [] };
      const body = viewChangeBody(content);
      const signature = table.keys.signer(nodeNumber(3))(bodyBytes(groupId, 'viewChange', body));
      expect(table.hand(1, 3, { ...content, body, signature })).toEqual([`refused: ${verdict}`]);
    }
  });

  it('turns a certificate for another batch into evidence against the primary that signed both', () => {
    const { table, change } = tableWithChange();
    const groupId = table.states[0]?.context.groupId as Uint8Array;
    const batch = makeBatch(1_700_000_001_000, []);
    const sign = (index: number, type: 'prePrepare' | 'prepare'): Uint8Array =>
      table.keys.signer(nodeNumber(index))(proposalBytes(groupId, type, 0, 0, 2, batch.digest));
    const prepares = [2, 3].map((index) => ({ replica: nodeNumber(index), signature: sign(index, 'prepare') }));
    const prepared = [{ view: 0, seq: 2, digest: batch.digest, signature: sign(0, 'prePrepare'), prepares }];
    const content = { ...change, view: 2, prepared };
    const body = viewChangeBody(content);
    const signature = table.keys.signer(nodeNumber(3))(bodyBytes(groupId, 'viewChange', body));
    const told = table.hand(2, 3, { ...content, body, signature });
    expect(told).toContain('event evidence');
    const shown = table.events.at(-1)?.event;
    expect(shown?.kind === 'evidence' && shown.evidence.offender).toBe(nodeNumber(0));
  });
});

describe('the plan of a new view', () => {
  const certificate = (seq: number, view: number, digest: string): PreparedCertificate => {
    return { seq, view, digest, signature: new Uint8Array(), prepares: [] };
  };
  const change = (stable: number, ...prepared: PreparedCertificate[]): ViewChange => {
    const head = { seq: stable, root: '', bytes: 0, group: { epoch: 0, since: 0, validators: [], f: 1 } };
    const rest = { signature: new Uint8Array(), body: new Uint8Array() };
    const checkpoint = { epoch: 0, head, votes: [] };
    return { type: 'viewChange', epoch: 0, view: 5, replica: nodeNumber(0), checkpoint, prepared, ...rest };
  };

  it('takes the highest view for each sequence, null for gaps, nothing up to the highest checkpoint', () => {
    const plan = planNewView([
      change(4, certificate(5, 1, 'old'), certificate(6, 2, 'six')),
      change(4, certificate(5, 3, 'new'), certificate(9, 0, 'nine')),
      change(5),
    ]);
    expect(plan.checkpoint.head.seq).toBe(5);
    expect(plan.proposals).toEqual([
      { seq: 6, digest: 'six' },
      { seq: 7, digest: nullBatch.digest },
      { seq: 8, digest: nullBatch.digest },
      { seq: 9, digest: 'nine' },
    ]);
    expect(planNewView([change(4, certificate(5, 3, 'new')), change(4, certificate(5, 1, 'old'))]).proposals).toEqual([
      { seq: 5, digest: 'new' },
    ]);
  });
});

describe('the batch behind a re-proposal', () => {
  it('is fetched by who never had it, before it votes', () => {
    const table = new Table({ n: 4, f: 1 }).open();
    table.hand(0, clientNode, table.request(1, 'a'));
    const lostToThree = (message: { type: string }): boolean =>
      message.type === 'prePrepare' || message.type === 'batch';
    table.settle((letter) => undecided(letter) || (letter.to === 3 && lostToThree(letter.message)));
    const gone = (letter: Parameters<typeof undecided>[0] & { from: number; to: number }): boolean =>
      dead(0)(letter) || undecided(letter) || (letter.to === 3 && lostToThree(letter.message));
    table.pause(400, gone);
    const slot = table.states[3]?.log.slots.get(2);
    expect(slot?.awaiting?.view).toBe(1);
    expect(slot?.prepares.get(nodeNumber(3))).toBeUndefined();
    table.pause(300, dead(0));
    expect(table.lengths()).toEqual([0, 1, 1, 1]);
    const proposal = table.disks[3]?.find(({ kind, seq }) => kind === 'proposal' && seq === 2);
    expect(proposal?.view).toBe(1);
    expect((slot as { awaiting: PrePrepare | undefined }).awaiting).toBeUndefined();
  });
});

describe('a certificate whose batch nobody gives', () => {
  it('does not get into the new view: the primary asks its author, and goes on without it', () => {
    const table = new Table({ n: 4, f: 1 }).open();
    table.hand(0, clientNode, table.request(1, 'a'));
    table.settle(undecided);
    const missed: ViewChange[] = [];
    for (const backup of [1, 2, 3]) table.hand(backup, clientNode, table.request(2, 'b'));
    table.pause(250, (letter) => {
      if (letter.message.type === 'viewChange' && letter.to === 1) missed.push(letter.message);
      return dead(0)(letter) || undecided(letter) || letter.message.type === 'viewChange';
    });
    const state = table.states[1];
    const [two, three] = [2, 3].map((index) => missed.find(({ replica }) => replica === nodeNumber(index)));
    if (state === undefined || two === undefined || three === undefined) throw new Error('no view changes');
    // r3 shows a valid certificate for sequence 3 over a batch that only it has.
    const batch = makeBatch(1_700_000_001_000, []);
    const sign = (index: number, type: 'prePrepare' | 'prepare'): Uint8Array =>
      table.keys.signer(nodeNumber(index))(proposalBytes(state.context.groupId, type, 0, 0, 3, batch.digest));
    const prepares = [2, 3].map((index) => ({ replica: nodeNumber(index), signature: sign(index, 'prepare') }));
    const certificate = { view: 0, seq: 3, digest: batch.digest, signature: sign(0, 'prePrepare'), prepares };
    const content = { ...three, prepared: [...three.prepared, certificate] };
    const body = viewChangeBody(content);
    const signature = table.keys.signer(nodeNumber(3))(bodyBytes(state.context.groupId, 'viewChange', body));
    expect(table.hand(1, 3, { ...content, body, signature })).toEqual([]);
    expect(table.hand(1, 2, two)).toEqual(['fetchBatch 3 → r3']);
    expect(state.active).toBe(false);
    // With the batch it would be a quorum; a wrong one is no help.
    expect(table.hand(1, 3, { type: 'batch', seq: 3, batch: makeBatch(1, []) })).toEqual([]);
    expect(table.hand(1, 3, { type: 'batch', seq: 3, batch })).toContain('persist newView 1/0');
    expect(state.newView?.proposals.map(({ seq }) => seq)).toEqual([1, 2, 3]);
  });
});
