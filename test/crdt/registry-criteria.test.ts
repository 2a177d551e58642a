import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { compareValues, compileCriteria, equalValues, readPath, type Test } from '../../src/crdt/registry-criteria.ts';
import { type AgentRecord, completeFields, makeRecord } from '../../src/crdt/registry-record.ts';
import { isQuorateError } from '../../src/errors.ts';
import type { NodeId } from '../../src/node-id.ts';
import type { Value } from '../../src/value.ts';
import { criteria, record } from './registry-arbitraries.ts';

const sample = makeRecord(
  'a',
  'n' as NodeId,
  completeFields({ custom: { list: [1, 'x'], when: new Date(5) } }, 'z'),
  1,
);

/** The documented meaning of an operator, without any index: a second implementation to compare with. */
function means(field: Value, op: Test['op'], value: Value): boolean {
  const same = (a: Value, b: Value): boolean => (b === null ? a === undefined || a === null : equalValues(a, b));
  const list = Array.isArray(field) ? (field as readonly Value[]) : undefined;
  const order = compareValues(field, value);
  const isIn = (): boolean =>
    (value as readonly Value[]).some((item) => same(field, item) || list?.some((own) => equalValues(own, item)));
  switch (op) {
    case 'eq':
      return same(field, value);
    case 'neq':
      return !same(field, value);
    case 'match':
      return list === undefined ? same(field, value) : list.some((own) => equalValues(own, value));
    case 'contains':
      return list === undefined
        ? typeof field === 'string' && typeof value === 'string' && field.includes(value)
        : list.some((own) => equalValues(own, value));
    case 'in':
      return isIn();
    case 'notIn':
      return !isIn();
    case 'gt':
      return order !== undefined && order > 0;
    case 'gte':
      return order !== undefined && order >= 0;
    case 'lt':
      return order !== undefined && order < 0;
    case 'lte':
      return order !== undefined && order <= 0;
  }
}

const meant = (tests: readonly Test[], subject: AgentRecord): boolean =>
  tests.every(({ path, op, value }) => means(readPath(subject, path), op, value));

describe('compileCriteria', () => {
  it('gives tests that hold exactly where the operators say, indexed or not', () => {
    fc.assert(
      fc.property(criteria, fc.array(record, { maxLength: 20 }), (given, records) => {
        const tests = compileCriteria(given);
        for (const one of records) {
          expect(
            tests.every((test) => test.holds(one)),
            JSON.stringify(tests.map(({ path, op, value }) => [path, op, String(value)])),
          ).toBe(meant(tests, one));
        }
      }),
      { numRuns: 500 },
    );
  });

  it('gives tests or INVALID_CRITERIA for anything at all, and tests that never throw', () => {
    const anything = fc.anything({ withBigInt: true, withDate: true, withMap: true, withNullPrototype: true });
    const nearly = fc.array(
      fc.tuple(anything, anything, fc.oneof(anything, fc.constantFrom('eq', 'in', 'gt', 'contains'))),
    );
    fc.assert(
      fc.property(fc.oneof(anything, nearly, fc.dictionary(fc.string(), anything)), record, (given, one) => {
        let tests: readonly Test[];
        try {
          tests = compileCriteria(given);
        } catch (error) {
          expect(isQuorateError(error, 'INVALID_CRITERIA')).toBe(true);
          return;
        }
        for (const test of tests) expect(typeof test.holds(one)).toBe('boolean');
      }),
      { numRuns: 500 },
    );
  });

  it('answers from an index where one says exactly the same', () => {
    const indexed = (given: unknown): unknown => compileCriteria(given).map(({ index, keys }) => [index, ...keys]);
    expect(indexed({ capabilities: 'x', zone: ['a', 'b', 'a'], kind: { eq: 'k' } })).toEqual([
      ['capabilities', 'x'],
      ['zone', 'a', 'b'],
      ['kind', 'k'],
    ]);
    expect(
      indexed([
        ['id', 'a', 'eq'],
        ['capabilities', ['x', 'y'], 'in'],
      ]),
    ).toEqual([
      ['id', 'a'],
      ['capabilities', 'x', 'y'],
    ]);
    for (const given of [
      { kind: null },
      { kind: [null, 'k'] },
      { zone: { neq: 'a' } },
      { zone: { contains: 'a' } },
      { capabilities: { eq: 'x' } },
      { version: '1' },
      { custom: { zone: 'a' } },
    ]) {
      expect(indexed(given)).toEqual([[undefined]]);
    }
  });

  it('does not keep lists of the caller that decide by an index', () => {
    const zones = ['z'];
    const [test] = compileCriteria({ zone: zones });
    zones[0] = 'other';
    expect(test?.holds(sample)).toBe(true);
  });
});

describe('readPath', () => {
  it('reads own properties only', () => {
    expect(readPath(sample, ['custom', 'list', '1'])).toBe('x');
    for (const path of [
      ['constructor'],
      ['__proto__'],
      ['custom', 'toString'],
      ['id', '0', 'x'],
      ['custom', 'when', 'getTime'],
    ]) {
      expect(readPath(sample, path)).toBeUndefined();
    }
  });
});

describe('compareValues', () => {
  it('orders values of one type and no others', () => {
    expect(compareValues(1, 2)).toBe(-1);
    expect(compareValues(2n, 1n)).toBe(1);
    expect(compareValues('a', 'a')).toBe(0);
    expect(compareValues(new Date(1), new Date(2))).toBe(-1);
    for (const [a, b] of [
      [1, 1n],
      [1, '1'],
      [Number.NaN, 1],
      [Number.NaN, Number.NaN],
      [new Date(Number.NaN), new Date(0)],
      [new Date(0), 0],
      [undefined, undefined],
      [null, null],
      [true, true],
      [[1], [1]],
    ] as [Value, Value][]) {
      expect(compareValues(a, b)).toBeUndefined();
    }
  });
});

describe('equalValues', () => {
  it('compares by type and content', () => {
    const value = (): Value => ({ a: [1, 2n, 'x', null, true, new Date(5), Uint8Array.of(1), new Map([['k', [1]]])] });
    expect(equalValues(value(), value())).toBe(true);
    for (const [a, b] of [
      [1, 1n],
      [null, undefined],
      [[1], [1, 2]],
      [{ a: 1 }, { b: 1 }],
      [{ a: 1 }, { a: 1, b: 1 }],
      [{}, []],
      [new Date(1), new Date(2)],
      [Uint8Array.of(1), Uint8Array.of(2)],
      [new Map([['a', 1]]), new Map([['a', 2]])],
      [new Map(), {}],
    ] as [Value, Value][]) {
      expect(equalValues(a, b)).toBe(false);
      expect(equalValues(b, a)).toBe(false);
    }
  });

  it('ends on cycles', () => {
    const a: Record<string, unknown> = {};
    a['self'] = a;
    const b: Record<string, unknown> = {};
    b['self'] = b;
    expect(equalValues(a as Value, b as Value)).toBe(false);
  });
});
