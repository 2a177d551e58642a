import { describe, expect, it } from 'vitest';
import { encodeMessage, viewChangeBody } from '../../../src/protocols/pbft/encoding.ts';
import { bodyBytes } from '../../../src/protocols/pbft/messages.ts';
import { recordsToKeep, restore } from '../../../src/protocols/pbft/recovery.ts';
import type { ReplicaState } from '../../../src/protocols/pbft/state.ts';
import { nodeNumber } from '../../simulation/pbft/keys.ts';
import { clientNode, Table } from './table.ts';

type Letter = Table['letters'][number];

describe('a killed replica', () => {
  it('says again exactly what it said before', () => {
    const table = new Table({ n: 4, f: 1 }).open();
    table.hand(0, clientNode, table.request(1, 'a'));
    table.pass('prePrepare', 0, 1);
    const before = encodeMessage(table.take('prepare', 1, 2));
    table.restart(1);
    // r2 asks with a status that shows it lacks the prepare.
    table.pass('prePrepare', 0, 2);
    table.now += 60;
    table.feed(2, { type: 'wake' });
    table.pass('status', 2, 1);
    expect(encodeMessage(table.take('prepare', 1, 2))).toEqual(before);
  });

  it('does not vote for another batch in a slot it voted in', () => {
    const table = new Table({ n: 4, f: 1 }).open();
    table.hand(0, clientNode, table.request(1, 'a'));
    table.pass('prePrepare', 0, 1);
    table.restart(1);
    const slot = table.states[1]?.log.slots.get(2);
    expect(slot?.proposal?.digest).toBe(table.states[0]?.log.slots.get(2)?.proposal?.digest);
    expect(slot?.prepares.get(nodeNumber(1))?.digest).toBe(slot?.proposal?.digest);
  });

  it('stays in the view change it announced', () => {
    const table = new Table({ n: 4, f: 1 }).open();
    for (const backup of [1, 2, 3]) table.hand(backup, clientNode, table.request(1, 'a'));
    table.pause(250, ({ from, to, message }) => from === 0 || to === 0 || message.type === 'newView');
    expect(table.states[3]).toMatchObject({ view: 1, active: false });
    const said = table.states[3]?.viewChanges.get(nodeNumber(3));
    table.restart(3);
    expect(table.states[3]).toMatchObject({ view: 1, active: false });
    expect(table.states[3]?.viewChanges.get(nodeNumber(3))?.signature).toEqual(said?.signature);
  });

  it('shows after its restart the certificates it had before', () => {
    const table = new Table({ n: 4, f: 1 }).open();
    table.hand(0, clientNode, table.request(1, 'a'));
    table.settle(({ message }) => message.type === 'commit');
    const certificate = table.states[2]?.log.slots.get(2)?.certificate;
    expect(certificate).toBeDefined();
    table.restart(2);
    expect(table.states[2]?.log.slots.get(2)?.certificate).toEqual(certificate);
    expect(table.states[2]?.promised).toBe(2);
  });

  it('as primary proposes nothing else where it proposed, all of them killed at once included', () => {
    const table = new Table({ n: 4, f: 1 }).open();
    table.hand(0, clientNode, table.request(1, 'a'));
    table.settle(({ message }) => message.type === 'commit');
    for (const replica of [0, 1, 2, 3]) table.restart(replica);
    table.letters = [];
    const proposed = table.hand(0, clientNode, table.request(2, 'b')).filter((line) => line.startsWith('prePrepare'));
    expect(proposed).toEqual([]);
    table.pause(600);
    expect(table.lengths()).toEqual([2, 2, 2, 2]);
    expect(table.chains().size).toBe(1);
    expect(table.states.map(({ view }) => view)).toEqual([1, 1, 1, 1]);
  });

  it('gives up the view it was primary of: what it proposed has left before it was on disk, and is forgotten', () => {
    const table = new Table({ n: 4, f: 1 }).open();
    const lines = table.hand(0, clientNode, table.request(1, 'a'));
    expect(lines.indexOf('prePrepare 0/2 → r1 r2 r3')).toBeLessThan(lines.indexOf('persist proposal 0/2'));
    // r1 and r2 have it; the record is lost with the process.
    table.pass('prePrepare', 0, 1);
    table.pass('prePrepare', 0, 2);
    table.disks[0] = (table.disks[0] ?? []).filter(({ kind, seq }) => kind !== 'proposal' || seq !== 2);
    table.letters = [];
    expect(table.restart(0).filter((line) => line.includes('prePrepare'))).toEqual([]);
    table.settle();
    const again = table.hand(0, clientNode, table.request(2, 'b'));
    expect(again.filter((line) => line.startsWith('prePrepare'))).toEqual([]);
    for (const backup of [1, 2, 3]) table.hand(backup, clientNode, table.request(2, 'b'));
    table.pause(600);
    expect(table.states.map(({ view }) => view)).toEqual([1, 1, 1, 1]);
    expect(table.lengths()[0]).toBeGreaterThan(0);
    expect(new Set(table.lengths()).size).toBe(1);
    expect(table.chains().size).toBe(1);
  });

  it('alone in its group gives up nothing', () => {
    const table = new Table({ n: 1, f: 0 }).open();
    table.order(1, 'a');
    table.restart(0);
    table.order(2, 'b');
    expect(table.lengths()).toEqual([2]);
  });

  it('starts from its last checkpoint and catches up', () => {
    const table = new Table({ n: 4, f: 1 }).open();
    for (let number = 1; number <= 6; number++) table.order(number, `x${number}`);
    expect(table.executed()).toEqual([7, 7, 7, 7]);
    const disk = table.disks[2] ?? [];
    const kept = recordsToKeep(disk);
    expect(kept.length).toBeLessThan(disk.length);
    expect(kept.filter(({ kind }) => kind === 'checkpoint')).toHaveLength(1);
    table.disks[2] = kept;
    table.restart(2);
    expect(table.states[2]?.replicated.executed).toBe(4);
    table.pause(400);
    expect(table.executed()).toEqual([7, 7, 7, 7]);
    expect(table.chains().size).toBe(1);
  });

  it('has the state of every checkpoint it signed, though it was stable for one other only, which keeps it back', () => {
    const table = new Table({ n: 4, f: 1 }).open();
    // r0 alone gets the votes for checkpoint 4.
    const kept = ({ to, message }: Letter): boolean => message.type === 'checkpoint' && to !== 0;
    for (let number = 1; number <= 3; number++) table.order(number, `x${number}`, kept);
    expect(table.states.map(({ log }) => log.low)).toEqual([4, 0, 0, 0]);
    // Then it serves nobody. The others ask for view 1, and die before they hear of each other's view changes.
    for (const backup of [1, 2, 3]) table.hand(backup, clientNode, table.request(4, 'x4'));
    const unheard = ['viewChange', 'checkpoint', 'catchUp'];
    table.pause(250, ({ from, message }) => from === 0 || unheard.includes(message.type));
    expect(table.states.slice(1).map(({ view, log }) => `${view} ${log.low}`)).toEqual(Array(3).fill('1 0'));
    for (const backup of [1, 2, 3]) table.restart(backup);
    expect(table.executed()).toEqual([4, 4, 4, 4]);
    // The view begins with what r0 says, so after checkpoint 4, whose state r0 gives to nobody.
    const onlyViews = ({ from, message }: Letter): boolean => from === 0 && message.type !== 'viewChange';
    table.pause(500, onlyViews);
    expect(table.states[1]?.viewFloor).toBe(4);
    for (const backup of [1, 2, 3]) table.hand(backup, clientNode, table.request(4, 'x4'));
    table.pause(500, onlyViews);
    expect(table.lengths().slice(1)).toEqual([4, 4, 4]);
    expect(table.states.slice(1).map(({ log }) => log.low)).toEqual([4, 4, 4]);
  });

  it('has a batch it executed on the word of others, without ever having voted for it', () => {
    const table = new Table({ n: 4, f: 1 }).open();
    const learntOnly = ({ to, message }: Letter): boolean =>
      message.type === 'checkpoint' || (to === 3 && ['prePrepare', 'prepare', 'commit'].includes(message.type));
    for (let number = 1; number <= 2; number++) table.order(number, `x${number}`, learntOnly);
    table.pause(300, learntOnly);
    table.order(3, 'x3', ({ message }) => message.type === 'checkpoint');
    expect(table.states[3]).toMatchObject({ replicated: { executed: 4 }, log: { low: 0 } });
    const said = table.states[3]?.ownCheckpoints.get(4);
    table.restart(3);
    expect(table.executed()).toEqual([4, 4, 4, 4]);
    expect(table.chains().size).toBe(1);
    expect(table.states[3]?.ownCheckpoints.get(4)).toEqual(said);
  });

  it('alone in its group, executes again what it had decided', () => {
    const table = new Table({ n: 1, f: 0 }).open();
    table.order(1, 'a');
    expect(table.restart(0)).toEqual(expect.arrayContaining(['execute 1', 'execute 2']));
    expect(table.lengths()).toEqual([1]);
  });

  it('alone in its group, begins the view it had asked for', () => {
    const table = new Table({ n: 1, f: 0 });
    const { stable, context } = table.states[0] as ReplicaState;
    const content = { epoch: 0, view: 1, replica: nodeNumber(0), checkpoint: stable.proof, prepared: [] };
    const body = viewChangeBody(content);
    const signature = table.keys.signer(nodeNumber(0))(bodyBytes(context.groupId, 'viewChange', body));
    const bytes = encodeMessage({ type: 'viewChange', ...content, signature, body });
    table.disks[0] = [{ kind: 'viewChange', epoch: 0, seq: 0, view: 1, bytes }];
    expect(table.restart(0)).toContain('persist newView 1/0');
    expect(table.open().executed()).toEqual([1]);
  });

  it('alone in its group, makes the checkpoint stable that it was about to', () => {
    const table = new Table({ n: 1, f: 0 }).open();
    for (let number = 1; number <= 3; number++) table.order(number, `x${number}`);
    table.disks[0] = table.disks[0]?.filter(({ kind }) => kind !== 'checkpoint') ?? [];
    expect(table.restart(0)).toContain('event stable');
    expect(table.states[0]?.log.low).toBe(4);
    expect(table.lengths()).toEqual([3]);
  });

  it('refuses to start with a record it cannot read', () => {
    const table = new Table({ n: 4, f: 1 }).open();
    const [first] = table.disks[1] ?? [];
    if (first === undefined) throw new Error('nothing written');
    for (const kind of ['proposal', 'prepared', 'executed', 'checkpoint', 'newView', 'viewChange'] as const) {
      const damaged = { ...first, kind, bytes: first.bytes.subarray(1) };
      expect(() => restore(table.setup(1), [damaged])).toThrowError(
        expect.objectContaining({ code: 'DATA_DIR_UNUSABLE' }),
      );
    }
  });
});
