/** Shared entries of a mesh of one process: its own, under the same bounds as in a cluster. */
import { decodeValue, encodeValue } from '../../codec.ts';
import { EntriesView } from '../../crdt/entries-view.ts';
import { defaultFeedLimits } from '../../crdt/limits.ts';
import { QuorateError } from '../../errors.ts';
import type { NodeId } from '../../node-id.ts';
import type { Value } from '../../value.ts';
import { EntryListeners } from './entry-listeners.ts';
import type { EntriesListener, SharedEntries, Standing } from './shared-entries.ts';

export interface LocalEntriesOptions {
  readonly self: NodeId;
  readonly zone: string;
  readonly onError: (error: unknown, where: string) => void;
}

export class LocalEntries implements SharedEntries {
  readonly self: NodeId;
  readonly #zone: string;
  readonly #listeners: EntryListeners;
  readonly #view: EntriesView;

  constructor({ self, zone, onError }: LocalEntriesOptions) {
    this.self = self;
    this.#zone = zone;
    this.#listeners = new EntryListeners(onError);
    this.#view = new EntriesView((keys) => this.#listeners.tell(keys));
  }

  set(key: string, value: Value): void {
    const bytes = encodeValue(value);
    const { maxValueBytes } = defaultFeedLimits;
    if (bytes.length > maxValueBytes) {
      throw new QuorateError(
        'PAYLOAD_TOO_LARGE',
        `The value of "${key}" takes ${bytes.length} bytes, and ${maxValueBytes} is the limit; store less, or a reference to it.`,
        { key, limit: maxValueBytes, actual: bytes.length },
      );
    }
    const former = this.own(key);
    if (former !== undefined && Buffer.compare(encodeValue(former), bytes) === 0) return;
    // A copy, as others would read it: what the writer does to its object later is not said to anybody.
    const copy = decodeValue(bytes);
    if (!copy.ok) {
      throw new QuorateError('UNSUPPORTED_VALUE', `The value of "${key}" would not be readable elsewhere.`, { key });
    }
    this.#view.apply([{ author: this.self, key, value: copy.value }]);
  }

  delete(key: string): void {
    this.#view.apply([{ author: this.self, key, value: undefined }]);
  }

  own(key: string): Value {
    return this.#view.of(key).get(this.self);
  }

  of(key: string): ReadonlyMap<NodeId, Value> {
    return this.#view.of(key);
  }

  keys(): Iterable<string> {
    return this.#view.keys();
  }

  onKey(key: string, listener: EntriesListener): () => void {
    return this.#listeners.onKey(key, listener);
  }

  onPrefix(prefix: string, listener: EntriesListener): () => void {
    return this.#listeners.onPrefix(prefix, listener);
  }

  nodes(): readonly NodeId[] {
    return [this.self];
  }

  /** One process is never joined by another. */
  onNodes(_listener: () => void): () => void {
    return () => undefined;
  }

  zoneOf(node: NodeId): string | undefined {
    return node === this.self ? this.#zone : undefined;
  }

  standing(node: NodeId): Standing {
    return node === this.self ? 'live' : 'unknown';
  }
}
