/** What this node says against others: from the detector's findings to the entries of its own feed, and back. */
import type { Clock } from '../../clock.ts';
import type { Feeds } from '../../crdt/feeds.ts';
import type { NodeId } from '../../node-id.ts';
import type { FailureDetector } from '../../p2p/detector/detector.ts';
import type { Evidence } from '../../p2p/detector/io.ts';
import { accusationValue, accuseKey } from './entries.ts';
import type { MembershipView } from './view.ts';

export interface AccuserDependencies {
  readonly self: NodeId;
  readonly feeds: Feeds;
  readonly view: MembershipView;
  readonly detector: FailureDetector;
  readonly clock: Clock;
  /** This node's own incarnation now. */
  readonly incarnation: () => number;
  /** Runs a write to the feed; a failure is its business. */
  readonly write: (write: () => void) => void;
  /** Called when something changed outside of a call from here. */
  readonly changed: () => void;
}

interface Finding {
  readonly evidence: Evidence;
  readonly detail: string;
  readonly at: number;
}

export class Accuser {
  readonly #on: AccuserDependencies;
  readonly #refutationMs: number;
  readonly #findings = new Map<NodeId, Finding>();
  #stopped = false;

  /** `refutationMs`: see `retract`. */
  constructor(dependencies: AccuserDependencies, refutationMs: number) {
    this.#on = dependencies;
    this.#refutationMs = refutationMs;
  }

  stop(): void {
    this.#stopped = true;
  }

  found(peer: NodeId, evidence: Evidence, detail: string): void {
    this.#findings.set(peer, { evidence, detail, at: this.#on.clock.wallNow() });
  }

  /** Says in our feed what was found of those we observe; of others it is for ourselves only. */
  publish(): void {
    const { self, view, feeds, detector } = this.#on;
    const accuserIncarnation = this.#on.incarnation();
    for (const accused of detector.accused()) {
      const finding = this.#findings.get(accused);
      const member = view.get(accused);
      if (finding === undefined || member === undefined || member.state === 'left') continue;
      const own = view.ownAccusation(accused);
      if (own === undefined && !view.rings.observersOf(accused).includes(self)) {
        view.setUnanswering(accused, true);
        continue;
      }
      const { incarnation } = member;
      if (own?.incarnation === incarnation && own.accuserIncarnation === accuserIncarnation) continue;
      const value = accusationValue({ accuser: self, accused, incarnation, accuserIncarnation, ...finding });
      this.#on.write(() => feeds.set('members', accuseKey(accused), value));
    }
  }

  /**
   * The accused answers. Where there is no verdict yet, the accusation goes at once. Where there is one, the
   * accused is given a moment to refute it: after a partition it has accused others too, and those must not
   * be condemned by what it said while it was cut off, which its new incarnation voids.
   */
  retract(peer: NodeId): void {
    this.#findings.delete(peer);
    const state = this.#on.view.get(peer)?.state;
    if (state !== 'unreachable' && state !== 'removed') {
      this.pardon(peer);
      return;
    }
    this.#on.clock.after(this.#refutationMs, () => {
      if (this.#stopped || this.#findings.has(peer)) return;
      this.pardon(peer);
      this.#on.changed();
    });
  }

  /** Takes everything back at once: it is another incarnation now, or has left, or is forgotten. */
  pardon(peer: NodeId): void {
    const { view, feeds } = this.#on;
    this.#findings.delete(peer);
    view.setUnanswering(peer, false);
    if (view.ownAccusation(peer) === undefined) return;
    this.#on.write(() => feeds.delete('members', accuseKey(peer)));
  }
}
