import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { decodeValue, encodeValue } from '../../../src/codec.ts';
import {
  readContribution,
  readDefinition,
  writeContribution,
  writeDefinition,
} from '../../../src/protocols/variables/entries.ts';
import type { Value } from '../../../src/value.ts';

const stamp = fc.nat();
const number = fc.double({ min: 0, max: 1, noNaN: true });
const contribution = fc.record({
  value: fc.oneof(fc.string(), number, fc.boolean(), fc.dictionary(fc.string(), number)) as fc.Arbitrary<Value>,
  weight: number,
  performance: fc.option(number, { nil: undefined }),
  at: stamp,
  version: fc.integer({ min: 1, max: 9 }),
  digest: fc.string(),
  held: fc.option(fc.record({ value: fc.string(), since: stamp }), { nil: undefined }),
});

function travelled(value: Value): Value {
  const decoded = decodeValue(encodeValue(value));
  if (!decoded.ok) throw new Error(decoded.reason);
  return decoded.value;
}

/** Anything that can travel. */
const anything = fc
  .anything({ withBigInt: true, withDate: true, withMap: true, withNullPrototype: true })
  .filter((value) => {
    try {
      encodeValue(value);
      return true;
    } catch {
      return false;
    }
  }) as fc.Arbitrary<Value>;

describe('entries of variables', () => {
  it('are read as they were written', () => {
    fc.assert(
      fc.property(contribution, (one) => {
        fc.pre(one.value === 0 || !Object.is(one.value, -0));
        expect(readContribution(travelled(writeContribution(one)))).toEqual({ ok: true, value: one });
      }),
    );
    const definition = { version: 2, facts: { kind: 'float', min: 0 }, at: 7 };
    const read = readDefinition(travelled(writeDefinition(definition)));
    expect(read).toMatchObject({ ok: true, value: definition });
    expect(read.ok && read.value.digest).toHaveLength(16);
  });

  it('are nothing when they have another shape; nothing throws', () => {
    fc.assert(
      fc.property(anything, (value) => {
        expect(readContribution(value).ok).toBe(false);
        expect(readDefinition(value).ok).toBe(false);
      }),
    );
    fc.assert(
      fc.property(contribution, fc.constantFrom('v', 'w', 't', 'n', 'k'), anything, (one, field, wrong) => {
        const entry = { ...(writeContribution(one) as Record<string, Value>), [field]: wrong };
        const read = readContribution(entry);
        if (read.ok) expect(writeContribution(read.value)).toEqual(entry);
      }),
    );
    const good = { v: 1, w: 1, t: 1, n: 1, k: 'x' };
    expect(readContribution(good).ok).toBe(true);
    const bad: readonly Record<string, Value>[] = [
      { w: -1 },
      { w: Number.POSITIVE_INFINITY },
      { w: Number.NaN },
      { p: 1.5 },
      { p: null },
      { t: -1 },
      { t: 1.5 },
      { n: 0 },
      { k: 5 },
      { h: [] },
      { h: { v: 1, s: 'now' } },
      { v: undefined },
    ];
    for (const wrong of bad)
      expect(readContribution({ ...good, ...wrong })).toEqual({ ok: false, reason: 'malformed' });
  });
});
