/**
 * Broadcast envelopes that came before the one they continue. Gossip reorders within milliseconds, so the
 * missing one is mostly under way; keeping its successor saves fetching it again. Bounded, oldest out first.
 */
import type { StoreName } from '../../crdt/feeds.ts';
import type { NodeId } from '../../node-id.ts';

/** Guess: the reordering of a burst of some hundred small envelopes. */
const maxHeld = 256;
const maxHeldBytes = 1_048_576;

export class HeldEnvelopes {
  readonly #held = new Map<string, Uint8Array>();
  #bytes = 0;

  get count(): number {
    return this.#held.size;
  }

  hold(author: NodeId, store: StoreName, epoch: number, seq: number, bytes: Uint8Array): void {
    if (bytes.length > maxHeldBytes) return;
    const name = nameOf(author, store, epoch, seq);
    this.#remove(name);
    this.#held.set(name, new Uint8Array(bytes)); // It may be a view into a larger buffer.
    this.#bytes += bytes.length;
    for (const oldest of this.#held.keys()) {
      if (this.#held.size <= maxHeld && this.#bytes <= maxHeldBytes) break;
      this.#remove(oldest);
    }
  }

  /** The envelope at that place, which is then no longer held. */
  take(author: NodeId, store: StoreName, epoch: number, seq: number): Uint8Array | undefined {
    if (this.#held.size === 0) return undefined;
    return this.#remove(nameOf(author, store, epoch, seq));
  }

  #remove(name: string): Uint8Array | undefined {
    const bytes = this.#held.get(name);
    if (bytes === undefined) return undefined;
    this.#held.delete(name);
    this.#bytes -= bytes.length;
    return bytes;
  }
}

function nameOf(author: NodeId, store: StoreName, epoch: number, seq: number): string {
  return `${author}/${store}/${epoch}/${seq}`;
}
