/**
 * Everything that is a function of the ordered batches alone: application, client table, validators,
 * agreed time. Checkpoints are digests of it, state transfer moves it, in chunks that are checked one by one.
 */
import { hash } from 'node:crypto';
import type { NodeId } from '../../node-id.ts';
import { type Application, FatalApplicationError } from './application.ts';
import type { Group, GroupParameters } from './group.ts';
import type { Batch, CheckpointHead, Digest, Request } from './messages.ts';
import { digestOf } from './messages.ts';
import type { CommandResult, Outcome } from './outcome.ts';
import {
  createMembership,
  type Membership,
  passEpoch,
  readMembership,
  voteForValidators,
  writeMembership,
} from './reconfiguration.ts';
import { createSessionTable, executeOnce, readSessions, type SessionTable, writeSessions } from './sessions.ts';
import { Reader, Writer } from './wire.ts';

export interface Replicated {
  readonly application: Application;
  sessions: SessionTable;
  membership: Membership;
  /** Agreed time, milliseconds since 1970; never goes back. */
  time: number;
  /** The last sequence executed. */
  executed: number;
}

export function createReplicated(application: Application, founders: Group): Replicated {
  return {
    application,
    sessions: createSessionTable(),
    membership: createMembership(founders),
    time: 0,
    executed: 0,
  };
}

export interface RequestResult {
  readonly request: Request;
  readonly result: Uint8Array;
}

/** Executes the batch of the next sequence. */
export function executeBatch(state: Replicated, batch: Batch, limits: GroupParameters): RequestResult[] {
  const seq = state.executed + 1;
  if (batch.time > state.time) state.time = batch.time;
  const results = batch.requests.map((request) => ({
    request,
    result: executeOnce(state.sessions, request, limits, () => run(state, request, seq, limits)),
  }));
  state.executed = seq;
  passEpoch(state.membership, seq);
  return results;
}

function run(state: Replicated, request: Request, seq: number, limits: GroupParameters): Outcome {
  const { operation, client } = request;
  if (operation.kind === 'open') return { kind: 'refused' };
  if (operation.kind === 'reconfigure') {
    return voteForValidators(state.membership, client, operation, seq, limits);
  }
  let size = 0;
  const results = operation.commands.map((command): CommandResult => {
    const result = applyCommand(state, command, seq, client);
    size += result.ok ? result.value.length + 8 : 1;
    // The command has run; only its result is withheld, alike everywhere.
    return size > limits.maxResultBytes ? { ok: false, reason: 'too-large' } : result;
  });
  return { kind: 'done', results };
}

/** A command that makes the application throw must not take every replica down, now and at each replay. */
function applyCommand(state: Replicated, command: Uint8Array, seq: number, client: NodeId): CommandResult {
  const { validators } = state.membership.current;
  try {
    return { ok: true, value: state.application.apply(command, { seq, time: state.time, client, validators }) };
  } catch (error) {
    if (error instanceof FatalApplicationError) throw error;
    return { ok: false, reason: 'failed' };
  }
}

/** A state frozen at a checkpoint. */
export interface Snapshot {
  readonly head: CheckpointHead;
  readonly bytes: Uint8Array;
  readonly chunks: readonly Digest[];
}

export function takeSnapshot(state: Replicated, limits: GroupParameters): Snapshot {
  const w = new Writer().uint(state.executed).uint(state.time);
  writeMembership(w, state.membership);
  writeSessions(w, state.sessions);
  return snapshotOf(w.bytes(state.application.snapshot()).finish(), state, limits);
}

function snapshotOf(bytes: Uint8Array, state: Replicated, limits: GroupParameters): Snapshot {
  const chunks: Digest[] = [];
  for (let at = 0; at < bytes.length; at += limits.chunkBytes) {
    chunks.push(digestOf(bytes.subarray(at, at + limits.chunkBytes)));
  }
  const head = { seq: state.executed, root: rootOf(chunks), bytes: bytes.length, group: state.membership.current };
  return { head, bytes, chunks };
}

export function rootOf(chunks: readonly Digest[]): Digest {
  return hash('sha256', chunks.join(''), 'hex');
}

/** Installs a snapshot. False, and nothing changed, when the bytes are not one; certified bytes always are. */
export function restoreSnapshot(state: Replicated, bytes: Uint8Array, limits: GroupParameters): boolean {
  const r = new Reader(bytes);
  const [executed, time] = [r.uint(), r.uint()];
  const membership = readMembership(r);
  const sessions = readSessions(r, limits);
  const application = r.bytes(limits.maxStateBytes);
  if (!r.complete) return false;
  state.application.restore(application);
  Object.assign(state, { executed, time, membership, sessions });
  return true;
}

/** A state read back from disk, with the digests computed again. */
export function snapshotFrom(state: Replicated, bytes: Uint8Array, limits: GroupParameters): Snapshot {
  return snapshotOf(bytes, state, limits);
}
