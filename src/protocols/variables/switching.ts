/**
 * Which choice is shown when a better one must be better by a threshold, and the present one stay for a while.
 *
 * Intuition: hysteresis has memory, and nodes that remember differently would show different choices for ever. So the memory is shared: a node that leaves one choice for another
 * writes down what it shows and since when (`held`), beside its contribution; the others take over the latest that is plausible to them.
 *
 * Invariants, once nothing changes any more and all cooldowns are over:
 * - all nodes that see the same contributions show the same choice: the latest plausible `held` is a function of what all see, and whoever remembers a later one has written it;
 * - the choice shown has a score that the best one does not exceed by more than the threshold. So whoever lies about what it holds can decide between
 *   near-ties, and nothing else.
 */
import { stampToMs } from '../../hlc.ts';
import type { KeyOf, Score } from './rules/choices.ts';

/** A choice that a node shows, and since when (hybrid logical time of the switch). */
export interface Held<T> {
  readonly value: T;
  readonly since: number;
}

export interface SwitchingTerms<T> {
  readonly threshold: number;
  readonly cooldownMs: number;
  readonly keyOf: KeyOf<T>;
}

export interface Situation<T> {
  /** Merit behind each choice, by its key; and the greatest of them. */
  readonly scores: ReadonlyMap<string | number | boolean, Score<T>>;
  readonly best: Score<T>;
  /** What the nodes that contribute say they hold, this one's last written word included. */
  readonly said: readonly Held<T>[];
  /** What this node showed last. */
  readonly mine: Held<T> | undefined;
  /** Whether this node contributes, and so can write down what it holds. */
  readonly contributes: boolean;
  readonly wallNowMs: number;
  /** A new stamp, for a switch made here. */
  readonly stamp: () => number;
}

export interface Shown<T> {
  readonly held: Held<T>;
  /** True when nobody has written it down yet, and this node should. */
  readonly write: boolean;
  /** Time after which to decide anew; undefined when only news can change anything. */
  readonly againInMs: number | undefined;
}

export function decideShown<T>(terms: SwitchingTerms<T>, situation: Situation<T>): Shown<T> {
  const { said, contributes } = situation;
  const isPlausible = ({ value }: Held<T>): boolean =>
    (situation.scores.get(terms.keyOf(value))?.score ?? 0) * (1 + terms.threshold) >= situation.best.score;
  const restMs = ({ since }: Held<T>): number => stampToMs(since) + terms.cooldownMs - situation.wallNowMs;
  const isWritten = (held: Held<T>): boolean =>
    said.some((one) => one.since === held.since && terms.keyOf(one.value) === terms.keyOf(held.value));
  // Who does not contribute cannot write down what it remembers, so it only remembers what others have written.
  const mine = situation.mine !== undefined && (contributes || isWritten(situation.mine)) ? situation.mine : undefined;
  const keep = (held: Held<T>): Shown<T> => {
    const rest = isPlausible(held) ? undefined : restMs(held);
    return { held, write: contributes && !isWritten(held), againInMs: rest };
  };

  const isLater = (a: Held<T>, b: Held<T>): boolean =>
    a.since > b.since || (a.since === b.since && terms.keyOf(a.value) > terms.keyOf(b.value));
  const latest = (helds: readonly Held<T>[]): Held<T> | undefined =>
    helds.reduce<Held<T> | undefined>(
      (last, held) => (last === undefined || isLater(held, last) ? held : last),
      undefined,
    );

  const newer = latest(said.filter((held) => isPlausible(held) && (mine === undefined || isLater(held, mine))));
  if (mine === undefined) {
    // A newcomer respects a cooldown that runs, as those do who saw it begin.
    const newest = latest(said);
    if (newest !== undefined && newest !== newer && restMs(newest) > 0) return keep(newest);
  }
  if (newer !== undefined) return keep(newer);
  if (mine !== undefined && (isPlausible(mine) || restMs(mine) > 0)) return keep(mine);
  const since = contributes ? situation.stamp() : 0;
  return {
    held: { value: situation.best.value, since },
    write: contributes,
    againInMs: undefined,
  };
}
