/**
 * The slots between the watermarks: for each sequence h < seq ≤ h + L what was proposed, voted and decided.
 *
 * Bounds: at most L slots; in each, one vote of each kind per validator (a newer view replaces an older one)
 * and the few batches that the proposal, the certificate and the decision name.
 */
import type { NodeId } from '../../node-id.ts';
import type { Batch, Digest, PrePrepare, Prepare, PreparedCertificate, Proposal } from './messages.ts';

export interface Slot {
  readonly seq: number;
  /** Accepted, in the view it names; kept when the view is left. */
  proposal: Proposal | undefined;
  /** When, by the monotonic clock; what is this young is under way, not lost. */
  acceptedAt: number;
  /** Demanded by a new view, not accepted yet because its batch is missing. */
  awaiting: Proposal | undefined;
  /** Refused because of its time, unless enough others accept it. */
  doubted: PrePrepare | undefined;
  readonly batches: Map<Digest, Batch>;
  readonly prepares: Map<NodeId, Prepare>;
  readonly commits: Map<NodeId, { readonly view: number; readonly digest: Digest }>;
  readonly claims: Map<NodeId, Digest>;
  /** Of the highest view in which it was prepared here; shown in view changes. */
  certificate: PreparedCertificate | undefined;
  /** View of this replica's own commit, −1 before. */
  commitView: number;
  committed: Digest | undefined;
  /** Learnt from claims, not from votes: this replica was behind. */
  byClaims: boolean;
  /** Who was shown the primary's other proposal; once each. */
  readonly shown: Set<NodeId>;
}

export interface Log {
  /** h: the last stable checkpoint. */
  low: number;
  /** The highest sequence with a slot. */
  highest: number;
  readonly slots: Map<number, Slot>;
}

export const createLog = (): Log => ({ low: 0, highest: 0, slots: new Map() });

/** The slot of a sequence, made if need be; the caller has checked the window. */
export function slotAt(log: Log, seq: number): Slot {
  const known = log.slots.get(seq);
  if (known !== undefined) return known;
  const slot: Slot = {
    seq,
    proposal: undefined,
    acceptedAt: Number.NEGATIVE_INFINITY,
    awaiting: undefined,
    doubted: undefined,
    batches: new Map(),
    prepares: new Map(),
    commits: new Map(),
    claims: new Map(),
    certificate: undefined,
    commitView: -1,
    committed: undefined,
    byClaims: false,
    shown: new Set(),
  };
  log.slots.set(seq, slot);
  if (seq > log.highest) log.highest = seq;
  return slot;
}

/** Garbage collection at a stable checkpoint (OSDI '99 section 4.3). */
export function collectGarbage(log: Log, stable: number): void {
  for (let seq = log.low + 1; seq <= stable; seq++) log.slots.delete(seq);
  log.low = stable;
  if (log.highest < stable) log.highest = stable;
}

/** The batches a slot still needs: anything else was proposed in views that are over. */
export function dropUnneededBatches(slot: Slot): void {
  const needed = [slot.proposal?.digest, slot.awaiting?.digest, slot.certificate?.digest, slot.committed];
  for (const digest of slot.batches.keys()) if (!needed.includes(digest)) slot.batches.delete(digest);
}
