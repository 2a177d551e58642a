/**
 * Committed batches run in order, without gaps, exactly once; clients get their replies, and reads that
 * waited for a sequence are answered.
 */
import type { NodeId } from '../../node-id.ts';
import { makeCheckpoint } from './checkpoints.ts';
import { primaryOf } from './group.ts';
import type { Slot } from './log.ts';
import {
  type Batch,
  type FetchBatch,
  nullBatch,
  type Read,
  type ReadReply,
  type Reply,
  type Request,
} from './messages.ts';
import { admit, settle } from './pending.ts';
import { executeBatch } from './replicated.ts';
import { standingOf } from './sessions.ts';
import {
  armSuspicion,
  executedBy,
  isPrimary,
  parametersOf,
  type ReplicaState,
  report,
  send,
  type Turn,
} from './state.ts';

/** Runs what can run now. True when anything did. */
export function executeReady(turn: Turn): boolean {
  const { state } = turn;
  let any = false;
  for (;;) {
    const slot = state.log.slots.get(executedBy(state) + 1);
    if (slot?.committed === undefined) break;
    const batch = slot.committed === nullBatch.digest ? nullBatch : slot.batches.get(slot.committed);
    if (batch === undefined) {
      if (!any) break;
      fetchMissing(turn);
      break;
    }
    run(turn, slot, batch);
    any = true;
  }
  if (any) answerWaitingReads(turn);
  return any;
}

function run(turn: Turn, slot: Slot, batch: Batch): void {
  const { state, now } = turn;
  const results = executeBatch(state.replicated, batch, parametersOf(state));
  settle(state.pending, batch.requests, state.replicated.sessions, parametersOf(state), now.monotonicMs);
  state.progressAt = now.monotonicMs;
  if (batch.requests.length > 0 && state.active) state.attempt = 0;
  // One that learns from others asks for more at once instead of waiting for its next turn to ask.
  if (slot.byClaims) state.statusAt = now.monotonicMs;
  for (const { request, result } of results) reply(turn, request, result);
  const { seq } = slot;
  report(turn, { kind: 'executed', seq, digest: batch.digest, time: state.replicated.time, results });
  if (seq % parametersOf(state).checkpointInterval === 0) makeCheckpoint(turn);
}

function reply(turn: Turn, { client, session, number }: Request, result: Uint8Array): void {
  const { group, view } = turn.state;
  answer(turn, client, { type: 'reply', client, session, number, epoch: group.epoch, view, result });
}

/** To a client, which may live in this process. */
function answer(turn: Turn, client: NodeId, message: Reply | ReadReply): void {
  turn.effects.push({ type: 'send', to: [client], message });
}

/**
 * From a client, or passed on by another replica. Executed before: the cached reply goes to the client, and to
 * nobody who merely replays its request. Otherwise it waits for its turn, and a backup passes it on.
 */
export function onRequest(turn: Turn, from: NodeId, request: Request): void {
  const { state, now } = turn;
  const standing = standingOf(state.replicated.sessions, request, parametersOf(state));
  if (standing.kind === 'answered') {
    if (from === request.client) reply(turn, request, standing.result);
    return;
  }
  // Only a client's own word is ordered for a session that is not known: others could replay it for ever.
  if (standing.kind === 'unknown-session' && from !== request.client) return;
  if (!admit(state.pending, request, standing, state.options, now.monotonicMs)) return;
  armSuspicion(turn);
  const known = standing.kind === 'fresh' && from === request.client;
  const relay = known && state.active && !isPrimary(state);
  if (relay) send(turn, primaryOf(state.group, state.view), request);
}

/**
 * A read without ordering. The client accepts a result that a quorum of replicas gives alike, and each replica
 * answers only once it has executed everything it has voted to commit. A write that was acknowledged before
 * the read began has a quorum of such votes behind it, and two quorums share an honest replica; so that
 * replica's answer, which all the others must match, contains the write. Writes need no more than their
 * f + 1 replies: that is where the optimisation of OSDI '99 section 5.1.3 lets a primary block them
 * (arXiv 2107.11144). A read that finds no quorum is ordered by its client instead.
 */
export function onRead(turn: Turn, from: NodeId, read: Read): void {
  const { state } = turn;
  const waiting = { from, read, after: state.promised };
  if (waiting.after <= executedBy(state)) answerRead(turn, from, read);
  else if (state.reads.length < state.options.maxWaitingReads) state.reads.push(waiting);
}

function answerRead(turn: Turn, to: NodeId, read: Read): void {
  const { state } = turn;
  let result: Uint8Array;
  try {
    result = state.replicated.application.query(read.query);
  } catch {
    return; // A query the application cannot answer gets no quorum; ordered, it fails alike everywhere.
  }
  if (result.length > parametersOf(state).maxResultBytes) return;
  answer(turn, to, { type: 'readReply', number: read.number, epoch: state.group.epoch, result });
}

export function answerWaitingReads(turn: Turn): void {
  const { state } = turn;
  if (state.reads.length === 0) return;
  const executed = executedBy(state);
  const ready = state.reads.filter((waiting) => waiting.after <= executed);
  state.reads = state.reads.filter((waiting) => waiting.after > executed);
  for (const { from, read } of ready) answerRead(turn, from, read);
}

/** Asks for the batches that are known by digest only: decided ones, and those a new view proposes again. */
export function fetchMissing(turn: Turn): void {
  const { state } = turn;
  let asked = 0;
  for (let seq = state.log.low + 1; seq <= state.log.highest && asked < maxFetches; seq++) {
    const slot = state.log.slots.get(seq);
    const wanted = slot && missingDigest(state, slot);
    if (slot === undefined || wanted === undefined) continue;
    const request: FetchBatch = { type: 'fetchBatch', seq, digest: wanted };
    turn.effects.push({ type: 'send', to: holders(state, slot), message: request });
    asked++;
  }
}

/** Batches asked for at once, so that answers do not pile up. */
const maxFetches = 8;

function missingDigest(state: ReplicaState, slot: Slot): string | undefined {
  const { committed, awaiting } = slot;
  const decided = slot.seq > executedBy(state) ? committed : undefined;
  for (const digest of [decided, awaiting?.digest]) {
    if (digest !== undefined && digest !== nullBatch.digest && !slot.batches.has(digest)) return digest;
  }
  return undefined;
}

/** Who said to have it, or else everybody; there is no telling which of them lie. */
function holders(state: ReplicaState, slot: Slot): NodeId[] {
  const digest = missingDigest(state, slot);
  const said = [...slot.claims].filter(([, claim]) => claim === digest).map(([id]) => id);
  return (said.length > 0 ? said : [...state.group.validators]).filter((id) => id !== state.self);
}

/** Gives a batch to whoever asks for it by sequence and digest. */
export function onFetchBatch(turn: Turn, from: NodeId, { seq, digest }: FetchBatch): void {
  const batch = turn.state.log.slots.get(seq)?.batches.get(digest);
  if (batch !== undefined) send(turn, from, { type: 'batch', seq, batch });
}
