/** What an observed variable is made over: entries that are only read, and agents of whom none is told. */
import type { NodeId } from '../../node-id.ts';
import type { Value } from '../../value.ts';
import type { SharedEntries } from '../sharing/shared-entries.ts';
import type { Audiences } from './affected/audiences.ts';

/** Shared entries for one who only looks: writing does nothing. */
export class ReadOnlyEntries implements SharedEntries {
  readonly #entries: SharedEntries;

  constructor(entries: SharedEntries) {
    this.#entries = entries;
  }

  get self(): NodeId {
    return this.#entries.self;
  }

  set(): void {}

  delete(): void {}

  own(key: string): Value {
    return this.#entries.own(key);
  }

  of(key: string): ReadonlyMap<NodeId, Value> {
    return this.#entries.of(key);
  }

  keys(): Iterable<string> {
    return this.#entries.keys();
  }

  onKey(...args: Parameters<SharedEntries['onKey']>): () => void {
    return this.#entries.onKey(...args);
  }

  onPrefix(...args: Parameters<SharedEntries['onPrefix']>): () => void {
    return this.#entries.onPrefix(...args);
  }

  nodes(): readonly NodeId[] {
    return this.#entries.nodes();
  }

  onNodes(listener: () => void): () => void {
    return this.#entries.onNodes(listener);
  }

  zoneOf(node: NodeId): string | undefined {
    return this.#entries.zoneOf(node);
  }

  standing(node: NodeId): ReturnType<SharedEntries['standing']> {
    return this.#entries.standing(node);
  }
}

/** Those who define a variable tell the agents. */
export const noAudiences: Audiences = {
  open: () => ({
    tell: () => undefined,
    tellAndWait: async () => ({ acknowledged: [], unacknowledged: [] }),
    definersChanged: () => undefined,
    status: () => ({ affected: 0, untold: 0 }),
    stop: () => undefined,
  }),
};
