/**
 * Checkpoints and garbage collection (OSDI '99 section 4.3): every so many sequences each replica signs the
 * digest of its state; a quorum of equal ones makes the checkpoint stable, and everything up to it is dropped.
 *
 * Invariant: the low watermark moves only to a state this replica holds and has on disk. (Moving it on proof
 * alone would drop promises while perhaps no replica that survives holds the state.) And a checkpoint is signed only
 * once what was executed is on disk, so that a proof always has f + 1 honest signers that can compute the state
 * again after a crash: new views start from it, and drop what came before.
 */
import type { NodeId } from '../../node-id.ts';
import { encodeMessage, headDigest } from './encoding.ts';
import { accuse } from './evidence.ts';
import { type Group, isValidator, quorumOf } from './group.ts';
import { collectGarbage } from './log.ts';
import { type Checkpoint, type CheckpointProof, checkpointBytes, type Digest, type Message } from './messages.ts';
import { startOver } from './pending.ts';
import { encodeStable } from './recovery-records.ts';
import { type Snapshot, takeSnapshot } from './replicated.ts';
import { broadcast, inWindow, parametersOf, type ReplicaState, report, type Turn, votes } from './state.ts';

/** After executing the sequence of a checkpoint. */
export function makeCheckpoint(turn: Turn): void {
  const { state } = turn;
  const snapshot = freeze(state);
  if (votes(state)) {
    persistExecuted(turn, snapshot.head.seq);
    broadcast(turn, voteFor(state, snapshot));
  }
  checkStable(turn, snapshot.head.seq);
}

/** Keeps the state as it is now, to be served and perhaps to become stable. */
function freeze(state: ReplicaState): Snapshot {
  const snapshot = takeSnapshot(state.replicated, parametersOf(state));
  if (snapshot.bytes.length > parametersOf(state).maxStateBytes) {
    throw new Error(
      `The replicated state has grown to ${snapshot.bytes.length} bytes; maxStateBytes allows ${parametersOf(state).maxStateBytes}.`,
    );
  }
  state.snapshots.set(snapshot.head.seq, snapshot);
  return snapshot;
}

function voteFor(state: ReplicaState, { head }: Snapshot): Checkpoint {
  const { seq } = head;
  const digest = headDigest(head);
  const { epoch } = state.group;
  const signature = state.sign(checkpointBytes(state.context.groupId, epoch, seq, digest));
  const vote: Checkpoint = { type: 'checkpoint', epoch, seq, digest, replica: state.self, signature };
  state.ownCheckpoints.set(seq, vote);
  votesFor(state, seq).set(state.self, vote);
  return vote;
}

/** Which batches led from the checkpoint before to this one; their contents too where no proposal on disk has them. */
function persistExecuted(turn: Turn, checkpoint: number): void {
  const { state, effects } = turn;
  const { epoch } = state.group;
  for (let seq = checkpoint - parametersOf(state).checkpointInterval + 1; seq <= checkpoint; seq++) {
    const slot = state.log.slots.get(seq);
    if (slot?.committed === undefined) throw new Error(`Sequence ${seq} was executed and is not in the log.`);
    const digest = slot.committed;
    const batch = slot.proposal?.digest === digest ? undefined : slot.batches.get(digest);
    const message: Message =
      batch === undefined ? { type: 'committed', epoch, seq, digest } : { type: 'batch', seq, batch };
    effects.push({ type: 'persist', record: { kind: 'executed', epoch, seq, view: 0, bytes: encodeMessage(message) } });
  }
}

/** The part of `makeCheckpoint` that recovery repeats. */
export function restoreCheckpointVote(state: ReplicaState): void {
  voteFor(state, freeze(state));
}

/** After a start: the own vote may be all that was missing. */
export function resumeCheckpoints(turn: Turn): void {
  for (const seq of [...turn.state.snapshots.keys()]) checkStable(turn, seq);
}

function votesFor(state: ReplicaState, seq: number): Map<NodeId, Checkpoint> {
  const known = state.checkpoints.get(seq);
  if (known !== undefined) return known;
  const fresh = new Map<NodeId, Checkpoint>();
  state.checkpoints.set(seq, fresh);
  return fresh;
}

export function onCheckpoint(turn: Turn, vote: Checkpoint): void {
  const { state } = turn;
  if (vote.epoch !== state.group.epoch || !inWindow(state, vote.seq)) return;
  if (vote.seq % parametersOf(state).checkpointInterval !== 0) return;
  const votesHere = votesFor(state, vote.seq);
  const known = votesHere.get(vote.replica);
  if (known !== undefined) {
    if (known.digest !== vote.digest) accuse(turn, known, vote);
    return;
  }
  votesHere.set(vote.replica, vote);
  checkStable(turn, vote.seq);
}

function checkStable(turn: Turn, seq: number): void {
  const { state } = turn;
  const snapshot = state.snapshots.get(seq);
  if (snapshot === undefined) return; // Behind: a status will bring the proof and the way to get the state.
  const byDigest = new Map<Digest, Checkpoint[]>();
  for (const vote of state.checkpoints.get(seq)?.values() ?? []) {
    const same = byDigest.get(vote.digest) ?? [];
    same.push(vote);
    byDigest.set(vote.digest, same);
  }
  const certified = [...byDigest].find(([, same]) => same.length >= quorumOf(state.group));
  if (certified === undefined) return;
  const own = headDigest(snapshot.head);
  if (certified[0] !== own) {
    report(turn, { kind: 'diverged', seq, own, certified: certified[0] });
    state.snapshots.delete(seq);
    return;
  }
  const signed = certified[1].map(({ replica, signature }) => ({ replica, signature }));
  makeStable(turn, { epoch: state.group.epoch, head: snapshot.head, votes: signed }, snapshot, []);
}

/** The state of `proof` is here: keep it on disk, forget what came before, pass into the next epoch if it ends one. */
export function makeStable(
  turn: Turn,
  proof: CheckpointProof,
  snapshot: Snapshot,
  learnt: readonly CheckpointProof[],
): void {
  const { state } = turn;
  const { seq, group } = proof.head;
  const succession = group.epoch > proof.epoch ? [proof] : [];
  for (const step of [...learnt, ...succession]) {
    if (state.context.groups.has(step.head.group.epoch)) continue;
    state.epochProofs = [...state.epochProofs, step];
    state.context.groups.set(step.head.group.epoch, step.head.group);
  }
  state.previous = state.stable.snapshot;
  state.stable = { proof, snapshot };
  const bytes = encodeStable({ proof, epochs: state.epochProofs, state: snapshot.bytes });
  turn.effects.push({ type: 'persist', record: { kind: 'checkpoint', epoch: group.epoch, seq, view: 0, bytes } });
  collectGarbage(state.log, seq);
  for (const map of [state.snapshots, state.checkpoints, state.ownCheckpoints]) {
    for (const at of map.keys()) if (at <= seq) map.delete(at);
  }
  report(turn, { kind: 'stable', seq });
  if (group.epoch > state.group.epoch) enterEpoch(turn, group);
}

/** Other validators, view 0, nothing voted: all that was promised lies at or below the checkpoint. */
function enterEpoch(turn: Turn, group: Group): void {
  const { state, now } = turn;
  const { low } = state.log;
  state.log.slots.clear();
  state.log.highest = low;
  state.group = group;
  Object.assign(state, {
    view: 0,
    active: true,
    suspecting: false,
    attempt: 0,
    newViewDue: undefined,
    suspectAt: undefined,
  });
  Object.assign(state, { newView: undefined, reProposed: new Map(), viewFloor: low, nextSeq: low + 1, promised: low });
  state.viewSince = now.monotonicMs;
  state.progressAt = now.monotonicMs;
  state.viewChanges.clear();
  state.checkpoints.clear();
  state.ownCheckpoints.clear();
  state.snapshots.clear();
  state.accused.clear();
  for (const [id, peer] of state.peers) {
    peer.suspects = -1;
    if (!isValidator(group, id) && state.peers.size > state.options.maxObservers) state.peers.delete(id);
  }
  startOver(state.pending, now.monotonicMs);
  // Whoever is still in the epoch before gets its proof from those who are not; say at once where this one is.
  state.statusAt = now.monotonicMs;
  report(turn, { kind: 'epoch', group, validator: isValidator(group, state.self) });
}
