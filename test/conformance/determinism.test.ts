import { describe, expect, test } from 'vitest';
import { checkDeterminism } from '../../src/conformance/determinism.ts';
import { defineStateMachine } from '../../src/protocols/coordination/state-machines/define.ts';
import { accounts, store } from '../protocols/coordination/state-machines/machines.ts';

test('machines that are deterministic pass, refused commands included', () => {
  const transfers = Array.from({ length: 60 }, (_, n) => ({ to: `a${n % 5}`, amount: ((n * 37) % 50) - 25 }));
  checkDeterminism(accounts, transfers, { queries: ['a1', 'a2'] });
  const writes = Array.from({ length: 60 }, (_, n) => ({
    key: n % 9 === 0 ? '' : `k${n % 7}`,
    ...(n % 3 > 0 && { value: `${n}` }),
  }));
  checkDeterminism(store, writes, { seed: 5, queries: ['k1'] });
});

const base = { name: 'm', version: 1, initial: () => 0 };
const numbers = Array.from({ length: 30 }, (_, n) => n);
const own = { snapshot: (state: { n: number }) => state.n, restore: (n: unknown) => ({ n: Number(n) }) };

describe('each of these is found', () => {
  const outside: Readonly<Record<string, () => unknown>> = {
    'Date.now': () => Date.now(),
    'new Date()': () => String(new Date()),
    'Date()': () => (Date as unknown as () => string)(),
    'Math.random': () => Math.random(),
    'performance.now': () => performance.now(),
    'crypto.randomUUID': () => crypto.randomUUID(),
    'crypto.getRandomValues': () => crypto.getRandomValues(new Uint8Array(4)),
    'process.hrtime': () => process.hrtime(),
    'process.hrtime.bigint': () => process.hrtime.bigint(),
    setTimeout: () => setTimeout(() => undefined, 0),
    queueMicrotask: () => queueMicrotask(() => undefined),
  };
  for (const [name, reach] of Object.entries(outside)) {
    test(`${name}, even when what it throws is caught`, () => {
      const curious = defineStateMachine({
        ...base,
        apply: (state, n: number) => {
          try {
            if (n === 7) reach();
          } catch {
            return { state, result: 'caught' };
          }
          return { state: state + n, result: 'done' };
        },
      });
      expect(() => checkDeterminism(curious, numbers)).toThrow(`command 7 (7, seed 1) reached for ${name}`);
      expect(typeof Date.now()).toBe('number');
      expect(typeof process.hrtime.bigint()).toBe('bigint');
    });
  }

  test('memory outside of the state', () => {
    let calls = 0;
    const remembering = defineStateMachine({
      ...base,
      apply: (state, _: number) => ({ state: state + 1, result: calls++ }),
    });
    expect(() => checkDeterminism(remembering, numbers)).toThrow('command 0 (0, seed 1): the answer differs');
  });

  test('a state that its snapshot does not hold whole', () => {
    const forgetful = defineStateMachine({
      ...base,
      initial: () => ({ n: 0, hidden: 0 }),
      apply: (state, n: number) => ({ state: { n: state.n + n, hidden: state.hidden + 1 }, result: state.hidden }),
      snapshot: (state) => state.n,
      restore: (n) => ({ n: Number(n), hidden: 0 }),
    });
    expect(() => checkDeterminism(forgetful, numbers)).toThrow('the answer differs');
  });

  test('identity of objects, which no snapshot keeps', () => {
    const shared = defineStateMachine({
      ...base,
      initial: () => {
        const one = { n: 1 };
        return { a: one, b: one };
      },
      apply: (state, _: number) => ({ state, result: state.a === state.b }),
    });
    expect(() => checkDeterminism(shared, numbers)).toThrow('command 0 (0, seed 1): the answer differs');
  });

  test('a command that throws after it changed the state', () => {
    const hasty = defineStateMachine({
      ...base,
      initial: () => ({ n: 0 }),
      apply: (state, n: number) => {
        state.n += n;
        if (n === 5) throw new Error('too late');
        return { state, result: state.n };
      },
      ...own,
    });
    expect(() => checkDeterminism(hasty, numbers)).toThrow(
      'command 5 (5, seed 1) was refused, but had changed the state',
    );
  });

  test('a query that changes the state, and a command that changes what it was given', () => {
    const counting = defineStateMachine({
      ...base,
      initial: () => ({ n: 0 }),
      apply: (state, _: number) => ({ state, result: 0 }),
      query: (state, _: string) => state.n++,
      ...own,
    });
    expect(() => checkDeterminism(counting, numbers, { queries: ['x'] })).toThrow(
      'query "x" after command 0 (0, seed 1) changed the state',
    );
    const greedy = defineStateMachine({
      ...base,
      apply: (state, list: number[]) => ({ state: state + (list.pop() ?? 0), result: state }),
    });
    expect(() => checkDeterminism(greedy, [[1, 2]])).toThrow('command 0 ([1,2], seed 1): the answer differs');
  });
});
