/** Atoms over the coordination machine: each call is one command or one query. */
import { type ErrorData, QuorateError } from '../../../errors.ts';
import { encodePayload } from '../../../payload.ts';
import type { Value } from '../../../value.ts';
import { maxNameLength, maxValueBytes } from '../machine/limits.ts';
import type { Answer } from '../machine/reducer.ts';
import type { OrderingOptions } from '../ordering.ts';
import { accepted, refusalError } from '../refusal.ts';
import type { CoordinationTools } from '../tools.ts';
import { conflictSchema, decodeStored, pageSchema, storedSchema, understood, wholeNumber } from './answers.ts';
import type {
  Atoms,
  Counter,
  MapChange,
  MapPage,
  ReadOptions,
  Sequence,
  StrongMap,
  Swap,
  Versioned,
  WriteOptions,
} from './atoms.ts';
import { maxPageEntries, maxReserved } from './limits.ts';
import { MapWatch } from './map-watch.ts';

export class MachineAtoms implements Atoms {
  readonly #tools: CoordinationTools;

  constructor(tools: CoordinationTools) {
    this.#tools = tools;
  }

  sequence(name: string): Sequence {
    return new MachineSequence(this.#tools, checkName(name));
  }

  counter(name: string): Counter {
    return new MachineCounter(this.#tools, checkName(name));
  }

  map<V = Value>(name: string): StrongMap<V> {
    return new MachineMap<V>(this.#tools, checkName(name));
  }
}

class MachineSequence implements Sequence {
  readonly #tools: CoordinationTools;
  readonly name: string;

  constructor(tools: CoordinationTools, name: string) {
    this.#tools = tools;
    this.name = name;
  }

  async next({
    count = 1,
    ...options
  }: OrderingOptions & { readonly count?: number | undefined } = {}): Promise<number> {
    if (!Number.isInteger(count) || count < 1 || count > maxReserved) {
      throw invalid(`count must be a whole number from 1 to ${maxReserved}, not ${String(count)}.`);
    }
    const answer = await this.#tools.client.submit({ kind: 'sequence.next', name: this.name, count }, options);
    return wholeNumber(accepted(answer, { LIMIT_EXCEEDED: () => full(`Sequence '${this.name}'`) }));
  }
}

class MachineCounter implements Counter {
  readonly #tools: CoordinationTools;
  readonly name: string;

  constructor(tools: CoordinationTools, name: string) {
    this.#tools = tools;
    this.name = name;
  }

  async add(amount: number, options?: OrderingOptions): Promise<number> {
    if (!Number.isSafeInteger(amount)) throw invalid(`Only safe integers can be added, not ${String(amount)}.`);
    const answer = await this.#tools.client.submit({ kind: 'counter.add', name: this.name, amount }, options);
    return wholeNumber(accepted(answer, { LIMIT_EXCEEDED: () => full(`Counter '${this.name}'`) }));
  }

  async value(options?: ReadOptions): Promise<number> {
    const answer = await this.#tools.client.query({ kind: 'counter.value', name: this.name }, options);
    return wholeNumber(accepted(answer, {}));
  }
}

const full = (what: string): string =>
  `${what} cannot go there: the result would leave the safe integers (±(2^53 − 1)), or there are too many names. Nothing was changed.`;

class MachineMap<V> implements StrongMap<V> {
  readonly #tools: CoordinationTools;
  readonly name: string;

  constructor(tools: CoordinationTools, name: string) {
    this.#tools = tools;
    this.name = name;
  }

  async get(key: string, options?: ReadOptions): Promise<Versioned<V> | undefined> {
    const query = { kind: 'map.get', name: this.name, key: checkKey(key) };
    const found = accepted(await this.#tools.client.query(query, options), {});
    if (found === undefined) return undefined;
    const [bytes, version] = understood(storedSchema, found);
    return { value: decodeStored<V>(bytes), version };
  }

  async set(key: string, value: V, options: WriteOptions = {}): Promise<{ readonly version: number }> {
    const answer = await this.#submitSet(key, value, options.ifVersion, options);
    return { version: wholeNumber(written(answer)) };
  }

  async compareAndSet(key: string, expectedVersion: number, value: V, options?: OrderingOptions): Promise<Swap<V>> {
    const answer = await this.#submitSet(key, value, checkVersion(expectedVersion), options);
    if (answer.ok || answer.code !== 'CONFLICT') {
      return { ok: true, version: wholeNumber(written(answer)) };
    }
    const { actual, value: bytes } = understood(conflictSchema, answer.data);
    return { ok: false, version: actual, value: bytes && decodeStored<V>(bytes) };
  }

  async delete(key: string, { ifVersion, ...options }: WriteOptions = {}): Promise<boolean> {
    const condition = ifVersion === undefined ? {} : { ifVersion: checkVersion(ifVersion) };
    const command = { kind: 'map.delete', name: this.name, key: checkKey(key), ...condition };
    return written(await this.#tools.client.submit(command, options)) === true;
  }

  async entries(
    options: ReadOptions & {
      readonly prefix?: string | undefined;
      readonly limit?: number | undefined;
      readonly after?: string | undefined;
    } = {},
  ): Promise<MapPage<V>> {
    const { prefix = '', limit = maxPageEntries, after, ...rest } = options;
    if (!Number.isInteger(limit) || limit < 1) throw invalid(`limit must be a whole number from 1 on, not ${limit}.`);
    const where = after === undefined ? {} : { after: checkKey(after) };
    const query = {
      kind: 'map.page',
      name: this.name,
      prefix: checkKey(prefix),
      limit: Math.min(limit, maxPageEntries),
      ...where,
    };
    const page = understood(pageSchema, accepted(await this.#tools.client.query(query, rest), {}));
    const entries = page.entries.map(([key, bytes, version]) => ({ key, value: decodeStored<V>(bytes), version }));
    return { entries, next: page.next };
  }

  watch(
    what: string | { readonly prefix: string },
    options: { readonly signal?: AbortSignal | undefined } = {},
  ): AsyncIterable<MapChange<V>> {
    const exact = typeof what === 'string';
    const prefix = checkKey(exact ? what : what.prefix);
    return new MapWatch<V>({ tools: this.#tools, map: this.name, prefix, exact, signal: options.signal });
  }

  #submitSet(key: string, value: V, ifVersion: number | undefined, options: OrderingOptions | undefined) {
    const condition = ifVersion === undefined ? {} : { ifVersion: checkVersion(ifVersion) };
    const bytes = encodePayload(value, maxValueBytes);
    const command = { kind: 'map.set', name: this.name, key: checkKey(key), value: bytes, ...condition };
    return this.#tools.client.submit(command, options);
  }
}

function written(answer: Answer): Value {
  if (answer.ok || answer.code !== 'CONFLICT') return accepted(answer, { LIMIT_EXCEEDED: fullMaps });
  const { key, expected, actual } = answer.data;
  throw refusalError('CONFLICT', { key, expected, actual }, { CONFLICT: conflictSentence });
}

const fullMaps = (): string => 'The maps are full; delete entries that are not needed any more. Nothing was changed.';
const conflictSentence = ({ key, actual, expected }: ErrorData): string =>
  `Key '${key}' is at version ${actual}, not ${expected}: somebody changed it meanwhile. Read it again and decide anew.`;

const invalid = (why: string): QuorateError => new QuorateError('INVALID_ARGUMENT', why);

function checkName(name: string): string {
  if (typeof name === 'string' && name.length > 0 && name.length <= maxNameLength && name.isWellFormed()) return name;
  throw invalid(`A name has 1 to ${maxNameLength} well-formed characters.`);
}

function checkKey(key: string): string {
  if (typeof key === 'string' && key.length <= maxNameLength && key.isWellFormed()) return key;
  throw invalid(`A key is a string of at most ${maxNameLength} well-formed characters.`);
}

function checkVersion(version: number): number {
  if (Number.isSafeInteger(version) && version >= 0) return version;
  throw invalid(`A version is a whole number, 0 where there must be no entry; not ${String(version)}.`);
}
