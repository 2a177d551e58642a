import { describe, expect, test } from 'vitest';
import type { BarrierOptions } from '../../../../src/protocols/coordination/barrier/barrier.ts';
import { At, identityOf, Table } from './table.ts';

const nodes = [0, 1, 2, 3, 4].map(identityOf);
const [n0, n1, n2, n3] = nodes.map(({ id }) => id) as [
  ReturnType<typeof identityOf>['id'],
  ReturnType<typeof identityOf>['id'],
  ReturnType<typeof identityOf>['id'],
  ReturnType<typeof identityOf>['id'],
];

function set(options: Omit<BarrierOptions, 'id'>): { table: Table; at: At } {
  const table = new Table();
  return { table, at: new At(table, table.open(options)) };
}

const lease = 10_000;

describe('opening', () => {
  test('the last arrival opens it, for everybody alike, and the next belongs to the next generation', () => {
    const { table, at } = set({ participants: ['a', 'b'] });
    expect(at.arrive(n0, 'a')).toEqual({ state: 'gathering' });
    expect(at.outcome()).toEqual({ state: 'gathering' });
    const last = at.arrive(n1, 'b');
    expect(last).toMatchObject({ state: 'over', outcome: { generation: 1, opened: true, arrived: 2, missing: [] } });
    expect(at.outcome()).toEqual(last);
    expect(table.events).toEqual([{ id: 'b', epoch: at.ref.epoch, outcome: last['outcome'] }]);
    at.generation = 2;
    expect(at.arrive(n0, 'a')).toEqual({ state: 'gathering' });
    const second = at.arrive(n1, 'b') as { outcome: { token: number } };
    expect(second).toMatchObject({ state: 'over', outcome: { generation: 2 } });
    expect(second.outcome.token).toBeGreaterThan((last['outcome'] as { token: number }).token);
  });

  test('an arrival told twice counts once; told again after the opening it hears of that opening', () => {
    const { at } = set({ participants: 2 });
    at.arrive(n0, 'x');
    expect(at.arrive(n0, 'x')).toEqual({ state: 'gathering' });
    at.arrive(n1, 'y');
    expect(at.arrive(n0, 'x')).toMatchObject({ state: 'over', outcome: { generation: 1, arrived: 2 } });
    // Another try was not part of it.
    expect(at.arrive(n0, 'x', { attempt: 2 })).toMatchObject({ code: 'CONFLICT', generation: 2 });
    expect(at.arrive(n2, 'z')).toMatchObject({ code: 'CONFLICT', generation: 2 });
  });

  test('only those named may come, and only one node in a name', () => {
    const { at } = set({ participants: ['a', 'b'] });
    expect(at.arrive(n0, 'stranger')).toMatchObject({ code: 'NOT_PERMITTED' });
    at.arrive(n0, 'a');
    expect(at.arrive(n1, 'a')).toMatchObject({ code: 'NOT_PERMITTED', reason: 'another node waits in this name' });
    expect(at.withdraw(n1, 'a')).toEqual({ state: 'withdrawn' });
    expect(at.status()).toMatchObject({ arrived: ['a'], missing: ['b'] });
  });

  test('each zone has its share', () => {
    const { at } = set({ perZone: { north: 2, south: 1 } });
    expect(at.arrive(n0, 'x', { zone: 'north' })).toEqual({ state: 'gathering' });
    expect(at.arrive(n1, 'x', { zone: 'north' })).toEqual({ state: 'gathering' });
    expect(at.arrive(n2, 'x', { zone: 'north' })).toMatchObject({ code: 'LIMIT_EXCEEDED' });
    expect(at.arrive(n2, 'x', { zone: 'west' })).toMatchObject({ code: 'NOT_PERMITTED', zone: 'west' });
    expect(at.arrive(n3, 'x', { zone: 'south' })).toMatchObject({ state: 'over', outcome: { arrived: 3 } });
  });

  test('other terms under one id are refused, and both are shown', () => {
    const { table } = set({ participants: 2 });
    expect(() => table.open({ participants: 2 })).not.toThrow();
    expect(() => table.open({ participants: 3 })).toThrow(/ALREADY_EXISTS/);
    expect(() => table.open({ participants: 3 })).toThrow(/"wanted":{"who":{"kind":"count","count":3}/);
    expect(() => table.open({ participants: 3 })).toThrow(/"existing":{"who":{"kind":"count","count":2}/);
  });
});

describe('giving up', () => {
  test('a withdrawn try never counts, also when it arrives later than its withdrawal', () => {
    const { at } = set({ participants: 2 });
    at.withdraw(n0, 'x', 5);
    expect(at.arrive(n0, 'x', { attempt: 5 })).toMatchObject({ code: 'CONFLICT', attempt: 5 });
    expect(at.arrive(n0, 'x', { attempt: 6 })).toEqual({ state: 'gathering' });
    // The old withdrawal, once more, takes nothing back.
    at.withdraw(n0, 'x', 5);
    expect(at.status()).toMatchObject({ arrivedCount: 1 });
  });

  test('whoever withdraws too late hears how it ended', () => {
    const { at } = set({ participants: 1 });
    at.arrive(n0, 'x');
    expect(at.withdraw(n0, 'x')).toMatchObject({ state: 'over', outcome: { opened: true } });
  });

  test('the deadline counts from the first arrival, and anew when nobody is left', () => {
    const { table, at } = set({ participants: 2, deadlineMs: 1_000 });
    at.arrive(n0, 'x');
    table.pass(600);
    at.withdraw(n0, 'x');
    at.arrive(n0, 'x', { attempt: 2 });
    table.pass(600);
    expect(at.outcome()).toEqual({ state: 'gathering' });
    table.pass(400);
    expect(at.outcome()).toMatchObject({ state: 'over', outcome: { opened: false, reason: 'deadline', arrived: 1 } });
  });
});

describe('who falls silent', () => {
  test('wait: is missing again, may come back, and the deadline breaks it', () => {
    const { table, at } = set({ participants: 2, deadlineMs: 60_000 });
    at.arrive(n0, 'x');
    table.pass(lease / 2);
    at.arrive(n1, 'y', { attempt: 1 });
    // Both there: open at once. So this one waits for a third that never comes:
    expect(at.outcome()).toMatchObject({ state: 'over' });
    at.generation = 2;
    at.arrive(n0, 'x');
    table.pass(lease);
    expect(at.status()).toMatchObject({ arrivedCount: 0 });
    at.arrive(n0, 'x', { attempt: 2 });
    expect(at.arrive(n1, 'y')).toMatchObject({ state: 'over', outcome: { opened: true } });
  });

  test('wait: a count that only knows how many names those who came and were lost', () => {
    const { table, at } = set({ participants: 3, deadlineMs: 15_000 });
    at.arrive(n0, 'x');
    table.pass(lease / 2);
    at.arrive(n1, 'y');
    table.pass(lease / 2);
    expect(at.status()).toMatchObject({ arrived: ['y'], missing: ['x'], missingUnnamed: 1, lost: ['x'] });
    expect(at.renew(n1, 'y')).toEqual({ state: 'gathering' });
    table.pass(lease / 2);
    expect(at.outcome()).toMatchObject({
      outcome: { opened: false, reason: 'deadline', arrived: 1, missing: ['x'], missingUnnamed: 1 },
    });
  });

  test('a renewed arrival stands', () => {
    const { table, at } = set({ participants: 2, onLost: 'break' });
    at.arrive(n0, 'x');
    for (let round = 0; round < 5; round++) {
      table.pass(lease - 1);
      expect(at.renew(n0, 'x')).toEqual({ state: 'gathering' });
    }
    table.pass(lease);
    expect(at.outcome()).toMatchObject({ state: 'over', outcome: { opened: false, reason: 'lost' } });
    expect(at.renew(n0, 'x')).toMatchObject({ state: 'over' });
  });

  test('break: everybody who waits hears the same', () => {
    const { table, at } = set({ participants: ['a', 'b', 'c'], onLost: 'break' });
    at.arrive(n0, 'a');
    table.pass(lease / 2);
    at.arrive(n1, 'b');
    table.pass(lease / 2);
    const outcome = { generation: 1, opened: false, reason: 'lost', arrived: 1, missing: ['a', 'c'] };
    expect(at.renew(n1, 'b')).toMatchObject({ state: 'over', outcome });
    expect(at.renew(n0, 'a')).toMatchObject({ state: 'over', outcome });
  });

  test('proceed: opens without the lost, but not before the others', () => {
    const { table, at } = set({ participants: ['a', 'b', 'c'], onLost: 'proceed', minimum: 2 });
    at.arrive(n0, 'a');
    table.pass(lease / 2);
    at.arrive(n1, 'b');
    table.pass(lease / 2);
    expect(at.outcome()).toEqual({ state: 'gathering' });
    expect(at.arrive(n2, 'c')).toMatchObject({
      state: 'over',
      outcome: { opened: true, arrived: 2, missing: ['a'] },
    });
  });

  test('proceed: one that comes back is waited for no less than before, and excuses nobody else', () => {
    const { table, at } = set({ participants: ['a', 'b', 'c'], onLost: 'proceed' });
    at.arrive(n0, 'a');
    table.pass(lease / 2);
    at.arrive(n1, 'b');
    table.pass(lease / 2);
    expect(at.status()).toMatchObject({ lost: ['a'] });
    expect(at.arrive(n0, 'a', { attempt: 2 })).toEqual({ state: 'gathering' });
    expect(at.status()).toMatchObject({ lost: [], arrived: ['b', 'a'], missing: ['c'] });
  });

  test('proceed: is broken when too many are lost', () => {
    const { table, at } = set({ participants: ['a', 'b', 'c'], onLost: 'proceed', minimum: 3 });
    at.arrive(n0, 'a');
    table.pass(lease / 2);
    at.arrive(n1, 'b');
    table.pass(lease / 2);
    expect(at.outcome()).toMatchObject({ outcome: { opened: false, reason: 'below-minimum', arrived: 1 } });
  });

  test('proceed: who has not come by the deadline counts as lost', () => {
    const { table, at } = set({ participants: 3, onLost: 'proceed', minimum: 2, deadlineMs: 500 });
    at.arrive(n0, 'x');
    at.arrive(n1, 'y');
    table.pass(500);
    expect(at.outcome()).toMatchObject({ outcome: { opened: true, arrived: 2, missing: [], missingUnnamed: 1 } });
    at.generation = 2;
    at.arrive(n0, 'x');
    table.pass(500);
    expect(at.outcome()).toMatchObject({ outcome: { opened: false, reason: 'deadline', arrived: 1 } });
  });
});

describe('who is reported lost', () => {
  test('one node does not suffice, however often it says so; two do', () => {
    const { at } = set({ participants: ['a', 'b', 'c'], onLost: 'proceed' });
    at.arrive(n0, 'a');
    at.arrive(n1, 'b');
    for (let time = 0; time < 3; time++) expect(at.report(n3, 'c')).toEqual({ state: 'gathering' });
    expect(at.renew(n0, 'a', ['c'])).toMatchObject({
      state: 'over',
      outcome: { opened: true, arrived: 2, missing: ['c'] },
    });
  });

  test('one who waits is not lost, and one who comes after all neither', () => {
    const { at } = set({ participants: ['a', 'b', 'c'], onLost: 'wait' });
    at.arrive(n0, 'a');
    at.report(n1, 'a', 'b');
    at.report(n2, 'a', 'b');
    expect(at.status()).toMatchObject({ lost: ['b'], arrived: ['a'] });
    at.arrive(n1, 'b');
    expect(at.status()).toMatchObject({ lost: [], arrived: ['a', 'b'] });
  });

  test('nothing is lost from a barrier where nobody waits, and strangers are ignored', () => {
    const { at } = set({ participants: ['a', 'b'], onLost: 'break' });
    at.report(n1, 'a');
    at.report(n2, 'a');
    expect(at.outcome()).toEqual({ state: 'gathering' });
    at.arrive(n0, 'a');
    at.report(n1, 'nobody');
    expect(at.report(n2, 'nobody')).toEqual({ state: 'gathering' });
  });
});

describe('by way of an aggregator', () => {
  const perZone = { north: 2, south: 1 };

  test('one command for a zone; what is told twice counts once', () => {
    const { at } = set({ perZone });
    const [i0, i1, i2] = nodes as [(typeof nodes)[0], (typeof nodes)[0], (typeof nodes)[0]];
    at.arrive(n0, 'x', { zone: 'north' });
    const told = [at.signed(i0, 'x', 'north'), at.signed(i1, 'y', 'north')];
    expect(at.relay(n1, 'north', told)).toEqual({ state: 'gathering', refused: [] });
    expect(at.status()).toMatchObject({ arrived: ['x', 'y'], arrivedCount: 2 });
    const last = at.relay(n2, 'south', [at.signed(i2, 'z', 'south')]);
    expect(last).toMatchObject({ state: 'over', outcome: { arrived: 3 }, refused: [] });
    expect(at.relay(n1, 'north', told)).toMatchObject({ state: 'over', refused: [0, 1] });
  });

  test('it cannot invent, move, repeat or revive an arrival', () => {
    const { at } = set({ perZone });
    const [i0, i1] = nodes as [(typeof nodes)[0], (typeof nodes)[0]];
    const good = at.signed(i0, 'x', 'north', 3);
    const invented = { ...good, node: i1.id };
    const renamed = { ...good, as: 'other' };
    const otherTry = { ...good, attempt: 4 };
    const ownSignature = { ...at.signed(i1, 'x', 'north'), node: i0.id };
    expect(at.relay(n3, 'north', [invented, renamed, otherTry, ownSignature])).toMatchObject({
      refused: [0, 1, 2, 3],
    });
    expect(at.relay(n3, 'south', [good])).toMatchObject({ refused: [0] });
    expect(at.status()).toMatchObject({ arrivedCount: 0 });
    at.withdraw(i0.id, 'x', 3);
    expect(at.relay(n3, 'north', [good])).toMatchObject({ refused: [0] });
    // The next generation: what was signed for this one is void.
    at.arrive(n0, 'x', { zone: 'north', attempt: 4 });
    at.arrive(n1, 'x', { zone: 'north', attempt: 4 });
    at.arrive(n2, 'x', { zone: 'south', attempt: 4 });
    at.generation = 2;
    expect(at.relay(n3, 'north', [good])).toMatchObject({ refused: [0] });
  });
});

describe('bounds', () => {
  test('a barrier where nobody waits is forgotten after an hour, and what was signed for it is void', () => {
    const { table, at } = set({ participants: 2 });
    const [i0] = nodes as [(typeof nodes)[0]];
    const old = at.signed(i0, 'x', 'z');
    at.arrive(n0, 'y');
    for (let renewals = 0; renewals < 1_000; renewals++) {
      table.pass(lease - 1);
      at.renew(n0, 'y');
    }
    expect(at.status()).toMatchObject({ arrivedCount: 1 });
    table.pass(lease);
    table.pass(3_600_000 - 1);
    expect(at.status()).toMatchObject({ generation: 1 });
    table.pass(1);
    expect(at.status()).toMatchObject({ code: 'NOT_FOUND' });
    const again = new At(table, table.open({ participants: 2 }));
    expect(again.ref.epoch).toBeGreaterThan(at.ref.epoch);
    expect(again.relay(n1, 'z', [old])).toMatchObject({ refused: [0] });
    expect(at.arrive(n0, 'y')).toMatchObject({ code: 'NOT_FOUND' });
  });

  test('places of all barriers together are bounded', () => {
    const table = new Table();
    for (let n = 0; n < 48; n++) table.open({ id: `big${n}`, participants: 1_024 });
    expect(() => table.open({ id: 'one too many', participants: 1_024 })).toThrow(/LIMIT_EXCEEDED/);
    table.open({ id: 'small', participants: 2 });
    table.pass(3_600_000);
    table.open({ id: 'one too many', participants: 1_024 });
  });

  test('the largest list of names can be told, missed and shown in conflict', () => {
    const names = Array.from({ length: 96 }, (_, n) => `${'é'.repeat(120)}${n}`);
    const { table, at } = set({ participants: names, deadlineMs: 10 });
    at.arrive(n0, names[0] as string);
    table.pass(10);
    expect((at.outcome()['outcome'] as { missing: string[] }).missing).toHaveLength(95);
    expect(() => table.open({ participants: names })).toThrow(/ALREADY_EXISTS/);
  });

  test('tries taken back are remembered within bounds', () => {
    const { at } = set({ participants: 1_000 });
    for (let n = 0; n < 3_000; n++) at.withdraw(n0, `name${n}`);
    expect(at.arrive(n0, 'name0')).toEqual({ state: 'gathering' });
    expect(at.arrive(n0, 'name2999')).toMatchObject({ code: 'CONFLICT' });
  });

  test('a generation that ended long ago is forgotten, and says so', () => {
    const { at } = set({ participants: 1 });
    for (at.generation = 1; at.generation < 8; at.generation++) at.arrive(n0, 'x');
    at.generation = 1;
    expect(at.outcome()).toEqual({ state: 'forgotten' });
    at.generation = 9;
    expect(at.arrive(n0, 'x')).toMatchObject({ code: 'INVALID_ARGUMENT' });
  });
});
