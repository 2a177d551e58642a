/**
 * Who wants to be called when, in agreed time. A binary heap with lazy deletion; ties go by reducer and key, so the order is a function of
 * the wishes alone and not of how they came about.
 */
export interface Deadline {
  readonly at: number;
  readonly reducer: string;
  readonly key: string;
}

const before = (a: Deadline, b: Deadline): boolean => {
  if (a.at !== b.at) return a.at < b.at;
  if (a.reducer !== b.reducer) return a.reducer < b.reducer;
  return a.key < b.key;
};

export class Deadlines {
  readonly #wanted = new Map<string, Deadline>();
  #heap: Deadline[] = [];

  /** Replaces the wish of this reducer for this key; undefined takes it back. */
  set(reducer: string, key: string, at: number | undefined): void {
    const id = `${reducer}\0${key}`;
    if (at === undefined) {
      this.#wanted.delete(id);
    } else {
      const deadline = { at, reducer, key };
      this.#wanted.set(id, deadline);
      this.#push(deadline);
    }
    // Wishes that were replaced stay in the heap until their time; not so many that they outweigh the others.
    if (this.#heap.length > 64 && this.#heap.length > 4 * this.#wanted.size) this.#rebuild();
  }

  /** The earliest, if any. */
  next(): Deadline | undefined {
    for (;;) {
      const first = this.#heap[0];
      if (first === undefined || this.#wanted.get(`${first.reducer}\0${first.key}`) === first) return first;
      this.#pop();
    }
  }

  /** Takes out the earliest that is due at `time`. */
  takeDue(time: number): Deadline | undefined {
    const first = this.next();
    if (first === undefined || first.at > time) return undefined;
    this.#pop();
    this.#wanted.delete(`${first.reducer}\0${first.key}`);
    return first;
  }

  get size(): number {
    return this.#wanted.size;
  }

  /** All, in the order in which they are due. */
  all(): Deadline[] {
    return [...this.#wanted.values()].sort((a, b) => (before(a, b) ? -1 : 1));
  }

  clear(): void {
    this.#wanted.clear();
    this.#heap = [];
  }

  #rebuild(): void {
    this.#heap = this.all(); // Sorted, so a heap already.
  }

  #push(deadline: Deadline): void {
    const heap = this.#heap;
    let at = heap.push(deadline) - 1;
    while (at > 0) {
      const parent = (at - 1) >> 1;
      if (!before(deadline, heap[parent] as Deadline)) break;
      heap[at] = heap[parent] as Deadline;
      at = parent;
    }
    heap[at] = deadline;
  }

  #pop(): void {
    const heap = this.#heap;
    const last = heap.pop() as Deadline;
    if (heap.length === 0) return;
    let at = 0;
    for (;;) {
      let child = 2 * at + 1;
      if (child >= heap.length) break;
      if (child + 1 < heap.length && before(heap[child + 1] as Deadline, heap[child] as Deadline)) child++;
      if (!before(heap[child] as Deadline, last)) break;
      heap[at] = heap[child] as Deadline;
      at = child;
    }
    heap[at] = last;
  }
}
