/** Counts how operations ended, and when the last good one did. */
import { machineNow } from './record.ts';

/** What operations may end with, apart from a result. Anything else is a finding. */
const expected: ReadonlySet<string> = new Set([
  'ok',
  'died',
  'NO_QUORUM',
  'NO_VALIDATORS',
  'UNKNOWN_OUTCOME',
  'REJECTED',
  'TIMED_OUT',
  'ALREADY_REGISTERED',
  'NOT_SETTLED',
]);

export class Tally {
  /** By operation, then by outcome. */
  readonly outcomes = new Map<string, Map<string, number>>();
  /** Outcomes nobody expects, with a message each. */
  readonly surprises = new Map<string, string>();
  #total = 0;
  #ok = 0;
  #lastOkAt: number | undefined;
  #longestGapMs = 0;
  #longestGapEndedAt = 0;

  add(operation: string, outcome: string, message = ''): void {
    const counts = this.outcomes.get(operation) ?? new Map<string, number>();
    this.outcomes.set(operation, counts.set(outcome, (counts.get(outcome) ?? 0) + 1));
    if (!expected.has(outcome)) this.surprises.set(`${operation}: ${outcome}`, message);
    this.#total += 1;
    if (outcome !== 'ok') return;
    this.#ok += 1;
    const now = machineNow();
    const gapMs = now - (this.#lastOkAt ?? now);
    if (gapMs > this.#longestGapMs) {
      this.#longestGapMs = gapMs;
      this.#longestGapEndedAt = now;
    }
    this.#lastOkAt = now;
  }

  get total(): number {
    return this.#total;
  }

  /** Answered by the mesh, refusals included. */
  get okShare(): number {
    return this.#ok / Math.max(1, this.#total);
  }

  /** Between two answers, whichever client asked. */
  get longestGapMs(): number {
    return this.#longestGapMs;
  }

  /** On the machine's clock. */
  get longestGapEndedAt(): number {
    return this.#longestGapEndedAt;
  }
}
