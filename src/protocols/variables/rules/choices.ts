/** Rules that pick one of the values that were contributed, of any kind. */
import type { Contribution } from '../variables.ts';
import { meritsOf, type Rule, sharesOf } from './rule.ts';

export type KeyOf<T> = (value: T) => string | number | boolean;

/** The contribution made last; of two at once, that of the greater node id. Those without weight only when none has any. */
export function lastWriter<T>(): Rule<T> {
  return {
    name: 'lastWriter',
    resolve(contributions) {
      const last = latest(contributions);
      return { value: last.value, shares: () => contributions.map((one) => Number(one === last)) };
    },
  };
}

/** `contributions`: at least one, ordered by node id. */
export function latest<T>(contributions: readonly Contribution<T>[]): Contribution<T> {
  let last: Contribution<T> | undefined;
  for (const one of contributions) {
    if (one.weight > 0 && (last === undefined || one.at >= last.at)) last = one;
  }
  if (last !== undefined) return last;
  return contributions.reduce((before, one) => (one.at >= before.at ? one : before));
}

/** A value somebody contributed, and the merits behind it. */
export interface Score<T> {
  readonly value: T;
  readonly score: number;
}

/** The value with the most merit behind it; of equals the default, or else the first by key. */
export function majority<T>(keyOf: KeyOf<T>, fallback: T): Rule<T> {
  return {
    name: 'majority',
    resolve(contributions) {
      const merits = meritsOf(contributions);
      const { value } = best(scores(contributions, keyOf, merits), keyOf, fallback);
      const key = keyOf(value);
      return {
        value,
        shares: () => sharesOf(merits.map((merit, index) => (keyOf(contributions[index]!.value) === key ? merit : 0))),
      };
    },
  };
}

/** Merit behind each value, by its key. */
export function scores<T>(
  contributions: readonly Contribution<T>[],
  keyOf: KeyOf<T>,
  merits: readonly number[] = meritsOf(contributions),
): Map<string | number | boolean, Score<T>> {
  const byKey = new Map<string | number | boolean, Score<T>>();
  for (const [index, { value }] of contributions.entries()) {
    const key = keyOf(value);
    const former = byKey.get(key);
    byKey.set(key, { value: former?.value ?? value, score: (former?.score ?? 0) + (merits[index] as number) });
  }
  return byKey;
}

/** The greatest of the scores, which must not be empty. */
export function best<T>(
  byKey: ReadonlyMap<string | number | boolean, Score<T>>,
  keyOf: KeyOf<T>,
  fallback: T,
): Score<T> {
  const defaultKey = keyOf(fallback);
  let found: Score<T> | undefined;
  let foundKey: string | number | boolean | undefined;
  for (const [key, score] of byKey) {
    const isBetter =
      found === undefined ||
      foundKey === undefined ||
      score.score > found.score ||
      (score.score === found.score && foundKey !== defaultKey && (key === defaultKey || key < foundKey));
    if (!isBetter) continue;
    found = score;
    foundKey = key;
  }
  return found as Score<T>;
}
