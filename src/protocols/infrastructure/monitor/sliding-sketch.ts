/**
 * The measurements of the last so many milliseconds: a ring of sketches, one for each tenth of the window, the oldest dropped whole. So between nine tenths
 * and all of the window is covered, and never anything older.
 */
import { DDSketch } from './ddsketch.ts';

const parts = 10;

export class SlidingSketch {
  readonly #partMs: number;
  readonly #startedAt: number;
  /** Oldest first. Sketches are used again when their turn is over. */
  readonly #ring: { slot: number; readonly sketch: DDSketch }[] = [];
  readonly #spare: DDSketch[] = [];

  constructor(windowMs: number, now: number) {
    this.#partMs = windowMs / parts;
    this.#startedAt = now;
  }

  add(value: number, now: number): void {
    const slot = this.#slotAt(now);
    let last = this.#ring.at(-1);
    if (last === undefined || last.slot < slot) {
      this.expire(now);
      last = { slot, sketch: this.#spare.pop() ?? new DDSketch() };
      this.#ring.push(last);
    }
    last.sketch.add(value);
  }

  /** Drops what is too old; true when that was anything. */
  expire(now: number): boolean {
    const oldest = this.#slotAt(now) - parts + 1;
    let dropped = false;
    while (this.#ring[0] !== undefined && this.#ring[0].slot < oldest) {
      const { sketch } = this.#ring.shift() as { sketch: DDSketch };
      sketch.clear();
      this.#spare.push(sketch);
      dropped = true;
    }
    return dropped;
  }

  get isEmpty(): boolean {
    return this.#ring.length === 0;
  }

  /** When the oldest measurements will have to go; undefined without any. */
  nextExpiry(): number | undefined {
    const oldest = this.#ring[0];
    return oldest === undefined ? undefined : this.#startedAt + (oldest.slot + parts) * this.#partMs;
  }

  /** How long a time the measurements are from: for rates. */
  coveredMs(now: number): number {
    const start = this.#startedAt + Math.max(0, this.#slotAt(now) - parts + 1) * this.#partMs;
    return Math.max(0, now - start);
  }

  /** All of them in one sketch, the caller's own. */
  merged(): DDSketch {
    const all = new DDSketch();
    for (const { sketch } of this.#ring) all.merge(sketch);
    return all;
  }

  #slotAt(now: number): number {
    return Math.floor((now - this.#startedAt) / this.#partMs);
  }
}
