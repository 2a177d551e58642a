/**
 * Who has defined a variable, how, and whose definition stands.
 *
 * Invariant: which definition stands at a version depends only on the definitions that are seen, so nodes that see the same agree on it.
 */
import type { HybridClock } from '../../hlc.ts';
import type { NodeId } from '../../node-id.ts';
import type { Value } from '../../value.ts';
import { type DefinitionEntry, readDefinition } from './entries.ts';

export interface StandingDefinition extends DefinitionEntry {
  readonly node: NodeId;
}

export interface DefinersOptions {
  readonly self: NodeId;
  readonly hlc: HybridClock;
  readonly isInScope: (node: NodeId) => boolean;
}

export class Definers {
  readonly #options: DefinersOptions;
  /** Definitions of others as they were read; undefined for what is none. */
  readonly #known = new Map<NodeId, { readonly entry: Value; readonly definition: DefinitionEntry | undefined }>();

  constructor(options: DefinersOptions) {
    this.#options = options;
  }

  /** The earliest definition by another node at that version. */
  earliest(entries: ReadonlyMap<NodeId, Value>, version: number): StandingDefinition | undefined {
    let found: StandingDefinition | undefined;
    for (const [node, definition] of this.#others(entries)) {
      if (definition.version !== version) continue;
      const one = { ...definition, node };
      if (found === undefined || isEarlier(one, found)) found = one;
    }
    return found;
  }

  /** Live nodes with a definition that does not contradict the one that stands at the version; without this one. */
  nodes(entries: ReadonlyMap<NodeId, Value>, version: number, digest: string): readonly NodeId[] {
    const alike: NodeId[] = [];
    for (const [node, definition] of this.#others(entries)) {
      if (definition.version !== version || definition.digest === digest) alike.push(node);
    }
    return alike;
  }

  *#others(entries: ReadonlyMap<NodeId, Value>): Iterable<readonly [NodeId, DefinitionEntry]> {
    const { self, hlc, isInScope } = this.#options;
    for (const node of this.#known.keys()) if (!entries.has(node)) this.#known.delete(node);
    for (const [node, entry] of entries) {
      if (node === self) continue;
      let known = this.#known.get(node);
      if (known === undefined || known.entry !== entry) {
        const read = readDefinition(entry);
        known = { entry, definition: read.ok ? read.value : undefined };
        this.#known.set(node, known);
      }
      // A clock too far ahead cannot have defined anything before us.
      if (known.definition !== undefined && isInScope(node) && hlc.observe(known.definition.at))
        yield [node, known.definition];
    }
  }
}

export function isEarlier(
  a: { readonly at: number; readonly node: NodeId },
  b: { readonly at: number; readonly node: NodeId },
): boolean {
  return a.at < b.at || (a.at === b.at && a.node < b.node);
}
