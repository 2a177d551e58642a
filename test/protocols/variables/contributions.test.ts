import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { HybridClock } from '../../../src/hlc.ts';
import type { NodeId } from '../../../src/node-id.ts';
import { Contributions } from '../../../src/protocols/variables/contributions.ts';
import {
  type CommonOptions,
  completeDefinition,
  type Definition,
} from '../../../src/protocols/variables/definition.ts';
import { writeContribution } from '../../../src/protocols/variables/entries.ts';
import { NumberKind } from '../../../src/protocols/variables/kinds/number.ts';
import type { Value } from '../../../src/value.ts';

const self = 'node-m' as NodeId;
const wallNowMs = 1_000_000;

function definitionOf(options: CommonOptions<number> = {}): Definition<number> {
  const kind = new NumberKind('x', 'float', { min: 0, max: 1, default: 0.5 });
  return completeDefinition('x', kind, options, 0.5, (error) => {
    throw error;
  });
}

function contributionsOf(definition: Definition<number>, outside: readonly string[] = []): Contributions<number> {
  const hlc = new HybridClock(() => wallNowMs);
  return new Contributions({ self, definition, hlc, isInScope: (node) => !outside.includes(node) });
}

const definition = definitionOf();
const entryOf = (value: Value, rest: { at?: number; weight?: number; version?: number; digest?: string } = {}): Value =>
  writeContribution({
    value,
    weight: 1,
    performance: undefined,
    at: 5,
    version: 1,
    digest: definition.digest,
    held: undefined,
    ...rest,
  });

const entriesOf = (entries: Record<string, Value>): ReadonlyMap<NodeId, Value> =>
  new Map(Object.entries(entries) as [NodeId, Value][]);

describe('contributions', () => {
  it('count when everything about them is right', () => {
    const tooFar = (wallNowMs + 61_000) * 2048;
    const { counted, ignored, premature } = contributionsOf(definition, ['far']).read(
      entriesOf({
        b: entryOf(0.2),
        a: entryOf(0.1),
        big: entryOf(1.1),
        bad: 'nonsense',
        old: entryOf(0.3, { at: 2 }),
        heavy: entryOf(0.3, { weight: 2 }),
        other: entryOf(0.3, { digest: 'another' }),
        newer: entryOf(0.3, { version: 2 }),
        far: entryOf(0.3),
        early: entryOf(0.3, { at: tooFar }),
        [self]: entryOf(0.9),
      }),
      undefined,
      3,
    );
    expect(counted.map(({ node, value }) => [node, value])).toEqual([
      ['a', 0.1],
      ['b', 0.2],
    ]);
    expect(Object.fromEntries(ignored.map(({ node, reason }) => [node, reason]))).toEqual({
      big: 'out of range',
      bad: 'malformed',
      old: 'made before the agreement',
      heavy: 'weighs more than allowed',
      other: 'defined differently',
      newer: 'of version 2, later than ours',
      far: 'in another zone',
      early: 'its clock is too far ahead',
    });
    expect(premature).toBe(tooFar);
  });

  it('of an older version count as far as they can be translated', () => {
    const percent = definitionOf({
      version: 2,
      migrate: (value, from) => {
        if (typeof value !== 'number') throw new Error('no number');
        return from === 1 && value <= 100 ? value / 100 : undefined;
      },
    });
    const { counted, ignored } = contributionsOf(percent).read(
      entriesOf({ a: entryOf(50), b: entryOf(101), c: entryOf('x'), d: entryOf(-1) }),
      undefined,
      0,
    );
    expect(counted.map(({ value }) => value)).toEqual([0.5]);
    expect(ignored.map(({ node }) => node)).toEqual(['b', 'c', 'd']);
  });

  it('read one by one come to the same as read at once', () => {
    const nodes = ['a', 'b', 'node-m', 'x', 'z'] as const;
    const entries = [
      ...[0.1, 0.2, 0.3].map((value) => entryOf(value)),
      entryOf(7),
      'nonsense',
      entryOf(0.5, { at: 1 }),
    ];
    const steps = fc.array(
      fc.tuple(fc.constantFrom(...nodes), fc.option(fc.constantFrom(...entries), { nil: undefined })),
    );
    fc.assert(
      fc.property(steps, fc.constantFrom(0, 3), (all, baseline) => {
        const gradual = contributionsOf(definition);
        const now = new Map<NodeId, Value>();
        for (const [node, entry] of all) {
          if (entry === undefined) now.delete(node as NodeId);
          else now.set(node as NodeId, entry);
          const { counted, ignored } = gradual.read(now, undefined, baseline);
          const anew = contributionsOf(definition).read(now, undefined, baseline);
          expect({ counted, ignored }).toEqual({ counted: anew.counted, ignored: anew.ignored });
        }
      }),
    );
  });

  it('tells whose say has changed', () => {
    const contributions = contributionsOf(definition);
    const [a, b] = [entryOf(0.1), entryOf(0.2)];
    contributions.read(entriesOf({ a, b }), undefined, 0);
    expect(contributions.read(entriesOf({ a, b: entryOf(0.3) }), undefined, 0).cause).toBe('b');
    expect(contributions.read(entriesOf({ a }), undefined, 0).cause).toBe('b');
    expect(contributions.read(entriesOf({ a }), undefined, 0).cause).toBe(undefined);
  });
});
