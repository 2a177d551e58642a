/**
 * Frees the memory that departed members' feeds take. They leave every view at once; their bytes stay for a while, since
 * many come back: with a higher epoch after a restart, with the same feeds after a partition.
 */
import type { Clock, Timer } from '../clock.ts';
import type { NodeId } from '../node-id.ts';
import type { MemberState, Membership } from '../protocols/membership/membership.ts';

/** Milliseconds. A member that said goodbye returns as a new start, so little is lost by forgetting it soon. */
const keepMs: Partial<Record<MemberState, number>> = { left: 10 * 60_000, removed: 24 * 3_600_000 };

export class Departures {
  readonly #timers = new Map<NodeId, Timer>();
  readonly #unsubscribe: () => void;

  constructor(membership: Membership, clock: Clock, forget: (author: NodeId) => void) {
    this.#unsubscribe = membership.on('change', ({ member }) => {
      this.#timers.get(member.id)?.cancel();
      this.#timers.delete(member.id);
      const ms = keepMs[member.state];
      if (ms === undefined) return;
      const timer = clock.after(ms, () => {
        this.#timers.delete(member.id);
        forget(member.id);
      });
      this.#timers.set(member.id, timer);
    });
  }

  stop(): void {
    this.#unsubscribe();
    for (const timer of this.#timers.values()) timer.cancel();
  }
}
