import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { NodeId } from '../../../src/node-id.ts';
import { isEarlier, standingOf } from '../../../src/protocols/variables/definers.ts';
import {
  type CommonOptions,
  commonProblems,
  completeDefinition,
  type Definition,
  definitionConflict,
  differences,
  digestOf,
} from '../../../src/protocols/variables/definition.ts';
import type { Problems } from '../../../src/protocols/variables/kinds/kind.ts';
import { NumberKind } from '../../../src/protocols/variables/kinds/number.ts';

function define(options: CommonOptions<number> = {}, unit?: string): Definition<number> {
  const kind = new NumberKind('x', 'float', { min: 0, max: 1, default: 0.5, unit });
  return completeDefinition('x', kind, options, 0.5, () => undefined);
}

describe('definitions', () => {
  it('are alike when what they say is alike, however they say it', () => {
    const { digest } = define();
    expect(define({ scope: 'cluster', sync: 'eventual', resolve: 'weightedAverageByPerformance' }).digest).toBe(digest);
    expect(define({ description: 'for people', historySize: 3 }).digest).toBe(digest);
    const ids = define({ affects: ['b', 'a', 'b'] });
    expect(define({ affects: { agents: ['a', 'b'] } }).digest).toBe(ids.digest);
    const others = [
      define({}, '°C'),
      define({ maxWeight: 2 }),
      define({ resolve: 'median' }),
      define({ resolve: { name: 'mine', resolve: () => 0 } }),
      define({ scope: 'zone' }),
      ids,
      define({ affects: { agents: ['a', 'b'], method: 'tune' } }),
    ];
    expect(new Set([digest, ...others.map((one) => one.digest)]).size).toBe(others.length + 1);
  });

  it('differ where they differ, and nowhere else', () => {
    const facts = fc.dictionary(
      fc.string({ maxLength: 5 }),
      fc.oneof(fc.integer(), fc.string(), fc.array(fc.boolean())),
      { maxKeys: 6 },
    );
    fc.assert(
      fc.property(facts, facts, (here, there) => {
        const found = differences(here, there);
        expect(found.length === 0).toBe(digestOf(here) === digestOf(there));
        expect(differences(here, here)).toEqual([]);
        expect(found.map(({ field }) => field)).toEqual(differences(there, here).map(({ field }) => field));
      }),
    );
  });

  it('in conflict say what differs and who', () => {
    const conflict = definitionConflict(define({ resolve: 'median' }), 'someone' as NodeId, {
      version: 1,
      facts: define().facts,
    });
    expect(conflict.message).toContain(
      'by node someone: rule is "median" here and "weightedAverageByPerformance" there',
    );
    expect(conflict.data).toMatchObject({ variable: 'x', version: 1, node: 'someone' });
    const older = definitionConflict(define({ version: 2 }), undefined, { version: 1, facts: define().facts });
    expect(older.data['difference']).toEqual([{ field: 'version', here: '2', there: '1' }]);
  });

  it('stand when most have them, in whatever order they are heard, and whatever stamp a single one claims', () => {
    const claim = fc.record({ at: fc.nat({ max: 9 }), digest: fc.constantFrom('a', 'b', 'c') });
    fc.assert(
      fc.property(fc.array(claim, { minLength: 1, maxLength: 8 }), (claims) => {
        const said = claims.map((one, index) => ({ ...one, node: `node-${index}` as NodeId }));
        const { digest } = standingOf(said);
        expect(standingOf(said.toReversed()).digest).toBe(digest);
        const countOf = (of: string): number => said.filter((one) => one.digest === of).length;
        for (const other of ['a', 'b', 'c']) expect(countOf(digest)).toBeGreaterThanOrEqual(countOf(other));
        const liar = { at: 0, digest: 'mine', node: 'liar' as NodeId };
        if (countOf(digest) > 1) expect(standingOf([...said, liar]).digest).toBe(digest);
      }),
    );
  });

  it('stand by stamp and then by node, for every pair one of them', () => {
    const one = fc.record({ at: fc.nat({ max: 3 }), node: fc.constantFrom('a' as NodeId, 'b' as NodeId) });
    fc.assert(
      fc.property(one, one, (a, b) => {
        const isSame = a.at === b.at && a.node === b.node;
        expect(Number(isEarlier(a, b)) + Number(isEarlier(b, a))).toBe(isSame ? 0 : 1);
      }),
    );
  });

  it('with wrong options name each of them', () => {
    const problemsOf = (name: unknown, options: Record<string, unknown>): string[] => {
      const problems: Problems = {};
      commonProblems(name, 'float', options as never, problems);
      return Object.keys(problems).sort();
    };
    expect(problemsOf('x', {})).toEqual([]);
    expect(problemsOf('x'.repeat(257), { sync: 'strong', scope: 'zone', affects: 5 })).toEqual([
      'affects',
      'name',
      'sync',
    ]);
    expect(
      problemsOf('\ud800', { historySize: -1, description: 5, migrate: 1, maxWeight: Number.NaN, version: 1.5 }),
    ).toEqual(['description', 'historySize', 'maxWeight', 'migrate', 'name', 'version']);
    expect(problemsOf('x', { resolve: { name: 'no function' } })).toEqual(['resolve']);
    expect(problemsOf('x', { min: 0, max: 1, step: 1, unit: 's', outOfRagne: 'reject', choices: [] })).toEqual([
      'choices',
      'outOfRagne',
    ]);
  });
});
