import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { decodePayload, encodePayload } from '../../../../src/payload.ts';
import { CounterReducer, SequenceReducer } from '../../../../src/protocols/coordination/atoms/number-reducers.ts';
import { CoordinationMachine } from '../../../../src/protocols/coordination/machine/machine.ts';

const machine = (): CoordinationMachine => new CoordinationMachine([new SequenceReducer(), new CounterReducer()]);

function run(on: CoordinationMachine, command: unknown): unknown {
  const context = { seq: 1, time: 1, client: 'n' as never, validators: [] };
  const answer = decodePayload(on.apply(encodePayload(command, 65_536), context));
  return answer.ok ? answer.value : undefined;
}

describe('sequences', () => {
  test('begin at 1, each by itself, and ranges follow one another', () => {
    const m = machine();
    expect(run(m, { kind: 'sequence.next', name: 'a', count: 1 })).toEqual([1]);
    expect(run(m, { kind: 'sequence.next', name: 'a', count: 10 })).toEqual([2]);
    expect(run(m, { kind: 'sequence.next', name: 'a', count: 1 })).toEqual([12]);
    expect(run(m, { kind: 'sequence.next', name: 'b', count: 1 })).toEqual([1]);
  });

  test('the last safe integer is given, and nothing after it', () => {
    const m = machine();
    const whole = 2 ** 32;
    const restored = new SequenceReducer();
    restored.restore([['a', Number.MAX_SAFE_INTEGER - 2]]);
    const near = new CoordinationMachine([restored]);
    expect(run(near, { kind: 'sequence.next', name: 'a', count: 3 })).toMatchObject(['LIMIT_EXCEEDED', { name: 'a' }]);
    expect(run(near, { kind: 'sequence.next', name: 'a', count: 2 })).toEqual([Number.MAX_SAFE_INTEGER - 1]);
    expect(run(near, { kind: 'sequence.next', name: 'a', count: 1 })).toMatchObject(['LIMIT_EXCEEDED', { name: 'a' }]);
    expect(run(m, { kind: 'sequence.next', name: 'a', count: whole + 1 })).toMatchObject(['INVALID_ARGUMENT', {}]);
  });
});

describe('counters', () => {
  test('add up, and an overflow is refused and changes nothing', () => {
    const m = machine();
    expect(run(m, { kind: 'counter.add', name: 'a', amount: 5 })).toEqual([5]);
    expect(run(m, { kind: 'counter.add', name: 'a', amount: -7 })).toEqual([-2]);
    expect(run(m, { kind: 'counter.add', name: 'a', amount: Number.MIN_SAFE_INTEGER })).toMatchObject([
      'LIMIT_EXCEEDED',
      {},
    ]);
    expect(run(m, { kind: 'counter.add', name: 'a', amount: 0 })).toEqual([-2]);
  });

  test('half numbers, no numbers and endless names are refused', () => {
    const m = machine();
    run(m, { kind: 'counter.add', name: 'a', amount: 1 });
    const before = m.snapshot();
    for (const amount of [0.5, Number.NaN, Number.POSITIVE_INFINITY, '1', 1n, undefined]) {
      expect(run(m, { kind: 'counter.add', name: 'a', amount })).toMatchObject(['INVALID_ARGUMENT', {}]);
    }
    expect(run(m, { kind: 'counter.add', name: 'x'.repeat(257), amount: 1 })).toMatchObject(['INVALID_ARGUMENT', {}]);
    expect(run(m, { kind: 'counter.add', name: '', amount: 1 })).toMatchObject(['INVALID_ARGUMENT', {}]);
    expect(m.snapshot()).toEqual(before);
  });
});

const name = fc.constantFrom('a', 'b', '__proto__');
const commands = fc.array(
  fc.oneof(
    fc.record({
      kind: fc.constant('sequence.next'),
      name,
      count: fc.oneof(fc.integer({ min: -1, max: 5 }), fc.constant(2 ** 32)),
    }),
    fc.record({
      kind: fc.constant('counter.add'),
      name,
      amount: fc.oneof(fc.maxSafeInteger(), fc.integer({ min: -9, max: 9 })),
    }),
  ),
  { maxLength: 60 },
);

test('no number is given twice, a counter is the sum of what was accepted, and replicas are alike whenever one is restored', () => {
  fc.assert(
    fc.property(commands, fc.nat(60), (list, at) => {
      const [one, two] = [machine(), machine()];
      let other = two;
      const given = new Map<string, number>();
      const sums = new Map<string, number>();
      for (const [index, command] of list.entries()) {
        if (index === at) {
          const bytes = other.snapshot();
          other = machine();
          other.restore(bytes);
        }
        const answer = run(one, command) as [number] | [string, unknown];
        expect(run(other, command)).toEqual(answer);
        if (typeof answer[0] === 'string') continue;
        if ('count' in command) {
          expect(answer[0]).toBe((given.get(command.name) ?? 0) + 1);
          given.set(command.name, answer[0] + command.count - 1);
        } else {
          sums.set(command.name, (sums.get(command.name) ?? 0) + command.amount);
          expect(answer[0]).toBe(sums.get(command.name));
        }
      }
      expect(other.snapshot()).toEqual(one.snapshot());
    }),
  );
});
