/**
 * A rule for each top-level field of structured values, resolved separately: the temperature by its median, the model by majority.
 *
 * Every contribution is allowed as a whole, but what is put together from several need not be: then the latest contribution is taken as it is.
 */
import type { Value } from '../../../value.ts';
import type { Checked } from '../kinds/kind.ts';
import type { BuiltInRule, Contribution } from '../variables.ts';
import { weightedAverageByPerformance } from './averages.ts';
import { lastWriter, latest, majority } from './choices.ts';
import { max, median, min, trimmedMean } from './order-statistics.ts';
import { type Resolution, type Rule, sharesOf } from './rule.ts';

export type NumberRule = Exclude<BuiltInRule, 'lastWriter' | 'majority'>;

export const numberRules: { readonly [name in NumberRule]: Rule<number> } = {
  weightedAverageByPerformance,
  max,
  min,
  median,
  trimmedMean,
};

export interface FieldsOptions<T> {
  readonly fields: { readonly [field: string]: BuiltInRule };
  readonly check: (value: unknown) => Checked<T>;
  readonly keyOf: (value: Value) => string;
}

type Fields = { readonly [field: string]: Value };

export function byFields<T>({ fields, check, keyOf }: FieldsOptions<T>): Rule<T> {
  const names = Object.keys(fields).sort();
  return {
    name: `fields(${names.map((name) => `${name}: ${fields[name]}`).join(', ')})`,
    resolve(contributions) {
      const whole = latest(contributions);
      const alone = (): number[] => contributions.map((one) => Number(one === whole));
      if (!isFields(whole.value)) return { value: whole.value, shares: alone };
      const merged: Record<string, Value> = { ...whole.value };
      const parts: { readonly of: readonly Contribution<Value>[]; readonly resolution: Resolution<Value> }[] = [];
      for (const name of names) {
        const part = resolveField(name, fields[name] as BuiltInRule, contributions, keyOf);
        if (part === undefined) continue;
        merged[name] = part.resolution.value;
        parts.push(part);
      }
      const checked = check(merged);
      if (!checked.ok || parts.length === 0) return { value: whole.value, shares: alone };
      return { value: checked.value, shares: () => meanShares(contributions, parts) };
    },
  };
}

/** Contributions without the field, or without a number where the rule needs one, have no say in it; undefined when nobody has. */
function resolveField<T>(
  name: string,
  rule: BuiltInRule,
  contributions: readonly Contribution<T>[],
  keyOf: (value: Value) => string,
): { readonly of: readonly Contribution<Value>[]; readonly resolution: Resolution<Value> } | undefined {
  const of: Contribution<Value>[] = [];
  const isOfNumbers = rule !== 'lastWriter' && rule !== 'majority';
  for (const contribution of contributions) {
    const value = isFields(contribution.value) ? contribution.value[name] : undefined;
    if (value === undefined || (isOfNumbers && !(typeof value === 'number' && Number.isFinite(value)))) continue;
    of.push({ ...contribution, value });
  }
  if (of.length === 0) return undefined;
  if (isOfNumbers) return { of, resolution: numberRules[rule].resolve(of as readonly Contribution<number>[]) };
  const pick = rule === 'majority' ? majority<Value>(keyOf, undefined) : lastWriter<Value>();
  return { of, resolution: pick.resolve(of) };
}

/** A contribution's share of the whole is the mean of its shares of the fields. */
function meanShares<T>(
  contributions: readonly Contribution<T>[],
  parts: readonly { readonly of: readonly Contribution<Value>[]; readonly resolution: Resolution<Value> }[],
): readonly number[] {
  const byNode = new Map<string, number>();
  for (const { of, resolution } of parts) {
    for (const [index, share] of resolution.shares().entries()) {
      const { node } = of[index] as Contribution<Value>;
      byNode.set(node, (byNode.get(node) ?? 0) + share);
    }
  }
  return sharesOf(contributions.map(({ node }) => byNode.get(node) ?? 0));
}

function isFields(value: unknown): value is Fields {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return false;
  return !(ArrayBuffer.isView(value) || value instanceof Map || value instanceof Date);
}
