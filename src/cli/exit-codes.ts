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
  /** A call was sent and what became of it is not known; repeating it may do the work twice. */
  unknownOutcome: 5,
} as const;

export const exitCodesHelp = `
Exit codes: 0 done · 1 failed · 2 wrong usage · 3 no running node, or --node needed
            4 nothing matches · 5 a call's outcome is not known (it may have run)`;

const byCode: Partial<Record<ErrorCode, number>> = {
  INVALID_OPTIONS: exitCodes.usage,
  INVALID_ARGUMENT: exitCodes.usage,
  INVALID_CRITERIA: exitCodes.usage,
  CONTROL_UNAVAILABLE: exitCodes.noNode,
  NO_MATCH: exitCodes.noMatch,
  NOT_REGISTERED: exitCodes.noMatch,
  UNKNOWN_OUTCOME: exitCodes.unknownOutcome,
};

export function exitCodeOf(error: unknown): number {
  return isQuorateError(error) ? (byCode[error.code] ?? exitCodes.failure) : exitCodes.failure;
}
