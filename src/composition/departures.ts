/**
 * Frees the memory that departed members' feeds take. They leave every view at once; their bytes stay for a while, since
 * many come back: with a higher epoch after a restart, with the same feeds after a partition.
 */
import type { Clock, Timer } from '../clock.ts';
import type { FeedStore } from '../crdt/feed-store.ts';
import type { NodeId } from '../node-id.ts';
import type { MemberState, Membership } from '../protocols/membership/membership.ts';

/**
 * Milliseconds. A member that said goodbye returns as a new start, so little is lost by forgetting it soon. One removed may
 * be cut off rather than dead: then it has forgotten us as well, and what `refresh` publishes now lets each side know
 * the other again when they meet.
 */
const keepMs: Partial<Record<MemberState, number>> = { left: 10 * 60_000, removed: 60 * 60_000 };

export class Departures {
  readonly #timers = new Map<NodeId, Timer>();
  readonly #unsubscribe: () => void;

  constructor(membership: Membership, clock: Clock, store: Pick<FeedStore, 'forget' | 'refresh'>) {
    this.#unsubscribe = membership.on('change', ({ member }) => {
      this.#timers.get(member.id)?.cancel();
      this.#timers.delete(member.id);
      const ms = keepMs[member.state];
      if (ms === undefined) return;
      const timer = clock.after(ms, () => {
        this.#timers.delete(member.id);
        store.forget(member.id);
        if (member.state === 'removed') store.refresh();
      });
      this.#timers.set(member.id, timer);
    });
  }

  stop(): void {
    this.#unsubscribe();
    for (const timer of this.#timers.values()) timer.cancel();
  }
}
