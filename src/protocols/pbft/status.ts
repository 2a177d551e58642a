/**
 * Retransmission by need (TOCS 2002 section 5.2): replicas say what they have, and whoever has more sends what
 * is missing. Nothing else is sent twice. All messages may be lost and the group still converges.
 */
import type { NodeId } from '../../node-id.ts';
import { fetchMissing } from './execution.ts';
import { isValidator, primaryOf } from './group.ts';
import type { Slot } from './log.ts';
import { type Status, slotBits, statusSlots } from './messages.ts';
import { heads } from './pending.ts';
import { broadcast, executedBy, peerOf, type ReplicaState, send, type Turn } from './state.ts';
import { askForParts } from './transfer.ts';
import { askForCertified, noteView } from './view-change.ts';

/** Requests passed on to the primary with each status. */
const maxRelayed = 16;

/** Something is under way here that others might have to help with. */
export function isBusy(state: ReplicaState): boolean {
  const waiting = state.log.highest > executedBy(state) || state.pending.count > 0;
  return waiting || !state.active || state.suspecting || state.transfer !== undefined;
}

/** The periodic part: say what is here, and ask again for what did not come. */
export function tick(turn: Turn): void {
  const { state, now } = turn;
  const { statusIntervalMs, idleStatusMs } = state.options;
  state.statusAt = now.monotonicMs + (isBusy(state) ? statusIntervalMs : idleStatusMs);
  broadcast(turn, statusOf(state));
  fetchMissing(turn);
  askForCertified(turn);
  askForParts(turn);
  passRequestsOn(turn);
}

/** To the primary; and when it does not serve them, to everybody, so that all run out of patience with it. */
function passRequestsOn(turn: Turn): void {
  const { state } = turn;
  if (!state.active) return;
  const primary = primaryOf(state.group, state.view);
  for (const request of heads(state.pending, maxRelayed, state.suspecting)) {
    if (state.suspecting) broadcast(turn, request);
    else send(turn, primary, request);
  }
}

function statusOf(state: ReplicaState): Status {
  const { group, view, active } = state;
  const executed = executedBy(state);
  const slots: number[] = [];
  for (let seq = executed + 1; seq <= Math.min(executed + statusSlots, state.log.highest); seq++) {
    const slot = state.log.slots.get(seq);
    slots.push(slot === undefined ? 0 : bitsOf(slot, view));
  }
  const viewChanges = [...state.viewChanges.values()].filter((change) => change.view === view);
  return {
    type: 'status',
    epoch: group.epoch,
    view,
    active,
    suspects: state.suspecting,
    stable: state.log.low,
    executed,
    viewChanges: viewChanges.map(({ replica }) => replica),
    slots,
  };
}

function bitsOf(slot: Slot, view: number): number {
  let bits = 0;
  if (slot.proposal?.view === view) bits |= slotBits.proposal;
  if (slot.commitView === view) bits |= slotBits.prepared;
  if (slot.committed !== undefined) bits |= slotBits.committed;
  return bits;
}

export function onStatus(turn: Turn, from: NodeId, status: Status): void {
  const { state, now } = turn;
  noteView(turn, from, status);
  const peer = peerOf(state, from);
  if (now.monotonicMs - peer.answeredAt < state.options.statusGapMs) return;
  peer.answeredAt = now.monotonicMs;
  if (status.epoch > state.group.epoch) return;
  if (status.stable < state.log.low || status.epoch < state.group.epoch) {
    const epochs = state.epochProofs.filter(({ head }) => head.group.epoch > status.epoch);
    send(turn, from, { type: 'catchUp', epochs, checkpoint: state.stable.proof });
  }
  if (status.epoch < state.group.epoch) return;
  for (const [seq, vote] of state.ownCheckpoints) if (seq > status.stable) send(turn, from, vote);
  answerView(turn, from, status);
  answerSlots(turn, from, status);
}

function answerView(turn: Turn, from: NodeId, status: Status): void {
  const { state } = turn;
  if (!isValidator(state.group, from)) return;
  const behind = status.view < state.view || (status.view === state.view && !status.active);
  if (!behind) return;
  if (state.active) {
    if (state.newView !== undefined) send(turn, from, state.newView);
    return;
  }
  const own = state.viewChanges.get(state.self);
  const lacking = status.view < state.view || !status.viewChanges.includes(state.self);
  if (own !== undefined && lacking) send(turn, from, own);
}

function answerSlots(turn: Turn, from: NodeId, status: Status): void {
  const { state, now } = turn;
  const together = status.view === state.view && status.active && state.active && isValidator(state.group, from);
  for (let index = 0; index < statusSlots; index++) {
    const seq = status.executed + 1 + index;
    const slot = state.log.slots.get(seq);
    // What was accepted just now is on its way to everybody: sending it again would double the traffic of a busy group.
    if (slot === undefined || now.monotonicMs - slot.acceptedAt < state.options.statusIntervalMs / 2) continue;
    const bits = status.slots[index] ?? 0;
    if (together) answerSlot(turn, from, slot, bits);
    if (slot.committed !== undefined && (bits & slotBits.committed) === 0) {
      send(turn, from, { type: 'committed', epoch: state.group.epoch, seq, digest: slot.committed });
    }
  }
}

function answerSlot(turn: Turn, from: NodeId, slot: Slot, bits: number): void {
  const { state } = turn;
  const { proposal, seq } = slot;
  if (proposal?.view !== state.view) return;
  const { epoch, view, digest } = proposal;
  const batch = slot.batches.get(digest);
  if ((bits & slotBits.proposal) === 0 && batch !== undefined) {
    send(turn, from, { ...proposal, type: 'prePrepare', batch });
  }
  const prepare = slot.prepares.get(state.self);
  if ((bits & slotBits.prepared) === 0 && prepare?.view === view) send(turn, from, prepare);
  if ((bits & slotBits.committed) === 0 && slot.commitView === view) {
    send(turn, from, { type: 'commit', epoch, view, seq, digest, replica: state.self });
  }
}
