/**
 * Whatever nodes contribute, whoever dies, however the mesh is cut: once it is quiet, all show the same. For choices that must stay for a
 * while too, which is where memory could keep nodes apart.
 */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { ChoiceOptions, Variable } from '../../../src/protocols/variables/variables.ts';
import { Fleet, type FleetNode } from './fleet.ts';

const choices = ['a', 'b', 'c', 'd'] as const;
type Letter = (typeof choices)[number];

type Step =
  | { readonly type: 'set'; readonly node: number; readonly choice: number; readonly number: number }
  | { readonly type: 'report'; readonly node: number; readonly performance: number }
  | { readonly type: 'withdraw' | 'kill' | 'leave'; readonly node: number }
  | { readonly type: 'cut'; readonly nodes: number }
  | { readonly type: 'heal' | 'join' }
  | { readonly type: 'wait'; readonly ms: number };

const node = fc.nat({ max: 9 });
const step: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.record({
      type: fc.constant('set' as const),
      node,
      choice: fc.nat({ max: 2 }),
      number: fc.double({ min: -1, max: 3, noNaN: true }),
    }),
  },
  {
    weight: 5,
    arbitrary: fc.record({
      type: fc.constant('report' as const),
      node,
      performance: fc.constantFrom(0, 0.8, 0.9, 1),
    }),
  },
  {
    weight: 1,
    arbitrary: fc.record({ type: fc.constantFrom('withdraw' as const, 'kill' as const, 'leave' as const), node }),
  },
  { weight: 1, arbitrary: fc.record({ type: fc.constant('cut' as const), nodes: fc.nat({ max: 5 }) }) },
  { weight: 1, arbitrary: fc.record({ type: fc.constantFrom('heal' as const, 'join' as const) }) },
  { weight: 6, arbitrary: fc.record({ type: fc.constant('wait' as const), ms: fc.nat({ max: 3_000 }) }) },
);

interface Party {
  readonly at: FleetNode;
  readonly choice: Variable<Letter>;
  readonly number: Variable<number>;
}

function party(fleet: Fleet, terms: Partial<ChoiceOptions<Letter>>): Party {
  const at = fleet.join();
  return {
    at,
    choice: at.variables.choice('model', { choices, default: 'a', ...terms }),
    number: at.variables.float('temperature', { min: 0, max: 2, default: 0.7 }),
  };
}

async function play(
  steps: readonly Step[],
  fleet: Fleet,
  parties: Party[],
  terms: Partial<ChoiceOptions<Letter>>,
): Promise<void> {
  for (const one of steps) {
    if (one.type === 'wait') await fleet.run(one.ms);
    else if (one.type === 'heal') fleet.world.heal();
    else if (one.type === 'join') {
      if (parties.length < 10) parties.push(party(fleet, terms));
    } else if (one.type === 'cut') fleet.world.partition(fleet.nodes.slice(0, one.nodes).map(({ shared }) => shared));
    else if ('node' in one) {
      const some = parties[one.node % parties.length] as Party;
      if (!some.at.shared.alive) continue;
      if (one.type === 'set') {
        await some.choice.set(choices[one.choice] as Letter);
        await some.number.set(one.number);
      } else if (one.type === 'report') {
        some.choice.report(one.performance);
        some.number.report(one.performance);
      } else if (one.type === 'withdraw') some.choice.withdraw();
      // The last one alive stays, so that there is something to compare.
      else if (fleet.live.length > 1) fleet.world[one.type](some.at.shared);
    }
  }
}

// Performances are close to each other, so that there are many near-ties: where memory decides.
describe('after everything has become quiet', () => {
  it.each([
    { threshold: 0, cooldownMs: 0 },
    { threshold: 0.1, cooldownMs: 0 },
    { threshold: 0, cooldownMs: 2_000 },
    { threshold: 0.3, cooldownMs: 5_000 },
  ])('all nodes show the same, with threshold $threshold and cooldown $cooldownMs', async (terms) => {
    await fc.assert(
      fc.asyncProperty(
        fc.nat(),
        fc.integer({ min: 1, max: 5 }),
        fc.array(step, { maxLength: 40 }),
        async (seed, count, steps) => {
          const fleet = new Fleet({ seed });
          const parties = Array.from({ length: count }, () => party(fleet, terms));
          await play(steps, fleet, parties, terms);
          fleet.world.heal();
          // A cut-off node is shown again, removed ones have gone, and the longest cooldown has run out twice.
          await fleet.run(60_000);
          const live = parties.filter(({ at }) => at.shared.alive);
          const [first] = live as [Party];
          for (const { choice, number, at } of live) {
            expect(at.errors).toEqual([]);
            expect(choice.value).toBe(first.choice.value);
            expect(number.value).toBe(first.number.value);
            expect(choice.contributions()).toEqual(first.choice.contributions());
          }
          expectNearBest(first.choice, terms.threshold);
          // Nothing more is said, and no timer runs on.
          const sent = live.map(({ at }) => at.shared.sent);
          await fleet.run(60_000);
          expect(live.map(({ at }) => at.shared.sent)).toEqual(sent);
        },
      ),
      { numRuns: 150 },
    );
  });
});

/** By definition of majority: weight times performance, unreported ones as the median of the reported. */
function expectNearBest(choice: Variable<Letter>, threshold: number): void {
  const all = choice.contributions();
  if (all.length === 0) {
    expect(choice.value).toBe('a');
    return;
  }
  const reported = all.flatMap(({ performance }) => performance ?? []).sort((a, b) => a - b);
  const half = Math.floor(reported.length / 2);
  const typical =
    reported.length === 0
      ? 1
      : reported.length % 2 === 1
        ? reported[half]!
        : (reported[half - 1]! + reported[half]!) / 2;
  const score = (letter: Letter): number =>
    all.reduce(
      (sum, { value, weight, performance }) => sum + (value === letter ? weight * (performance ?? typical) : 0),
      0,
    );
  const best = Math.max(...choices.map(score));
  if (best > 0) expect(score(choice.value) * (1 + threshold)).toBeGreaterThanOrEqual(best * (1 - 1e-9));
}
