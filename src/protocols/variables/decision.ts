/** From contributions and agreements to the one value: a pure function, but for what is remembered of a choice (`switching.ts`). */
import type { Reading } from './contributions.ts';
import type { Definition } from './definition.ts';
import { best, scores } from './rules/choices.ts';
import { decideShown, type Held, type Shown } from './switching.ts';
import type { Contribution, VariableExplanation } from './variables.ts';

export interface AgreedValue<T> {
  readonly value: T;
  readonly version: number;
  readonly at: number;
}

export interface Decision<T> {
  readonly value: T;
  readonly source: VariableExplanation<T>['source'];
  /** Of a choice with a threshold or a cooldown. */
  readonly shown: Shown<T> | undefined;
}

/** What this node knows besides the contributions. */
export interface Memory<T> {
  readonly agreed: AgreedValue<T> | undefined;
  readonly held: Held<T> | undefined;
  /** Whether this node's own contribution counts. */
  readonly contributes: boolean;
  readonly wallNowMs: number;
  readonly stamp: () => number;
}

export function decide<T>(definition: Definition<T>, reading: Reading<T>, memory: Memory<T>): Decision<T> {
  const { counted } = reading;
  if (definition.sync === 'strong' || counted.length === 0) {
    const { agreed } = memory;
    if (agreed !== undefined) return { value: agreed.value, source: 'agreed', shown: undefined };
    return { value: definition.default, source: 'default', shown: undefined };
  }
  const terms = hysteresisOf(definition);
  if (terms === undefined) {
    return { value: definition.rule.resolve(counted).value, source: 'contributions', shown: undefined };
  }
  const keyOf = (value: T): string | number | boolean => definition.kind.keyOf(value);
  const byKey = scores(counted, keyOf);
  const shown = decideShown(
    { ...terms, keyOf },
    {
      scores: byKey,
      best: best(byKey, keyOf, definition.default),
      said: reading.held,
      mine: memory.held,
      contributes: memory.contributes,
      wallNowMs: memory.wallNowMs,
      stamp: memory.stamp,
    },
  );
  return { value: shown.held.value, source: 'contributions', shown };
}

/** Undefined where a choice is left for a better one at once. */
function hysteresisOf<T>({
  kind,
}: Definition<T>): { readonly threshold: number; readonly cooldownMs: number } | undefined {
  const { threshold, cooldownMs } = kind.facts;
  if (typeof threshold !== 'number' || typeof cooldownMs !== 'number') return undefined;
  return threshold > 0 || cooldownMs > 0 ? { threshold, cooldownMs } : undefined;
}

export function explain<T>(
  definition: Definition<T>,
  { counted, ignored }: Reading<T>,
  { value, source, shown }: Decision<T>,
): VariableExplanation<T> {
  const rule = definition.sync === 'strong' ? 'agreement' : definition.rule.name;
  const base = { value, rule, source, ignored };
  const left = ignored.length === 0 ? '' : `; ${ignored.length} did not count`;
  if (source !== 'contributions') {
    const why = source === 'agreed' ? 'agreed on, and nobody has contributed since' : 'the default: nobody contributes';
    return {
      ...base,
      counted: [],
      summary: `${text(value)}: ${definition.sync === 'strong' && source === 'agreed' ? 'agreed on' : why}${left}`,
    };
  }
  const shares = sharesFor(definition, counted, value, shown);
  const withShares = counted.map((contribution, index) => ({ ...contribution, share: shares[index] as number }));
  const { node, share } = withShares.reduce((most, one) => (one.share > most.share ? one : most));
  const from = counted.length === 1 ? 'the one contribution' : `${counted.length} contributions`;
  const most = `${(share * 100).toFixed(0)} % of it by ${node}`;
  return { ...base, counted: withShares, summary: `${text(value)}: ${rule} of ${from}, ${most}${left}` };
}

/** A choice that is held may not be the one with most votes: then its own voters have decided it. */
function sharesFor<T>(
  { rule, kind }: Definition<T>,
  counted: readonly Contribution<T>[],
  value: T,
  shown: Shown<T> | undefined,
): readonly number[] {
  const resolution = rule.resolve(counted);
  if (shown === undefined || kind.keyOf(resolution.value) === kind.keyOf(value)) return resolution.shares();
  const voters = counted.map((one) => Number(kind.keyOf(one.value) === kind.keyOf(value)));
  const count = voters.reduce((sum, one) => sum + one, 0);
  return voters.map((one) => (count === 0 ? 0 : one / count));
}

function text(value: unknown): string {
  if (typeof value === 'number') return String(value);
  try {
    return (JSON.stringify(value) ?? String(value)).slice(0, 100);
  } catch {
    // A bigint inside a structured value: only its kind fits in one line.
    return 'a structured value';
  }
}
