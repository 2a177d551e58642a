/** What the exit code says; `quorate --help` lists them. Append only: scripts rely on the numbers. */
import { type ErrorCode, isQuorateError } from '../errors.ts';

export const exitCodes = {
  ok: 0,
  /** It was tried and failed; the message has the coded reason. */
  failure: 1,
  /** The command line itself is wrong; nothing was tried. */
  usage: 2,
  /** No node of Quorate runs here, or several do and it is not clear which is meant. */
  noNode: 3,
  /** Nothing matches: no such agent, member or result. */
  noMatch: 4,
  /** It was sent and what became of it is not known; repeating it may do the work twice. */
  unknownOutcome: 5,
  /**
   * Not in time: the lock was not free, not everybody came to the barrier, the auction was not over. Nothing is held. Or a value was agreed on, and not every
   * affected agent has acknowledged it.
   */
  notInTime: 6,
  /** It was decided, and not so: the proposal was not accepted, nothing was sold. */
  notAccepted: 7,
  /** A lock was lost while its command ran, or a barrier was broken: what was done meanwhile needs a look. */
  lost: 8,
  /** Ended by Ctrl-C before it was done, as shells have it. */
  interrupted: 130,
} as const;

export const exitCodesHelp = `
Exit codes: 0 done · 1 failed · 2 wrong usage · 3 no running node, or --node needed
            4 nothing matches · 5 the outcome is not known (it may have happened) · 6 not in time
            7 decided, and not accepted · 8 lock lost or barrier broken · 130 interrupted
            (of 'lock': the command's own)`;

const byCode: Partial<Record<ErrorCode, number>> = {
  INVALID_OPTIONS: exitCodes.usage,
  INVALID_ARGUMENT: exitCodes.usage,
  INVALID_CRITERIA: exitCodes.usage,
  CONTROL_UNAVAILABLE: exitCodes.noNode,
  NO_MATCH: exitCodes.noMatch,
  NOT_REGISTERED: exitCodes.noMatch,
  NOT_FOUND: exitCodes.noMatch,
  UNKNOWN_OUTCOME: exitCodes.unknownOutcome,
  TIMED_OUT: exitCodes.notInTime,
  NOT_SETTLED: exitCodes.notInTime,
  GRANT_LOST: exitCodes.lost,
  BARRIER_BROKEN: exitCodes.lost,
};

export function exitCodeOf(error: unknown): number {
  return isQuorateError(error) ? (byCode[error.code] ?? exitCodes.failure) : exitCodes.failure;
}
