/**
 * State transfer (TOCS 2002 section 5.3, without its tree): a replica that fell behind the stable checkpoint
 * of others fetches that state in chunks. The certified digest covers the list of chunk digests, and each
 * chunk is checked against the list as it comes, so a liar wastes one request and is not asked again.
 */
import type { NodeId } from '../../node-id.ts';
import { makeStable } from './checkpoints.ts';
import { headDigest } from './encoding.ts';
import { answerWaitingReads } from './execution.ts';
import { type CatchUp, type CheckpointProof, digestOf, type FetchState } from './messages.ts';
import { adoptReProposals } from './normal-case.ts';
import { settleAll } from './pending.ts';
import { restoreSnapshot, rootOf, type Snapshot } from './replicated.ts';
import { executedBy, parametersOf, type ReplicaState, report, send, type Transfer, type Turn } from './state.ts';

/** Parts asked for at once. */
const maxAsked = 8;
/** A part not come after so many status intervals is asked of another. */
const patience = 3;
/** How long a snapshot is kept for somebody who stopped asking for it. */
const pinMs = 2_000;

/** A checkpoint this replica has not reached, proved by a quorum. */
export function onCatchUp(turn: Turn, message: CatchUp): void {
  const { state, now } = turn;
  const { checkpoint } = message;
  if (checkpoint.head.seq <= state.log.low || checkpoint.head.seq <= (state.transfer?.proof.head.seq ?? 0)) return;
  if (reachedAlone(turn, checkpoint, message.epochs)) return;
  // A transfer that moves is left alone: under load there is always a newer checkpoint.
  const running = state.transfer;
  const idleMs = running === undefined ? 0 : now.monotonicMs - running.progressAt;
  if (running?.chunks !== undefined && idleMs < patience * state.options.statusIntervalMs) return;
  state.transfer = {
    proof: checkpoint,
    epochs: message.epochs,
    chunks: undefined,
    parts: new Map(),
    asked: new Map(),
    refused: new Set(),
    turn: 0,
    progressAt: now.monotonicMs,
  };
  report(turn, { kind: 'transfer', seq: checkpoint.head.seq, state: 'started' });
  askForParts(turn);
}

/** Executed up to here already: then only the proof was missing. */
function reachedAlone(turn: Turn, proof: CheckpointProof, epochs: readonly CheckpointProof[]): boolean {
  const { state } = turn;
  const own = state.snapshots.get(proof.head.seq);
  if (own === undefined || headDigest(own.head) !== headDigest(proof.head)) return false;
  state.transfer = undefined;
  makeStable(turn, proof, own, epochs);
  adoptReProposals(turn);
  return true;
}

/** Called on each status tick as well: what did not come is asked of somebody else. */
export function askForParts(turn: Turn): void {
  const { state, now } = turn;
  const { transfer } = state;
  if (transfer === undefined) return;
  if (transfer.proof.head.seq <= state.log.low) {
    state.transfer = undefined; // Got there by itself.
    return;
  }
  if (reachedAlone(turn, transfer.proof, transfer.epochs)) return;
  const giveUpAt = now.monotonicMs - patience * state.options.statusIntervalMs;
  for (const [part, { at }] of transfer.asked) if (at < giveUpAt) transfer.asked.delete(part);
  const sources = sourcesOf(state, transfer);
  for (const part of missingParts(transfer)) {
    if (transfer.asked.size >= maxAsked) return;
    if (transfer.asked.has(part)) continue;
    const peer = sources[transfer.turn++ % sources.length];
    if (peer === undefined) return;
    transfer.asked.set(part, { peer, at: now.monotonicMs });
    send(turn, peer, { type: 'fetchState', seq: transfer.proof.head.seq, part });
  }
}

/**
 * Those who signed had the state; everybody else may have fetched it since, and is asked when they do not
 * answer. When all have sent something false, all are tried again.
 */
function sourcesOf(state: ReplicaState, transfer: Transfer): NodeId[] {
  const { votes: signatures, head } = transfer.proof;
  const signed = signatures.map(({ replica }) => replica);
  const patient = transfer.turn < 4 * (signed.length + (transfer.chunks?.length ?? 0));
  const all = (patient ? signed : [...new Set([...signed, ...head.group.validators])]).filter(
    (id) => id !== state.self,
  );
  const trusted = all.filter((id) => !transfer.refused.has(id));
  if (trusted.length > 0) return trusted;
  transfer.refused.clear();
  return all;
}

function* missingParts({ chunks, parts }: Transfer): Generator<number> {
  if (chunks === undefined) {
    yield 0;
    return;
  }
  for (let part = 1; part <= chunks.length; part++) if (!parts.has(part)) yield part;
}

/**
 * A part is good whoever sends it and however late: its digest says so. On links slower than the patience with one
 * answer nothing would ever come in time. What is false counts against the sender only when it was asked.
 */
export function onStatePart(turn: Turn, from: NodeId, part: number, seq: number, bytes: Uint8Array): void {
  const { state, now } = turn;
  const { transfer } = state;
  if (transfer === undefined || transfer.proof.head.seq !== seq) return;
  if (part === 0 ? transfer.chunks !== undefined : transfer.parts.has(part)) return;
  const asked = transfer.asked.get(part)?.peer === from;
  const good = takePart(state, transfer, part, bytes);
  if (!good && !asked) return;
  transfer.asked.delete(part);
  if (!good) {
    transfer.refused.add(from);
    report(turn, { kind: 'transfer', seq, state: 'bad-part', peer: from });
  } else {
    transfer.progressAt = now.monotonicMs;
  }
  if (transfer.chunks !== undefined && transfer.parts.size === transfer.chunks.length) install(turn, transfer);
  else askForParts(turn);
}

function takePart(state: ReplicaState, transfer: Transfer, part: number, bytes: Uint8Array): boolean {
  const { head } = transfer.proof;
  if (part > 0) {
    if (digestOf(bytes) !== transfer.chunks?.[part - 1]) return false;
    transfer.parts.set(part, Uint8Array.from(bytes));
    return true;
  }
  const hex = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('hex');
  const chunks = hex.match(/.{64}/g) ?? [];
  if (chunks.length !== Math.ceil(head.bytes / parametersOf(state).chunkBytes)) return false;
  if (bytes.length !== chunks.length * 32 || rootOf(chunks) !== head.root) return false;
  transfer.chunks = chunks;
  return true;
}

function install(turn: Turn, transfer: Transfer): void {
  const { state, now } = turn;
  const { proof, epochs, chunks } = transfer;
  const bytes = new Uint8Array(Buffer.concat([...transfer.parts].sort(([a], [b]) => a - b).map(([, part]) => part)));
  if (reachedAlone(turn, proof, epochs)) return;
  state.transfer = undefined;
  if (proof.head.seq <= state.log.low) return;
  if (!restoreSnapshot(state.replicated, bytes, parametersOf(state))) {
    throw new Error(`The certified state of checkpoint ${proof.head.seq} cannot be read: more validators lie than f.`);
  }
  const snapshot: Snapshot = { head: proof.head, bytes, chunks: chunks ?? [] };
  // Own checkpoints above came from the state that was just replaced.
  state.snapshots.clear();
  makeStable(turn, proof, snapshot, epochs);
  state.progressAt = now.monotonicMs;
  settleAll(state.pending, state.replicated.sessions, parametersOf(state), now.monotonicMs);
  report(turn, { kind: 'transfer', seq: executedBy(state), state: 'finished' });
  adoptReProposals(turn);
  answerWaitingReads(turn);
  state.statusAt = now.monotonicMs;
}

/**
 * Serves the last two stable checkpoints, and one older that somebody is fetching, so that progress of the
 * group does not end a transfer under way. Whoever keeps asking keeps one snapshot alive, no more.
 */
export function onFetchState(turn: Turn, from: NodeId, { seq, part }: FetchState): void {
  const { state, now } = turn;
  const kept = [state.stable.snapshot, state.previous, state.pinned?.snapshot, state.snapshots.get(seq)];
  const held = kept.find((one) => one?.head.seq === seq);
  if (held === undefined || part > held.chunks.length) return;
  const unused = (state.pinned?.usedAt ?? Number.NEGATIVE_INFINITY) + pinMs < now.monotonicMs;
  if (unused || state.pinned?.snapshot === held) state.pinned = { snapshot: held, usedAt: now.monotonicMs };
  const size = parametersOf(state).chunkBytes;
  const bytes =
    part === 0
      ? new Uint8Array(Buffer.from(held.chunks.join(''), 'hex'))
      : held.bytes.subarray((part - 1) * size, part * size);
  send(turn, from, { type: 'statePart', seq, part, bytes });
}
