/**
 * Waits until the ordered state says something. An event is a hint that it may; what it says counts as well, since enough validators said it
 * alike. Events can be lost with a connection, so the state is read after every gap, and now and then.
 */
import { QuorateError } from '../../errors.ts';
import { keepAlive } from '../../keep-alive.ts';
import type { Value } from '../../value.ts';
import type { CoordinationTools } from './tools.ts';

/** How often one that waits reads although nothing was heard, milliseconds. Rare: it only mends lost events. */
const rereadMs = 2_000;

export interface Wait<T> {
  readonly topic: string;
  /** What an event says, if it is what is waited for. */
  fromEvent(payload: Value): T | undefined;
  /** Reads the state; undefined while it is not so yet. May reject: an error that waiting does not mend ends the wait. */
  read(signal: AbortSignal): Promise<T | undefined>;
  readonly signal?: AbortSignal | undefined;
  /** Undefined: for as long as `signal` allows. */
  readonly timeoutMs?: number | undefined;
  /** What to reject with when the time is over. */
  timedOut(): Error;
}

/** Errors of a read that another try may mend. */
const passing: ReadonlySet<string> = new Set(['NO_QUORUM', 'NO_VALIDATORS', 'UNKNOWN_OUTCOME', 'REJECTED']);

export function waitUntil<T>(tools: CoordinationTools, wait: Wait<T>): Promise<T> {
  const { clock, client } = tools;
  return new Promise<T>((resolve, reject) => {
    wait.signal?.throwIfAborted();
    const over = new AbortController();
    let reading = false;
    let again = false;

    const letGo = keepAlive();
    const end = (settle: () => void): void => {
      if (over.signal.aborted) return;
      over.abort();
      letGo();
      unsubscribe();
      deadline?.cancel();
      reread.cancel();
      wait.signal?.removeEventListener('abort', onAbort);
      settle();
    };
    const onAbort = (): void => end(() => reject(wait.signal?.reason));
    const read = async (): Promise<void> => {
      if (reading) {
        again = true;
        return;
      }
      reading = true;
      try {
        do {
          again = false;
          const found = await wait.read(over.signal);
          if (found !== undefined) end(() => resolve(found));
        } while (again && !over.signal.aborted);
      } catch (error) {
        const mayPass = error instanceof QuorateError && passing.has(error.code);
        if (!mayPass) end(() => reject(error));
      } finally {
        reading = false;
      }
    };
    const onReread = (): void => {
      if (over.signal.aborted) return;
      reread = clock.after(rereadMs, onReread);
      void read();
    };

    const unsubscribe = client.subscribe(wait.topic, {
      onEvent: (payload) => {
        const found = wait.fromEvent(payload);
        if (found !== undefined) end(() => resolve(found));
      },
      onGap: () => void read(),
    });
    const deadline =
      wait.timeoutMs === undefined ? undefined : clock.after(wait.timeoutMs, () => end(() => reject(wait.timedOut())));
    let reread = clock.after(rereadMs, onReread);
    wait.signal?.addEventListener('abort', onAbort, { once: true });
    void read();
  });
}
