/**
 * Criteria, in either of their two styles, compiled into one list of tests that all must hold. A test knows
 * how to check a record, and which index answers it where one does; `AgentIndex` picks the most selective.
 *
 * Fields are read by own properties only, so a path such as `__proto__` or `constructor` finds nothing.
 */
import { QuorateError } from '../errors.ts';
import type { Value } from '../value.ts';
import { type AgentRecord, isPlainObject } from './registry-record.ts';

/**
 * How a field is compared with the value of a criterion.
 *
 * - `eq`: equal, with type: `1` is neither `'1'` nor `1n`. Lists, objects, dates and bytes by content. `null` means
 *   "has no value". `neq`: not `eq`; so a missing field matches.
 * - `gt`, `gte`, `lt`, `lte`: same type only, of numbers, bigints, strings (by UTF-16 units) and dates. A missing
 *   field never matches.
 * - `in`: the value is a list, and the field equals one of it; a list field has one of it. `notIn`: not `in`;
 *   so a missing field matches.
 * - `contains`: a list field has the value, or a text field has it as a part.
 */
export type Operator = 'eq' | 'neq' | 'gt' | 'gte' | 'lt' | 'lte' | 'in' | 'notIn' | 'contains';

/** `['capacity.cpu', 0.5, 'gte']`; a path is dotted or an array of keys, and starts at the record. */
export type Criterion = readonly [path: string | readonly string[], value: Value, op: Operator];

/** `{ gte: 0.5 }`: several operators on one field are ANDed. */
export type OperatorObject = { readonly [K in Operator]?: Value };

/**
 * Either a list of tuples, all of which must hold, or an object of fields: a plain value means `eq`
 * (for a list field: `contains`), an array means `in` (for a list field: any in common), an
 * `OperatorObject` its operators, another object nests. A dotted field name is a path. No criteria at all,
 * `{}` or `[]`, hold for every record.
 *
 * @example { capabilities: 'summarise', zone: ['eu-1', 'eu-2'], capacity: { cpu: { gte: 0.5 } } }
 * @example [['capabilities', 'summarise', 'contains'], ['capacity.cpu', 0.5, 'gte']]
 */
export type Criteria = readonly Criterion[] | CriteriaObject;
export interface CriteriaObject {
  readonly [field: string]: Value | OperatorObject | CriteriaObject;
}

/** `match` is what a plain value in an object means: `eq`, and for a list field `contains`. */
type TestOperator = Operator | 'match';

/** The fields with an index: field → the records that have the key. */
export type IndexedField = 'id' | 'node' | 'zone' | 'kind' | 'health' | 'capabilities';

export interface Test {
  readonly path: readonly string[];
  readonly op: TestOperator;
  readonly value: Value;
  /** Set when the records that pass are exactly those found in this index under one of `keys`. */
  readonly index: IndexedField | undefined;
  readonly keys: readonly string[];
  holds(record: AgentRecord): boolean;
}

export type Path = readonly string[];

const maxTests = 64;
const maxPathLength = 16;
const maxEqualityDepth = 64;

const operators: ReadonlySet<string> = new Set<Operator>([
  'eq',
  'neq',
  'gt',
  'gte',
  'lt',
  'lte',
  'in',
  'notIn',
  'contains',
]);
const isOperator = (name: unknown): name is Operator => typeof name === 'string' && operators.has(name);

const noTests: readonly Test[] = [];

/** Throws `INVALID_CRITERIA` that names everything wrong with them. */
export function compileCriteria(criteria: unknown): readonly Test[] {
  if (criteria === undefined) return noTests;
  const tests: Test[] = [];
  const problems: string[] = [];
  if (Array.isArray(criteria)) compileTuples(criteria, tests, problems);
  else if (isPlainObject(criteria)) compileObject(criteria, [], tests, problems);
  else problems.push('they must be an object of fields or a list of [path, value, operator]');
  if (tests.length > maxTests) problems.push(`there are ${tests.length} conditions, at most ${maxTests} are allowed`);
  if (problems.length > 0) throw invalidCriteria(problems);
  return tests;
}

export function invalidCriteria(problems: readonly string[]): QuorateError {
  return new QuorateError('INVALID_CRITERIA', `These criteria cannot be used: ${problems.join('; ')}.`, { problems });
}

function compileTuples(criteria: readonly unknown[], tests: Test[], problems: string[]): void {
  criteria.forEach((criterion, at) => {
    if (!Array.isArray(criterion) || criterion.length !== 3) {
      const hint = typeof criterion === 'string' ? '; a single criterion goes into a list of its own' : '';
      problems.push(`criterion ${at} must be a list [path, value, operator]${hint}`);
      return;
    }
    const [given, value, op] = criterion as [unknown, Value, unknown];
    const path = compilePath(given);
    if (path === undefined) problems.push(`criterion ${at} has no path: it must be a dotted string or a list of keys`);
    if (!isOperator(op)) problems.push(`criterion ${at} has the unknown operator ${quote(op)}`);
    if (path !== undefined && isOperator(op)) addTest(path, op, value, tests, problems);
  });
}

function compileObject(criteria: Record<string, unknown>, prefix: Path, tests: Test[], problems: string[]): void {
  for (const field of Object.keys(criteria)) {
    if (tests.length > maxTests) return;
    const value = criteria[field];
    const own = field.includes('.') ? compilePath(field) : [field];
    if (own === undefined || field === '') {
      problems.push(`${quote(field)} is no path`);
      continue;
    }
    const path = prefix.length === 0 ? own : [...prefix, ...own];
    if (typeof value === 'string') addTest(path, 'match', value, tests, problems);
    else if (Array.isArray(value)) addTest(path, 'in', value, tests, problems);
    else if (isPlainObject(value)) compileNested(value, path, tests, problems);
    else addTest(path, 'match', value as Value, tests, problems);
  }
}

function compileNested(value: Record<string, unknown>, path: Path, tests: Test[], problems: string[]): void {
  const keys = Object.keys(value);
  const found = keys.filter(isOperator);
  const where = path.join('.');
  if (keys.length === 0) problems.push(`${where} has an empty condition; leave the field out`);
  else if (path.length > maxPathLength) problems.push(`${where} nests too deep`);
  else if (found.length === 0) compileObject(value, path, tests, problems);
  else if (found.length === keys.length) {
    for (const op of found) addTest(path, op, value[op] as Value, tests, problems);
  } else {
    const unknown = keys.filter((key) => !isOperator(key)).map(quote);
    problems.push(`${where} mixes operators with ${unknown.join(', ')}, which is none`);
  }
}

/** The keys of a dotted string or a list of keys; undefined when it is neither. */
export function compilePath(path: unknown): Path | undefined {
  const keys: unknown = typeof path === 'string' ? path.split('.') : path;
  if (!Array.isArray(keys) || keys.length === 0 || keys.length > maxPathLength) return undefined;
  return keys.every((key) => typeof key === 'string' && key !== '') ? (keys as string[]) : undefined;
}

function addTest(path: Path, op: TestOperator, value: Value, tests: Test[], problems: string[]): void {
  const problem = valueProblem(op, value);
  if (problem === undefined) tests.push(makeTest(path, op, value));
  else problems.push(`${path.join('.')} ${problem}`);
}

function valueProblem(op: TestOperator, value: Value): string | undefined {
  if (value === undefined) return 'is compared with undefined; leave it out, or use null for "has no value"';
  if (typeof value === 'function' || typeof value === 'symbol') return `is compared with a ${typeof value}`;
  if ((op === 'in' || op === 'notIn') && !Array.isArray(value)) return `needs a list for the operator '${op}'`;
  if (op === 'gt' || op === 'gte' || op === 'lt' || op === 'lte') {
    if (compareValues(value, value) !== 0) {
      return `cannot be ordered by ${quote(value)}: '${op}' takes a number, bigint, string or date`;
    }
  }
  return undefined;
}

const quote = (value: unknown): string => {
  if (typeof value === 'string') return `'${value.slice(0, 64)}'`;
  return typeof value === 'number' || typeof value === 'boolean' || value === null ? String(value) : typeof value;
};

function makeTest(path: Path, op: TestOperator, value: Value): Test {
  const field = path.length === 1 ? indexedField(path[0] as string) : undefined;
  const keys = field === undefined ? undefined : indexKeys(field, op, value);
  if (field === undefined || keys === undefined) {
    const holds = (record: AgentRecord): boolean => applyOperator(op, readPath(record, path), value);
    return { path, op, value, index: undefined, keys: [], holds };
  }
  return { path, op, value, index: field, keys, holds: indexedTest(field, keys) };
}

function indexedField(name: string): IndexedField | undefined {
  switch (name) {
    case 'id':
    case 'node':
    case 'zone':
    case 'kind':
    case 'health':
    case 'capabilities':
      return name;
    default:
      return undefined;
  }
}

/** The index keys whose records are exactly those that pass, or undefined where no index can tell. */
function indexKeys(field: IndexedField, op: TestOperator, value: Value): readonly string[] | undefined {
  const isList = field === 'capabilities';
  if (typeof value === 'string') {
    return op === 'match' || op === (isList ? 'contains' : 'eq') ? [value] : undefined;
  }
  if (op !== 'in' || !(value as readonly Value[]).every((item) => typeof item === 'string')) return undefined;
  return [...new Set(value as readonly string[])];
}

function indexedTest(field: IndexedField, keys: readonly string[]): (record: AgentRecord) => boolean {
  const [only] = keys;
  if (keys.length === 1 && only !== undefined) {
    if (field === 'capabilities') return (record) => record.capabilities.includes(only);
    return (record) => record[field] === only;
  }
  const set = new Set(keys);
  if (field === 'capabilities') return (record) => record.capabilities.some((name) => set.has(name));
  return (record) => set.has(record[field] as string);
}

/** The value at `path`, by own properties only; undefined where there is none. */
export function readPath(record: AgentRecord, path: Path): Value {
  let value: unknown = record;
  for (const key of path) {
    if (typeof value !== 'object' || value === null || !Object.hasOwn(value, key)) return undefined;
    value = (value as Record<string, unknown>)[key];
  }
  return value as Value;
}

function applyOperator(op: TestOperator, field: Value, value: Value): boolean {
  switch (op) {
    case 'eq':
      return equalOrNone(field, value);
    case 'neq':
      return !equalOrNone(field, value);
    case 'match':
      return Array.isArray(field) ? field.some((item) => equalValues(item, value)) : equalOrNone(field, value);
    case 'contains':
      if (Array.isArray(field)) return field.some((item) => equalValues(item, value));
      return typeof field === 'string' && typeof value === 'string' && field.includes(value);
    case 'in':
      return isIn(field, value as readonly Value[]);
    case 'notIn':
      return !isIn(field, value as readonly Value[]);
    default: {
      const order = compareValues(field, value);
      if (order === undefined) return false;
      if (op === 'gt') return order > 0;
      if (op === 'gte') return order >= 0;
      return op === 'lt' ? order < 0 : order <= 0;
    }
  }
}

function isIn(field: Value, values: readonly Value[]): boolean {
  if (values.some((value) => equalOrNone(field, value))) return true;
  return Array.isArray(field) && field.some((item) => values.some((value) => equalValues(item, value)));
}

/** A missing field equals null: criteria have no other word for "has no value". */
function equalOrNone(field: Value, value: Value): boolean {
  return value === null ? field === undefined || field === null : equalValues(field, value);
}

/** Equal by type and content. Nesting below 64 levels counts as different, so cycles end. */
export function equalValues(a: Value, b: Value, depth = maxEqualityDepth): boolean {
  if (a === b || (Number.isNaN(a) && Number.isNaN(b))) return true;
  if (typeof a !== 'object' || typeof b !== 'object' || a === null || b === null || depth === 0) return false;
  if (Array.isArray(a)) {
    return Array.isArray(b) && a.length === b.length && a.every((item, at) => equalValues(item, b[at], depth - 1));
  }
  if (a instanceof Date) return b instanceof Date && Object.is(a.getTime(), b.getTime());
  if (a instanceof Uint8Array) {
    return b instanceof Uint8Array && a.length === b.length && a.every((byte, at) => byte === b[at]);
  }
  if (a instanceof Map) {
    if (!(b instanceof Map) || a.size !== b.size) return false;
    for (const [key, value] of a) if (!b.has(key) || !equalValues(value, b.get(key), depth - 1)) return false;
    return true;
  }
  if (!isPlainObject(a) || !isPlainObject(b)) return false;
  const keys = Object.keys(a);
  if (keys.length !== Object.keys(b).length) return false;
  return keys.every((key) => Object.hasOwn(b, key) && equalValues(a[key] as Value, b[key] as Value, depth - 1));
}

/** Negative, zero or positive like `a - b`; undefined when the two have no order: other types, NaN, missing. */
export function compareValues(a: Value, b: Value): number | undefined {
  if (a instanceof Date && b instanceof Date) return compareValues(a.getTime(), b.getTime());
  if (typeof a !== typeof b) return undefined;
  if (typeof a !== 'number' && typeof a !== 'bigint' && typeof a !== 'string') return undefined;
  const other = b as typeof a;
  if (a < other) return -1;
  if (a > other) return 1;
  return a === other ? 0 : undefined;
}

const orderOfTypes = ['number', 'bigint', 'object', 'string'];

/** Sorts in place by the field at `path`; stable, records without an orderable value last in both directions. */
export function sortRecords(records: AgentRecord[], path: Path, direction: 'asc' | 'desc'): void {
  const sign = direction === 'asc' ? 1 : -1;
  const keyed = records.map((record) => {
    const value = readPath(record, path);
    return { record, value: compareValues(value, value) === 0 ? value : undefined };
  });
  keyed.sort((a, b) => {
    if (a.value === undefined || b.value === undefined) {
      return Number(a.value === undefined) - Number(b.value === undefined);
    }
    const order = compareValues(a.value, b.value);
    return sign * (order ?? orderOfTypes.indexOf(typeof a.value) - orderOfTypes.indexOf(typeof b.value));
  });
  keyed.forEach(({ record }, at) => {
    records[at] = record;
  });
}
