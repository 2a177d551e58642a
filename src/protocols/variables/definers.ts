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

  /** The definition that stands at that version, if it is not this node's own or one like it. `at`: when its own was made; undefined while it is not, and so counts for nothing. */
  standing(
    entries: ReadonlyMap<NodeId, Value>,
    version: number,
    own: { readonly digest: string; readonly at: number | undefined },
  ): StandingDefinition | undefined {
    const said: (Claim & { readonly definition?: DefinitionEntry })[] = [];
    if (own.at !== undefined) said.push({ digest: own.digest, at: own.at, node: this.#options.self });
    for (const [node, definition] of this.#others(entries)) {
      const { digest, at } = definition;
      if (definition.version === version) said.push({ digest, at, node, definition });
    }
    if (said.length === 0) return undefined;
    const { node, digest, definition } = standingOf(said);
    return definition === undefined || digest === own.digest ? undefined : { ...definition, node };
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

/** What a node says of a variable at one version. */
interface Claim {
  readonly digest: string;
  readonly at: number;
  readonly node: NodeId;
}

/**
 * Of definitions at one version that which most nodes have, by its earliest; of several that as many have, the earliest. So one member that back-dates its own takes a name from one other
 * node, and not from two that agree. `said` is not empty.
 */
export function standingOf<C extends Claim>(said: readonly C[]): C {
  const groups = [...Map.groupBy(said, ({ digest }) => digest).values()].map((alike) => ({
    count: alike.length,
    first: alike.reduce((first, one) => (isEarlier(one, first) ? one : first)),
  }));
  const most = groups.reduce((best, group) => {
    if (group.count !== best.count) return group.count > best.count ? group : best;
    return isEarlier(group.first, best.first) ? group : best;
  });
  return most.first;
}

export function isEarlier(
  a: { readonly at: number; readonly node: NodeId },
  b: { readonly at: number; readonly node: NodeId },
): boolean {
  return a.at < b.at || (a.at === b.at && a.node < b.node);
}
