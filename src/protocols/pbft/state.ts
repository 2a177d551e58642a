/** The whole state of a replica, its local options, and the questions asked of it everywhere. */
import { QuorateError } from '../../errors.ts';
import type { NodeId } from '../../node-id.ts';
import type { Application } from './application.ts';
import type { Effect, Now, ReplicaEvent } from './effects.ts';
import { headDigest } from './encoding.ts';
import {
  defaultParameters,
  type Group,
  type GroupParameters,
  groupId,
  isValidator,
  primaryOf,
  requireParameters,
} from './group.ts';
import { createLog, type Log } from './log.ts';
import type { Checkpoint, CheckpointProof, Digest, Message, NewView, Read, ViewChange } from './messages.ts';
import { createPending, type Pending } from './pending.ts';
import { createReplicated, type Replicated, type Snapshot, takeSnapshot } from './replicated.ts';
import type { ValidationContext } from './validate.ts';

/** Choices of one replica; others may choose otherwise. */
export interface ReplicaOptions {
  /** A request that waits longer makes this replica suspect the primary. Guess: 20 times a slow commit. */
  readonly requestTimeoutMs: number;
  /** The timeout doubles with each view that brings nothing, up to here. */
  readonly maxTimeoutMs: number;
  /** How often a replica that waits for something says what it has. */
  readonly statusIntervalMs: number;
  /** How often one that waits for nothing does. */
  readonly idleStatusMs: number;
  /** Nobody gets more than one answer in this time. */
  readonly statusGapMs: number;
  /** Batches under way at once. While so many are, requests gather; a lone request never waits. */
  readonly maxInFlight: number;
  /** A proposed time further from the own clock is refused. */
  readonly maxClockSkewMs: number;
  /** A primary is replaced after this long under load, however well it does; 0 never. Bounds what a primary that
   * is slow just below the timeout can do (Aardvark, NSDI '09). */
  readonly maxViewMs: number;
  readonly maxPending: number;
  readonly maxPendingBytes: number;
  readonly maxWaitingReads: number;
  /** Peers outside the group that are answered; the next one replaces the one heard longest ago. */
  readonly maxObservers: number;
}

const defaultOptions: ReplicaOptions = {
  requestTimeoutMs: 500,
  maxTimeoutMs: 60_000,
  statusIntervalMs: 100,
  idleStatusMs: 1_000,
  statusGapMs: 5,
  maxInFlight: 2,
  maxClockSkewMs: 5_000,
  maxViewMs: 0,
  maxPending: 4_096,
  maxPendingBytes: 64 << 20,
  maxWaitingReads: 1_024,
  maxObservers: 64,
};

/** What a replica is made of. `sign` must give equal signatures for equal bytes, as Ed25519 does. */
export interface ReplicaSetup {
  readonly self: NodeId;
  readonly sign: (bytes: Uint8Array) => Uint8Array;
  /** Name of the group; part of everything that is signed. */
  readonly name: string;
  readonly founders: Group;
  /** In its initial state, equal at every founder. */
  readonly application: Application;
  readonly parameters?: Partial<GroupParameters>;
  readonly options?: Partial<ReplicaOptions>;
}

/** What is known of another node: bounded, one per validator and observer. */
export interface Peer {
  /** When it was last answered. */
  answeredAt: number;
  /** The highest view it wants to leave. */
  suspects: number;
}

export interface Transfer {
  readonly proof: CheckpointProof;
  readonly epochs: readonly CheckpointProof[];
  chunks: readonly Digest[] | undefined;
  readonly parts: Map<number, Uint8Array>;
  /** Part → who was asked, and when. */
  readonly asked: Map<number, { readonly peer: NodeId; readonly at: number }>;
  /** Peers that sent something false. */
  readonly refused: Set<NodeId>;
  turn: number;
  progressAt: number;
}

export interface WaitingRead {
  readonly from: NodeId;
  readonly read: Read;
  /** To be answered once this sequence is executed. */
  readonly after: number;
}

export interface ReplicaState {
  readonly self: NodeId;
  readonly sign: (bytes: Uint8Array) => Uint8Array;
  readonly options: ReplicaOptions;
  readonly context: ValidationContext & { readonly groups: Map<number, Group> };
  readonly replicated: Replicated;
  /** Proof of each change of validators, oldest first. */
  epochProofs: CheckpointProof[];
  /** The validators in whose epoch this replica works. */
  group: Group;
  view: number;
  /** False between a view change and its new view. */
  active: boolean;
  /** This replica wants to leave the view. Kept until the view ends: taking it back would only delay. */
  suspecting: boolean;
  /** Views in a row that brought nothing; each doubles the timeout. */
  attempt: number;
  viewSince: number;
  /** When waiting for the new view ends; set once a quorum wants that view or a later one. */
  newViewDue: number | undefined;
  readonly viewChanges: Map<NodeId, ViewChange>;
  newView: NewView | undefined;
  /** The new view's proposals by sequence, and the last sequence it speaks of. */
  reProposed: Map<number, Digest>;
  viewFloor: number;
  readonly log: Log;
  /** Last stable checkpoint. */
  stable: { readonly proof: CheckpointProof; readonly snapshot: Snapshot };
  /** The stable one before, kept for those who are fetching it. */
  previous: Snapshot | undefined;
  /** One that is being fetched, and when it last was. */
  pinned: { readonly snapshot: Snapshot; readonly usedAt: number } | undefined;
  /** Own checkpoints that are not stable yet. */
  readonly snapshots: Map<number, Snapshot>;
  readonly checkpoints: Map<number, Map<NodeId, Checkpoint>>;
  /** Own checkpoint messages above the stable one, sent again on demand. */
  readonly ownCheckpoints: Map<number, Checkpoint>;
  transfer: Transfer | undefined;
  /** Its log holds something, so that a restart is known for one. */
  recorded: boolean;
  /** The view it must not propose in, although it is its primary: what an earlier life proposed may be forgotten. */
  abdicated: { readonly epoch: number; readonly view: number } | undefined;
  /** The next sequence this replica would propose. */
  nextSeq: number;
  /** The highest sequence it voted to commit: reads wait for it. */
  promised: number;
  readonly pending: Pending;
  reads: WaitingRead[];
  readonly peers: Map<NodeId, Peer>;
  /** When to look whether somebody waits too long. */
  suspectAt: number | undefined;
  statusAt: number;
  wakeAt: number;
  /** When something was last executed, or a view began. */
  progressAt: number;
  /** Offences shown, by what they are about: each is shown once. */
  readonly accused: Set<string>;
}

/** One input being handled. */
export interface Turn {
  readonly state: ReplicaState;
  readonly now: Now;
  readonly effects: Effect[];
}

/** A founder before it has done anything. Throws `INVALID_OPTIONS` or `INVALID_ARGUMENT` for what cannot work. */
export function createReplica(setup: ReplicaSetup): ReplicaState {
  const parameters = { ...defaultParameters, ...setup.parameters };
  const options = { ...defaultOptions, ...setup.options };
  requireParameters(parameters);
  for (const [name, value] of Object.entries(options)) {
    if (!(value >= 0) || (value === 0 && name !== 'maxViewMs')) {
      throw new QuorateError('INVALID_OPTIONS', `${name} must be a number above 0, not ${value}.`, { [name]: value });
    }
  }
  const replicated = createReplicated(setup.application, setup.founders);
  const snapshot = takeSnapshot(replicated, parameters);
  const proof: CheckpointProof = { epoch: 0, head: snapshot.head, votes: [] };
  return {
    self: setup.self,
    sign: setup.sign,
    options,
    context: {
      groupId: groupId(setup.name, setup.founders, parameters),
      parameters,
      founding: headDigest(snapshot.head),
      groups: new Map([[0, setup.founders]]),
    },
    replicated,
    epochProofs: [],
    group: setup.founders,
    view: 0,
    active: true,
    suspecting: false,
    attempt: 0,
    viewSince: 0,
    newViewDue: undefined,
    viewChanges: new Map(),
    newView: undefined,
    reProposed: new Map(),
    viewFloor: 0,
    log: createLog(),
    stable: { proof, snapshot },
    previous: undefined,
    pinned: undefined,
    snapshots: new Map(),
    checkpoints: new Map(),
    ownCheckpoints: new Map(),
    transfer: undefined,
    recorded: false,
    abdicated: undefined,
    nextSeq: 1,
    promised: 0,
    pending: createPending(),
    reads: [],
    peers: new Map(),
    suspectAt: undefined,
    statusAt: 0,
    wakeAt: -1,
    progressAt: 0,
    accused: new Set(),
  };
}

export const parametersOf = (state: ReplicaState): GroupParameters => state.context.parameters;
export const executedBy = (state: ReplicaState): number => state.replicated.executed;
export const isPrimary = (state: ReplicaState): boolean => primaryOf(state.group, state.view) === state.self;
/** It is the primary of its view and leaves it. */
export function hasAbdicated({ abdicated, group, view }: ReplicaState): boolean {
  return abdicated !== undefined && abdicated.epoch === group.epoch && abdicated.view === view;
}
export const votes = (state: ReplicaState): boolean => isValidator(state.group, state.self);

/** The last sequence of this epoch, as far as it is decided. */
export function epochEnd(state: ReplicaState): number {
  const { current, next } = state.replicated.membership;
  if (current.epoch > state.group.epoch) return current.since;
  return next?.since ?? Number.POSITIVE_INFINITY;
}

/** H: nothing above is worked on. The window ends with the epoch, so it never spans two sets of validators. */
export function highWatermark(state: ReplicaState): number {
  return Math.min(state.log.low + parametersOf(state).window, epochEnd(state));
}

/** h < seq ≤ H (OSDI '99 section 4.2): a liar cannot exhaust the sequences or the memory. */
export function inWindow(state: ReplicaState, seq: number): boolean {
  return seq > state.log.low && seq <= highWatermark(state);
}

/** The present patience: the base, doubled for each view in a row that brought nothing (section 4.5.2). */
export function timeoutOf(state: ReplicaState): number {
  const { requestTimeoutMs, maxTimeoutMs } = state.options;
  return Math.min(requestTimeoutMs * 2 ** Math.min(state.attempt, 30), maxTimeoutMs);
}

/** Looks at the clock of patience no later than a timeout from now. */
export function armSuspicion(turn: Turn): void {
  // Observers and removed validators have nobody to suspect.
  if (votes(turn.state)) turn.state.suspectAt ??= turn.now.monotonicMs + timeoutOf(turn.state);
}

export function send(turn: Turn, to: NodeId, message: Message): void {
  if (to !== turn.state.self) turn.effects.push({ type: 'send', to: [to], message });
}

/** To every other validator of the epoch. */
export function broadcast(turn: Turn, message: Message): void {
  const to = turn.state.group.validators.filter((id) => id !== turn.state.self);
  if (to.length > 0) turn.effects.push({ type: 'send', to, message });
}

export function report(turn: Turn, event: ReplicaEvent): void {
  turn.effects.push({ type: 'event', event });
}

/** The record of a peer, or undefined for one outside the group when there are too many of those. */
export function peerOf(state: ReplicaState, id: NodeId): Peer {
  const known = state.peers.get(id);
  if (known !== undefined) return known;
  const limit = state.options.maxObservers + state.group.validators.length;
  if (state.peers.size >= limit) {
    let oldest: NodeId | undefined;
    let at = Number.POSITIVE_INFINITY;
    for (const [other, { answeredAt }] of state.peers) {
      if (!isValidator(state.group, other) && answeredAt < at) [oldest, at] = [other, answeredAt];
    }
    if (oldest !== undefined) state.peers.delete(oldest);
  }
  const peer: Peer = { answeredAt: Number.NEGATIVE_INFINITY, suspects: -1 };
  state.peers.set(id, peer);
  return peer;
}
