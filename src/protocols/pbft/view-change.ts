/**
 * Leaving a view whose primary does not serve, and entering the next with everything that may have been
 * committed (OSDI '99 section 4.4; liveness: section 4.5.2).
 *
 * Leaving is by agreement: a replica that waited too long says so, stays in the view, and leaves once a quorum
 * says the same; so one replica cut off from the primary cannot disturb the others, nor put itself out of the
 * view for good. (The papers' replica leaves alone; TigerBeetle asks for a quorum, as here.) View changes of
 * f + 1 others are joined at once, since one of them is honest and had its quorum.
 *
 * It is live: of the n − f honest replicas some may have decided with the help of liars, who then fall silent, and
 * be content. Where f + 1 are, the others learn the decision from them. Otherwise more than f are stuck and say so,
 * and f + 1 that say so are joined in it: so all do. (With f = 0 one that has decided is enough for the others, and
 * the word of one is not joined.)
 *
 * Invariants: a view change is on disk before it is sent, and after it nothing is accepted in an earlier view.
 * What a view change shows is everything prepared above the stable checkpoint, whatever its view.
 */

import type { NodeId } from '../../node-id.ts';
import { encodeMessage, newViewBody, viewChangeBody } from './encoding.ts';
import { accuse } from './evidence.ts';
import { isValidator, primaryOf, quorumOf, weakQuorumOf } from './group.ts';
import { slotAt } from './log.ts';
import {
  type Batch,
  bodyBytes,
  type NewView,
  nullBatch,
  type PreparedCertificate,
  type Status,
  type ViewChange,
} from './messages.ts';
import { adoptReProposals, signProposal } from './normal-case.ts';
import { heads, startOver, waitingSince } from './pending.ts';
import { planNewView } from './re-proposals.ts';
import {
  broadcast,
  epochEnd,
  executedBy,
  hasAbdicated,
  inWindow,
  isPrimary,
  peerOf,
  type ReplicaState,
  report,
  send,
  type Turn,
  timeoutOf,
  votes,
} from './state.ts';
import { onCatchUp } from './transfer.ts';

/** Requests a backup passes on to a new primary at once. */
const maxRelayed = 64;
/** Batches asked of one author at once. */
const maxAskedBatches = 16;

/** Looks whether patience has run out; called when its alarm or that of a new view is due. */
export function checkPatience(turn: Turn): void {
  const { state, now } = turn;
  if (state.suspecting || !votes(state)) return;
  if (!state.active) {
    if (state.newViewDue !== undefined && now.monotonicMs >= state.newViewDue) suspect(turn);
    return;
  }
  if (state.suspectAt === undefined || now.monotonicMs < state.suspectAt) return;
  const since = waitingForPrimary(state);
  state.suspectAt = undefined;
  if (since === undefined) return;
  const { maxViewMs } = state.options;
  const tenureOver = maxViewMs > 0 && now.monotonicMs - state.viewSince >= maxViewMs;
  const due = Math.max(since, state.viewSince) + timeoutOf(state);
  if (tenureOver || now.monotonicMs >= due) suspect(turn);
  else state.suspectAt = due;
}

/** Since when this replica waits for something that the primary should bring about. */
function waitingForPrimary(state: ReplicaState): number | undefined {
  const requests = waitingSince(state.pending);
  if (requests !== undefined) return requests;
  const end = epochEnd(state);
  if (end !== Number.POSITIVE_INFINITY && executedBy(state) < end) return state.progressAt;
  for (let seq = executedBy(state) + 1; seq <= state.log.highest; seq++) {
    if (state.log.slots.get(seq)?.proposal?.view === state.view) return state.progressAt;
  }
  return undefined;
}

/** The same as waiting in vain: the view ends when a quorum says so. */
export function onUnreachable(turn: Turn, peer: NodeId): void {
  const { state } = turn;
  if (votes(state) && !state.suspecting && primaryOf(state.group, state.view) === peer) suspect(turn);
}

/** A primary that does not know what it has proposed asks for its own succession. */
export function resumeAbdication(turn: Turn): void {
  const { state } = turn;
  if (hasAbdicated(state) && state.active && votes(state) && !state.suspecting) suspect(turn);
}

function suspect(turn: Turn): void {
  turn.state.suspecting = true;
  turn.state.statusAt = turn.now.monotonicMs;
  considerLeaving(turn);
}

/** A peer's word about its view; it may count against ours. */
export function noteView(turn: Turn, from: NodeId, status: Status): void {
  const { state } = turn;
  if (status.epoch !== state.group.epoch || !isValidator(state.group, from) || !votes(state)) return;
  const peer = peerOf(state, from);
  peer.suspects = Math.max(peer.suspects, status.suspects ? status.view : status.view - 1);
  // A primary that gives up need not be waited for; one that lies about that harms its own reign only.
  const resigns = status.suspects && status.view === state.view && from === primaryOf(state.group, state.view);
  if (resigns && state.active && !state.suspecting) suspect(turn);
  considerLeaving(turn);
}

/** Leaves the view when a quorum wants to, this replica counted if it does; f + 1 others make it want to. */
function considerLeaving(turn: Turn): void {
  const { state } = turn;
  let wanting = 0;
  for (const id of state.group.validators) {
    const announced = (state.viewChanges.get(id)?.view ?? 0) - 1;
    const said = id === state.self ? (state.suspecting ? state.view : -1) : (state.peers.get(id)?.suspects ?? -1);
    if (Math.max(announced, said) >= state.view) wanting++;
  }
  const weak = weakQuorumOf(state.group);
  if (wanting >= quorumOf(state.group)) startViewChange(turn, state.view + 1);
  else if (!state.suspecting && weak > 1 && wanting >= weak) suspect(turn);
}

/** Stops working in the view it was in, and asks for `view`. */
function startViewChange(turn: Turn, view: number): void {
  const { state } = turn;
  if (view <= state.view || !votes(state)) return;
  state.view = view;
  state.active = false;
  state.suspecting = false;
  state.attempt++;
  state.newViewDue = undefined;
  state.suspectAt = undefined;
  for (const slot of state.log.slots.values()) slot.awaiting = undefined;
  const prepared: PreparedCertificate[] = [];
  for (let seq = state.log.low + 1; seq <= state.log.highest; seq++) {
    const certificate = state.log.slots.get(seq)?.certificate;
    if (certificate !== undefined) prepared.push(certificate);
  }
  const { epoch } = state.group;
  const content = { epoch, view, replica: state.self, checkpoint: state.stable.proof, prepared };
  const body = viewChangeBody(content);
  const signature = state.sign(bodyBytes(state.context.groupId, 'viewChange', body));
  const change: ViewChange = { type: 'viewChange', ...content, signature, body };
  const bytes = encodeMessage(change);
  turn.effects.push({ type: 'persist', record: { kind: 'viewChange', epoch, seq: 0, view, bytes } });
  broadcast(turn, change);
  state.viewChanges.set(state.self, change);
  report(turn, { kind: 'view', view, primary: primaryOf(state.group, view), active: false });
  afterViewChange(turn);
}

export function onViewChange(turn: Turn, change: ViewChange): void {
  const { state } = turn;
  if (change.epoch !== state.group.epoch || change.replica === state.self) return;
  const known = state.viewChanges.get(change.replica);
  if (known?.view === change.view && Buffer.compare(known.body, change.body) !== 0) accuse(turn, known, change);
  if (known !== undefined && known.view >= change.view) return;
  if (change.view < state.view || (change.view === state.view && state.active)) return;
  state.viewChanges.set(change.replica, change);
  accuseForeignProposals(turn, change);
  afterViewChange(turn);
}

/** A certificate carries the primary's signature: another digest than the one given here is evidence. */
function accuseForeignProposals(turn: Turn, change: ViewChange): void {
  const { state } = turn;
  for (const { view, seq, digest, signature } of change.prepared) {
    const own = state.log.slots.get(seq)?.proposal;
    if (own === undefined || own.view !== view || own.digest === digest) continue;
    const other = { epoch: change.epoch, view, seq, digest, replica: own.replica, signature };
    accuse(turn, { ...own, type: 'prePrepare', batch: undefined }, { ...other, type: 'prePrepare', batch: undefined });
  }
}

function afterViewChange(turn: Turn): void {
  const { state, now } = turn;
  if (!votes(state)) return;
  joinOthers(turn);
  considerLeaving(turn);
  if (state.active) return;
  // Only from here on can the new primary be late (section 4.5.2). Those already further count: their view changes
  // for this view are not repeated, and without them the view may never begin.
  const arrived = [...state.viewChanges.values()].filter(({ view }) => view >= state.view);
  if (arrived.length < quorumOf(state.group)) return;
  state.newViewDue ??= now.monotonicMs + timeoutOf(state);
  const forThis = changesFor(state);
  if (isPrimary(state) && forThis.length >= quorumOf(state.group)) beginWhenAble(turn, forThis);
}

/** After a start between a view change and its new view: where one is a quorum, nothing else brings the new view. */
export function resumeViewChange(turn: Turn): void {
  if (!turn.state.active) afterViewChange(turn);
}

/**
 * The new primary starts from its own view change and such others of which it holds every certified batch. A
 * liar can have a valid certificate whose batch everybody else has dropped since; a view that proposed it
 * again would wait for that batch for ever, and so would the next. Honest authors hold what they certify, so
 * asking them brings a quorum together.
 */
function beginWhenAble(turn: Turn, changes: readonly ViewChange[]): void {
  const { state } = turn;
  const own = changes.filter(({ replica }) => replica === state.self);
  const others = changes.filter((one) => one.replica !== state.self && missingBatches(state, one).length === 0);
  const usable = [...own, ...others];
  if (own.length > 0 && usable.length >= quorumOf(state.group)) beginView(turn, usable.slice(0, quorumOf(state.group)));
  else askForCertified(turn);
}

function missingBatches(state: ReplicaState, change: ViewChange): PreparedCertificate[] {
  return change.prepared.filter(({ seq, digest }) => {
    const wanted = inWindow(state, seq) && digest !== nullBatch.digest;
    return wanted && !state.log.slots.get(seq)?.batches.has(digest);
  });
}

/** Asks the authors of view changes for the batches they certify; again with each status. */
export function askForCertified(turn: Turn): void {
  const { state } = turn;
  if (state.active || !isPrimary(state) || !votes(state)) return;
  for (const change of changesFor(state)) {
    for (const { seq, digest } of missingBatches(state, change).slice(0, maxAskedBatches)) {
      send(turn, change.replica, { type: 'fetchBatch', seq, digest });
    }
  }
}

/** A batch came: perhaps one that a view change certifies and the new view waits for. */
export function onCertifiedBatch(turn: Turn, seq: number, batch: Batch): void {
  const { state } = turn;
  if (state.active || !isPrimary(state) || !inWindow(state, seq)) return;
  const certified = changesFor(state).some(({ prepared }) => {
    return prepared.some((one) => one.seq === seq && one.digest === batch.digest);
  });
  if (!certified) return;
  slotAt(state.log, seq).batches.set(batch.digest, batch);
  afterViewChange(turn);
}

/** The highest view that f + 1 others have reached: an honest one among them had a quorum's word. */
function joinOthers(turn: Turn): void {
  const { state } = turn;
  const ahead = [...state.viewChanges.values()].map(({ view }) => view).filter((view) => view > state.view);
  const target = ahead.sort((a, b) => b - a)[weakQuorumOf(state.group) - 1];
  if (target !== undefined) startViewChange(turn, target);
}

/** The view changes held for the present view, in the group's order. */
function changesFor(state: ReplicaState): ViewChange[] {
  const changes = state.group.validators.map((id) => state.viewChanges.get(id));
  return changes.filter((change) => change?.view === state.view) as ViewChange[];
}

function beginView(turn: Turn, viewChanges: readonly ViewChange[]): void {
  const { state } = turn;
  const { proposals } = planNewView(viewChanges);
  const { epoch } = state.group;
  const signed = proposals.map(({ seq, digest }) => {
    return { seq, digest, signature: signProposal(turn, seq, digest).signature };
  });
  const content = { epoch, view: state.view, replica: state.self, viewChanges, proposals: signed };
  const body = newViewBody(content);
  const signature = state.sign(bodyBytes(state.context.groupId, 'newView', body));
  enterView(turn, { type: 'newView', ...content, signature, body }, true);
}

/** Its view changes and proposals were checked when it was accepted. */
export function onNewView(turn: Turn, message: NewView): void {
  const { state } = turn;
  if (message.epoch !== state.group.epoch || message.replica === state.self || !votes(state)) return;
  if (message.view < state.view || (message.view === state.view && state.active)) return;
  enterView(turn, message, false);
}

function enterView(turn: Turn, message: NewView, announce: boolean): void {
  const { state, now } = turn;
  const { epoch, view } = message;
  const bytes = encodeMessage(message);
  turn.effects.push({ type: 'persist', record: { kind: 'newView', epoch, seq: 0, view, bytes } });
  if (announce) broadcast(turn, message);
  setView(state, message);
  state.viewSince = now.monotonicMs;
  state.progressAt = now.monotonicMs;
  startOver(state.pending, now.monotonicMs);
  state.statusAt = now.monotonicMs;
  const primary = primaryOf(state.group, view);
  report(turn, { kind: 'view', view, primary, active: true });
  // The checkpoint the view starts from is proved in it: reached here, it is stable now; else it is fetched.
  onCatchUp(turn, { type: 'catchUp', epochs: [], checkpoint: planNewView(message.viewChanges).checkpoint });
  adoptReProposals(turn);
  if (!announce) for (const request of heads(state.pending, maxRelayed)) send(turn, primary, request);
}

/** The part of entering a view that recovery repeats. */
export function setView(state: ReplicaState, message: NewView): void {
  const { checkpoint, proposals } = planNewView(message.viewChanges);
  state.view = message.view;
  state.active = true;
  state.suspecting = false;
  state.newViewDue = undefined;
  state.suspectAt = undefined;
  state.newView = message;
  state.reProposed = new Map(proposals.map(({ seq, digest }) => [seq, digest]));
  state.viewFloor = checkpoint.head.seq + proposals.length;
  state.nextSeq = state.viewFloor + 1;
  for (const [id, change] of state.viewChanges) if (change.view <= message.view) state.viewChanges.delete(id);
  for (const slot of state.log.slots.values()) slot.awaiting = undefined;
}
