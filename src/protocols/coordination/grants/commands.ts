/** What the reducer of grants is told and asked, and what it answers: the wire between handles and the ordered state. */
import * as v from 'valibot';
import type { NodeId } from '../../../node-id.ts';
import { maxNameLength } from '../machine/limits.ts';

/** Shorter leases end by the jitter of an ordinary scheduler. */
export const minLeaseMs = 100;
export const maxLeaseMs = 86_400_000;
/** How long a waiter stays without saying again that it waits. A dead one is gone then, whatever its time-out was. */
export const maxWaitMs = 60_000;
export const maxPermits = 1_000_000;
/** Encoded. What others must know of a leader is where it is, not what it knows. */
export const maxLeaderValueBytes = 2_048;
/** Who lists more holders or waiters than this reads numbers, not names. */
export const maxListed = 100;

const whole = (least: number, most: number) => v.pipe(v.number(), v.integer(), v.minValue(least), v.maxValue(most));
const name = v.pipe(v.string(), v.minLength(1), v.maxLength(maxNameLength));
/** 16 random bytes in hexadecimal, made by who asks; one for each acquisition. */
const id = v.pipe(v.string(), v.regex(/^[0-9a-f]{32}$/));
const bytes = v.custom<Uint8Array>((input) => input instanceof Uint8Array, 'no bytes');
const token = whole(1, Number.MAX_SAFE_INTEGER);

export const grantSorts = ['lock', 'semaphore', 'election'] as const;

export const grantCommands = v.variant('kind', [
  v.strictObject({
    kind: v.literal('grant.acquire'),
    name,
    id,
    sort: v.picklist(grantSorts),
    permits: whole(1, maxPermits),
    count: whole(1, maxPermits),
    leaseMs: whole(minLeaseMs, maxLeaseMs),
    /** 0: now or not at all. Counts from agreed time at each repeat. */
    waitMs: whole(0, maxWaitMs),
    /** Encoded by `codec.ts`; only of elections. */
    value: v.optional(
      v.pipe(
        bytes,
        v.check(({ length }) => length <= maxLeaderValueBytes, 'too long'),
      ),
    ),
  }),
  v.strictObject({ kind: v.literal('grant.renew'), id, token }),
  v.strictObject({ kind: v.literal('grant.release'), id, token }),
  /** Ends an acquisition whatever has become of it: it waits, it is held, or it has not arrived yet. */
  v.strictObject({ kind: v.literal('grant.withdraw'), id }),
]);

export const grantQueries = v.variant('kind', [
  v.strictObject({ kind: v.literal('grant.standing'), node: v.pipe(v.string(), v.maxLength(64)), id }),
  v.strictObject({ kind: v.literal('grant.inspect'), name }),
  v.strictObject({ kind: v.literal('grant.leader'), name }),
]);

export type GrantCommand = v.InferOutput<typeof grantCommands>;
export type GrantQuery = v.InferOutput<typeof grantQueries>;
export type AcquireCommand = Extract<GrantCommand, { kind: 'grant.acquire' }>;

/** How an acquisition ended. */
export type Ending = 'released' | 'withdrawn' | 'expired';

const holder = v.optional(v.strictObject({ node: v.string(), token: v.number() }));

/** What `acquire` and `standing` answer. */
export const standing = v.variant('state', [
  v.strictObject({ state: v.literal('granted'), token }),
  v.strictObject({ state: v.literal('waiting'), holder }),
  v.strictObject({ state: v.literal('ended'), how: v.picklist(['released', 'withdrawn', 'expired']) }),
  /** Never heard of, or forgotten. */
  v.strictObject({ state: v.literal('unknown') }),
]);
export type Standing = v.InferOutput<typeof standing>;

/**
 * What `leader` answers. States of one election are in the order of (`token`, vacant after led), so that a late event
 * or read is known as such. While nobody leads, `token` is the highest ever given.
 */
export const leaderState = v.strictObject({
  token: v.number(),
  leader: v.optional(v.strictObject({ node: v.string(), value: bytes })),
});
export type LeaderState = v.InferOutput<typeof leaderState>;

/** Events of the topic `grant/<name>`. */
export const grantEvent = v.variant('type', [
  v.strictObject({
    type: v.literal('granted'),
    node: v.string(),
    id: v.string(),
    token,
    value: v.optional(bytes),
  }),
  /** A lease or a wait ran out. */
  v.strictObject({ type: v.literal('expired'), node: v.string(), id: v.string() }),
  /** Of elections: the leader of `token` is gone, and nobody follows. */
  v.strictObject({ type: v.literal('vacant'), token }),
]);
export type GrantEvent = v.InferOutput<typeof grantEvent>;

export const topicOf = (name: string): string => `grant/${name}`;

/** Of an agreed answer: the id of an authenticated client. */
const node = v.custom<NodeId>((input) => typeof input === 'string');

export const inspection = v.strictObject({
  name: v.string(),
  sort: v.picklist(grantSorts),
  permits: v.number(),
  free: v.number(),
  holders: v.array(v.strictObject({ node, token: v.number(), count: v.number(), leaseEndsAt: v.number() })),
  waiters: v.array(v.strictObject({ node, count: v.number(), waitsUntil: v.number() })),
  waiting: v.number(),
});
