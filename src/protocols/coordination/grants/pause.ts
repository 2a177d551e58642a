/** Waits between two tries of something that the next one may mend. */
import type { Clock } from '../../../clock.ts';
import { QuorateError } from '../../../errors.ts';

/** Errors of ordering that another try may mend. */
const passing: ReadonlySet<string> = new Set(['NO_QUORUM', 'NO_VALIDATORS', 'UNKNOWN_OUTCOME', 'REJECTED']);

export const mayPass = (error: unknown): boolean => error instanceof QuorateError && passing.has(error.code);

const firstPauseMs = 50;
const longestPauseMs = 1_000;

/** 50 ms, then twice as long each time, up to a second: ordering tries by itself within each submit. */
export const pauseMs = (attempt: number): number => Math.min(longestPauseMs, firstPauseMs * 2 ** Math.min(attempt, 8));

/** Rejects with the signal's reason. */
export function pause(clock: Clock, ms: number, signal: AbortSignal | undefined): Promise<void> {
  return new Promise((resolve, reject) => {
    signal?.throwIfAborted();
    const onAbort = (): void => {
      timer.cancel();
      reject(signal?.reason);
    };
    const timer = clock.after(ms, () => {
      signal?.removeEventListener('abort', onAbort);
      resolve();
    });
    signal?.addEventListener('abort', onAbort, { once: true });
  });
}
