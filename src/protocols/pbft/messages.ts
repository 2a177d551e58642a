/**
 * Every message of the protocol, its number on the wire (append only: a number is never given to another
 * message) and what is signed of it.
 *
 * Signed is only what must convince a third party: requests, pre-prepares, prepares, checkpoints, view
 * changes and new views. All else (commits, claims, status, transfers, replies) counts only as the word of
 * the peer at the other end of an authenticated channel, which costs no signature. TOCS 2002 section 3 makes
 * the same split between public-key signatures and authenticators.
 */
import { hash } from 'node:crypto';
import type { NodeId } from '../../node-id.ts';
import type { Group } from './group.ts';
import { Writer } from './wire.ts';

export const messageNumbers = {
  request: 1,
  prePrepare: 2,
  prepare: 3,
  commit: 4,
  checkpoint: 5,
  viewChange: 6,
  newView: 7,
  status: 8,
  fetchBatch: 9,
  batch: 10,
  committed: 11,
  catchUp: 12,
  fetchState: 13,
  statePart: 14,
  reply: 15,
  read: 16,
  readReply: 17,
} as const;
export type MessageType = keyof typeof messageNumbers;

/** SHA-256 in hexadecimal. */
export type Digest = string;

/** What a client asks to be ordered. */
export type Operation =
  /** Opens a session; the request's `number` is the client's incarnation, higher at each of its starts. */
  | { readonly kind: 'open' }
  /** A bundle of application commands, executed in this order, one after the other. */
  | { readonly kind: 'commands'; readonly commands: readonly Uint8Array[] }
  /** A validator's vote for another set of validators; see reconfiguration.ts. */
  | { readonly kind: 'reconfigure'; readonly validators: readonly NodeId[]; readonly f: number };

/** OSDI '99 section 4.1. `number` takes the place of the timestamp. */
export interface Request {
  readonly type: 'request';
  readonly client: NodeId;
  /** As given by the open; 0 in the open itself. */
  readonly session: number;
  readonly number: number;
  /** The client has the replies up to here; replicas may forget them. */
  readonly acknowledged: number;
  readonly operation: Operation;
  readonly signature: Uint8Array;
  /** The whole encoding, as received or first made. */
  readonly bytes: Uint8Array;
}

/** What one sequence number orders. An empty batch is the null request of OSDI '99 section 4.4. */
export interface Batch {
  /** Wall clock of the primary that made it, milliseconds since 1970; 0 in the null batch. */
  readonly time: number;
  readonly requests: readonly Request[];
  readonly bytes: Uint8Array;
  readonly digest: Digest;
}

/** A pre-prepare without its payload: what a primary signs. */
export interface Proposal {
  readonly epoch: number;
  readonly view: number;
  readonly seq: number;
  readonly digest: Digest;
  readonly replica: NodeId;
  readonly signature: Uint8Array;
}
export interface PrePrepare extends Proposal {
  readonly type: 'prePrepare';
  /** Absent when shown only to prove what the primary signed. */
  readonly batch: Batch | undefined;
}
export interface Prepare extends Proposal {
  readonly type: 'prepare';
}
export interface Commit {
  readonly type: 'commit';
  readonly epoch: number;
  readonly view: number;
  readonly seq: number;
  readonly digest: Digest;
  readonly replica: NodeId;
}
export interface Checkpoint {
  readonly type: 'checkpoint';
  readonly epoch: number;
  readonly seq: number;
  /** Digest of the `CheckpointHead`. */
  readonly digest: Digest;
  readonly replica: NodeId;
  readonly signature: Uint8Array;
}

/** What a checkpoint's digest covers: the state by its root, and the validators that rule from here on. */
export interface CheckpointHead {
  readonly seq: number;
  /** SHA-256 over the digests of the state's chunks. */
  readonly root: Digest;
  readonly bytes: number;
  readonly group: Group;
}
export interface Endorsement {
  readonly replica: NodeId;
  readonly signature: Uint8Array;
}
/** A quorum's checkpoints with one digest: the proof C of OSDI '99 section 4.4. Founding state needs none. */
export interface CheckpointProof {
  /** The epoch whose validators signed. */
  readonly epoch: number;
  readonly head: CheckpointHead;
  readonly votes: readonly Endorsement[];
}
/** A pre-prepare and the prepares of 2f (in general: quorum − 1) others: an element P_m of OSDI '99 section 4.4. */
export interface PreparedCertificate {
  readonly view: number;
  readonly seq: number;
  readonly digest: Digest;
  /** The primary's signature on the pre-prepare. */
  readonly signature: Uint8Array;
  readonly prepares: readonly Endorsement[];
}
export interface ViewChange {
  readonly type: 'viewChange';
  readonly epoch: number;
  /** The view to move to. */
  readonly view: number;
  readonly replica: NodeId;
  readonly checkpoint: CheckpointProof;
  /** By rising sequence, all above the checkpoint. */
  readonly prepared: readonly PreparedCertificate[];
  readonly signature: Uint8Array;
  /** The signed part, as received or first made. */
  readonly body: Uint8Array;
}
export interface ReProposal {
  readonly seq: number;
  readonly digest: Digest;
  /** The new primary's, on the pre-prepare in the new view. */
  readonly signature: Uint8Array;
}
export interface NewView {
  readonly type: 'newView';
  readonly epoch: number;
  readonly view: number;
  readonly replica: NodeId;
  readonly viewChanges: readonly ViewChange[];
  readonly proposals: readonly ReProposal[];
  readonly signature: Uint8Array;
  readonly body: Uint8Array;
}

/** What a replica has, so that others can send what it lacks (TOCS 2002 section 5.2). */
export interface Status {
  readonly type: 'status';
  readonly epoch: number;
  readonly view: number;
  /** False while it waits for the new view. */
  readonly active: boolean;
  /** It wants to leave this view. */
  readonly suspects: boolean;
  readonly stable: number;
  readonly executed: number;
  /** Whose view changes for this view it has. */
  readonly viewChanges: readonly NodeId[];
  /** What it has of the sequences after `executed`, bits as in `slotBits`. */
  readonly slots: readonly number[];
}
export const slotBits = { proposal: 1, prepared: 2, committed: 4 } as const;
/** Sequences a status speaks of, and is answered about, at once. */
export const statusSlots = 16;

export interface FetchBatch {
  readonly type: 'fetchBatch';
  readonly seq: number;
  readonly digest: Digest;
}
export interface BatchMessage {
  readonly type: 'batch';
  readonly seq: number;
  readonly batch: Batch;
}
/** "I know that this was committed": f + 1 of these are proof (a weak certificate, TOCS 2002 section 3.2). */
export interface Committed {
  readonly type: 'committed';
  readonly epoch: number;
  readonly seq: number;
  readonly digest: Digest;
}
/** How to get from an epoch to a stable checkpoint: one proof for each change of validators, then the checkpoint. */
export interface CatchUp {
  readonly type: 'catchUp';
  readonly epochs: readonly CheckpointProof[];
  readonly checkpoint: CheckpointProof;
}
/** Part 0 is the list of chunk digests, part i the i-th chunk. */
export interface FetchState {
  readonly type: 'fetchState';
  readonly seq: number;
  readonly part: number;
}
export interface StatePart {
  readonly type: 'statePart';
  readonly seq: number;
  readonly part: number;
  readonly bytes: Uint8Array;
}
export interface Reply {
  readonly type: 'reply';
  readonly client: NodeId;
  readonly session: number;
  readonly number: number;
  readonly epoch: number;
  readonly view: number;
  readonly result: Uint8Array;
}
export interface Read {
  readonly type: 'read';
  readonly number: number;
  readonly query: Uint8Array;
}
export interface ReadReply {
  readonly type: 'readReply';
  readonly number: number;
  readonly epoch: number;
  readonly result: Uint8Array;
}

export type Message =
  | Request
  | PrePrepare
  | Prepare
  | Commit
  | Checkpoint
  | ViewChange
  | NewView
  | Status
  | FetchBatch
  | BatchMessage
  | Committed
  | CatchUp
  | FetchState
  | StatePart
  | Reply
  | Read
  | ReadReply;

export function digestOf(bytes: Uint8Array): Digest {
  return hash('sha256', bytes, 'hex');
}

/** Makes a batch and its digest from what it holds. */
export function makeBatch(time: number, requests: readonly Request[]): Batch {
  const bytes = new Writer()
    .uint(time)
    .list(requests, (writer, request) => writer.bytes(request.bytes))
    .finish();
  return { time, requests, bytes, digest: digestOf(bytes) };
}

/** Ordered where a view change leaves a gap; executing it does nothing. */
export const nullBatch: Batch = makeBatch(0, []);

/** What a signature on a pre-prepare or prepare covers. */
export function proposalBytes(
  group: Uint8Array,
  type: 'prePrepare' | 'prepare',
  epoch: number,
  view: number,
  seq: number,
  digest: Digest,
): Uint8Array {
  const writer = new Writer().fixed(group).uint(messageNumbers[type]).uint(epoch).uint(view).uint(seq);
  return writer.digest(digest).finish();
}

/** What a signature on a checkpoint covers. */
export function checkpointBytes(group: Uint8Array, epoch: number, seq: number, digest: Digest): Uint8Array {
  return new Writer().fixed(group).uint(messageNumbers.checkpoint).uint(epoch).uint(seq).digest(digest).finish();
}

/** What a signature on a request, view change or new view covers, given its encoded body. */
export function bodyBytes(group: Uint8Array, type: 'request' | 'viewChange' | 'newView', body: Uint8Array): Uint8Array {
  return new Writer().fixed(group).uint(messageNumbers[type]).fixed(body).finish();
}
