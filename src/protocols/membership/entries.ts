/**
 * What stands in the `members` feed, and its validation. Each author writes two kinds of entries:
 *
 * - key `self`: what it says of itself (`MemberInfo`, and `left: true` as its last act);
 * - key `accuse/<node id>`: that it gets no answer from that node.
 *
 * Everything here comes from outside, signed by its author and yet possibly a lie or nonsense: it becomes
 * an accepted type within bounds, or undefined.
 */
import { isNodeId, type NodeId } from '../../node-id.ts';
import type { Value } from '../../value.ts';
import type { Accusation, MemberInfo } from './membership.ts';

export const selfKey = 'self';
const accusePrefix = 'accuse/';

/** Bounds of one entry. */
export const entryLimits = {
  addresses: 16,
  addressBytes: 256,
  roles: 16,
  capacityNames: 32,
  versionLength: 64,
  detailLength: 256,
} as const;

const label = /^[\w.-]{1,64}$/;

export interface SelfEntry {
  readonly info: MemberInfo;
  readonly left: boolean;
}

export interface StandingAccusation extends Accusation {
  /** The accuser's own incarnation when it looked last; an older one has not been checked since it was in doubt itself. */
  readonly accuserIncarnation: number;
}

export function accuseKey(accused: NodeId): string {
  return accusePrefix + accused;
}

/** Whom an `accuse/` key is about; undefined for every other key. */
export function accusedOfKey(key: string): NodeId | undefined {
  if (!key.startsWith(accusePrefix)) return undefined;
  const id = key.slice(accusePrefix.length);
  return isNodeId(id) ? id : undefined;
}

export function selfValue(info: MemberInfo, left: boolean): Value {
  return { ...info, left };
}

export function accusationValue(accusation: StandingAccusation): Value {
  const { incarnation, accuserIncarnation, evidence, at, detail } = accusation;
  return { incarnation, accuserIncarnation, evidence, at, detail: detail.slice(0, entryLimits.detailLength) };
}

/** The author's word about itself. Addresses that do not end in its own id are dropped: it may not send us to others. */
export function parseSelf(author: NodeId, value: Value): SelfEntry | undefined {
  const entry = fieldsOf(value);
  if (entry === undefined) return undefined;
  const { addresses, zone, roles, capacity, version, incarnation, startedAt, left } = entry;
  if (!isListOf(addresses, entryLimits.addresses, isAddress)) return undefined;
  if (!isListOf(roles, entryLimits.roles, isLabel) || !isLabel(zone)) return undefined;
  if (typeof version !== 'string' || version.length > entryLimits.versionLength) return undefined;
  if (!isCount(incarnation) || !isTime(startedAt)) return undefined;
  if (left !== undefined && typeof left !== 'boolean') return undefined;
  const amounts = parseCapacity(capacity);
  if (amounts === undefined) return undefined;
  const own = addresses.filter((address) => address.endsWith(`/p2p/${author}`));
  const info = { addresses: own, zone, roles, capacity: amounts, version, incarnation, startedAt };
  return { info, left: left === true };
}

export function parseAccusation(accuser: NodeId, accused: NodeId, value: Value): StandingAccusation | undefined {
  const entry = fieldsOf(value);
  if (entry === undefined || accuser === accused) return undefined;
  const { incarnation, accuserIncarnation, evidence, at, detail } = entry;
  if (!isCount(incarnation) || !isCount(accuserIncarnation) || !isTime(at)) return undefined;
  if (evidence !== 'connection-reset' && evidence !== 'missed-probes') return undefined;
  if (typeof detail !== 'string' || detail.length > entryLimits.detailLength) return undefined;
  return { accuser, accused, incarnation, accuserIncarnation, evidence, at, detail };
}

function parseCapacity(value: Value): Record<string, number> | undefined {
  const entry = fieldsOf(value);
  if (entry === undefined) return undefined;
  const amounts = Object.entries(entry);
  if (amounts.length > entryLimits.capacityNames) return undefined;
  if (!amounts.every(([name, amount]) => isLabel(name) && Number.isFinite(amount))) return undefined;
  return Object.fromEntries(amounts) as Record<string, number>;
}

function fieldsOf(value: Value): { readonly [key: string]: Value } | undefined {
  if (typeof value !== 'object' || value === null) return undefined;
  const prototype: unknown = Object.getPrototypeOf(value);
  if (prototype !== Object.prototype && prototype !== null) return undefined;
  return value as { readonly [key: string]: Value };
}

function isListOf(value: Value, most: number, accepts: (item: Value) => item is string): value is readonly string[] {
  return Array.isArray(value) && value.length <= most && value.every((item) => accepts(item as Value));
}

export function isAddress(value: Value): value is string {
  return typeof value === 'string' && value.startsWith('/') && Buffer.byteLength(value) <= entryLimits.addressBytes;
}

function isLabel(value: Value): value is string {
  return typeof value === 'string' && label.test(value);
}

function isCount(value: Value): value is number {
  return typeof value === 'number' && Number.isSafeInteger(value) && value >= 0;
}

function isTime(value: Value): value is number {
  return typeof value === 'number' && Number.isFinite(value) && value >= 0;
}
