/**
 * Three phases in one view (OSDI '99 section 4.2): the primary orders a batch by a pre-prepare, prepares make
 * sure that no other batch can be prepared in that slot of that view, commits make sure that every later
 * view learns of it.
 *
 * Invariants:
 * - One proposal is accepted per (view, sequence), only in the present view, only inside the window, and only
 *   with its batch in hand: a certificate then implies that enough honest replicas hold the batch.
 * - A proposal is persisted before its prepare is sent, a certificate before its commit is. Only the primary's own pre-prepare may leave before it is on
 *   disk: a primary that restarts gives up its view, so it never proposes twice in one slot.
 * - In a view that began with a new view, the sequences it speaks of take exactly what it says, and fresh
 *   proposals lie above them.
 */
import type { NodeId } from '../../node-id.ts';
import { encodeCertificate, encodeMessage } from './encoding.ts';
import { accuse } from './evidence.ts';
import { preparesNeededBy, quorumOf, weakQuorumOf } from './group.ts';
import { dropUnneededBatches, type Slot, slotAt } from './log.ts';
import {
  type Batch,
  type Commit,
  type Committed,
  type Digest,
  makeBatch,
  nullBatch,
  type PrePrepare,
  type Prepare,
  type PreparedCertificate,
  type Proposal,
  proposalBytes,
} from './messages.ts';
import { admit, markProposed, takeRequests } from './pending.ts';
import { standingOf } from './sessions.ts';
import {
  armSuspicion,
  broadcast,
  epochEnd,
  executedBy,
  hasAbdicated,
  highWatermark,
  inWindow,
  isPrimary,
  parametersOf,
  send,
  type Turn,
  votes,
} from './state.ts';

/**
 * Proposes while there is something to propose and room in flight. The first request of a quiet time goes out
 * at once; under load requests gather while `maxInFlight` batches are under way, so batches grow by themselves.
 */
export function propose(turn: Turn): void {
  const { state } = turn;
  if (!state.active || !isPrimary(state) || hasAbdicated(state)) return;
  state.nextSeq = Math.max(state.nextSeq, state.log.low + 1, state.viewFloor + 1);
  while (state.nextSeq <= highWatermark(state) && state.nextSeq - executedBy(state) <= state.options.maxInFlight) {
    const requests = takeRequests(state.pending, parametersOf(state));
    // With nothing to order, null batches lead to the end of an epoch that is decided.
    if (requests.length === 0 && epochEnd(state) === Number.POSITIVE_INFINITY) return;
    const time = Math.max(Math.floor(turn.now.wallMs), state.replicated.time);
    const batch = requests.length === 0 ? nullBatch : makeBatch(time, requests);
    const seq = state.nextSeq++;
    accept(turn, slotAt(state.log, seq), signProposal(turn, seq, batch.digest), batch, true);
  }
}

/** The primary's signature on what it orders in the present view. */
export function signProposal(turn: Turn, seq: number, digest: Digest): Proposal {
  const { state } = turn;
  const epoch = state.group.epoch;
  const bytes = proposalBytes(state.context.groupId, 'prePrepare', epoch, state.view, seq, digest);
  return { epoch, view: state.view, seq, digest, replica: state.self, signature: state.sign(bytes) };
}

export function onPrePrepare(turn: Turn, message: PrePrepare): void {
  const { state } = turn;
  if (message.epoch !== state.group.epoch || message.view !== state.view || !state.active) return;
  if (!inWindow(state, message.seq) || !votes(state)) return;
  const slot = slotAt(state.log, message.seq);
  if (slot.proposal?.view === message.view) {
    if (slot.proposal.digest !== message.digest)
      accuse(turn, { ...slot.proposal, type: 'prePrepare', batch: undefined }, message);
    return;
  }
  const { batch } = message;
  if (batch === undefined || isPrimary(state)) return;
  if (slot.committed !== undefined && slot.committed !== message.digest) return;
  if (!mayFill(turn, slot, message, batch)) return;
  accept(turn, slot, message, batch, false);
}

/** Whether the present view leaves this slot to this digest. */
function mayFill(turn: Turn, slot: Slot, message: PrePrepare, batch: Batch): boolean {
  const { state, now } = turn;
  if (message.seq <= state.viewFloor) return state.reProposed.get(message.seq) === message.digest;
  if (message.digest === nullBatch.digest) return true;
  if (Math.abs(batch.time - now.wallMs) <= state.options.maxClockSkewMs) return true;
  // Perhaps the own clock is wrong: when f + 1 stand for this time, the primary among them, an honest one does.
  if (matchingPrepares(slot, message).length + 1 >= weakQuorumOf(state.group)) return true;
  slot.doubted = message;
  return false;
}

/** The prepares of backups for a proposal. */
function matchingPrepares(slot: Slot, { view, digest, replica }: Proposal): Prepare[] {
  return [...slot.prepares.values()].filter((prepare) => {
    return prepare.view === view && prepare.digest === digest && prepare.replica !== replica;
  });
}

/** Takes a proposal of the present view into its slot and votes for it. */
function accept(turn: Turn, slot: Slot, from: Proposal, batch: Batch, announce: boolean): void {
  const { state, now } = turn;
  const { epoch, view, seq, digest, replica, signature } = from;
  const proposal: Proposal = { epoch, view, seq, digest, replica, signature };
  slot.proposal = proposal;
  slot.acceptedAt = now.monotonicMs;
  slot.awaiting = undefined;
  slot.doubted = undefined;
  slot.batches.set(digest, batch);
  dropUnneededBatches(slot);
  const message: PrePrepare = { ...proposal, type: 'prePrepare', batch };
  // The others work while this disk does: a sync less on the way to a decision. A primary that forgot what it proposed must not propose
  // again, which takes a log that shows that it had begun; so its very first proposal waits for the disk.
  const early = announce && state.recorded;
  if (early) broadcast(turn, message);
  state.recorded = true;
  turn.effects.push({ type: 'persist', record: { kind: 'proposal', epoch, seq, view, bytes: encodeMessage(message) } });
  // The next primary must be able to propose these again, and somebody must notice when they are not executed.
  for (const request of batch.requests) {
    const standing = standingOf(state.replicated.sessions, request, parametersOf(state));
    if (standing.kind === 'fresh') admit(state.pending, request, standing, state.options, now.monotonicMs);
  }
  markProposed(state.pending, batch.requests);
  armSuspicion(turn);
  if (announce && !early) broadcast(turn, message);
  if (!isPrimary(state) && preparesNeededBy(state.group) > 0) votePrepare(turn, slot, proposal);
  checkPrepared(turn, slot);
}

function votePrepare(turn: Turn, slot: Slot, { epoch, view, seq, digest }: Proposal): void {
  const { self, sign, context } = turn.state;
  const signature = sign(proposalBytes(context.groupId, 'prepare', epoch, view, seq, digest));
  const prepare: Prepare = { type: 'prepare', epoch, view, seq, digest, replica: self, signature };
  slot.prepares.set(self, prepare);
  broadcast(turn, prepare);
}

/** Prepares may come before the pre-prepare, or before the new view: they wait in the slot. */
export function onPrepare(turn: Turn, message: Prepare): void {
  const { state } = turn;
  if (message.epoch !== state.group.epoch || !inWindow(state, message.seq)) return;
  const slot = slotAt(state.log, message.seq);
  const known = slot.prepares.get(message.replica);
  if (known !== undefined && known.view >= message.view) {
    if (known.view === message.view && known.digest !== message.digest) accuse(turn, known, message);
    return;
  }
  slot.prepares.set(message.replica, message);
  const { proposal, doubted } = slot;
  if (doubted?.view === message.view && doubted.digest === message.digest) onPrePrepare(turn, doubted);
  if (proposal?.view !== message.view) return;
  if (proposal.digest === message.digest) checkPrepared(turn, slot);
  else showProposal(turn, slot, proposal, message.replica);
}

/** It was given another proposal by the same primary: together the two are evidence. */
function showProposal(turn: Turn, slot: Slot, proposal: Proposal, to: NodeId): void {
  if (slot.shown.has(to)) return;
  slot.shown.add(to);
  send(turn, to, { ...proposal, type: 'prePrepare', batch: undefined });
}

/** prepared(m, v, n, i): the proposal, and enough matching prepares of other backups. */
function checkPrepared(turn: Turn, slot: Slot): void {
  const { state } = turn;
  const { proposal } = slot;
  if (proposal === undefined || proposal.view !== state.view || !state.active || slot.commitView >= proposal.view)
    return;
  const { epoch, view, seq, digest } = proposal;
  const needed = preparesNeededBy(state.group);
  const matching = matchingPrepares(slot, proposal);
  if (matching.length < needed) return;
  const prepares = matching.slice(0, needed).map(({ replica, signature }) => ({ replica, signature }));
  const certificate: PreparedCertificate = { view, seq, digest, signature: proposal.signature, prepares };
  slot.certificate = certificate;
  slot.commitView = view;
  if (seq > state.promised) state.promised = seq;
  if (needed > 0) {
    const bytes = encodeCertificate(certificate);
    turn.effects.push({ type: 'persist', record: { kind: 'prepared', epoch, seq, view, bytes } });
  }
  slot.commits.set(state.self, { view, digest });
  broadcast(turn, { type: 'commit', epoch, view, seq, digest, replica: state.self });
  checkCommitted(turn, slot, view, digest);
}

export function onCommit(turn: Turn, message: Commit): void {
  const { state } = turn;
  if (message.epoch !== state.group.epoch || !inWindow(state, message.seq)) return;
  const slot = slotAt(state.log, message.seq);
  const known = slot.commits.get(message.replica);
  if (known !== undefined && known.view >= message.view) return;
  slot.commits.set(message.replica, { view: message.view, digest: message.digest });
  checkCommitted(turn, slot, message.view, message.digest);
}

/**
 * A quorum of commits for one digest in one view decides, whatever view this replica is in: enough honest
 * replicas hold the certificate, so no later view can choose otherwise.
 */
function checkCommitted(turn: Turn, slot: Slot, view: number, digest: Digest): void {
  let matching = 0;
  for (const commit of slot.commits.values()) if (commit.view === view && commit.digest === digest) matching++;
  if (matching >= quorumOf(turn.state.group)) decide(slot, digest);
}

/** After a start: where one vote is a quorum, no other will come to decide. */
export function resumeCommits(turn: Turn): void {
  for (const slot of turn.state.log.slots.values()) {
    if (slot.certificate !== undefined) checkCommitted(turn, slot, slot.commitView, slot.certificate.digest);
  }
}

/** f + 1 validators say that it was committed: one of them is honest. */
export function onCommitted(turn: Turn, from: NodeId, { epoch, seq, digest }: Committed): void {
  const { state } = turn;
  if (epoch !== state.group.epoch || !inWindow(state, seq) || seq <= executedBy(state)) return;
  const slot = slotAt(state.log, seq);
  slot.claims.set(from, digest);
  if (slot.committed !== undefined) return;
  let matching = 0;
  for (const claim of slot.claims.values()) if (claim === digest) matching++;
  if (matching < weakQuorumOf(state.group)) return;
  decide(slot, digest);
  slot.byClaims = true;
}

function decide(slot: Slot, digest: Digest): void {
  if (slot.committed !== undefined && slot.committed !== digest) {
    throw new Error(
      `Two batches were committed as ${slot.seq}: ${slot.committed} and ${digest}. More validators lie than the group was made for.`,
    );
  }
  slot.committed = digest;
}

/** A batch that was asked for; its digest says where it belongs. */
export function onBatch(turn: Turn, seq: number, batch: Batch): void {
  const { state } = turn;
  const slot = state.log.slots.get(seq);
  if (slot === undefined) return;
  const { awaiting } = slot;
  if (slot.committed !== batch.digest && awaiting?.digest !== batch.digest) return;
  slot.batches.set(batch.digest, batch);
  const current = awaiting?.view === state.view && state.active && votes(state);
  if (current && awaiting.digest === batch.digest) accept(turn, slot, awaiting, batch, false);
}

/**
 * Takes over what the present new view demands, as far as the window reaches and batches are here. Called
 * again after state transfer, when more of it fits (concord-bft #1177).
 */
export function adoptReProposals(turn: Turn): void {
  const { state } = turn;
  const { newView } = state;
  if (newView === undefined || !state.active || newView.view !== state.view || !votes(state)) return;
  for (const { seq, digest, signature } of newView.proposals) {
    if (!inWindow(state, seq)) continue;
    const slot = slotAt(state.log, seq);
    if (slot.proposal?.view === newView.view) continue;
    const { epoch, view, replica } = newView;
    const proposal: Proposal = { epoch, view, seq, digest, replica, signature };
    const batch = digest === nullBatch.digest ? nullBatch : slot.batches.get(digest);
    if (batch === undefined) slot.awaiting = proposal;
    else accept(turn, slot, proposal, batch, false);
  }
}
