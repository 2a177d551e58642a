/** Asks a source now and then, while somebody wants to know. */
import type { Clock, Timer } from '../../../clock.ts';

export interface SamplingOptions {
  readonly clock: Clock;
  /** Of the monitor: about twenty samples in each window, but none more often than ten times a second or less often than once. */
  readonly windowMs: number;
  readonly onError: (error: unknown, where: string) => void;
  readonly where: string;
}

const shortestMs = 100;
const longestMs = 1_000;

/** Runs until the returned function is called. */
export function sampleRegularly(
  sample: () => number | undefined,
  record: (value: number) => void,
  { clock, windowMs, onError, where }: SamplingOptions,
): () => void {
  const periodMs = Math.min(longestMs, Math.max(shortestMs, windowMs / 20));
  let timer: Timer;
  const arm = (): void => {
    timer = clock.after(periodMs, () => {
      arm();
      try {
        const value = sample();
        if (value !== undefined) record(value);
      } catch (error) {
        onError(error, where);
      }
    });
  };
  arm();
  return () => timer.cancel();
}
