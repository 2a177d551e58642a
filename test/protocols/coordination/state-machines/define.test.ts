import * as v from 'valibot';
import { describe, expect, expectTypeOf, test } from 'vitest';
import { decodePayload } from '../../../../src/payload.ts';
import { asStateMachine, defineStateMachine } from '../../../../src/protocols/coordination/state-machines/define.ts';
import type {
  AnyStateMachine,
  Reaction,
  StateMachineDefinition,
} from '../../../../src/protocols/coordination/state-machines/state-machines.ts';
import { accounts, store } from './machines.ts';

const context = { time: 1, client: 'n' as never, nextToken: () => 1 };

function value(reaction: Reaction): unknown {
  if (!reaction.ok) return reaction;
  const decoded = decodePayload(reaction.bytes);
  return decoded.ok ? decoded.value : undefined;
}

const base = {
  name: 'm',
  version: 1,
  initial: () => 0,
  apply: (state: number) => ({ state: state + 1, result: state }),
};

test('types are inferred', () => {
  expectTypeOf(accounts).toExtend<
    StateMachineDefinition<{ to: string; amount: number }, { balance: number }, string, number | undefined>
  >();
  expectTypeOf(accounts).toExtend<AnyStateMachine>();
  const tally = defineStateMachine({
    name: 'tally',
    version: 1,
    initial: () => ({ yes: 0, no: 0 }),
    apply: (state, vote: 'yes' | 'no') => ({ state: { ...state, [vote]: state[vote] + 1 }, result: state[vote] + 1 }),
    query: (state, of: 'yes' | 'no') => state[of],
  });
  expectTypeOf(tally).toEqualTypeOf<StateMachineDefinition<'yes' | 'no', number, 'yes' | 'no', number>>();
  const sized = defineStateMachine({
    ...base,
    command: v.pipe(v.string(), v.transform(Number)),
    apply: (state, amount) => ({ state: state + amount, result: undefined }),
  });
  expectTypeOf(sized).toExtend<StateMachineDefinition<string, undefined, unknown, unknown>>();
});

describe('a reducer that throws', () => {
  test('has changed nothing, and says why', () => {
    const machine = accounts.start();
    machine.apply({ to: 'ada', amount: 5 }, context);
    const before = machine.snapshot();
    expect(machine.apply({ to: 'ada', amount: -6 }, context)).toEqual({
      ok: false,
      code: 'HANDLER_FAILED',
      data: { name: 'Refused', message: 'ada has only 5' },
    });
    expect(machine.snapshot()).toEqual(before);
    expect(value(machine.query('ada'))).toBe(5);
  });

  test('tells nothing in the words of the engine, which differ between its versions', () => {
    const broken = defineStateMachine({
      ...base,
      apply: (_: number, command: { how: string }) => {
        if (command.how === 'type') (undefined as unknown as () => void)();
        if (command.how === 'parse') JSON.parse('{');
        if (command.how === 'text') throw 'text';
        throw new Error('mine');
      },
    }).start();
    const said = ['type', 'parse', 'text', 'error'].map((how) => broken.apply({ how }, context));
    expect(said.map((reaction) => !reaction.ok && reaction.data)).toEqual([
      { name: 'TypeError', message: '' },
      { name: 'SyntaxError', message: '' },
      { name: 'Error', message: 'text' },
      { name: 'Error', message: 'mine' },
    ]);
  });

  test('so does one that changes its state in place, answers a promise, or a result that cannot travel', () => {
    const inPlace = defineStateMachine({
      ...base,
      initial: () => ({ n: 0 }),
      apply: (state: { n: number }) => {
        state.n += 1;
        return { state, result: undefined };
      },
    }).start();
    expect(inPlace.apply(1, context)).toMatchObject({ ok: false, code: 'HANDLER_FAILED' });
    expect(value(inPlace.query(0))).toMatchObject({ code: 'INVALID_ARGUMENT' });
    const promises = defineStateMachine({ ...base, apply: (async () => ({ state: 1, result: 1 })) as never }).start();
    expect(promises.apply(1, context)).toMatchObject({ data: { message: expect.stringContaining('promise') } });
    const functions = defineStateMachine({ ...base, apply: () => ({ state: 1, result: () => 1 }) }).start();
    const before = functions.snapshot();
    expect(functions.apply(1, context)).toMatchObject({ ok: false, code: 'HANDLER_FAILED' });
    expect(functions.snapshot()).toEqual(before);
  });
});

test('commands are checked by their schema, and given as it makes them', () => {
  const machine = defineStateMachine({
    ...base,
    command: v.pipe(v.string(), v.transform(Number)),
    apply: (state, amount) => ({ state: state + amount, result: amount }),
  });
  expect(value(machine.start().apply('4', context))).toBe(4);
  expect(machine.start().apply(4, context)).toEqual({
    ok: false,
    code: 'INVALID_ARGUMENT',
    data: { reason: 'no such command' },
  });
  expect(() => machine.checkCommand('4')).not.toThrow();
  expect(() => machine.checkCommand(4)).toThrow(expect.objectContaining({ code: 'INVALID_ARGUMENT' }));
});

test('a schema that takes its time is refused', () => {
  const machine = defineStateMachine({
    ...base,
    command: v.pipeAsync(
      v.string(),
      v.checkAsync(async () => true),
    ),
  });
  expect(() => machine.checkCommand('x')).toThrow(expect.objectContaining({ code: 'INVALID_OPTIONS' }));
  expect(machine.start().apply('x', context)).toMatchObject({ ok: false, code: 'HANDLER_FAILED' });
});

test('a state that grows too large is not taken over', () => {
  const machine = defineStateMachine({
    ...base,
    initial: (): readonly string[] => [],
    apply: (state, text: string) => ({ state: [...state, text.repeat(1 << 20)], result: state.length }),
  }).start();
  let taken = 0;
  while (machine.apply('12345', context).ok) taken += 1;
  expect(taken).toBe(3);
  expect(machine.apply('12345', context)).toMatchObject({ code: 'LIMIT_EXCEEDED' });
  expect(value(machine.apply('', context))).toBe(3);
});

test('a definition that cannot work is refused when it is made', () => {
  const wrong = (options: object) => () => defineStateMachine({ ...base, ...options });
  for (const options of [
    { name: 'a b' },
    { version: 0 },
    { version: 1.5 },
    { apply: 1 },
    { query: 1 },
    { snapshot: () => 1 },
  ]) {
    expect(wrong(options), JSON.stringify(options)).toThrow(expect.objectContaining({ code: 'INVALID_OPTIONS' }));
  }
  expect(asStateMachine(accounts)).toBe(accounts);
  expect(() => asStateMachine({ ...accounts })).toThrow(expect.objectContaining({ code: 'INVALID_OPTIONS' }));
  expect(wrong({ initial: () => new Set() })).toThrow(expect.objectContaining({ code: 'UNSUPPORTED_VALUE' }));
});

test('the order of keys survives a snapshot, and so does a state of its own', () => {
  const ordered = defineStateMachine({
    ...base,
    initial: (): Readonly<Record<string, number>> => ({}),
    apply: (state, key: string) => ({ state: { ...state, [key]: 1 }, result: Object.keys(state) }),
  });
  const one = ordered.start();
  for (const key of ['long', 'b', 'a']) one.apply(key, context);
  const two = ordered.start();
  two.restore(one.snapshot());
  expect(value(two.apply('c', context))).toEqual(['long', 'b', 'a']);
  const first = store.start();
  first.apply({ key: 'x', value: 'y' }, context);
  const second = store.start();
  second.restore(first.snapshot());
  expect(value(second.query('x'))).toBe('y');
});
