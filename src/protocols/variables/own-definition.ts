/** What this node says a variable is: written for others, and held against what they say. */
import type { QuorateError } from '../../errors.ts';
import type { HybridClock } from '../../hlc.ts';
import type { NodeId } from '../../node-id.ts';
import type { SharedEntries } from '../sharing/shared-entries.ts';
import { Definers, type StandingDefinition } from './definers.ts';
import { type Definition, definitionConflict } from './definition.ts';
import { definitionKey, writeDefinition } from './entries.ts';

export interface OwnDefinitionTools {
  readonly entries: SharedEntries;
  readonly hlc: HybridClock;
  readonly isInScope: (node: NodeId) => boolean;
  /** Who has defined the variable, or how, has changed. */
  readonly onChange: () => void;
}

export class OwnDefinition<T> {
  readonly #definition: Definition<T>;
  readonly #tools: OwnDefinitionTools;
  readonly #definers: Definers;
  readonly #key: string;
  readonly #at: number;
  #unwatch: (() => void) | undefined;
  #conflict: QuorateError | undefined;
  #hadConflict = false;

  /** Throws `DEFINITION_CONFLICT` when another definition stands. */
  constructor(definition: Definition<T>, tools: OwnDefinitionTools) {
    const { entries, hlc, isInScope } = tools;
    this.#definition = definition;
    this.#tools = tools;
    this.#key = definitionKey(definition.name);
    this.#definers = new Definers({ self: entries.self, hlc, isInScope });
    const other = this.#otherDefinition(undefined);
    if (other !== undefined) throw definitionConflict(definition, other.node, other);
    this.#at = hlc.now();
  }

  /** Set while a definition stands that differs. */
  get conflict(): QuorateError | undefined {
    return this.#conflict;
  }

  /** The same before the last change. */
  get hadConflict(): boolean {
    return this.#hadConflict;
  }

  /** Tells others. Throws what `SharedEntries.set` throws. */
  start(): void {
    if (this.#definition.scope === 'node') return;
    const { version, facts } = this.#definition;
    this.#tools.entries.set(this.#key, writeDefinition({ version, facts, at: this.#at }));
    this.#unwatch = this.#tools.entries.onKey(this.#key, () => this.review());
  }

  stop(): void {
    this.#unwatch?.();
  }

  /** After `stop`. */
  withdraw(): void {
    this.#tools.entries.delete(this.#key);
  }

  /** Live nodes with this definition, or one of another version; this one unless another stands. */
  definers(): readonly NodeId[] {
    const { entries } = this.#tools;
    const { scope, version, digest } = this.#definition;
    if (scope === 'node') return [entries.self];
    const others = this.#definers.nodes(entries.of(this.#key), version, digest);
    return this.#conflict === undefined ? [entries.self, ...others] : others;
  }

  /** Looks at what others say anew. */
  review(): void {
    const other = this.#otherDefinition(this.#at);
    this.#hadConflict = this.#conflict !== undefined;
    this.#conflict = other === undefined ? undefined : definitionConflict(this.#definition, other.node, other);
    this.#tools.onChange();
  }

  /** The definition that stands at our version, if it is not like ours, which was made at that time, if it was. */
  #otherDefinition(at: number | undefined): StandingDefinition | undefined {
    const { scope, version, digest } = this.#definition;
    if (scope === 'node') return undefined;
    return this.#definers.standing(this.#tools.entries.of(this.#key), version, { digest, at });
  }
}
