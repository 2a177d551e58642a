/**
 * A killed replica comes back with every promise it made: the same view, the same votes, word for word.
 * Whatever it did not promise it learns from the others.
 */
import { QuorateError } from '../../errors.ts';
import { restoreCheckpointVote } from './checkpoints.ts';
import type { LogRecord } from './effects.ts';
import { decodeCertificate, decodeMessage } from './encoding.ts';
import { preparesNeededBy } from './group.ts';
import { collectGarbage, slotAt } from './log.ts';
import {
  type Message,
  nullBatch,
  type PrePrepare,
  type Prepare,
  type PreparedCertificate,
  proposalBytes,
} from './messages.ts';
import { decodeStable } from './recovery-records.ts';
import { executeBatch, restoreSnapshot, snapshotFrom } from './replicated.ts';
import { createReplica, executedBy, isPrimary, parametersOf, type ReplicaSetup, type ReplicaState } from './state.ts';
import { setView } from './view-change.ts';

/**
 * The state after `records`, in the order they were persisted. Throws `DATA_DIR_UNUSABLE` when one of them
 * cannot be read: a replica that forgot a promise would lie, so it must not start.
 */
export function restore(setup: ReplicaSetup, records: readonly LogRecord[]): ReplicaState {
  const state = createReplica(setup);
  const last = records.findLastIndex(({ kind }) => kind === 'checkpoint');
  if (last >= 0) restoreCheckpoint(state, records[last] as LogRecord);
  for (const record of records) {
    if (record.epoch === state.group.epoch && record.kind !== 'checkpoint') restoreRecord(state, record);
  }
  state.nextSeq = Math.max(state.viewFloor, state.log.low) + 1;
  if (isPrimary(state)) {
    for (const { proposal, seq } of state.log.slots.values()) {
      if (proposal?.view === state.view && seq >= state.nextSeq) state.nextSeq = seq + 1;
    }
  }
  state.recorded = records.length > 0;
  // A pre-prepare leaves before it is on disk, so an earlier life may have proposed what this one does not know of.
  const heard = state.recorded && state.group.validators.length > 1;
  if (heard && isPrimary(state)) state.abdicated = { epoch: state.group.epoch, view: state.view };
  return state;
}

function unreadable(record: LogRecord): QuorateError {
  return new QuorateError(
    'DATA_DIR_UNUSABLE',
    `The log of this validator holds a ${record.kind} record (sequence ${record.seq}, view ${record.view}) that cannot be read. Starting without it could break a promise; restore the file or replace the validator.`,
    { kind: record.kind, seq: record.seq, view: record.view },
  );
}

function restoreCheckpoint(state: ReplicaState, record: LogRecord): void {
  const stable = decodeStable(record.bytes);
  if (stable === undefined) throw unreadable(record);
  const { proof, epochs } = stable;
  if (!restoreSnapshot(state.replicated, stable.state, parametersOf(state))) throw unreadable(record);
  const snapshot = snapshotFrom(state.replicated, stable.state, parametersOf(state));
  if (snapshot.head.root !== proof.head.root) throw unreadable(record);
  for (const { head } of epochs) state.context.groups.set(head.group.epoch, head.group);
  state.epochProofs = [...epochs];
  state.group = proof.head.group;
  state.stable = { proof, snapshot };
  collectGarbage(state.log, proof.head.seq);
  state.promised = proof.head.seq;
  // Fresh proposals of the epoch's first view lie above what the epoch before ended with.
  state.viewFloor = state.group.since;
}

function restoreRecord(state: ReplicaState, record: LogRecord): void {
  if (record.kind === 'prepared') {
    const certificate = decodeCertificate(record.bytes);
    if (certificate === undefined) throw unreadable(record);
    if (record.seq > state.log.low) restorePrepared(state, certificate);
    return;
  }
  const message = readMessage(state, record);
  if (record.kind === 'executed') {
    if (record.seq > state.log.low) repeatExecution(state, record, message);
    return;
  }
  if (message.type === 'prePrepare' && record.seq > state.log.low) restoreProposal(state, message);
  if (message.type === 'viewChange') {
    state.view = message.view;
    state.active = false;
    state.viewChanges.set(state.self, message);
  }
  if (message.type === 'newView') setView(state, message);
}

function readMessage(state: ReplicaState, record: LogRecord): Message {
  const decoded = decodeMessage(record.bytes, parametersOf(state));
  if (typeof decoded === 'string') throw unreadable(record);
  return decoded.message;
}

function restoreProposal(state: ReplicaState, message: PrePrepare): void {
  const { batch, type, ...proposal } = message;
  const { epoch, view, seq, digest } = proposal;
  const slot = slotAt(state.log, seq);
  slot.proposal = proposal;
  if (batch !== undefined) slot.batches.set(digest, batch);
  if (preparesNeededBy(state.group) === 0) {
    restorePrepared(state, { view, seq, digest, signature: proposal.signature, prepares: [] });
  } else if (proposal.replica !== state.self) {
    // Signing is deterministic: this is the vote that was sent before.
    const signature = state.sign(proposalBytes(state.context.groupId, 'prepare', epoch, view, seq, digest));
    const prepare: Prepare = { type: 'prepare', epoch, view, seq, digest, replica: state.self, signature };
    slot.prepares.set(state.self, prepare);
  }
}

/** The checkpoints it voted for cover this batch: those votes promised that the state survives a crash. */
function repeatExecution(state: ReplicaState, record: LogRecord, message: Message): void {
  const slot = slotAt(state.log, record.seq);
  if (message.type === 'batch') slot.batches.set(message.batch.digest, message.batch);
  const digest = message.type === 'committed' ? message.digest : message.type === 'batch' ? message.batch.digest : '';
  const batch = digest === nullBatch.digest ? nullBatch : slot.batches.get(digest);
  if (batch === undefined || record.seq !== executedBy(state) + 1) throw unreadable(record);
  executeBatch(state.replicated, batch, parametersOf(state));
  slot.committed = digest;
  if (record.seq % parametersOf(state).checkpointInterval === 0) restoreCheckpointVote(state);
}

function restorePrepared(state: ReplicaState, certificate: PreparedCertificate): void {
  const { view, seq, digest } = certificate;
  const slot = slotAt(state.log, seq);
  slot.certificate = certificate;
  slot.commitView = view;
  slot.commits.set(state.self, { view, digest });
  if (seq > state.promised) state.promised = seq;
}

/**
 * What of a log is still needed after its last checkpoint: a driver that rewrites its log keeps these, in
 * this order.
 */
export function recordsToKeep(records: readonly LogRecord[]): LogRecord[] {
  const last = records.findLast(({ kind }) => kind === 'checkpoint');
  const sameEpoch = records.filter(({ kind, epoch }) => kind !== 'checkpoint' && epoch === (last?.epoch ?? 0));
  const entered = sameEpoch.findLast(({ kind }) => kind === 'newView')?.view ?? 0;
  const needed = sameEpoch.filter(({ kind, seq, view }) => {
    const ofView = kind === 'viewChange' || kind === 'newView';
    return ofView ? view >= entered : seq > (last?.seq ?? 0);
  });
  return last === undefined ? needed : [last, ...needed];
}
