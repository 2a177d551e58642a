/**
 * When do the votes of many nodes open a breaker for all of them? Pure functions; every node computes them of the same reports.
 *
 * Intuition: what fails for several nodes that do not depend on each other is the agent's fault, what fails for one is that node's. With up to `liars`
 * nodes that say anything, no vote weighs more than its share of the threshold, and at least one honest node must have seen failures as well.
 *
 * Invariants, with at most `liars` lying: (1) nothing opens unless an honest node voted for it: there are more than `liars` accusers. (2) What liars claim to
 * have succeeded keeps nothing closed that honest votes would open: the `liars` highest claims are left out, so those that count weigh no more than what
 * honest nodes claim. (3) A node most of whose calls succeed accuses nobody, whatever it counts (behaviour 30).
 */
import type { NodeId } from '../../../node-id.ts';

export interface TallyOptions {
  readonly failureThreshold: number;
  readonly failureRatio: number;
  readonly liars: number;
}

/** Calls of one node as far as they count for the scope. */
export interface Vote {
  readonly failures: number;
  readonly successes: number;
}

export interface Tally {
  readonly opens: boolean;
  readonly failures: number;
  readonly successes: number;
  readonly reporters: readonly NodeId[];
}

/** The most that one node's vote weighs. */
export function voteCap({ failureThreshold, liars }: TallyOptions): number {
  return Math.ceil(failureThreshold / (liars + 1));
}

/** What a node with these counts votes: scaled down to the cap with its ratio kept, and no accusation while its ratio is below the limit. */
export function voteOf(failures: number, successes: number, options: TallyOptions): Vote {
  const cap = voteCap(options);
  const accuses = failures > 0 && failures >= options.failureRatio * (failures + successes);
  if (!accuses) return { failures: 0, successes: Math.min(successes, cap) };
  const counted = Math.min(failures, cap);
  const beside = Math.min(cap, (successes * counted) / failures);
  // Whole failures and quarters of successes: finer changes are not worth telling.
  return { failures: counted, successes: Math.round(beside * 4) / 4 };
}

export function tally(votes: Iterable<readonly [NodeId, Vote]>, options: TallyOptions): Tally {
  const cap = voteCap(options);
  const reporters: NodeId[] = [];
  const claims: number[] = [];
  let failures = 0;
  for (const [node, vote] of votes) {
    if (vote.failures > 0) reporters.push(node);
    failures += Math.min(vote.failures, cap);
    claims.push(Math.min(vote.successes, cap));
  }
  claims.sort((a, b) => b - a);
  const successes = claims.slice(options.liars).reduce((sum, claim) => sum + claim, 0);
  const opens =
    reporters.length > options.liars &&
    failures >= options.failureThreshold &&
    failures >= options.failureRatio * (failures + successes);
  return { opens, failures, successes, reporters };
}

/** Of values that up to `liars` may have made up, the highest that an honest one reaches at least; undefined when too few speak. */
export function highestVouched(values: readonly number[], liars: number): number | undefined {
  return [...values].sort((a, b) => b - a)[liars];
}

/** … and the lowest that an honest one goes down to at least. */
export function lowestVouched(values: readonly number[], liars: number): number | undefined {
  return [...values].sort((a, b) => a - b)[liars];
}
