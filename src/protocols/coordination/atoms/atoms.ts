/**
 * Small shared variables with one true value: numbers that are never given twice, counters, and maps
 * whose entries are changed only by who has seen their latest state.
 *
 * Every change is one ordered command. Those that took place are told so; a change whose outcome is unknown (`UNKNOWN_OUTCOME`) may
 * have taken place, or may still.
 */
import type { Value } from '../../../value.ts';
import type { OrderingOptions, ReadConsistency } from '../ordering.ts';

export interface ReadOptions extends OrderingOptions {
  /** Default `linearizable`. */
  readonly consistency?: ReadConsistency | undefined;
}

export interface Atoms {
  /** The sequence of that name, which begins at 1. Names are 1 to 256 characters. */
  sequence(name: string): Sequence;
  /** The counter of that name, which begins at 0. */
  counter(name: string): Counter;
  /** The map of that name, empty at first. */
  map<V = Value>(name: string): StrongMap<V>;
}

export interface Sequence {
  readonly name: string;
  /**
   * Reserves `count` numbers (default 1, at most 2^32) and resolves with the first of them. No number is ever given twice; a gap
   * is left only by a call that ended with `UNKNOWN_OUTCOME`. Throws `LIMIT_EXCEEDED` when 2^53 − 1 is passed, and as
   * every command does.
   *
   * @example
   * const invoice = await mesh.coordination.sequence('invoices').next();
   */
  next(options?: OrderingOptions & { readonly count?: number | undefined }): Promise<number>;
}

export interface Counter {
  readonly name: string;
  /**
   * Adds a whole number, which may be negative, and resolves with the sum. Throws `LIMIT_EXCEEDED`, and changes nothing, when the sum would
   * leave ±(2^53 − 1): it never wraps and never loses precision.
   *
   * @example
   * const left = await mesh.coordination.counter('seats').add(-1);
   */
  add(amount: number, options?: OrderingOptions): Promise<number>;
  value(options?: ReadOptions): Promise<number>;
}

/** A value and the number of the change that made it. Versions rise with every change of any entry, and are never 0. */
export interface Versioned<V> {
  readonly value: V;
  readonly version: number;
}

export interface MapEntry<V> extends Versioned<V> {
  readonly key: string;
}

export type Swap<V> =
  | { readonly ok: true; readonly version: number }
  /** Somebody else was first: what is there now; version 0 and no value when nothing is. */
  | { readonly ok: false; readonly version: number; readonly value: V | undefined };

export interface MapPage<V> {
  /** In the order of their keys (by UTF-16 code units). */
  readonly entries: readonly MapEntry<V>[];
  /** Pass it as `after` for the next page; undefined when this is the last. */
  readonly next: string | undefined;
}

export type MapChange<V> = {
  readonly key: string;
  readonly version: number;
  /**
   * True when changes before this one may have been left out (a connection was lost, or the reader was slow): then it is the latest
   * state of the key. False: of this key, nothing was left out since the last one told.
   */
  readonly skipped: boolean;
} & ({ readonly deleted: false; readonly value: V } | { readonly deleted: true; readonly value: undefined });

/** Conditional writes name the version they have seen; 0 means that there must be no entry. */
export interface WriteOptions extends OrderingOptions {
  readonly ifVersion?: number | undefined;
}

export interface StrongMap<V = Value> {
  readonly name: string;
  get(key: string, options?: ReadOptions): Promise<Versioned<V> | undefined>;
  /**
   * Writes an entry and resolves with its new version. Throws `CONFLICT` when `ifVersion` is not the entry's, `LIMIT_EXCEEDED` when the
   * maps are full, `PAYLOAD_TOO_LARGE` above 32 KiB.
   */
  set(key: string, value: V, options?: WriteOptions): Promise<{ readonly version: number }>;
  /**
   * `set` under a condition, with the other outcome as a result: read, compute, swap, and start over with what it returns.
   *
   * @example
   * let seen = await config.get('limit');
   * for (;;) {
   *   const swap = await config.compareAndSet('limit', seen?.version ?? 0, (seen?.value ?? 0) + 1);
   *   if (swap.ok) break;
   *   seen = swap.version === 0 ? undefined : { value: swap.value!, version: swap.version };
   * }
   */
  compareAndSet(key: string, expectedVersion: number, value: V, options?: OrderingOptions): Promise<Swap<V>>;
  /** True when there was an entry. Throws `CONFLICT` when `ifVersion` is not the entry's. */
  delete(key: string, options?: WriteOptions): Promise<boolean>;
  /** One page of at most `limit` entries (default and most 1,000; fewer when they are large), all of one moment. */
  entries(
    options?: ReadOptions & {
      readonly prefix?: string | undefined;
      readonly limit?: number | undefined;
      readonly after?: string | undefined;
    },
  ): Promise<MapPage<V>>;
  /**
   * Follows one key (a string) or all keys with a prefix. Begins with the entries that are there, then tells every change in order, as long as
   * none is lost; after a loss, the latest state of what changed, marked `skipped`. Ends when `signal` aborts or the loop is left.
   * It outlasts times without a quorum.
   *
   * @example
   * for await (const { key, value, deleted } of flags.watch({ prefix: 'beta/' }, { signal })) console.log(key, deleted ? 'off' : value);
   */
  watch(
    what: string | { readonly prefix: string },
    options?: { readonly signal?: AbortSignal | undefined },
  ): AsyncIterable<MapChange<V>>;
}
