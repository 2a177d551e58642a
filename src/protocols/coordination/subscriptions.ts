/** Who in this process waits for which topic. */
import type { Subscriber } from './ordering.ts';

export class Subscriptions {
  readonly #topics = new Map<string, Set<Subscriber>>();
  readonly #onListenerError: (error: unknown, where: string) => void;

  constructor(onListenerError: (error: unknown, where: string) => void) {
    this.#onListenerError = onListenerError;
  }

  add(topic: string, subscriber: Subscriber): () => void {
    const subscribers = this.#topics.get(topic) ?? new Set();
    this.#topics.set(topic, subscribers);
    subscribers.add(subscriber);
    return () => {
      subscribers.delete(subscriber);
      if (subscribers.size === 0 && this.#topics.get(topic) === subscribers) this.#topics.delete(topic);
    };
  }

  topics(): Iterable<string> {
    return this.#topics.keys();
  }

  has(topic: string): boolean {
    return this.#topics.has(topic);
  }

  deliver(topic: string, payload: Uint8Array): void {
    for (const subscriber of [...(this.#topics.get(topic) ?? [])]) {
      this.#guard(() => subscriber.onEvent(payload), topic);
    }
  }

  /** Tells everybody, or the subscribers of one topic, that something may have been missed. */
  gap(topic?: string): void {
    for (const [name, subscribers] of [...this.#topics]) {
      if (topic !== undefined && name !== topic) continue;
      for (const subscriber of [...subscribers]) this.#guard(() => subscriber.onGap(), name);
    }
  }

  clear(): void {
    this.#topics.clear();
  }

  #guard(call: () => void, topic: string): void {
    try {
      call();
    } catch (error) {
      this.#onListenerError(error, `subscriber of '${topic}'`);
    }
  }
}
