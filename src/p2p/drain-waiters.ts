/** Callers that wait until a channel's buffer is below its mark; the same for every implementation of `Channel`. */
export class DrainWaiters {
  readonly #waiting = new Set<{ resolve(): void; reject(reason: unknown): void }>();

  /** Rejects with the signal's reason when it aborts first. */
  wait(signal: AbortSignal | undefined): Promise<void> {
    if (signal?.aborted === true) return Promise.reject(signal.reason);
    return new Promise((resolve, reject) => {
      const forget = (): void => {
        this.#waiting.delete(waiter);
        signal?.removeEventListener('abort', onAbort);
      };
      const waiter = {
        resolve: () => {
          forget();
          resolve();
        },
        reject: (reason: unknown) => {
          forget();
          reject(reason);
        },
      };
      const onAbort = (): void => waiter.reject(signal?.reason);
      this.#waiting.add(waiter);
      signal?.addEventListener('abort', onAbort, { once: true });
    });
  }

  resolveAll(): void {
    for (const waiter of [...this.#waiting]) waiter.resolve();
  }

  rejectAll(reason: Error): void {
    for (const waiter of [...this.#waiting]) waiter.reject(reason);
  }
}
