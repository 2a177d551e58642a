/**
 * The received bytes of one feed that are worth passing on: its newest snapshot and the deltas after it.
 * Invariants: the first envelope is a snapshot; each next one is a delta with the next seq, whose
 * `previous` is the hash of the one before.
 */
import type { Envelope } from './envelope.ts';
import type { FeedHead } from './feeds.ts';

/** What is kept of an envelope; the header can be read from the bytes again. */
export interface KeptEnvelope {
  readonly hash: Uint8Array;
  readonly previous: Uint8Array;
  readonly bytes: Uint8Array;
}

export class FeedLog {
  readonly epoch: number;
  readonly #firstSeq: number;
  readonly #kept: KeptEnvelope[];
  #bytes: number;

  constructor(snapshot: Envelope) {
    this.epoch = snapshot.epoch;
    this.#firstSeq = snapshot.seq;
    this.#kept = [keep(snapshot)];
    this.#bytes = snapshot.bytes.length;
  }

  get head(): FeedHead {
    const last = this.#kept[this.#kept.length - 1] as KeptEnvelope;
    return { epoch: this.epoch, seq: this.#firstSeq + this.#kept.length - 1, hash: last.hash };
  }

  get lastSeq(): number {
    return this.#firstSeq + this.#kept.length - 1;
  }

  get firstSeq(): number {
    return this.#firstSeq;
  }

  /** Bytes of all kept envelopes. */
  get bytes(): number {
    return this.#bytes;
  }

  get snapshotBytes(): number {
    return (this.#kept[0] as KeptEnvelope).bytes.length;
  }

  get count(): number {
    return this.#kept.length;
  }

  append(delta: Envelope): void {
    this.#kept.push(keep(delta));
    this.#bytes += delta.bytes.length;
  }

  at(seq: number): KeptEnvelope | undefined {
    return this.#kept[seq - this.#firstSeq];
  }

  /** The envelopes from `seq` on; all of them for a seq before the snapshot. */
  from(seq: number): Uint8Array[] {
    return this.#kept.slice(Math.max(0, seq - this.#firstSeq)).map((envelope) => envelope.bytes);
  }
}

function keep(envelope: Envelope): KeptEnvelope {
  return { hash: envelope.hash, previous: envelope.previous, bytes: envelope.bytes };
}
