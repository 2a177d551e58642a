/** How far k of ten nodes that lie within the bounds move what all show, for each rule. The table of docs/guarantees.md is this one. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { seededRng } from '../../../../src/clock.ts';
import { lastWriter } from '../../../../src/protocols/variables/rules/choices.ts';
import { numberRules } from '../../../../src/protocols/variables/rules/fields.ts';
import type { Rule } from '../../../../src/protocols/variables/rules/rule.ts';
import type { Contribution } from '../../../../src/protocols/variables/variables.ts';
import { contribution, ordered } from '../contributions-of.ts';

const nodes = 10;
const draws = 2_000;
const rules: readonly Rule<number>[] = [...Object.values(numberRules), lastWriter<number>()];

/**
 * The worst and the mean shift over many draws, as shares of the range 0 to 1. Honest nodes lie anywhere in the middle half of the range and report between a half and
 * one; liars all say the same end of it, report 1 and write last.
 */
function shifts(
  rule: Rule<number>,
  liars: number,
): { readonly worst: number; readonly mean: number; readonly beyond: number } {
  const rng = seededRng(liars);
  const found: number[] = [];
  let beyond = 0;
  for (let draw = 0; draw < draws; draw++) {
    const honest = Array.from({ length: nodes - liars }, (_, at) =>
      contribution(0.25 + rng.float() / 2, { performance: 0.5 + rng.float() / 2, at }),
    );
    const end = draw % 2;
    const lies = Array.from({ length: liars }, () => contribution(end, { performance: 1, at: 100 }));
    const resolve = (all: readonly Contribution<number>[]): number => rule.resolve(ordered(all)).value;
    const value = resolve([...honest, ...lies]);
    found.push(Math.abs(value - resolve(honest)));
    const values = honest.map((one) => one.value);
    if (value < Math.min(...values) - 1e-9 || value > Math.max(...values) + 1e-9) beyond += 1;
  }
  return { worst: Math.max(...found), mean: found.reduce((sum, one) => sum + one, 0) / draws, beyond };
}

const percent = (share: number): string => `${(share * 100).toFixed(0)} %`;

const table = rules.map((rule) => {
  const cells = [1, 2, 3, 4].map((liars) => {
    const { worst, mean } = shifts(rule, liars);
    return `${percent(mean)}, ${percent(worst)}`;
  });
  return `| \`${rule.name}\` | ${cells.join(' | ')} |`;
});

it('the documents say what was measured', () => {
  const document = readFileSync(join(import.meta.dirname, '../../../../docs/guarantees.md'), 'utf8');
  for (const row of table) expect(document).toContain(row);
});

it('the median withstands four, and the trimmed mean two, whatever they say', () => {
  for (const liars of [1, 2, 3, 4]) expect(shifts(numberRules.median, liars).beyond).toBe(0);
  for (const liars of [1, 2]) expect(shifts(numberRules.trimmedMean, liars).beyond).toBe(0);
  // A mean, by contrast, is theirs in proportion, and an extreme altogether.
  expect(shifts(numberRules.weightedAverageByPerformance, 4).mean).toBeGreaterThan(0.2);
  expect(shifts(numberRules.max, 1).beyond).toBeGreaterThan(draws / 4);
});
