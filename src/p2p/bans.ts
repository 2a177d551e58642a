/** Who is kept out, and until when. Bounded: beyond `maxBans` the oldest ban ends early. */
import type { Clock } from '../clock.ts';
import type { NodeId } from '../node-id.ts';

const maxBans = 10_000;

export class Bans {
  readonly #clock: Clock;
  readonly #until = new Map<NodeId, number>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  add(peer: NodeId, forMs: number): void {
    // Inserted anew, so that the map is in the order of the bans.
    this.#until.delete(peer);
    this.#until.set(peer, this.#clock.now() + forMs);
    const oldest = this.#until.keys().next().value;
    if (this.#until.size > maxBans && oldest !== undefined) this.#until.delete(oldest);
  }

  has(peer: NodeId): boolean {
    const until = this.#until.get(peer);
    if (until === undefined) return false;
    if (this.#clock.now() < until) return true;
    this.#until.delete(peer);
    return false;
  }
}
