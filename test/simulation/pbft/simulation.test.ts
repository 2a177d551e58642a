/**
 * A few seeds of the simulation with every test run; `npm run soak` runs many. Every adversary gets its own.
 * QUORATE_SEEDS and QUORATE_FIRST_SEED choose others.
 */
import { describe, expect, it } from 'vitest';
import { adversaryNames } from './adversaries/catalogue.ts';
import { planFor } from './plan.ts';
import { reportFailure, runSeed } from './run.ts';
import { Simulation } from './simulation.ts';

const seeds = Number(process.env['QUORATE_SEEDS'] ?? 40);
const first = Number(process.env['QUORATE_FIRST_SEED'] ?? 1);
const seedsEach = Math.max(3, Math.floor(seeds / 20));

function expectClean(seed: number, only?: readonly string[]): void {
  const { plan, violation } = runSeed(seed, only);
  if (violation !== undefined) expect.fail(reportFailure(plan, violation, only));
}

describe('agreement under crashes, partitions, bad networks and liars', () => {
  it(`holds for ${seeds} seeds from ${first}`, () => {
    for (let seed = first; seed < first + seeds; seed++) expectClean(seed);
  });

  for (const name of adversaryNames) {
    it(`holds against ${name}, ${seedsEach} seeds`, () => {
      for (let seed = first; seed < first + seedsEach; seed++) expectClean(seed, [name]);
    });
  }
});

describe('a primary that orders two batches at once', () => {
  it('leaves evidence that convinces anybody', () => {
    let shown = 0;
    for (let seed = first; seed < first + 10; seed++) shown += runSeed(seed, ['equivocator']).evidence;
    expect(shown).toBeGreaterThan(0);
  });
});

describe('the simulation itself', () => {
  it('gives the same run for the same seed', () => {
    const runs = [1, 2].map(() => new Simulation(planFor(7), true).run());
    expect(runs[0]?.trace.length).toBeGreaterThan(100);
    expect(runs[1]).toEqual(runs[0]);
  });

  it('notices when more validators lie than the group was made for', () => {
    // n = 4 bears one liar; with two that vote for anything and tell everybody something else, some seed must break.
    const broken = Array.from({ length: 20 }, (_, index) => {
      const plan = planFor(index + 1, ['twins']);
      const liars = [0, 1, 2].map((replica) => ({ kind: 'adversary', replica, name: 'twins' }) as const);
      const others = plan.faults.filter(({ kind }) => kind !== 'adversary');
      return new Simulation({ ...plan, n: 4, f: 1, faults: [...liars, ...others] }, false).run().violation;
    });
    expect(broken.some((violation) => violation !== undefined)).toBe(true);
  });
});
