/** Shared entries of a mesh of one process: its own, under the same bounds as in a cluster. */
import { decodeValue, encodeValue } from '../../codec.ts';
import { defaultFeedLimits } from '../../crdt/limits.ts';
import { QuorateError } from '../../errors.ts';
import type { NodeId } from '../../node-id.ts';
import type { Value } from '../../value.ts';
import type { SharedEntries, Standing } from './shared-entries.ts';
import { ViewedEntries } from './viewed-entries.ts';

export interface LocalEntriesOptions {
  readonly self: NodeId;
  readonly zone: string;
  readonly onError: (error: unknown, where: string) => void;
}

export class LocalEntries extends ViewedEntries implements SharedEntries {
  readonly self: NodeId;
  readonly #zone: string;

  constructor({ self, zone, onError }: LocalEntriesOptions) {
    super(onError);
    this.self = self;
    this.#zone = zone;
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
    this.view.apply([{ author: this.self, key, value: copy.value }]);
  }

  delete(key: string): void {
    this.view.apply([{ author: this.self, key, value: undefined }]);
  }

  own(key: string): Value {
    return this.view.of(key).get(this.self);
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
