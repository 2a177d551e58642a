import fc from 'fast-check';
import * as v from 'valibot';
import { describe, expect, it } from 'vitest';
import { CompositeKind, compositeProblems } from '../../../../src/protocols/variables/kinds/composite.ts';
import type { Problems } from '../../../../src/protocols/variables/kinds/kind.ts';

const sampling = v.object({ temperature: v.number(), topP: v.optional(v.number(), 1), tags: v.array(v.string()) });
const kind = new CompositeKind('x', {
  schema: sampling,
  default: { temperature: 1, topP: 1, tags: [] },
  constraints: { 'hot or wide, not both': ({ temperature, topP }) => temperature < 1 || topP < 1 },
});

describe('composites', () => {
  it('are copied, frozen and completed by their schema', () => {
    const given = { temperature: 0.5, tags: ['a'] };
    const taken = kind.accept(given);
    given.tags.push('b');
    expect(taken).toEqual({ temperature: 0.5, topP: 1, tags: ['a'] });
    expect(Object.isFrozen(taken) && Object.isFrozen(taken.tags)).toBe(true);
    expect(kind.check(taken).ok).toBe(true);
  });

  it('keep to schema and constraints, here and from others', () => {
    const hot = { temperature: 1, topP: 1, tags: [] };
    expect(() => kind.accept(hot)).toThrowError(/hot or wide, not both/);
    expect(kind.check(hot)).toEqual({ ok: false, reason: 'constraint "hot or wide, not both" does not hold' });
    expect(() => kind.accept({ temperature: 'high', tags: [] })).toThrowError(/temperature/);
    // Not as the schema would return it: its writer has another schema.
    expect(kind.check({ temperature: 0.5, tags: [] }).ok).toBe(false);
    expect(() => kind.accept({ temperature: 0, tags: ['x'.repeat(20_000)] })).toThrowError(
      expect.objectContaining({ code: 'PAYLOAD_TOO_LARGE' }),
    );
  });

  it('refuse whatever comes, and never throw at it', () => {
    fc.assert(
      fc.property(fc.anything({ withBigInt: true, withMap: true, withDate: true }), (value) => {
        expect(kind.check(value).ok).toBe(false);
      }),
    );
    const throwing = new CompositeKind('x', {
      schema: v.any(),
      default: 1,
      constraints: {
        no: () => {
          throw new Error('no');
        },
      },
    });
    expect(throwing.check(1)).toEqual({ ok: false, reason: 'could not be checked: no' });
    expect(new CompositeKind('x', { schema: v.pipeAsync(v.number()), default: 1 as never }).check(1)).toEqual({
      ok: false,
      reason: 'the schema is not synchronous',
    });
    const changing = new CompositeKind('x', {
      schema: v.pipe(
        v.number(),
        v.transform((n) => n + 1),
      ),
      default: 1,
    });
    expect(() => changing.accept(1)).toThrowError(/changes what it has returned/);
  });

  it('name every wrong option', () => {
    const problems: Problems = {};
    compositeProblems({ schema: {} as never, default: 1 as never, constraints: { a: 1 as never } }, problems);
    expect(Object.keys(problems).sort()).toEqual(['constraints', 'schema']);
  });
});
