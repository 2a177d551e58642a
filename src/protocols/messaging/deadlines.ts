/**
 * The deadlines of all calls of a node, on one hashed timing wheel (Varghese and Lauck, 1987): starting and
 * stopping one costs a few pointer writes, and one timer of the clock serves them all. Calls nearly always
 * end before their deadline, so what matters is the cost of stopping.
 *
 * Pure: time comes in as `now`. Invariant: an entry is in the list of slot `tick(dueAt) % slots`, or in none.
 */

/** Something with a deadline. Intrusive: the entry is the list node. */
export abstract class Deadline {
  /** Milliseconds on the clock's scale. */
  dueAt = 0;
  nextDeadline: Deadline | undefined = undefined;
  previousDeadline: Deadline | undefined = undefined;
  /** The slot it is in, -1 when in none. */
  deadlineSlot = -1;
  abstract onDeadline(): void;
}

/** Deadlines fire up to this much late, never early. Milliseconds. */
export const tickMs = 5;
const slots = 2_048;

export class DeadlineWheel {
  readonly #slots: (Deadline | undefined)[] = new Array<Deadline | undefined>(slots).fill(undefined);
  #size = 0;
  /** The last tick that was looked at; entries due at it or before have fired. */
  #done: number;

  constructor(now: number) {
    this.#done = Math.floor(now / tickMs);
  }

  get size(): number {
    return this.#size;
  }

  add(entry: Deadline, dueAt: number, now: number): void {
    if (entry.deadlineSlot >= 0) this.remove(entry);
    if (this.#size === 0) this.#done = Math.max(this.#done, Math.floor(now / tickMs));
    entry.dueAt = dueAt;
    const tick = Math.max(Math.ceil(dueAt / tickMs), this.#done + 1);
    const slot = tick % slots;
    const first = this.#slots[slot];
    entry.nextDeadline = first;
    entry.previousDeadline = undefined;
    if (first !== undefined) first.previousDeadline = entry;
    this.#slots[slot] = entry;
    entry.deadlineSlot = slot;
    this.#size += 1;
  }

  remove(entry: Deadline): void {
    if (entry.deadlineSlot < 0) return;
    const { nextDeadline, previousDeadline } = entry;
    if (previousDeadline === undefined) this.#slots[entry.deadlineSlot] = nextDeadline;
    else previousDeadline.nextDeadline = nextDeadline;
    if (nextDeadline !== undefined) nextDeadline.previousDeadline = previousDeadline;
    entry.nextDeadline = undefined;
    entry.previousDeadline = undefined;
    entry.deadlineSlot = -1;
    this.#size -= 1;
  }

  /** Takes out what is due at `now`, in no particular order within a tick. */
  expire(now: number): Deadline[] {
    const target = Math.floor(now / tickMs);
    const due: Deadline[] = [];
    if (this.#size > 0) {
      const span = Math.min(target - this.#done, slots);
      for (let offset = 1; offset <= span; offset++) {
        let entry = this.#slots[(this.#done + offset) % slots];
        while (entry !== undefined) {
          const next = entry.nextDeadline;
          if (entry.dueAt <= now) {
            this.remove(entry);
            due.push(entry);
          }
          entry = next;
        }
      }
    }
    this.#done = Math.max(this.#done, target);
    return due;
  }

  /**
   * When to look again: the time of the next slot with anything in it. What is there may be due only some
   * turns of the wheel (about ten seconds each) later; then looking was cheap and in vain.
   */
  nextLookAt(): number | undefined {
    if (this.#size === 0) return undefined;
    for (let offset = 1; offset <= slots; offset++) {
      if (this.#slots[(this.#done + offset) % slots] !== undefined) return (this.#done + offset) * tickMs;
    }
    return undefined;
  }
}
