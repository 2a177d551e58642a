/** One proposal in the replicated state, its size, and its two forms: the record that is shown, and the tuple in a snapshot. */
import * as v from 'valibot';
import type { NodeId } from '../../../node-id.ts';
import type { Value } from '../../../value.ts';
import { type ProposalRecord, recordSchema, type VoteRecord } from './commands.ts';

export interface Seat {
  readonly agent: string;
  readonly node: NodeId;
  readonly zone: string;
  readonly weight: number;
  vote: VoteRecord | undefined;
}

export interface Entry {
  /** In the order of opening. */
  readonly number: number;
  readonly id: string;
  readonly proposer: NodeId;
  readonly proposal: Uint8Array;
  readonly rule: ProposalRecord['rule'];
  readonly zones: readonly string[];
  readonly participants: readonly Seat[];
  readonly seats: ReadonlyMap<string, Seat>;
  readonly openedAt: number;
  readonly deadlineAt: number;
  state: ProposalRecord['state'];
  decidedAt: number | undefined;
  value: Uint8Array | undefined;
  /** What it is charged with, bytes: a function of all the above. */
  size: number;
}

type Fields = Omit<Entry, 'seats' | 'size'>;

export function makeEntry(fields: Fields): Entry {
  const seats = new Map(fields.participants.map((seat) => [seat.agent, seat]));
  return { ...fields, seats, size: sizeOf(fields) };
}

/** A vote without a value of its own is paid for when the proposal is opened: it must never be refused for want of room. */
const seatBytes = 160;
const entryBytes = 512;

function sizeOf({ id, proposal, zones, participants }: Fields): number {
  let size = entryBytes + Buffer.byteLength(id) + proposal.length;
  for (const zone of zones) size += Buffer.byteLength(zone);
  for (const { agent, zone, vote } of participants) {
    size += seatBytes + Buffer.byteLength(agent) + Buffer.byteLength(zone) + extraBytes(vote);
  }
  return size;
}

/** What a vote adds beyond its seat. */
function extraBytes(vote: Pick<VoteRecord, 'value' | 'reason'> | undefined): number {
  return (vote?.value?.length ?? 0) + Buffer.byteLength(vote?.reason ?? '');
}

export function recordOf(entry: Entry): ProposalRecord {
  const { id, proposer, proposal, rule, openedAt, deadlineAt, state, decidedAt, value } = entry;
  return {
    id,
    proposer,
    proposal,
    rule,
    zones: [...entry.zones],
    participants: entry.participants.map(({ vote, ...seat }) => (vote === undefined ? seat : { ...seat, vote })),
    openedAt,
    deadlineAt,
    state,
    ...(decidedAt === undefined ? {} : { decidedAt }),
    ...(value === undefined ? {} : { value }),
  };
}

export const entriesSchema = v.array(v.strictTuple([v.number(), recordSchema]));

export const snapshotEntry = (entry: Entry): Value => [entry.number, recordOf(entry)];

export function restoreEntry([number, record]: v.InferOutput<typeof entriesSchema>[number]): Entry {
  const participants = record.participants.map(({ vote, ...seat }) => ({ ...seat, vote }));
  const { decidedAt, value, ...rest } = record;
  return makeEntry({ ...rest, number, participants, decidedAt, value });
}
