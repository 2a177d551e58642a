/** What nodes say of a shared limit, on the wire: `limit/<id>`, and `limit/<id>/<key>` for each key in use. */
import { createHash } from 'node:crypto';
import type { Value } from '../../../value.ts';

export interface LimitEntry {
  /** What the node may admit per second; it never admits more than what it has said. */
  readonly share: number;
  /** What it is asked for per second. */
  readonly demand: number;
  /** It has more keys in use than it tells of; each of those has an equal share. */
  readonly crowded: boolean;
}

/** Requests per second that nobody means. */
export const maxRate = 1e9;
/** Characters of an encoded id or key; longer ones are named by their hash. Both fit in a name of the validators. */
const maxPartLength = 120;

const isRate = (value: unknown): value is number => typeof value === 'number' && value >= 0 && value <= maxRate;

/** The entry of another node; undefined when it is none. */
export function parseLimitEntry(value: Value): LimitEntry | undefined {
  if (typeof value !== 'object' || value === null || !('s' in value) || !('d' in value)) return undefined;
  const { s: share, d: demand } = value;
  if (!isRate(share) || !isRate(demand)) return undefined;
  return { share, demand, crowded: 'x' in value && value.x === true };
}

export function encodeLimitEntry({ share, demand, crowded }: LimitEntry): Value {
  return crowded ? { s: share, d: demand, x: true } : { s: share, d: demand };
}

/** Injective but for the hash of long names: the slash separates, and none is within a part. */
export function limitKey(id: string, key: string): string {
  return key === '' ? `limit/${part(id)}` : `limit/${part(id)}/${part(key)}`;
}

function part(name: string): string {
  const encoded = encodeURIComponent(name.toWellFormed());
  if (encoded.length <= maxPartLength) return encoded;
  // Nothing that was encoded has two percent signs in a row.
  return `%%${createHash('sha256').update(name).digest('hex')}`;
}
