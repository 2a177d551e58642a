/**
 * Records of agents, and how they get in: metadata from the application and entries from other nodes'
 * feeds pass the same readers. A reader copies what it accepts into fresh, frozen values and notes what it
 * refuses under the field's path, so nothing of the input is shared, no getter or prototype of it survives,
 * and one pass finds every mistake.
 *
 * Invariant: equal entries give equal verdicts on every node; no limit here depends on local state. An
 * entry that is refused is treated as deleted, whatever was there before, so that late joiners agree.
 */
import type { NodeId } from '../node-id.ts';
import type { AgentId, Value } from '../value.ts';

export type Health = 'healthy' | 'degraded' | 'unhealthy';

/** What an agent says of itself. `capabilities` is required; the rest has the defaults given. */
export interface AgentMetadata<Custom = Record<string, Value>> {
  /** What it can do; at most 64 names of 1 to 128 bytes; repeated names count once. Indexed. */
  readonly capabilities: readonly string[];
  /** A class of agents, e.g. `worker`. Indexed. Default: none. */
  readonly kind?: string;
  /** Default: the zone of the node. Indexed. */
  readonly zone?: string;
  /** Default `healthy`. Indexed. `resolve` by criteria skips `unhealthy` agents. */
  readonly health?: Health;
  /** Free resources by name, at most 32, finite and not negative, e.g. `{ cpu: 0.8, memoryMB: 2048 }`. Default: none. */
  readonly capacity?: Readonly<Record<string, number>>;
  /** Default: not latency sensitive, `eventual`. */
  readonly preferences?: {
    readonly latencySensitive?: boolean;
    readonly consistency?: 'eventual' | 'strong';
  };
  /** At most 128 bytes. Default: none. */
  readonly version?: string;
  /**
   * The user's own fields: plain structured values, copied; at most 16 KiB, 16 levels and 1,024 values.
   * Checked by the mesh's metadata schema when one is given. Default: none.
   */
  readonly custom?: Custom;
}

/** An agent as the registry knows it. Frozen, with all plain objects and lists in it: a change makes a new record. */
export interface AgentRecord<Custom = Record<string, Value>> {
  readonly id: AgentId;
  /** The node whose process runs it. */
  readonly node: NodeId;
  readonly capabilities: readonly string[];
  readonly kind: string | undefined;
  readonly zone: string;
  readonly health: Health;
  readonly capacity: Readonly<Record<string, number>>;
  readonly preferences: { readonly latencySensitive: boolean; readonly consistency: 'eventual' | 'strong' };
  readonly version: string | undefined;
  readonly custom: Custom;
  /** When the id was claimed: hybrid logical clock, milliseconds since 1970 in its upper part. */
  readonly claimedAt: number;
  /** Set when the id was granted by the validators (`consistency: 'strong'`): no other node has it, whatever it says. */
  readonly strong: StrongClaim | undefined;
}

/** An exclusive grant of an id. */
export interface StrongClaim {
  /** Fencing token: higher than that of every earlier owner of the id. */
  readonly token: number;
  /** An encoded certificate of the validators. */
  readonly proof: Uint8Array;
}

/** The metadata of a record: what an agent may change without claiming its id anew. */
export type RecordFields = Omit<AgentRecord, 'id' | 'node' | 'claimedAt' | 'strong'>;

/** Field path → what is wrong with it. */
export type Problems = Map<string, string>;

const maxIdBytes = 256;
const maxLabelBytes = 128;
const maxCapabilities = 64;
const maxResources = 32;
const customLimits = { bytes: 16 * 1024, depth: 16, values: 1024 };

const noResources: Readonly<Record<string, number>> = Object.freeze({});
const noCustom: Record<string, Value> = Object.freeze({});
/** The four possible preferences, shared by all records. */
const preferences = {
  eventual: {
    calm: Object.freeze({ latencySensitive: false, consistency: 'eventual' as const }),
    urgent: Object.freeze({ latencySensitive: true, consistency: 'eventual' as const }),
  },
  strong: {
    calm: Object.freeze({ latencySensitive: false, consistency: 'strong' as const }),
    urgent: Object.freeze({ latencySensitive: true, consistency: 'strong' as const }),
  },
};

/** A string that other nodes will read as the same bytes: well-formed UTF-16, of 1 to `maxBytes` bytes as UTF-8. */
function isText(value: unknown, maxBytes: number): value is string {
  if (typeof value !== 'string' || value.length === 0 || value.length > maxBytes) return false;
  // UTF-8 takes at most three bytes for a UTF-16 unit, so short strings need no encoding to be measured.
  return value.isWellFormed() && (value.length * 3 <= maxBytes || Buffer.byteLength(value) <= maxBytes);
}

/**
 * One string for all equal names: thousands of agents share a few zones, kinds and capabilities, and each
 * entry that is decoded brings its own copies. Saves memory, and a comparison finds the string in the
 * cache. Only that: when a flood of names fills the table, it starts anew.
 */
const shared = new Map<string, string>();
const maxShared = 4096;

function share(name: string): string {
  const known = shared.get(name);
  if (known !== undefined) return known;
  if (shared.size >= maxShared) shared.clear();
  shared.set(name, name);
  return name;
}

/** What is wrong with an agent id, or undefined. */
export function agentIdProblem(id: unknown): string | undefined {
  return isText(id, maxIdBytes) ? undefined : `must be a string of 1 to ${maxIdBytes} bytes`;
}

/** Of any realm, and without prototype too; an object whose prototype is an object of the input is not. */
export function isPlainObject(value: unknown): value is Record<string, unknown> {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return false;
  const prototype = Object.getPrototypeOf(value);
  return prototype === null || Object.getPrototypeOf(prototype) === null;
}

type Reader<T> = (value: unknown, problems: Problems) => T | undefined;

const readCapabilities: Reader<readonly string[]> = (value, problems) => {
  if (!Array.isArray(value) || value.length > maxCapabilities) {
    problems.set('capabilities', `must be a list of at most ${maxCapabilities} names`);
    return undefined;
  }
  for (const name of value) {
    if (isText(name, maxLabelBytes)) continue;
    problems.set('capabilities', `each must be a string of 1 to ${maxLabelBytes} bytes`);
    return undefined;
  }
  return Object.freeze([...new Set<string>(value.map(share))]);
};

const readLabel =
  (field: string): Reader<string> =>
  (value, problems) => {
    if (isText(value, maxLabelBytes)) return share(value);
    problems.set(field, `must be a string of 1 to ${maxLabelBytes} bytes`);
    return undefined;
  };

const readHealth: Reader<Health> = (value, problems) => {
  if (value === 'healthy' || value === 'degraded' || value === 'unhealthy') return value;
  problems.set('health', "must be 'healthy', 'degraded' or 'unhealthy'");
  return undefined;
};

const readCapacity: Reader<Readonly<Record<string, number>>> = (value, problems) => {
  if (!isPlainObject(value)) {
    problems.set('capacity', 'must be an object of numbers by resource name');
    return undefined;
  }
  const names = Object.keys(value);
  if (names.length === 0) return noResources;
  if (names.length > maxResources) {
    problems.set('capacity', `must name at most ${maxResources} resources`);
    return undefined;
  }
  const copy: Record<string, number> = {};
  for (const name of names) {
    const amount = value[name];
    if (name === '__proto__' || !isText(name, maxLabelBytes)) {
      problems.set('capacity', `each name must be a string of 1 to ${maxLabelBytes} bytes, and not __proto__`);
    } else if (typeof amount !== 'number' || !Number.isFinite(amount) || amount < 0) {
      problems.set(`capacity.${name}`, 'must be a finite number, not negative');
    } else copy[name] = amount;
  }
  return Object.freeze(copy);
};

const readPreferences: Reader<RecordFields['preferences']> = (value, problems) => {
  if (!isPlainObject(value)) {
    problems.set('preferences', 'must be an object');
    return undefined;
  }
  const { latencySensitive = false, consistency = 'eventual' } = value;
  if (typeof latencySensitive !== 'boolean') problems.set('preferences.latencySensitive', 'must be true or false');
  if (consistency !== 'eventual' && consistency !== 'strong') {
    problems.set('preferences.consistency', "must be 'eventual' or 'strong'");
    return undefined;
  }
  return preferences[consistency][latencySensitive ? 'urgent' : 'calm'];
};

const readCustom: Reader<Record<string, Value>> = (value, problems) => {
  if (!isPlainObject(value)) {
    problems.set('custom', 'must be a plain object');
    return undefined;
  }
  const budget = { bytes: customLimits.bytes, values: customLimits.values };
  const before = problems.size;
  const copy = copyValue(value, 'custom', customLimits.depth, budget, problems);
  if (problems.size > before) return undefined;
  return Object.keys(copy as object).length === 0 ? noCustom : (copy as Record<string, Value>);
};

/** A frozen copy of a structured value; stops at the first problem, so that a hostile value costs no more than the budget. */
function copyValue(
  value: unknown,
  path: string,
  depth: number,
  budget: { bytes: number; values: number },
  problems: Problems,
): Value {
  budget.values -= 1;
  if (typeof value === 'string') budget.bytes -= Buffer.byteLength(value);
  else if (value instanceof Uint8Array) budget.bytes -= value.byteLength;
  else if (typeof value === 'bigint') budget.bytes -= value.toString(16).length;
  if (budget.values < 0 || budget.bytes < 0 || depth < 0) {
    const { bytes, depth: levels, values } = customLimits;
    problems.set('custom', `is too large: at most ${bytes} bytes, ${levels} levels and ${values} values`);
    return undefined;
  }
  if (value === null || value === undefined || typeof value === 'boolean' || typeof value === 'number') return value;
  if (typeof value === 'string' && value.isWellFormed()) return value;
  if (typeof value === 'bigint') return value;
  if (value instanceof Uint8Array) return new Uint8Array(value);
  if (value instanceof Date) return new Date(value);
  const copyInner = (inner: unknown, key: string | number): Value =>
    copyValue(inner, `${path}.${key}`, depth - 1, budget, problems);
  const before = problems.size;
  if (Array.isArray(value)) {
    const list: Value[] = [];
    for (let i = 0; i < value.length && problems.size === before; i++) list.push(copyInner(value[i], i));
    return Object.freeze(list);
  }
  if (value instanceof Map) {
    const map = new Map<Value, Value>();
    for (const [key, inner] of value) {
      map.set(copyInner(key, '(key)'), copyInner(inner, '(value)'));
      if (problems.size > before) break;
    }
    return map;
  }
  if (isPlainObject(value)) {
    const copy: Record<string, Value> = {};
    for (const key of Object.keys(value)) {
      budget.bytes -= key.length;
      if (key === '__proto__' || !key.isWellFormed()) problems.set(path, `has a key that cannot be used: ${key}`);
      else copy[key] = copyInner(value[key], key);
      if (problems.size > before) break;
    }
    return Object.freeze(copy);
  }
  problems.set(
    path,
    'must be made of plain objects, lists, maps, strings, numbers, bigints, booleans, dates and bytes',
  );
  return undefined;
}

const readers: { readonly [K in keyof RecordFields]-?: Reader<NonNullable<RecordFields[K]>> } = {
  capabilities: readCapabilities,
  kind: readLabel('kind'),
  zone: readLabel('zone'),
  health: readHealth,
  capacity: readCapacity,
  preferences: readPreferences,
  version: readLabel('version'),
  custom: readCustom,
};
const fieldNames = Object.keys(readers) as readonly (keyof RecordFields)[];

/** The fields given in `metadata`, checked and copied. Read them only when `problems` stayed empty. */
export function readFields(metadata: Readonly<Record<string, unknown>>, problems: Problems): Partial<RecordFields> {
  const fields: Record<string, unknown> = {};
  for (const name of fieldNames) {
    const value = Object.hasOwn(metadata, name) ? metadata[name] : undefined;
    if (value !== undefined) fields[name] = readers[name](value, problems);
  }
  return fields as Partial<RecordFields>;
}

/** Names in `metadata` that mean nothing: mistakes in an application, extensions in an entry from a newer version. */
export function unknownFields(metadata: Readonly<Record<string, unknown>>): string[] {
  return Object.keys(metadata).filter((name) => !Object.hasOwn(readers, name));
}

/** Fields with their defaults filled in; those of `base` where it has them. */
export function completeFields(given: Partial<RecordFields>, zone: string): RecordFields {
  return {
    capabilities: given.capabilities ?? [],
    kind: given.kind,
    zone: given.zone ?? zone,
    health: given.health ?? 'healthy',
    capacity: given.capacity ?? noResources,
    preferences: given.preferences ?? preferences.eventual.calm,
    version: given.version,
    custom: given.custom ?? noCustom,
  };
}

/** All records have their fields in this one order, which keeps them one hidden class. */
export function makeRecord(
  id: AgentId,
  node: NodeId,
  fields: RecordFields,
  claimedAt: number,
  strong?: StrongClaim | undefined,
): AgentRecord {
  return Object.freeze({
    id,
    node,
    capabilities: fields.capabilities,
    kind: fields.kind,
    zone: fields.zone,
    health: fields.health,
    capacity: fields.capacity,
    preferences: fields.preferences,
    version: fields.version,
    custom: fields.custom,
    claimedAt,
    strong,
  });
}

/** The record as an entry of its author's feed: key and author are known there, and defaults are left out. */
export function entryOfRecord(record: AgentRecord): Value {
  const entry: Record<string, Value> = {
    claimedAt: record.claimedAt,
    zone: record.zone,
    capabilities: record.capabilities,
  };
  if (record.kind !== undefined) entry['kind'] = record.kind;
  if (record.health !== 'healthy') entry['health'] = record.health;
  if (record.capacity !== noResources) entry['capacity'] = record.capacity;
  if (record.preferences !== preferences.eventual.calm) entry['preferences'] = record.preferences;
  if (record.version !== undefined) entry['version'] = record.version;
  if (record.custom !== noCustom) entry['custom'] = record.custom;
  if (record.strong !== undefined) entry['strong'] = { token: record.strong.token, proof: record.strong.proof };
  return entry;
}

/** The record in somebody's feed entry, or why it is none. Never throws; unknown fields are left for newer versions. */
export function recordOfEntry(
  id: string,
  author: NodeId,
  entry: Value,
): { readonly ok: true; readonly record: AgentRecord } | { readonly ok: false; readonly reason: string } {
  const problems: Problems = new Map();
  const wrongId = agentIdProblem(id);
  if (wrongId !== undefined) return { ok: false, reason: `id ${wrongId}` };
  if (!isPlainObject(entry)) return { ok: false, reason: 'not an object' };
  const { claimedAt, zone, capabilities } = entry;
  if (typeof claimedAt !== 'number' || !Number.isSafeInteger(claimedAt) || claimedAt < 0) {
    return { ok: false, reason: 'claimedAt is no timestamp' };
  }
  if (zone === undefined || capabilities === undefined) return { ok: false, reason: 'zone or capabilities missing' };
  const fields = readFields(entry, problems);
  for (const [field, problem] of problems) return { ok: false, reason: `${field} ${problem}` };
  const strong = readStrong(entry['strong'], problems);
  for (const [field, problem] of problems) return { ok: false, reason: `${field} ${problem}` };
  return { ok: true, record: makeRecord(id, author, completeFields(fields, ''), claimedAt, strong) };
}

/** A certificate of seven signatures and four changes of validators has 5 kB. */
const maxProofBytes = 16 * 1024;

/** Its shape only; whether the proof proves anything is for others to judge. */
function readStrong(value: Value, problems: Problems): StrongClaim | undefined {
  if (value === undefined) return undefined;
  const { token, proof } = isPlainObject(value) ? value : {};
  const sound = typeof token === 'number' && Number.isSafeInteger(token) && token > 0;
  if (sound && proof instanceof Uint8Array && proof.length <= maxProofBytes) {
    return Object.freeze({ token, proof: new Uint8Array(proof) });
  }
  problems.set('strong', 'must have a token and a proof');
  return undefined;
}

/**
 * Which of two claims to one id wins: the one granted by the validators, of two such the later grant; else the earlier, of equal ones that
 * of the smaller author.
 */
export function claimsBefore(a: AgentRecord, b: AgentRecord): boolean {
  const [granted, other] = [a.strong?.token ?? 0, b.strong?.token ?? 0];
  if (granted !== other) return granted > other;
  return a.claimedAt !== b.claimedAt ? a.claimedAt < b.claimedAt : a.node < b.node;
}
