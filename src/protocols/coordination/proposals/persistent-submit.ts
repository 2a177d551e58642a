/**
 * Submits a command that may run twice without harm until its answer is known, or the time is over. Proposals and votes are such commands: they
 * carry an id, and the same again changes nothing.
 */
import { isQuorateError, type QuorateError } from '../../../errors.ts';
import type { Answer } from '../machine/reducer.ts';
import type { CoordinationTools } from '../tools.ts';

export interface Persistence {
  /** Milliseconds from now. */
  readonly timeoutMs: number;
  readonly signal?: AbortSignal | undefined;
  /** Go on after `NO_QUORUM`, `NO_VALIDATORS` and `REJECTED` as well, when the command has certainly not run. */
  readonly stubborn: boolean;
}

const firstPauseMs = 100;
const longestPauseMs = 2_000;

/**
 * The machine's answer, refusals included. Rejects as `Ordering.submit`; with `UNKNOWN_OUTCOME` whenever one try ended so and none after it
 * brought an answer, for then nobody knows.
 */
export async function submitPersistently(
  tools: CoordinationTools,
  command: { readonly kind: string },
  { timeoutMs, signal, stubborn }: Persistence,
): Promise<Answer> {
  const until = tools.clock.now() + timeoutMs;
  let unknown: QuorateError | undefined;
  for (let pauseMs = firstPauseMs; ; pauseMs = Math.min(2 * pauseMs, longestPauseMs)) {
    try {
      const leftMs = Math.max(1, until - tools.clock.now());
      return await tools.client.submit(command, { timeoutMs: Math.min(tools.timeoutMs, leftMs), signal });
    } catch (error) {
      if (isQuorateError(error, 'UNKNOWN_OUTCOME')) unknown = error;
      const mayPass = isQuorateError(error) && passing.has(error.code);
      if (signal?.aborted === true || !mayPass) throw error;
      const again = stubborn || unknown !== undefined;
      if (!again || tools.clock.now() + pauseMs >= until) throw unknown ?? error;
    }
    await pause(tools, pauseMs, signal);
  }
}

/** Errors that another try may mend. */
export const passing: ReadonlySet<string> = new Set(['UNKNOWN_OUTCOME', 'NO_QUORUM', 'NO_VALIDATORS', 'REJECTED']);

function pause(tools: CoordinationTools, ms: number, signal: AbortSignal | undefined): Promise<void> {
  return new Promise((resolve, reject) => {
    const onAbort = (): void => {
      timer.cancel();
      reject(signal?.reason);
    };
    const timer = tools.clock.after(ms, () => {
      signal?.removeEventListener('abort', onAbort);
      resolve();
    });
    signal?.addEventListener('abort', onAbort, { once: true });
  });
}
