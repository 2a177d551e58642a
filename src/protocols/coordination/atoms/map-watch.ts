/**
 * One reader's view of the changes of a map.
 *
 * Intuition: every event names the change of its map before it. While the chain holds, the reader hears each change as it came. When it
 * breaks (a lost event, a gap that the connection tells, a reader so slow that its queue was let go), the map is read page by page and
 * compared with what the reader was told; from there the chain is taken up again.
 *
 * Invariants: versions of one key are told in rising order; what was told last of a key is its latest state once nothing changes any
 * more; memory is bounded by the queue, and by the map while it is read.
 */
import type { Clock, Timer } from '../../../clock.ts';
import type { Value } from '../../../value.ts';
import { mayPass } from '../grants/pause.ts';
import type { MachineClient } from '../machine/machine-client.ts';
import { accepted } from '../refusal.ts';
import type { CoordinationTools } from '../tools.ts';
import { changeSchema, decodeStored, pageSchema, understood, wholeNumber } from './answers.ts';
import type { MapChange } from './atoms.ts';
import { maxPageEntries } from './limits.ts';
import { topicOf } from './map-reducer.ts';

/** How often the latest version is asked for although nothing was heard, milliseconds: mends a lost event that no other follows. */
const checkMs = 2_000;
/** Between attempts to read while nobody answers, milliseconds. */
const retryMs = 500;
/** What waits for a slow reader. */
const maxQueued = 10_000;
const maxQueuedBytes = 16 * 1024 * 1024;

export interface WatchTarget {
  readonly tools: CoordinationTools;
  readonly map: string;
  readonly prefix: string;
  /** Only the key that is the prefix. */
  readonly exact: boolean;
  readonly signal: AbortSignal | undefined;
}

interface Heard {
  readonly key: string;
  readonly version: number;
  readonly previous: number;
  readonly value?: Uint8Array | undefined;
}

interface Queued {
  readonly key: string;
  readonly version: number;
  readonly bytes: Uint8Array | undefined;
  readonly skipped: boolean;
}

export class MapWatch<V> implements AsyncIterable<MapChange<V>> {
  readonly #target: WatchTarget;

  constructor(target: WatchTarget) {
    this.#target = target;
  }

  [Symbol.asyncIterator](): AsyncIterator<MapChange<V>> {
    return new MapCursor<V>(this.#target);
  }
}

/** `following`: the chain holds up to `#last`. `reading`: what is heard waits. `stale`: nothing is kept until the reader asks again. */
type Phase = 'reading' | 'following' | 'stale' | 'ended';

class MapCursor<V> implements AsyncIterator<MapChange<V>> {
  readonly #target: WatchTarget;
  readonly #client: MachineClient;
  readonly #clock: Clock;
  readonly #unsubscribe: () => void;
  readonly #over = new AbortController();
  /** What the reader was told is there. */
  readonly #told = new Map<string, number>();
  readonly #readers: PromiseWithResolvers<IteratorResult<MapChange<V>>>[] = [];
  #phase: Phase = 'reading';
  #queue: Queued[] = [];
  #taken = 0;
  #queuedBytes = 0;
  /** What was read may wait whatever its size; what is heard after it is bounded. */
  #mostQueued = maxQueued;
  #mostQueuedBytes = maxQueuedBytes;
  #heard: Heard[] = [];
  #heardBytes = 0;
  #last = 0;
  /** True once the reader has seen the map: what is found by reading after that was skipped to. */
  #begun = false;
  /** The latest version, at the last check; whoever is still behind it at the next has missed something. */
  #doubt = 0;
  #timer: Timer | undefined;
  #failure: { readonly error: unknown } | undefined;

  constructor(target: WatchTarget) {
    this.#target = target;
    this.#client = target.tools.client;
    this.#clock = target.tools.clock;
    this.#unsubscribe = this.#client.subscribe(topicOf(target.map), {
      onEvent: (payload) => this.#onEvent(payload),
      onGap: () => void this.#check(true),
    });
    target.signal?.addEventListener('abort', this.#onAbort, { once: true });
    if (target.signal?.aborted) this.#end();
    else this.#readAgain();
  }

  next(): Promise<IteratorResult<MapChange<V>>> {
    const reader = Promise.withResolvers<IteratorResult<MapChange<V>>>();
    this.#readers.push(reader);
    this.#serve();
    if (this.#phase === 'stale' && this.#waiting === 0) this.#readAgain();
    return reader.promise;
  }

  async return(): Promise<IteratorResult<MapChange<V>>> {
    this.#end();
    return { done: true, value: undefined };
  }

  readonly #onAbort = (): void => this.#end();

  #onEvent(payload: Value): void {
    const heard = understood(changeSchema, payload);
    if (this.#phase === 'reading') this.#keep(heard);
    else if (this.#phase === 'following' && !this.#follow(heard)) this.#readAgain();
    this.#serve();
  }

  /** Takes up the next link of the chain; false when it is not the next. */
  #follow(heard: Heard): boolean {
    if (heard.version <= this.#last) return true;
    if (heard.previous !== this.#last) return false;
    this.#last = heard.version;
    if (this.#concerns(heard.key)) {
      this.#push({ key: heard.key, version: heard.version, bytes: heard.value, skipped: false });
    }
    return true;
  }

  #keep(heard: Heard): void {
    this.#heard.push(heard);
    this.#heardBytes += heard.value?.length ?? 0;
    // Too much to keep: the chain will be found broken there, and the map is read once more.
    if (this.#heard.length > maxQueued || this.#heardBytes > maxQueuedBytes) this.#forgetHeard();
  }

  #forgetHeard(): void {
    this.#heard = [];
    this.#heardBytes = 0;
  }

  #push(change: Queued): void {
    this.#queue.push(change);
    this.#queuedBytes += change.bytes?.length ?? 0;
    if (this.#waiting <= this.#mostQueued && this.#queuedBytes <= this.#mostQueuedBytes) return;
    if (this.#phase !== 'following') return;
    this.#dropQueue();
    this.#phase = 'stale';
  }

  get #waiting(): number {
    return this.#queue.length - this.#taken;
  }

  #shift(): Queued | undefined {
    const change = this.#queue[this.#taken];
    if (change === undefined) return undefined;
    this.#taken += 1;
    this.#queuedBytes -= change.bytes?.length ?? 0;
    if (this.#taken === this.#queue.length || this.#taken === 4096) {
      this.#queue = this.#queue.slice(this.#taken);
      this.#taken = 0;
    }
    return change;
  }

  #dropQueue(): void {
    this.#queue = [];
    this.#taken = 0;
    this.#queuedBytes = 0;
  }

  #concerns(key: string): boolean {
    return this.#target.exact ? key === this.#target.prefix : key.startsWith(this.#target.prefix);
  }

  /** Hands out what waits to those who wait for it. */
  #serve(): void {
    while (this.#readers.length > 0) {
      const change = this.#phase === 'ended' ? undefined : this.#shift();
      if (change === undefined && this.#phase !== 'ended') return;
      const reader = this.#readers.shift();
      if (change !== undefined) this.#tell(reader, change);
      else if (this.#failure === undefined) reader?.resolve({ done: true, value: undefined });
      else {
        reader?.reject(this.#failure.error);
        this.#failure = undefined;
      }
    }
  }

  #tell(reader: PromiseWithResolvers<IteratorResult<MapChange<V>>> | undefined, change: Queued): void {
    const { key, version, bytes, skipped } = change;
    if (bytes === undefined) this.#told.delete(key);
    else this.#told.set(key, version);
    const value: MapChange<V> =
      bytes === undefined
        ? { key, version, skipped, deleted: true, value: undefined }
        : { key, version, skipped, deleted: false, value: decodeStored<V>(bytes) };
    reader?.resolve({ done: false, value });
  }

  #readAgain(): void {
    if (this.#phase === 'ended') return;
    this.#phase = 'reading';
    this.#dropQueue();
    this.#forgetHeard();
    this.#timer?.cancel();
    void this.#read();
  }

  async #read(): Promise<void> {
    try {
      const read = await this.#readMap();
      if (this.#phase === 'ended') return;
      this.#compare(read);
      this.#mostQueued = maxQueued + this.#waiting;
      this.#mostQueuedBytes = maxQueuedBytes + this.#queuedBytes;
      this.#phase = 'following';
      this.#last = read.first;
      this.#begun = true;
      this.#doubt = 0;
      if (!this.#takeUp(read)) {
        // Not all that happened while the map was read has been heard: what was read is true, and comes first.
        this.#serve();
        this.#readAgain();
        return;
      }
      this.#checkLater();
      this.#serve();
    } catch (error) {
      this.#onTrouble(error, () => void this.#read());
    }
  }

  /** Every page, and the latest version when the first was read. */
  async #readMap(): Promise<Reading> {
    const entries = new Map<string, Stored>();
    let first: number | undefined;
    let after: string | undefined;
    do {
      const { map, prefix, exact } = this.#target;
      const where = after === undefined ? {} : { after };
      const query = { kind: 'map.page', name: map, prefix, limit: exact ? 1 : maxPageEntries, ...where };
      const answer = await this.#client.query(query, { signal: this.#over.signal });
      const page = understood(pageSchema, accepted(answer, {}));
      first ??= page.last;
      for (const [key, bytes, version] of page.entries) if (this.#concerns(key)) entries.set(key, { bytes, version });
      after = exact ? undefined : page.next;
    } while (after !== undefined);
    return { entries, first };
  }

  /** Queues the way from what the reader knows to what was read. */
  #compare({ entries, first }: Reading): void {
    const skipped = this.#begun;
    for (const key of this.#told.keys()) {
      if (!entries.has(key)) this.#push({ key, version: first, bytes: undefined, skipped: true });
    }
    for (const [key, { bytes, version }] of entries) {
      if (this.#told.get(key) !== version) this.#push({ key, version, bytes, skipped });
    }
  }

  /** What was heard while the map was read: pages that were read later contain it already. */
  #takeUp({ entries }: Reading): boolean {
    const heard = this.#heard;
    this.#forgetHeard();
    for (const one of heard) {
      if (one.version <= this.#last) continue;
      if (one.previous !== this.#last) return false;
      const there = entries.get(one.key);
      const known = there === undefined ? one.value === undefined : there.version >= one.version;
      if (known || !this.#concerns(one.key)) {
        this.#last = one.version;
        continue;
      }
      this.#follow(one);
      if (one.value === undefined) entries.delete(one.key);
      else entries.set(one.key, { bytes: one.value, version: one.version });
    }
    return true;
  }

  #checkLater(): void {
    this.#timer?.cancel();
    this.#timer = this.#clock.after(checkMs, () => void this.#check(false));
  }

  /** `lost`: what has not been heard by now will not come. */
  async #check(lost: boolean): Promise<void> {
    if (this.#phase !== 'following') {
      // Events may be missing among those that wait for the reading to end; their chain will show it.
      return;
    }
    try {
      const answer = await this.#client.query(
        { kind: 'map.last', name: this.#target.map },
        { signal: this.#over.signal },
      );
      const latest = wholeNumber(accepted(answer, {}));
      if (this.#phase !== 'following') return;
      if (this.#last < (lost ? latest : this.#doubt)) {
        this.#readAgain();
        return;
      }
      this.#doubt = latest;
      this.#checkLater();
    } catch (error) {
      this.#onTrouble(error, () => void this.#check(lost));
    }
  }

  #onTrouble(error: unknown, again: () => void): void {
    if (this.#phase === 'ended') return;
    if (mayPass(error)) {
      this.#timer?.cancel();
      this.#timer = this.#clock.after(retryMs, again);
      return;
    }
    this.#failure = { error };
    this.#end();
  }

  #end(): void {
    if (this.#phase === 'ended') return;
    this.#phase = 'ended';
    this.#over.abort();
    this.#unsubscribe();
    this.#timer?.cancel();
    this.#target.signal?.removeEventListener('abort', this.#onAbort);
    this.#dropQueue();
    this.#forgetHeard();
    this.#told.clear();
    this.#serve();
  }
}

interface Stored {
  readonly bytes: Uint8Array;
  readonly version: number;
}

interface Reading {
  readonly entries: Map<string, Stored>;
  readonly first: number;
}
