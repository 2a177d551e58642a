import { describe, expect, it } from 'vitest';
import { encodeMessage } from '../../../src/protocols/pbft/encoding.ts';
import { recordsToKeep, restore } from '../../../src/protocols/pbft/recovery.ts';
import { nodeNumber } from '../../simulation/pbft/keys.ts';
import { clientNode, Table } from './table.ts';

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
    expect(table.hand(0, clientNode, table.request(2, 'b'))).toContain('prePrepare 0/3 → r1 r2 r3');
    table.pause(400);
    expect(table.lengths()).toEqual([2, 2, 2, 2]);
    expect(table.chains().size).toBe(1);
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

  it('refuses to start with a record it cannot read', () => {
    const table = new Table({ n: 4, f: 1 }).open();
    const [first] = table.disks[1] ?? [];
    if (first === undefined) throw new Error('nothing written');
    for (const kind of ['proposal', 'prepared', 'checkpoint', 'newView', 'viewChange'] as const) {
      const damaged = { ...first, kind, bytes: first.bytes.subarray(1) };
      expect(() => restore(table.setup(1), [damaged])).toThrowError(
        expect.objectContaining({ code: 'DATA_DIR_UNUSABLE' }),
      );
    }
  });
});
