/**
 * The variables of the mesh as live nodes announce them, also those that this node has not defined.
 *
 * Announcements are hostile input: what is malformed, or stamped too far ahead, is nothing; names and lists are bounded. Of several versions of a name the
 * one shown is that which most live nodes have, so that a single node cannot hide a variable behind a version of its own; of several definitions at a version that which
 * stands everywhere. Nothing is kept between calls but what was read of entries that are still the same objects.
 */
import type { HybridClock } from '../../hlc.ts';
import type { NodeId } from '../../node-id.ts';
import type { Value } from '../../value.ts';
import type { SharedEntries } from '../sharing/shared-entries.ts';
import { standingOf } from './definers.ts';
import { differences } from './definition.ts';
import { agreedHintKey, type DefinitionEntry, definitionKey, readDefinition } from './entries.ts';
import type { AnnouncedVariable, VariableScope } from './variables.ts';

/** Names shown at most; a mesh of one application has about as many as a node. */
const maxNames = 10_000;
/** Names shown because of one node alone: as many as a node may define. */
const maxNamesOfNode = 1_000;
/** Nodes in conflict, and other versions, named at most; the first few tell what is wrong. */
const maxNamed = 16;
const maxNameBytes = 256;
const maxRuleLength = 4_000;

const kinds = ['float', 'integer', 'boolean', 'choice', 'composite'] as const;

/** What each well-formed definition says. */
interface Terms {
  readonly kind: AnnouncedVariable['kind'];
  readonly scope: VariableScope;
  readonly sync: AnnouncedVariable['sync'];
  readonly rule: string;
}

/** One node's definition, well-formed. */
interface Said extends DefinitionEntry, Terms {
  readonly node: NodeId;
  /** Whose variable it is, where the scope is a zone. */
  readonly zone: string | undefined;
}

export interface AnnouncedOptions {
  readonly entries: SharedEntries;
  readonly hlc: HybridClock;
  readonly zone: string;
}

/** An announced variable without what only its node knows. */
export type Announcement = Omit<AnnouncedVariable, 'here' | 'obstacle'>;

export class Announcements {
  readonly #options: AnnouncedOptions;
  /** What was read of an entry: its digest is the costly part. */
  readonly #read = new WeakMap<object, (DefinitionEntry & Terms) | undefined>();

  constructor(options: AnnouncedOptions) {
    this.#options = options;
  }

  /** Ordered by name, and then by zone. */
  list(): Announcement[] {
    const prefix = definitionKey('');
    const names: string[] = [];
    const { entries } = this.#options;
    const ofNode = new Map<NodeId, number>();
    for (const key of entries.keys()) {
      if (!key.startsWith(prefix)) continue;
      const name = key.slice(prefix.length);
      if (isName(name) && isAllowed(entries.of(key).keys(), ofNode)) names.push(name);
      if (names.length >= maxNames) break;
    }
    return names.sort().flatMap((name) => this.of(name));
  }

  /** A cluster's or this zone's first, and one for each other zone that has a variable of that name to itself. */
  of(name: string): Announcement[] {
    const { entries } = this.#options;
    const byZone = new Map<string | undefined, Said[]>();
    for (const said of this.#said(name)) {
      const others = byZone.get(said.zone);
      if (others === undefined) byZone.set(said.zone, [said]);
      else others.push(said);
    }
    const isAgreed = entries.of(agreedHintKey(name)).size > 0;
    return [...byZone]
      .sort(([a], [b]) => (a ?? '').localeCompare(b ?? ''))
      .map(([zone, group]) => announcement(name, zone, group, isAgreed));
  }

  *#said(name: string): Iterable<Said> {
    const { entries, hlc, zone: ownZone } = this.#options;
    for (const [node, entry] of entries.of(definitionKey(name))) {
      const definition = this.#definitionOf(entry);
      // As for a definition of its own: a clock too far ahead has defined nothing yet.
      if (definition === undefined || !hlc.observe(definition.at)) continue;
      const zone = entries.zoneOf(node);
      const isOfOtherZone = definition.scope === 'zone' && node !== entries.self && zone !== ownZone;
      yield { ...definition, node, zone: isOfOtherZone ? (zone ?? 'unknown') : undefined };
    }
  }

  #definitionOf(entry: Value): (DefinitionEntry & Terms) | undefined {
    if (typeof entry !== 'object' || entry === null) return undefined;
    if (this.#read.has(entry)) return this.#read.get(entry);
    const read = readDefinition(entry);
    const terms = read.ok ? termsOf(read.value.facts) : undefined;
    const definition = read.ok && terms !== undefined ? { ...read.value, ...terms } : undefined;
    this.#read.set(entry, definition);
    return definition;
  }
}

function announcement(name: string, zone: string | undefined, group: readonly Said[], isAgreed: boolean): Announcement {
  const versions = new Map<number, { stands: Said; alike: Said[]; others: Said[] }>();
  for (const version of new Set(group.map((said) => said.version))) {
    const of = group.filter((said) => said.version === version);
    const stands = standingOf(of);
    const alike = of.filter((said) => said.digest === stands.digest);
    versions.set(version, { stands, alike, others: of.filter((said) => said.digest !== stands.digest) });
  }
  const [shown] = [...versions.values()].sort(
    (a, b) => b.alike.length - a.alike.length || b.stands.version - a.stands.version,
  );
  const { stands, alike, others } = shown as NonNullable<typeof shown>;
  const { kind, scope, sync, rule, version, facts } = stands;
  return {
    name,
    kind,
    scope,
    zone,
    sync,
    rule,
    definedVersion: version,
    terms: facts,
    definedBy: alike.map(({ node }) => node).sort(),
    otherVersions: [...versions.keys()]
      .filter((other) => other !== version)
      .sort((a, b) => b - a)
      .slice(0, maxNamed),
    conflicts: others.slice(0, maxNamed).map((said) => ({
      node: said.node,
      difference: differences(facts, said.facts).map(({ field, here, there }) => ({
        field,
        stands: here,
        differs: there,
      })),
    })),
    isAgreed,
  };
}

/** Undefined for what no definition says. */
function termsOf({ kind, scope, sync, rule }: DefinitionEntry['facts']): Terms | undefined {
  const known = kinds.find((one) => one === kind);
  // One of scope 'node' is never announced.
  if (known === undefined || (scope !== 'zone' && scope !== 'cluster')) return undefined;
  if ((sync !== 'eventual' && sync !== 'strong') || typeof rule !== 'string') return undefined;
  if (rule.length === 0 || rule.length > maxRuleLength) return undefined;
  return { kind: known, scope, sync, rule };
}

/** Whether one of these nodes may have one name more, counted for all of them: so nobody hides the names of others behind its own. */
function isAllowed(nodes: Iterable<NodeId>, ofNode: Map<NodeId, number>): boolean {
  let isOne = false;
  for (const node of nodes) {
    const count = (ofNode.get(node) ?? 0) + 1;
    ofNode.set(node, count);
    if (count <= maxNamesOfNode) isOne = true;
  }
  return isOne;
}

function isName(name: string): boolean {
  return name.length > 0 && name.isWellFormed() && Buffer.byteLength(name) <= maxNameBytes;
}
