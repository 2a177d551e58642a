/** An ordering that tells how long commands took, from submission to answer, to those who want to know. */
import type { Clock } from '../../clock.ts';
import type { Certificate } from './certificates/certificate.ts';
import type { Ordering, OrderingOptions, ReadConsistency, Subscriber } from './ordering.ts';

export class MeteredOrdering implements Ordering {
  readonly #ordering: Ordering;
  readonly #clock: Clock;
  readonly #listeners = new Set<(ms: number) => void>();

  constructor(ordering: Ordering, clock: Clock) {
    this.#ordering = ordering;
    this.#clock = clock;
  }

  get self(): Ordering['self'] {
    return this.#ordering.self;
  }

  /** Milliseconds of each command that was answered, until the returned function is called. Must not throw. */
  onLatency(listener: (ms: number) => void): () => void {
    this.#listeners.add(listener);
    return () => void this.#listeners.delete(listener);
  }

  async submit(command: Uint8Array, options?: OrderingOptions): Promise<Uint8Array> {
    if (this.#listeners.size === 0) return this.#ordering.submit(command, options);
    const began = this.#clock.now();
    const answer = await this.#ordering.submit(command, options);
    const ms = this.#clock.now() - began;
    for (const listener of this.#listeners) listener(ms);
    return answer;
  }

  query(
    query: Uint8Array,
    options?: OrderingOptions & { readonly consistency?: ReadConsistency | undefined },
  ): Promise<Uint8Array> {
    return this.#ordering.query(query, options);
  }

  subscribe(topic: string, subscriber: Subscriber): () => void {
    return this.#ordering.subscribe(topic, subscriber);
  }

  certify(query: Uint8Array, options?: OrderingOptions): Promise<Certificate> {
    return this.#ordering.certify(query, options);
  }
}
