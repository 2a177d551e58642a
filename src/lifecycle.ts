/** Starts parts in order and stops them in reverse; a failed start stops what had started. */
export class Lifecycle {
  readonly #started: { readonly name: string; readonly stop: () => Promise<void> | void }[] = [];
  readonly #onStopError: (part: string, error: unknown) => void;
  #stopping: Promise<void> | undefined;

  constructor(onStopError: (part: string, error: unknown) => void) {
    this.#onStopError = onStopError;
  }

  /** Starts one part; when that fails, stops the earlier ones in reverse and rethrows. */
  async start<T>(name: string, start: () => Promise<T> | T, stop: (part: T) => Promise<void> | void): Promise<T> {
    let part: T;
    try {
      part = await start();
    } catch (error) {
      await this.stop();
      throw error;
    }
    this.#started.push({ name, stop: () => stop(part) });
    return part;
  }

  /** Idempotent. A part that fails to stop is reported and does not keep the others from stopping. */
  stop(): Promise<void> {
    this.#stopping ??= this.#stopAll();
    return this.#stopping;
  }

  async #stopAll(): Promise<void> {
    for (let part = this.#started.pop(); part !== undefined; part = this.#started.pop()) {
      try {
        await part.stop();
      } catch (error) {
        this.#onStopError(part.name, error);
      }
    }
  }
}
