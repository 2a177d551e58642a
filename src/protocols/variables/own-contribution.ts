/** What this node contributes to a variable: kept, and written for others with the choice it shows. */
import type { Clock } from '../../clock.ts';
import type { Value } from '../../value.ts';
import type { SharedEntries } from '../sharing/shared-entries.ts';
import type { Definition } from './definition.ts';
import { contributionKey, writeContribution } from './entries.ts';
import { OwnEntry } from './own-entry.ts';
import type { Held } from './switching.ts';
import type { Contribution } from './variables.ts';

export interface OwnContributionTools {
  readonly entries: SharedEntries;
  readonly clock: Clock;
  readonly onError: (error: unknown, where: string) => void;
}

export class OwnContribution<T> {
  readonly #definition: Definition<T>;
  readonly #entry: OwnEntry;
  readonly #onError: OwnContributionTools['onError'];
  #current: Contribution<T> | undefined;
  #held: Held<T> | undefined;
  #isWriting = false;

  constructor(definition: Definition<T>, { entries, clock, onError }: OwnContributionTools) {
    this.#definition = definition;
    this.#onError = onError;
    this.#entry = new OwnEntry({ key: contributionKey(definition.name), entries, clock, onError });
  }

  get current(): Contribution<T> | undefined {
    return this.#current;
  }

  /** As the entries of others are read: the contribution, and the choice that was written beside it. */
  get said(): { readonly contribution: Contribution<T>; readonly held: Held<T> | undefined } | undefined {
    return this.#current === undefined ? undefined : { contribution: this.#current, held: this.#held };
  }

  /** True while an entry is being written: whoever listens to entries hears of it, and has nothing to do. */
  get isWriting(): boolean {
    return this.#isWriting;
  }

  /** Throws what `SharedEntries.set` throws, and then nothing has changed. */
  set(contribution: Contribution<T>): void {
    const former = this.#current;
    this.#current = Object.freeze(contribution);
    try {
      this.#write();
    } catch (error) {
      this.#current = former;
      throw error;
    }
  }

  /** Failures are reported: nobody waits for it. */
  hold(held: Held<T>): void {
    this.#held = held;
    try {
      this.#write();
    } catch (error) {
      this.#onError(error, `variable "${this.#definition.name}"`);
    }
  }

  withdraw(): void {
    this.#current = undefined;
    this.#held = undefined;
    this.#quietly(() => this.#entry.clear());
  }

  /** Writes nothing more; the entry stays. */
  stop(): void {
    this.#entry.stop();
  }

  #write(): void {
    const { scope, version, digest } = this.#definition;
    if (scope === 'node' || this.#current === undefined) return;
    const { value, weight, performance, at } = this.#current;
    const held = this.#held && { value: this.#held.value as Value, since: this.#held.since };
    const entry = { value: value as Value, weight, performance, at, version, digest, held };
    this.#quietly(() => this.#entry.write(writeContribution(entry)));
  }

  #quietly(write: () => void): void {
    this.#isWriting = true;
    try {
      write();
    } finally {
      this.#isWriting = false;
    }
  }
}
