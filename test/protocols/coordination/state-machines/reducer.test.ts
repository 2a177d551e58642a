import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { decodePayload, encodePayload } from '../../../../src/payload.ts';
import { CoordinationMachine } from '../../../../src/protocols/coordination/machine/machine.ts';
import { defineStateMachine } from '../../../../src/protocols/coordination/state-machines/define.ts';
import { StateMachinesReducer } from '../../../../src/protocols/coordination/state-machines/reducer.ts';
import type { AnyStateMachine } from '../../../../src/protocols/coordination/state-machines/state-machines.ts';
import { FatalApplicationError } from '../../../../src/protocols/pbft/application.ts';
import { accounts, store } from './machines.ts';

const counter = (version: number, migrate?: (state: unknown) => number) =>
  defineStateMachine({
    name: 'counter',
    version,
    initial: () => 0,
    apply: (state, add: number) => ({ state: state + add * version, result: state + add * version }),
    ...(migrate && { migrate }),
  });

const bytes = (value: unknown): Uint8Array => new Uint8Array(encodePayload(value, 65_536));
const submit = (name: string, version: number, command: unknown) => ({
  kind: 'machines.submit',
  name,
  version,
  command: bytes(command),
});

class Subject {
  readonly machine: CoordinationMachine;
  validators: readonly string[] = ['a', 'b', 'c'];
  constructor(definitions: readonly AnyStateMachine[]) {
    this.machine = new CoordinationMachine([new StateMachinesReducer(definitions)]);
  }
  run(client: string, command: unknown): readonly unknown[] {
    const context = { seq: 1, time: 1, client: client as never, validators: this.validators as never };
    const answer = decodePayload(this.machine.apply(bytes(command), context));
    const parts = (answer.ok ? answer.value : []) as readonly unknown[];
    const [first] = parts;
    const inner = first instanceof Uint8Array ? decodePayload(first) : undefined;
    return inner?.ok === true ? [inner.value] : parts;
  }
  declare(client: string, ...machines: readonly (readonly [string, number])[]): readonly unknown[] {
    return this.run(client, { kind: 'machines.declare', machines });
  }
  events(): readonly string[] {
    return this.machine.takeEvents().map(({ topic }) => topic);
  }
}

describe('a machine begins', () => {
  test('when every validator has declared it, and not before', () => {
    const m = new Subject([accounts]);
    expect(m.declare('a', ['accounts', 1])).toEqual([undefined]);
    expect(m.declare('b', ['accounts', 1])).toEqual([undefined]);
    expect(m.run('x', submit('accounts', 1, { to: 'ada', amount: 1 }))).toEqual([
      'STATE_MACHINE_MISSING',
      { name: 'accounts', version: 1, active: undefined, waitingFor: ['c'] },
    ]);
    expect(m.events()).toEqual([]);
    m.declare('c', ['accounts', 1], ['other', 3]);
    expect(m.events()).toEqual(['machines/accounts']);
    expect(m.run('x', submit('accounts', 1, { to: 'ada', amount: 1 }))).toEqual([{ balance: 1, by: 'x' }]);
  });

  test('also when the last validator without it is removed', () => {
    const m = new Subject([accounts]);
    for (const node of ['a', 'b']) m.declare(node, ['accounts', 1]);
    m.validators = ['a', 'b'];
    expect(m.run('x', submit('accounts', 1, { to: 'ada', amount: 1 }))).toEqual([{ balance: 1, by: 'x' }]);
  });

  test('and only validators are asked', () => {
    const m = new Subject([accounts]);
    expect(m.declare('stranger', ['accounts', 1])).toMatchObject(['NOT_PERMITTED', {}]);
  });
});

describe('another version', () => {
  const all = (m: Subject, ...machines: readonly (readonly [string, number])[]): void => {
    for (const node of ['a', 'b', 'c']) m.declare(node, ...machines);
  };

  test('takes over the state once all validators have it', () => {
    const m = new Subject([counter(1), counter(2, (state) => Number(state) * 100)]);
    all(m, ['counter', 1]);
    expect(m.run('x', submit('counter', 1, 5))).toEqual([5]);
    m.declare('a', ['counter', 1], ['counter', 2]);
    m.declare('b', ['counter', 1], ['counter', 2]);
    expect(m.run('x', submit('counter', 2, 1))).toMatchObject([
      'STATE_MACHINE_MISSING',
      { active: 1, waitingFor: ['c'] },
    ]);
    expect(m.run('x', submit('counter', 1, 1))).toEqual([6]);
    m.declare('c', ['counter', 2]);
    expect(m.run('x', submit('counter', 1, 1))).toEqual([602]);
    expect(m.run('x', submit('counter', 2, 1))).toEqual([604]);
    all(m, ['counter', 1]);
    expect(m.run('x', submit('counter', 2, 1))).toEqual([606]);
  });

  test('that cannot take over the state leaves the old one, until it is declared again', () => {
    let works = false;
    const second = counter(2, () => {
      if (!works) throw new Error('no');
      return 7;
    });
    const m = new Subject([counter(1), second]);
    all(m, ['counter', 1], ['counter', 2]);
    expect(m.run('x', submit('counter', 1, 5))).toEqual([10]);
    const n = new Subject([counter(1), second]);
    all(n, ['counter', 1]);
    n.run('x', submit('counter', 1, 5));
    all(n, ['counter', 1], ['counter', 2]);
    works = true;
    n.validators = ['a', 'b', 'c'];
    expect(n.run('x', submit('counter', 2, 1))).toMatchObject(['STATE_MACHINE_MISSING', { active: 1 }]);
    const restored = new Subject([counter(1), second]);
    restored.machine.restore(n.machine.snapshot());
    expect(restored.run('x', submit('counter', 2, 1))).toMatchObject(['STATE_MACHINE_MISSING', { active: 1 }]);
    n.declare('a', ['counter', 2]);
    expect(n.run('x', submit('counter', 2, 1))).toEqual([9]);
  });
});

test('a replica without the code of an active machine stops; it never answers', () => {
  const m = new Subject([accounts]);
  m.validators = ['a'];
  m.declare('a', ['accounts', 1]);
  const without = new Subject([]);
  expect(() => without.machine.restore(m.machine.snapshot())).toThrow(FatalApplicationError);
  without.validators = ['a'];
  expect(() => without.declare('a', ['accounts', 1])).toThrow(
    expect.objectContaining({
      cause: expect.objectContaining({ code: 'STATE_MACHINE_MISSING', data: { name: 'accounts', version: 1 } }),
    }),
  );
});

test('one definition is given once', () => {
  expect(() => new StateMachinesReducer([accounts, accounts])).toThrow(
    expect.objectContaining({ code: 'INVALID_OPTIONS' }),
  );
});

const node = fc.constantFrom('a', 'b', 'c', 'd');
const version = fc.constantFrom(1, 2);
const acts = fc.array(
  fc.oneof(
    fc.record({
      client: node,
      machines: fc.uniqueArray(fc.tuple(fc.constantFrom('counter', 'store', 'accounts'), version), {
        selector: String,
      }),
    }),
    fc.record({ validators: fc.constantFrom(['a'], ['a', 'b'], ['b', 'c', 'd']) }),
    fc.record({
      client: node,
      command: fc.tuple(
        fc.constantFrom('counter', 'store', 'nobody'),
        version,
        fc.oneof(fc.nat(5), fc.record({ key: fc.constantFrom('', 'k'), value: fc.string() }), fc.anything()),
      ),
    }),
  ),
  { maxLength: 40 },
);

test('replicas are alike whenever one is restored, garbage changes nothing, and versions only rise', () => {
  const definitions = [
    counter(1),
    counter(2),
    store,
    defineStateMachine({ ...twin, name: 'store', version: 2 }),
    accounts,
    defineStateMachine({ ...twin, name: 'accounts', version: 2 }),
  ];
  fc.assert(
    fc.property(acts, fc.nat(40), (list, at) => {
      const one = new Subject(definitions);
      let two = new Subject(definitions);
      let before = 0;
      for (const [index, act] of list.entries()) {
        if (index === at) {
          const restored = new Subject(definitions);
          restored.machine.restore(two.machine.snapshot());
          restored.validators = two.validators;
          two = restored;
        }
        if ('validators' in act) {
          one.validators = act.validators;
          two.validators = [...act.validators];
        } else {
          const command =
            'machines' in act ? { kind: 'machines.declare', machines: act.machines } : encodable(act.command);
          if (command === undefined) continue;
          const answer = one.run(act.client, command);
          expect(two.run(act.client, command)).toEqual(answer);
          expect(two.events()).toEqual(one.events());
        }
        const asked = decodePayload(one.machine.query(bytes({ kind: 'machines.version', name: 'counter' })));
        const [active] = (asked.ok ? asked.value : []) as [number];
        expect(active).toBeGreaterThanOrEqual(before);
        before = active;
      }
      expect(two.machine.snapshot()).toEqual(one.machine.snapshot());
    }),
  );
});

const twin = { initial: () => 0, apply: (state: number) => ({ state: state + 1, result: state }), migrate: () => 1 };

function encodable([name, at, command]: [string, number, unknown]): unknown {
  try {
    return submit(name, at, command);
  } catch {
    return undefined; // fast-check makes functions and symbols as well; those do not travel.
  }
}
