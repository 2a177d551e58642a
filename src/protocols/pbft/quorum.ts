/**
 * Quorum arithmetic for n replicas of which at most f lie, for explicit (n, f).
 *
 * Intuition: two decisions conflict only if two quorums exist whose common members all lied. So quorums
 * must be large enough that any two share more than f members, and small enough that the n − f replicas
 * which do not fail can form one.
 *
 * Proof. Let q = ⌊(n + f) / 2⌋ + 1.
 * - Safety: q > (n + f) / 2, so two quorums together count more than n + f memberships among n replicas;
 *   they share at least 2q − n ≥ f + 1 replicas, of which one is honest, and that one votes once.
 * - Liveness: q ≤ n − f must hold. ⌊(n + f) / 2⌋ + 1 ≤ n − f ⇔ (n + f) / 2 < n − f ⇔ n > 3f, that is n ≥ 3f + 1.
 * With n = 3f + 1 this is the 2f + 1 of Castro & Liskov (OSDI '99, section 4). Using 2f + 1 for any other n
 * is wrong: at n = 6, f = 1 two disjoint sets of three would both be "quorums".
 *
 * f = 0 gives ⌊n / 2⌋ + 1, the majority: the same engine then tolerates ⌊(n − 1) / 2⌋ crashes and no lies.
 * Liveness there needs q replicas up, which is why fewer than n − f may be enough.
 */
import { QuorateError } from '../../errors.ts';

/** More validators than this are refused: every batch costs n² messages and a certificate n signatures. */
export const maxValidators = 64;

/** Votes that make a decision: any two quorums share at least one honest replica. */
export function quorum(n: number, f: number): number {
  return Math.floor((n + f) / 2) + 1;
}

/** Statements of which at least one is an honest replica's: f + 1. */
export function weakQuorum(f: number): number {
  return f + 1;
}

/**
 * Prepares that must join the pre-prepare to make it a prepared certificate. Prepares exist so that a
 * lying primary cannot have two proposals prepared in one slot of one view. With f = 0 nobody lies, the
 * pre-prepare alone is unique, and the phase is skipped: one network delay less.
 */
export function preparesNeeded(n: number, f: number): number {
  return f === 0 ? 0 : quorum(n, f) - 1;
}

/** The most liars n replicas can bear: ⌊(n − 1) / 3⌋. */
export function maxFaulty(n: number): number {
  return Math.floor((n - 1) / 3);
}

/** What is wrong with (n, f), in words, or undefined when it is sound. */
export function resilienceProblem(n: number, f: number): string | undefined {
  if (!Number.isSafeInteger(f) || f < 0) return `f must be a whole number from 0 on, not ${f}`;
  if (!Number.isSafeInteger(n) || n < 1) return `a group needs at least 1 validator, not ${n}`;
  if (n > maxValidators) return `a group has at most ${maxValidators} validators, not ${n}`;
  const minimum = 3 * f + 1;
  if (n < minimum) return `f = ${f} needs at least ${minimum} validators (3f + 1); there are ${n}`;
  return undefined;
}

/** Throws `INVALID_ARGUMENT` with `{ n, f, minimum }` when n validators cannot bear f liars. */
export function requireResilience(n: number, f: number): void {
  const problem = resilienceProblem(n, f);
  if (problem === undefined) return;
  throw new QuorateError(
    'INVALID_ARGUMENT',
    `These validators cannot form a group: ${problem}. Add validators or lower f.`,
    { n, f, minimum: 3 * Math.max(0, Math.floor(f) || 0) + 1 },
  );
}
