/**
 * Structured values as JSON for `--json` and for people: what JSON cannot say is said in the nearest way
 * that loses nothing (bytes as base64, big integers as text, dates in ISO form, maps as lists of pairs).
 */
import type { Value } from '../value.ts';

export function toJson(value: unknown, indent?: number): string {
  return JSON.stringify(plain(value), undefined, indent) ?? 'null';
}

function plain(value: unknown): unknown {
  if (typeof value === 'bigint') return { $bigint: String(value) };
  if (value instanceof Uint8Array) return { $bytes: Buffer.from(value).toString('base64') };
  if (value instanceof Map) return { $map: [...value].map(([key, item]) => [plain(key), plain(item)]) };
  if (value instanceof Date) return value.toISOString();
  if (Array.isArray(value)) return value.map(plain);
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, plain(item)]));
}

/**
 * What somebody typed as a message: JSON where it is JSON, else the text itself. Undefined (as opposed to
 * text) for what begins like JSON and is none: a forgotten quote should be told, not sent.
 */
export function parseMessage(typed: string): { readonly value: Value } | undefined {
  try {
    return { value: JSON.parse(typed) as Value };
  } catch {
    return /^\s*[[{"]/.test(typed) ? undefined : { value: typed };
  }
}
