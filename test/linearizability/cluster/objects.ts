/** The objects that clients work on: some of each kind at a time, and new ones after a while, which keeps each history short. */

/** Operations on one object before another takes its place: what a search can look through in some seconds. */
const operationsEach = 500;

export class Objects {
  readonly #kind: string;
  readonly #current: { key: string; left: number }[];
  readonly all: string[] = [];

  constructor(kind: string, count: number) {
    this.#kind = kind;
    this.#current = Array.from({ length: count }, () => ({ key: this.#next(), left: operationsEach }));
  }

  get count(): number {
    return this.#current.length;
  }

  /** The present object at that place; counts as one operation on it. */
  at(place: number): string {
    const object = this.#current[place] as { key: string; left: number };
    if (object.left <= 0) Object.assign(object, { key: this.#next(), left: operationsEach });
    object.left -= 1;
    return object.key;
  }

  #next(): string {
    const key = `${this.#kind}-${this.all.length}`;
    this.all.push(key);
    return key;
  }
}
