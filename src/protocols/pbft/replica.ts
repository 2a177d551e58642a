/**
 * PBFT (Castro & Liskov, OSDI '99; TOCS 2002) as a state machine: `step(state, input, now) → effects`.
 *
 * Intuition: a primary puts requests in order, and two rounds of votes make the order survive it. A round
 * decides when a quorum agrees; quorums are so large that any two share an honest replica, which never says
 * two different things. When the primary does not serve, the next one starts from what a quorum shows it has
 * prepared, which contains everything that may have been decided.
 *
 * Invariants, for at most f liars:
 * - Agreement: no two honest replicas execute different batches at one sequence.
 * - Durability: what an honest replica promised is in its log before anybody hears of it; a restart changes
 *   nothing in what it says.
 * - Liveness: once messages arrive in time, every request of an honest client is executed.
 * - Bounds: every collection in the state has a limit written beside it; the work for one input is bounded.
 *
 * No clock, randomness, timer or I/O. `state` is changed in place; equal states and inputs give equal effects.
 */
import { onCheckpoint, resumeCheckpoints } from './checkpoints.ts';
import type { Effect, Input, Now } from './effects.ts';
import { executeReady, onFetchBatch, onRead, onRequest } from './execution.ts';
import {
  adoptReProposals,
  onBatch,
  onCommit,
  onCommitted,
  onPrePrepare,
  onPrepare,
  propose,
  resumeCommits,
} from './normal-case.ts';
import { armSuspicion, epochEnd, executedBy, type ReplicaState, type Turn } from './state.ts';
import { isBusy, onStatus, tick } from './status.ts';
import { onCatchUp, onFetchState, onStatePart } from './transfer.ts';
import type { Accepted } from './validate.ts';
import {
  checkPatience,
  onCertifiedBatch,
  onNewView,
  onUnreachable,
  onViewChange,
  resumeAbdication,
  resumeViewChange,
} from './view-change.ts';

/** Handles one input; the effects are to be carried out in order, as effects.ts says. */
export function step(state: ReplicaState, input: Input, now: Now): Effect[] {
  const turn: Turn = { state, now, effects: [] };
  if (input.type === 'start') onStart(turn);
  else if (input.type === 'message') onMessage(turn, input.accepted);
  else if (input.type === 'unreachable') onUnreachable(turn, input.peer);
  advance(turn);
  checkPatience(turn);
  if (state.statusAt <= now.monotonicMs) tick(turn);
  advance(turn);
  setAlarm(turn);
  return turn.effects;
}

/** Does what the last life had the votes for and did not get to; where others vote too, they say theirs again. */
function onStart(turn: Turn): void {
  const { state, now } = turn;
  state.viewSince = now.monotonicMs;
  state.progressAt = now.monotonicMs;
  state.statusAt = now.monotonicMs;
  // A crash may have come between a new view and the votes for what it demands.
  adoptReProposals(turn);
  resumeCommits(turn);
  resumeCheckpoints(turn);
  resumeViewChange(turn);
  resumeAbdication(turn);
}

function onMessage(turn: Turn, { from, message }: Accepted): void {
  switch (message.type) {
    case 'request':
      onRequest(turn, from, message);
      break;
    case 'prePrepare':
      onPrePrepare(turn, message);
      break;
    case 'prepare':
      onPrepare(turn, message);
      break;
    case 'commit':
      onCommit(turn, message);
      break;
    case 'checkpoint':
      onCheckpoint(turn, message);
      break;
    case 'viewChange':
      onViewChange(turn, message);
      break;
    case 'newView':
      onNewView(turn, message);
      break;
    case 'status':
      onStatus(turn, from, message);
      break;
    case 'fetchBatch':
      onFetchBatch(turn, from, message);
      break;
    case 'batch':
      onBatch(turn, message.seq, message.batch);
      onCertifiedBatch(turn, message.seq, message.batch);
      break;
    case 'committed':
      onCommitted(turn, from, message);
      break;
    case 'catchUp':
      onCatchUp(turn, message);
      break;
    case 'fetchState':
      onFetchState(turn, from, message);
      break;
    case 'statePart':
      onStatePart(turn, from, message.part, message.seq, message.bytes);
      break;
    case 'read':
      onRead(turn, from, message);
      break;
    case 'reply':
    case 'readReply':
      break; // For clients.
  }
}

/** Execution makes room for proposals, and in a group of one a proposal is decided at once. */
function advance(turn: Turn): void {
  do propose(turn);
  while (executeReady(turn));
  const { state } = turn;
  const waiting = state.pending.count > 0 || state.log.highest > executedBy(state);
  const working = state.active && !state.suspecting && (waiting || epochEnd(state) !== Number.POSITIVE_INFINITY);
  if (working) armSuspicion(turn);
}

/** One alarm: the earliest of what is waited for. */
function setAlarm(turn: Turn): void {
  const { state, now, effects } = turn;
  const soon = now.monotonicMs + state.options.statusIntervalMs;
  if (state.statusAt > soon && isBusy(state)) state.statusAt = soon;
  const patience = state.suspecting ? undefined : state.active ? state.suspectAt : state.newViewDue;
  const atMs = Math.min(state.statusAt, patience ?? Number.POSITIVE_INFINITY);
  if (atMs === state.wakeAt && atMs > now.monotonicMs) return;
  state.wakeAt = atMs;
  effects.push({ type: 'wake', atMs });
}
