/** Lets callers wait until this node has joined, or will not. */
import type { QuorateError } from '../../errors.ts';

export class JoinGate {
  readonly #waiting = new Set<() => void>();
  #joined = false;
  #error: QuorateError | undefined;

  get joined(): boolean {
    return this.#joined;
  }

  open(): void {
    this.#joined = true;
    this.#wake();
  }

  /** There will be no joining any more. */
  fail(error: QuorateError): void {
    this.#error ??= error;
    this.#wake();
  }

  async wait(signal?: AbortSignal): Promise<void> {
    while (!this.#joined) {
      signal?.throwIfAborted();
      if (this.#error !== undefined) throw this.#error;
      let wake = (): void => undefined;
      const news = new Promise<void>((resolve) => {
        wake = resolve;
      });
      this.#waiting.add(wake);
      await abortable(news, signal).finally(() => this.#waiting.delete(wake));
    }
  }

  #wake(): void {
    for (const wake of [...this.#waiting]) wake();
  }
}

/** The result of `promise`, unless `signal` aborts first. */
export async function abortable<T>(promise: Promise<T>, signal: AbortSignal | undefined): Promise<T> {
  if (signal === undefined) return promise;
  signal.throwIfAborted();
  let onAbort = (): void => undefined;
  const aborted = new Promise<never>((_, reject) => {
    onAbort = () => reject(signal.reason);
    signal.addEventListener('abort', onAbort, { once: true });
  });
  try {
    return await Promise.race([promise, aborted]);
  } finally {
    signal.removeEventListener('abort', onAbort);
  }
}
