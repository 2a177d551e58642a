/**
 * The author's side of one feed. Writes change the view at once and are remembered by key; `flush` turns
 * what differs from the last flush into envelopes. Writing a key many times between two flushes therefore
 * costs one item, and writing back the former value costs none.
 *
 * Compaction: every overwrite leaves an envelope in everybody's log. When the deltas outweigh the state by `compactFactor`, the live entries are written
 * into a fresh document, whose full encoding is the next envelope, a snapshot.
 */
import * as Y from 'yjs';
import { encodeValue } from '../codec.ts';
import { QuorateError } from '../errors.ts';
import type { Identity } from '../identity.ts';
import type { Value } from '../value.ts';
import { createFeedDoc, type EntryChange, valueFromBytes, writeEntries } from './document.ts';
import { type EnvelopeKind, envelopeOverheadBytes, sealEnvelope } from './envelope.ts';
import { FeedLog } from './feed-log.ts';
import type { StoreName } from './feeds.ts';
import type { FeedLimits } from './limits.ts';
import { encodePlain } from './plain-values.ts';
import { clientId } from './update-check.ts';
import { UpdateWriter } from './update-writer.ts';

/** What an entry takes in an update beside its key and value, with its deletion elsewhere: an upper bound. */
const entryOverheadBytes = 40;
/** Head and tail of an update. */
const updateOverheadBytes = 64;

/** What an entry became since the last flush; undefined when it was deleted. */
type PendingEntry = readonly [string, Uint8Array | undefined];

export interface OwnFeedOptions {
  readonly store: StoreName;
  readonly mesh: Uint8Array;
  readonly identity: Pick<Identity, 'publicKey' | 'sign'>;
  readonly epoch: number;
  readonly limits: FeedLimits;
}

export class OwnFeed {
  readonly values = new Map<string, Value>();
  readonly #options: OwnFeedOptions;
  readonly #encoded = new Map<string, Uint8Array>();
  readonly #dirty = new Set<string>();
  readonly #writer = new UpdateWriter();
  #stateBytes = 0;
  #log: FeedLog | undefined;
  #refreshDue = false;

  constructor(options: OwnFeedOptions) {
    this.#options = options;
  }

  get log(): FeedLog | undefined {
    return this.#log;
  }

  get dirty(): boolean {
    return this.#dirty.size > 0 || this.#refreshDue;
  }

  /** The next flush publishes the whole state once more, as news that is newer than whatever others remember. */
  refresh(): void {
    this.#refreshDue = this.#log !== undefined;
  }

  /** The change made, or undefined when the entry already was that value. Throws before anything is written. */
  set(key: string, value: Value): EntryChange | undefined {
    const keyBytes = this.#checkKey(key);
    if (value === undefined) {
      throw new QuorateError('UNSUPPORTED_VALUE', `"${key}" cannot be set to undefined; delete it instead.`, { key });
    }
    const plain = encodePlain(value);
    // A copy of its own: an encoder's result may be a view into a larger pool, and Yjs takes no Buffer.
    const bytes = plain?.bytes ?? new Uint8Array(encodeValue(value));
    const former = this.#encoded.get(key);
    if (former !== undefined && Buffer.compare(former, bytes) === 0) return undefined;
    this.#checkSize(key, keyBytes, bytes.length, former?.length);
    const copy = plain ?? valueFromBytes(bytes);
    if (copy === undefined) {
      throw new QuorateError('UNSUPPORTED_VALUE', `The value of "${key}" would not be readable elsewhere.`, { key });
    }
    const previous = this.values.get(key);
    this.#stateBytes += entrySize(keyBytes, bytes.length) - (former ? entrySize(keyBytes, former.length) : 0);
    this.#encoded.set(key, bytes);
    this.values.set(key, copy.value);
    this.#dirty.add(key);
    return { key, value: copy.value, previous };
  }

  delete(key: string): EntryChange | undefined {
    const former = this.#encoded.get(key);
    if (former === undefined) return undefined;
    const previous = this.values.get(key);
    this.#stateBytes -= entrySize(Buffer.byteLength(key), former.length);
    this.#encoded.delete(key);
    this.values.delete(key);
    this.#dirty.add(key);
    return { key, value: undefined, previous };
  }

  /** The envelopes that carry what changed since the last flush, in order; none when nothing did. */
  flush(): Uint8Array[] {
    const pending = this.#takePending();
    if (pending.length === 0 && !this.#refreshDue) return [];
    if (this.#log === undefined || this.#refreshDue) return [this.#snapshot()];
    const { maxDeltaBytes } = this.#options.limits;
    const due = this.#compactionDue(pending.reduce((sum, [key, bytes]) => sum + pendingSize(key, bytes), 0));
    const stateFits = this.#stateBytes + updateOverheadBytes + envelopeOverheadBytes <= maxDeltaBytes;
    if (due && stateFits) return [this.#snapshot()];
    // A snapshot over the limit of broadcast travels slowly, so the changes go ahead of it.
    const envelopes: Uint8Array[] = [];
    for (const chunk of this.#chunks(pending)) envelopes.push(this.#seal('delta', this.#writer.write(chunk)));
    if (due) envelopes.push(this.#snapshot());
    return envelopes;
  }

  #takePending(): PendingEntry[] {
    const pending: PendingEntry[] = [];
    for (const key of this.#dirty) {
      const bytes = this.#encoded.get(key);
      const before = this.#writer.written(key);
      const same = bytes === before || (bytes && before && Buffer.compare(bytes, before) === 0);
      if (!same) pending.push([key, bytes]);
    }
    this.#dirty.clear();
    return pending;
  }

  #compactionDue(pendingBytes: number): boolean {
    const { compactFactor, compactFloorBytes, maxFeedBytes, maxFeedEnvelopes, maxDeltaBytes } = this.#options.limits;
    const log = this.#log as FeedLog;
    const history = log.bytes - log.snapshotBytes + pendingBytes;
    if (history > Math.max(compactFloorBytes, compactFactor * this.#stateBytes)) return true;
    return log.bytes + pendingBytes + maxDeltaBytes > maxFeedBytes || log.count * 2 > maxFeedEnvelopes;
  }

  #snapshot(): Uint8Array {
    this.#refreshDue = false;
    this.#writer.restart(this.#encoded);
    const doc = createFeedDoc(clientId);
    writeEntries(doc, this.#encoded);
    const state = Y.encodeStateAsUpdate(doc);
    doc.destroy();
    return this.#seal('snapshot', state);
  }

  #seal(kind: EnvelopeKind, payload: Uint8Array): Uint8Array {
    const { mesh, store, epoch, identity } = this.#options;
    const head = this.#log?.head;
    const seq = (head?.seq ?? 0) + 1;
    const previous = head?.hash ?? new Uint8Array(32);
    const envelope = sealEnvelope({ mesh, kind, store, epoch, seq, previous, payload }, identity);
    if (kind === 'snapshot') this.#log = new FeedLog(envelope);
    else this.#log?.append(envelope);
    return envelope.bytes;
  }

  *#chunks(pending: readonly PendingEntry[]): Generator<readonly PendingEntry[]> {
    const room = this.#options.limits.maxDeltaBytes - envelopeOverheadBytes - updateOverheadBytes;
    let chunk: PendingEntry[] = [];
    let size = 0;
    for (const entry of pending) {
      const more = pendingSize(entry[0], entry[1]);
      if (size + more > room && chunk.length > 0) {
        yield chunk;
        chunk = [];
        size = 0;
      }
      chunk.push(entry);
      size += more;
    }
    if (chunk.length > 0) yield chunk;
  }

  #checkKey(key: string): number {
    const { maxKeyBytes } = this.#options.limits;
    const bytes = Buffer.byteLength(key);
    if (bytes === 0 || !key.isWellFormed()) {
      throw new QuorateError('INVALID_ARGUMENT', 'A key is well-formed text of at least one character.', { key });
    }
    if (bytes > maxKeyBytes) {
      throw new QuorateError('LIMIT_EXCEEDED', `A key has at most ${maxKeyBytes} bytes; this one has ${bytes}.`, {
        limit: maxKeyBytes,
        actual: bytes,
      });
    }
    return bytes;
  }

  #checkSize(key: string, keyBytes: number, valueBytes: number, formerBytes: number | undefined): void {
    const { maxValueBytes, maxKeys, maxSnapshotBytes } = this.#options.limits;
    if (valueBytes > maxValueBytes) {
      throw new QuorateError(
        'PAYLOAD_TOO_LARGE',
        `The value of "${key}" takes ${valueBytes} bytes, and ${maxValueBytes} is the limit; store less, or a reference to it.`,
        { key, limit: maxValueBytes, actual: valueBytes },
      );
    }
    const keys = this.values.size + (formerBytes === undefined ? 1 : 0);
    const freed = formerBytes === undefined ? 0 : entrySize(keyBytes, formerBytes);
    const state = this.#stateBytes - freed + entrySize(keyBytes, valueBytes);
    const room = maxSnapshotBytes - envelopeOverheadBytes - updateOverheadBytes;
    if (keys <= maxKeys && state <= room) return;
    throw new QuorateError(
      'LIMIT_EXCEEDED',
      `This node's "${this.#options.store}" entries have reached ${keys <= maxKeys ? `${room} bytes` : `${maxKeys} keys`}, the limit of one node; delete some, or spread them over more nodes.`,
      { store: this.#options.store, keys, bytes: state },
    );
  }
}

function entrySize(keyBytes: number, valueBytes: number): number {
  return keyBytes + valueBytes + entryOverheadBytes;
}

function pendingSize(key: string, bytes: Uint8Array | undefined): number {
  return entrySize(bytes === undefined ? 0 : Buffer.byteLength(key), bytes?.length ?? 0);
}
