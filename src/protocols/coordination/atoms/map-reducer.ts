/**
 * Maps whose entries have versions.
 *
 * Intuition: a version is the token of the change that made the entry, so it is never used twice, not even for a key that was deleted
 * and made anew; whoever names a version names one value. Each event names the change of its map before it, so that a listener knows by
 * itself when it missed one.
 *
 * Invariants: versions of a map rise from change to change; a conditional write that is refused changes nothing; what is stored
 * is a decodable value; keys and values together stay within `maxMapBytes`.
 */
import * as v from 'valibot';
import { decodePayload, encodePayload } from '../../../payload.ts';
import type { Value } from '../../../value.ts';
import { maxNameLength, maxThings, maxValueBytes } from '../machine/limits.ts';
import { type Answer, done, type Reducer, type ReducerContext, refused } from '../machine/reducer.ts';
import { maxMapBytes, maxPageBytes, maxPageEntries } from './limits.ts';
import { SortedKeys } from './sorted-keys.ts';

const name = v.pipe(v.string(), v.minLength(1), v.maxLength(maxNameLength));
const key = v.pipe(v.string(), v.maxLength(maxNameLength));
const value = v.pipe(
  v.instance(Uint8Array),
  v.check((bytes) => bytes.length <= maxValueBytes, 'larger than a value may be'),
);
const version = v.pipe(v.number(), v.safeInteger(), v.minValue(0));

const mapCommand = v.variant('kind', [
  v.strictObject({ kind: v.literal('map.set'), name, key, value, ifVersion: v.optional(version) }),
  v.strictObject({ kind: v.literal('map.delete'), name, key, ifVersion: v.optional(version) }),
]);
const mapQuery = v.variant('kind', [
  v.strictObject({ kind: v.literal('map.get'), name, key }),
  v.strictObject({
    kind: v.literal('map.page'),
    name,
    prefix: key,
    after: v.optional(key),
    limit: v.pipe(v.number(), v.integer(), v.minValue(1), v.maxValue(maxPageEntries)),
  }),
  /** The version of the latest change of any entry; 0 before the first. */
  v.strictObject({ kind: v.literal('map.last'), name }),
]);
const mapSnapshot = v.array(
  v.strictTuple([name, version, v.array(v.strictTuple([key, v.instance(Uint8Array), version]))]),
);

export type MapCommand = v.InferOutput<typeof mapCommand>;
export type MapQuery = v.InferOutput<typeof mapQuery>;

interface Entry {
  readonly bytes: Uint8Array;
  readonly version: number;
}

interface Table {
  last: number;
  readonly entries: Map<string, Entry>;
  readonly keys: SortedKeys;
}

function stored(key: string, entries: ReadonlyMap<string, Entry>): Value {
  const { bytes, version } = entries.get(key) as Entry;
  return [key, bytes, version];
}

/** Above what its encoding takes. */
const costOf = (of: string, entry: Entry): number => 64 + 3 * of.length + entry.bytes.length;
const costOfMap = (of: string): number => 64 + 3 * of.length;

export class MapReducer implements Reducer<MapCommand, MapQuery> {
  readonly name = 'map';
  readonly commands = mapCommand;
  readonly queries = mapQuery;
  readonly #maxBytes: number;
  readonly #tables = new Map<string, Table>();
  #bytes = 0;

  /** `maxBytes` for tests; all replicas must have the same. */
  constructor(maxBytes: number = maxMapBytes) {
    this.#maxBytes = maxBytes;
  }

  apply(command: MapCommand, context: ReducerContext): Answer {
    const present = this.#tables.get(command.name)?.entries.get(command.key);
    const { ifVersion } = command;
    if (ifVersion !== undefined && ifVersion !== (present?.version ?? 0))
      return conflict(command.key, ifVersion, present);
    return command.kind === 'map.set' ? this.#set(command, present, context) : this.#delete(command, present, context);
  }

  query(query: MapQuery): Answer {
    const table = this.#tables.get(query.name);
    if (query.kind === 'map.last') return done(table?.last ?? 0);
    if (query.kind === 'map.page') return done(page(table, query));
    const entry = table?.entries.get(query.key);
    return done(entry && [entry.bytes, entry.version]);
  }

  expire(): void {}

  settled(): undefined {
    return undefined;
  }

  /** Encoded here: this is most of what a group stores, and the canonical encoding takes longer. */
  snapshot(): Value {
    const tables = [...this.#tables].sort(([a], [b]) => (a < b ? -1 : 1));
    const listed = tables.map(([of, { last, entries, keys }]) => [
      of,
      last,
      keys.all().map((one) => stored(one, entries)),
    ]);
    return encodePayload(listed, 2 * maxMapBytes);
  }

  restore(snapshot: Value): void {
    const decoded = snapshot instanceof Uint8Array ? decodePayload(snapshot) : ({ ok: false } as const);
    const tables = v.parse(mapSnapshot, decoded.ok ? decoded.value : undefined);
    this.#tables.clear();
    this.#bytes = 0;
    for (const [of, last, listed] of tables) {
      const table: Table = { last, entries: new Map(), keys: new SortedKeys(listed.map(([one]) => one)) };
      for (const [one, bytes, at] of listed) {
        const entry = { bytes, version: at };
        table.entries.set(one, entry);
        this.#bytes += costOf(one, entry);
      }
      this.#tables.set(of, table);
      this.#bytes += costOfMap(of);
    }
  }

  #set(command: MapCommand & { kind: 'map.set' }, present: Entry | undefined, context: ReducerContext): Answer {
    if (!decodePayload(command.value).ok) return refused('INVALID_ARGUMENT', { reason: 'value: no encoded value' });
    const table = this.#tables.get(command.name) ?? this.#create();
    const entry = { bytes: command.value, version: 0 };
    const before = present === undefined ? 0 : costOf(command.key, present);
    const isNew = !this.#tables.has(command.name);
    const grown = costOf(command.key, entry) - before + (isNew ? costOfMap(command.name) : 0);
    if (table === undefined) return refused('LIMIT_EXCEEDED', { limit: maxThings, what: 'maps' });
    if (grown > 0 && this.#bytes + grown > this.#maxBytes) {
      return refused('LIMIT_EXCEEDED', { limit: this.#maxBytes, what: 'bytes' });
    }
    const previous = table.last;
    const changed = context.nextToken();
    table.last = changed;
    table.entries.set(command.key, { ...entry, version: changed });
    if (present === undefined) table.keys.add(command.key);
    this.#tables.set(command.name, table);
    this.#bytes += grown;
    context.emit(topicOf(command.name), { key: command.key, version: changed, previous, value: command.value });
    return done(changed);
  }

  #create(): Table | undefined {
    if (this.#tables.size >= maxThings) return undefined;
    return { last: 0, entries: new Map(), keys: new SortedKeys([]) };
  }

  #delete(command: MapCommand & { kind: 'map.delete' }, present: Entry | undefined, context: ReducerContext): Answer {
    const table = this.#tables.get(command.name);
    if (present === undefined || table === undefined) return done(false);
    const previous = table.last;
    // The map is kept though it be empty, so that listeners can tell that they missed nothing.
    table.last = context.nextToken();
    table.entries.delete(command.key);
    table.keys.delete(command.key);
    this.#bytes -= costOf(command.key, present);
    context.emit(topicOf(command.name), { key: command.key, version: table.last, previous });
    return done(true);
  }
}

export const topicOf = (map: string): string => `map/${map}`;

function conflict(key: string, expected: number, present: Entry | undefined): Answer {
  const data = { key, expected, actual: present?.version ?? 0 };
  return refused('CONFLICT', present === undefined ? data : { ...data, value: present.bytes });
}

function page(table: Table | undefined, query: MapQuery & { kind: 'map.page' }): Value {
  const entries: Value[] = [];
  let bytes = 0;
  let next: string | undefined;
  for (const key of table?.keys.from(query.prefix, query.after) ?? []) {
    if (!key.startsWith(query.prefix)) break;
    const entry = table?.entries.get(key) as Entry;
    bytes += costOf(key, entry);
    const full = entries.length === query.limit || (bytes > maxPageBytes && entries.length > 0);
    if (full) {
      next = (entries.at(-1) as [string])[0];
      break;
    }
    entries.push([key, entry.bytes, entry.version]);
  }
  return { last: table?.last ?? 0, entries, next };
}
