/**
 * What nodes write about variables, and how others read it. Under `d/<name>` a node's definition, under `c/<name>` its contribution, under `a/<name>` that there
 * is an agreed value to ask the validators for.
 *
 * All of it is hostile until it was read here: what has not exactly this shape is nothing. Unknown fields are passed over, for versions to come.
 */
import type { Value } from '../../value.ts';
import { digestOf } from './definition.ts';
import type { Checked, Facts } from './kinds/kind.ts';

export const definitionKey = (name: string): string => `d/${name}`;
export const contributionKey = (name: string): string => `c/${name}`;
export const agreedHintKey = (name: string): string => `a/${name}`;

export interface DefinitionEntry {
  readonly version: number;
  readonly facts: Facts;
  readonly digest: string;
  readonly at: number;
}

export interface ContributionEntry {
  readonly value: Value;
  readonly weight: number;
  readonly performance: number | undefined;
  readonly at: number;
  readonly version: number;
  readonly digest: string;
  /** The choice that its node shows, and since when. */
  readonly held: { readonly value: Value; readonly since: number } | undefined;
}

export function writeDefinition({ version, facts, at }: Omit<DefinitionEntry, 'digest'>): Value {
  return { n: version, s: facts, t: at };
}

/** The digest is worked out here, not taken from the writer. */
export function readDefinition(entry: Value): Checked<DefinitionEntry> {
  if (!isRecord(entry)) return malformed;
  const { n: version, s: facts, t: at } = entry;
  if (!isVersion(version) || !isStamp(at) || !isRecord(facts)) return malformed;
  try {
    return { ok: true, value: { version, facts, at, digest: digestOf(facts) } };
  } catch {
    // What was decoded but cannot be encoded has no digest, and so is no definition that anybody could share.
    return malformed;
  }
}

export function writeContribution(contribution: ContributionEntry): Value {
  const { value, weight, performance, at, version, digest, held } = contribution;
  return {
    v: value,
    w: weight,
    t: at,
    n: version,
    k: digest,
    ...(performance === undefined ? {} : { p: performance }),
    ...(held === undefined ? {} : { h: { v: held.value, s: held.since } }),
  };
}

export function readContribution(entry: Value): Checked<ContributionEntry> {
  if (!isRecord(entry)) return malformed;
  const { v: value, w: weight, p: performance, t: at, n: version, k: digest, h: held } = entry;
  if (value === undefined || typeof digest !== 'string' || !isVersion(version) || !isStamp(at)) return malformed;
  if (!(typeof weight === 'number' && weight >= 0 && Number.isFinite(weight))) return malformed;
  if (performance !== undefined && !isPerformance(performance)) return malformed;
  if (held === undefined) return { ok: true, value: { value, weight, performance, at, version, digest, held } };
  if (!isRecord(held) || !isStamp(held['s'])) return malformed;
  const shown = { value: held['v'], since: held['s'] };
  return { ok: true, value: { value, weight, performance, at, version, digest, held: shown } };
}

export function isPerformance(value: unknown): value is number {
  return typeof value === 'number' && value >= 0 && value <= 1;
}

const malformed = { ok: false, reason: 'malformed' } as const;

function isRecord(value: Value): value is { readonly [key: string]: Value } {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return false;
  return !(ArrayBuffer.isView(value) || value instanceof Map || value instanceof Date);
}

function isVersion(value: Value): value is number {
  return typeof value === 'number' && Number.isSafeInteger(value) && value >= 1;
}

function isStamp(value: Value): value is number {
  return typeof value === 'number' && Number.isSafeInteger(value) && value >= 0;
}
