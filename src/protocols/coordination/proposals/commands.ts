/** What handles and reducer of proposals say to each other, with every bound. */
import * as v from 'valibot';
import { isNodeId, type NodeId } from '../../../node-id.ts';
import type { Value } from '../../../value.ts';
import { maxNameLength, maxValueBytes } from '../machine/limits.ts';

export const maxParticipants = 256;
export const maxZones = 64;
export const maxWeight = 1_000_000;
/** Seven days: longer than anybody should wait for agents. */
export const maxDeadlineMs = 604_800_000;
export const maxReasonLength = 128;
/**
 * What the votes of one proposal may add to it in values of their own and reasons, bytes: each participant has an equal part, so no voter takes another's.
 * With the largest command and this, a decision still fits into one answer.
 */
const votesBytes = 32 * 1024;
/** What one vote may add, bytes. */
export const voteBytes = (participants: number): number => Math.floor(votesBytes / participants);
/** Open proposals, of all and of one node. */
export const maxOpen = 10_000;
export const maxOpenPerNode = 1_000;
/** Decisions that are kept, and for how long in agreed time. */
export const maxDecided = 10_000;
export const keepDecidedMs = 600_000;
/** Memory of all proposals, and of one node's open ones, bytes. Decisions make room for what is open. */
export const maxBytes = 32 << 20;
export const maxBytesPerNode = 8 << 20;
/** Ids in one answer to `list`. */
export const pageSize = 100;

const name = v.pipe(v.string(), v.nonEmpty(), v.maxLength(maxNameLength));
const node = v.pipe(
  v.string(),
  v.maxLength(64),
  v.check((text) => isNodeId(text), 'no node id'),
  v.transform((text) => text as NodeId),
);
const whole = (least: number, most: number) => v.pipe(v.number(), v.safeInteger(), v.minValue(least), v.maxValue(most));
const bytes = v.custom<Uint8Array>((input) => input instanceof Uint8Array, 'no bytes');
const valueBytes = v.pipe(
  bytes,
  v.check((value) => value.length <= maxValueBytes, 'too large'),
);

const participant = v.strictObject({ agent: name, node, zone: name, weight: whole(1, maxWeight) });
export const ruleSchema = v.union([
  v.picklist(['majority', 'unanimous']),
  v.strictObject({ quorum: whole(1, maxParticipants) }),
  v.strictObject({ weighted: whole(1, maxParticipants * maxWeight) }),
  v.strictObject({ byzantine: whole(0, maxParticipants) }),
]);

export const commands = v.variant('kind', [
  v.strictObject({
    kind: v.literal('proposals.open'),
    id: name,
    participants: v.pipe(v.array(participant), v.minLength(1), v.maxLength(maxParticipants)),
    proposal: valueBytes,
    rule: ruleSchema,
    zones: v.pipe(v.array(name), v.maxLength(maxZones)),
    deadlineMs: whole(1, maxDeadlineMs),
  }),
  v.strictObject({
    kind: v.literal('proposals.vote'),
    id: name,
    agent: name,
    accept: v.boolean(),
    value: v.optional(valueBytes),
    reason: v.optional(v.pipe(v.string(), v.maxLength(maxReasonLength))),
  }),
  v.strictObject({ kind: v.literal('proposals.withdraw'), id: name }),
]);
export type Command = v.InferOutput<typeof commands>;
export type OpenCommand = Extract<Command, { kind: 'proposals.open' }>;
export type VoteCommand = Extract<Command, { kind: 'proposals.vote' }>;

export const queries = v.variant('kind', [
  /** The record of a proposal, open or decided. */
  v.strictObject({ kind: v.literal('proposals.get'), id: name }),
  /** The same, and what a certificate states once it is decided. */
  v.strictObject({ kind: v.literal('proposals.decision'), id: name }),
  /** Open proposals, of one agent or of the agents of one node, after a number of an earlier page. */
  v.strictObject({
    kind: v.literal('proposals.list'),
    agent: v.optional(name),
    node: v.optional(node),
    after: whole(0, Number.MAX_SAFE_INTEGER),
  }),
]);
export type Query = v.InferOutput<typeof queries>;

const vote = v.strictObject({
  accept: v.boolean(),
  at: v.number(),
  value: v.optional(bytes),
  reason: v.optional(v.string()),
});
/** A proposal as it is answered, told and certified. Values are encoded; a value that is missing is the proposal as it is. */
export const recordSchema = v.strictObject({
  id: v.string(),
  proposer: node,
  proposal: bytes,
  rule: ruleSchema,
  zones: v.array(v.string()),
  participants: v.array(v.strictObject({ ...participant.entries, vote: v.optional(vote) })),
  openedAt: v.number(),
  deadlineAt: v.number(),
  state: v.picklist(['open', 'accepted', 'rejected', 'expired', 'withdrawn']),
  decidedAt: v.optional(v.number()),
  value: v.optional(bytes),
});
export type ProposalRecord = v.InferOutput<typeof recordSchema>;
export type SeatRecord = ProposalRecord['participants'][number];
export type VoteRecord = NonNullable<SeatRecord['vote']>;

export const pageSchema = v.strictObject({
  proposals: v.array(v.strictObject({ id: v.string(), number: v.number() })),
  more: v.boolean(),
});

/** The record in an answer, event or certificate; undefined for anything else. */
export function readRecord(value: Value): ProposalRecord | undefined {
  const parsed = v.safeParse(recordSchema, value);
  return parsed.success ? parsed.output : undefined;
}

export const decisionTopic = (id: string): string => `proposals/decision/${id}`;
/** Tells a node of proposals for its agents: `{ kind: 'opened' | 'closed', id }`. */
export const nodeTopic = (id: NodeId): string => `proposals/node/${id}`;
