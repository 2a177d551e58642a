/**
 * Makes a state one that nobody can change, and finds out that it can be stored, at a cost that depends on what is new in it.
 *
 * Intuition: a reducer that gives back a new state shares most of it with the old one, and what was sealed before needs no second look. So
 * every state is known to be storable, and how large it is, before it is taken over.
 *
 * Maps cannot be frozen: their own methods are made to throw. The contents of bytes and dates cannot be protected at all.
 */
import { maxDepth } from '../../../codec.ts';
import { QuorateError } from '../../../errors.ts';

interface Seal {
  /** About how many bytes it takes, all it holds included. */
  readonly size: number;
  /** Levels of nesting. */
  readonly height: number;
}

/** A pure function of the object, which cannot change any more, so it may be shared by all machines of the process. */
const seals = new WeakMap<object, Seal>();

/** About how many bytes the value takes, alike everywhere. Throws `UNSUPPORTED_VALUE` for what would not be read back the same. */
export function seal(value: unknown): number {
  return sealed(value, 0).size;
}

const small: Seal = { size: 9, height: 0 };

/** `above`: how many containers it is in. */
function sealed(value: unknown, above: number): Seal {
  switch (typeof value) {
    case 'string':
      return { size: sizeOfText(value), height: 0 };
    case 'number':
    case 'boolean':
    case 'undefined':
      return small;
    case 'bigint':
      return { size: 8 + value.toString(16).length, height: 0 };
    case 'object':
      return value === null ? small : sealedObject(value, above);
    default:
      throw unsupported(`a ${typeof value}`);
  }
}

function sizeOfText(text: string): number {
  if (!text.isWellFormed()) throw unsupported('a string with half a surrogate pair');
  return 5 + text.length;
}

function sealedObject(value: object, above: number): Seal {
  // Whatever was sealed before must fit where it is now, as it would for a replica that has not seen it before.
  const found = above < maxDepth ? (seals.get(value) ?? fresh(value, above)) : tooDeep();
  if (above + found.height > maxDepth) tooDeep();
  seals.set(value, found);
  return found;
}

function fresh(value: object, above: number): Seal {
  let size = 5;
  let height = 0;
  const add = (part: unknown): void => {
    const seal = sealed(part, above + 1);
    size += seal.size;
    if (seal.height > height) height = seal.height;
  };
  const prototype: unknown = Object.getPrototypeOf(value);
  if (prototype === Object.prototype) {
    const record = value as Readonly<Record<string, unknown>>;
    for (const key of Object.keys(record)) {
      if (key === '__proto__') throw unsupported('a field named __proto__');
      size += sizeOfText(key);
      add(record[key]);
    }
    Object.freeze(value);
  } else if (Array.isArray(value) && prototype === Array.prototype) {
    for (let index = 0; index < value.length; index++) add(value[index]);
    Object.freeze(value);
  } else if (value instanceof Map && prototype === Map.prototype) {
    for (const [key, entry] of value) {
      // Read back, an object is another one, and would not be found by the old.
      if (typeof key === 'object' && key !== null) throw unsupported('a Map with objects as keys');
      add(key);
      add(entry);
    }
    Object.defineProperties(value, closed);
  } else if (value instanceof Uint8Array && prototype === Uint8Array.prototype) size += value.length;
  else if (value instanceof Date && prototype === Date.prototype) size += 10;
  else throw unsupported('an object of another class, which would be read back as a plain one');
  return { size, height: height + 1 };
}

const refuse = (): never => {
  throw new TypeError('This Map is part of a state, which is not changed: make a new one.');
};
const closed = { set: { value: refuse }, delete: { value: refuse }, clear: { value: refuse } };

function tooDeep(): never {
  throw unsupported(`something that nests deeper than ${maxDepth} levels, or contains itself`);
}

const unsupported = (what: string): QuorateError =>
  new QuorateError(
    'UNSUPPORTED_VALUE',
    `A state cannot hold ${what}. Use plain objects, arrays, strings, numbers, booleans, null, undefined, bigint, Date, Map and Uint8Array.`,
  );
