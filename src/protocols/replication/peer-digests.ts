/**
 * Whether a peer's digest says that something is missing, or only that messages are under way.
 *
 * Intuition: while feeds change, two nodes in good order are seldom at the same digest at the same moment,
 * but each passes through the digests of the other a little earlier or later. So a peer is in step when its
 * digest is ours or was ours a moment ago, and a difference counts only when it is still there after a
 * grace time.
 */
import type { Clock, Rng, Timer } from '../../clock.ts';
import type { NodeId } from '../../node-id.ts';

export interface PeerDigestOptions {
  /** A difference must last this long. */
  readonly graceMs: number;
  /** A digest counts as ours for this long after it was. */
  readonly recentMs: number;
}

export const defaultPeerDigestOptions: PeerDigestOptions = {
  graceMs: 300, // the slowest of 100 nodes hears gossip within 50 ms; several times that
  recentMs: 500, // an ack is as old as half a round trip; a busy event loop adds to that
};

/** Own digests remembered; more changes than this within `recentMs` only make a needless exchange likelier. */
const maxRecent = 512;

export class PeerDigests {
  readonly #clock: Clock;
  readonly #rng: Rng;
  readonly #options: PeerDigestOptions;
  readonly #onDiffers: (peer: NodeId) => void;
  /** Own digest → when it was replaced; the present one last. */
  readonly #own = new Map<string, number>();
  readonly #peers = new Map<NodeId, { digest: string; timer: Timer | undefined }>();
  #present: string;

  constructor(
    parts: { readonly clock: Clock; readonly rng: Rng; readonly options: PeerDigestOptions },
    present: Uint8Array,
    onDiffers: (peer: NodeId) => void,
  ) {
    this.#clock = parts.clock;
    this.#rng = parts.rng;
    this.#options = parts.options;
    this.#onDiffers = onDiffers;
    this.#present = textOf(present);
  }

  /** Peers whose last digest was not ours, nor lately. */
  get behind(): number {
    let count = 0;
    for (const { digest } of this.#peers.values()) if (!this.#isOurs(digest)) count += 1;
    return count;
  }

  ownChanged(digest: Uint8Array): void {
    const next = textOf(digest);
    if (next === this.#present) return;
    this.#own.delete(this.#present);
    this.#own.set(this.#present, this.#clock.now());
    this.#present = next;
    for (const oldest of this.#own.keys()) {
      if (this.#own.size <= maxRecent) break;
      this.#own.delete(oldest);
    }
  }

  heard(peer: NodeId, digest: Uint8Array): void {
    const known = this.#peers.get(peer) ?? { digest: '', timer: undefined };
    this.#peers.set(peer, known);
    known.digest = textOf(digest);
    if (this.#isOurs(known.digest) || known.timer !== undefined) return;
    known.timer = this.#clock.after(this.#options.graceMs * (1 + 0.3 * this.#rng.float()), () => {
      known.timer = undefined;
      if (!this.#isOurs(known.digest)) this.#onDiffers(peer);
    });
  }

  drop(peer: NodeId): void {
    this.#peers.get(peer)?.timer?.cancel();
    this.#peers.delete(peer);
  }

  stop(): void {
    for (const peer of [...this.#peers.keys()]) this.drop(peer);
  }

  #isOurs(digest: string): boolean {
    if (digest === this.#present) return true;
    const replaced = this.#own.get(digest);
    return replaced !== undefined && this.#clock.now() - replaced <= this.#options.recentMs;
  }
}

function textOf(digest: Uint8Array): string {
  return Buffer.from(digest.buffer, digest.byteOffset, digest.length).toString('latin1');
}
