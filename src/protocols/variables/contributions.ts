/**
 * What the entries of all nodes under a variable come to: contributions that count, and why the others do not.
 *
 * Intuition: an entry is read once, when it is new; after that it is recognised by being the same object. So a change of one among a hundred costs the
 * reading of one.
 *
 * Invariant: `counted` is ordered by node id, and depends only on the entries, this node's own contribution, the zones and the time of the agreement.
 */
import type { HybridClock } from '../../hlc.ts';
import type { NodeId } from '../../node-id.ts';
import type { Value } from '../../value.ts';
import type { Definition } from './definition.ts';
import { type ContributionEntry, readContribution } from './entries.ts';
import type { Held } from './switching.ts';
import type { Contribution } from './variables.ts';

/** An entry that was read: a contribution, or why it is none. */
type Verdict<T> =
  | { readonly contribution: Contribution<T>; readonly held: Held<T> | undefined }
  | { readonly reason: string };

interface Known<T> {
  readonly entry: Value;
  readonly verdict: Verdict<T>;
}

export interface Reading<T> {
  readonly counted: readonly Contribution<T>[];
  readonly ignored: readonly { readonly node: NodeId; readonly reason: string }[];
  /** What the nodes whose contributions count say they hold. */
  readonly held: readonly Held<T>[];
  /** Whose say has changed since the last reading: the one that was the last to write, of several. */
  readonly cause: NodeId | undefined;
  /** Least stamp that is still too far ahead to count; to be read again when it is not any more. */
  readonly premature: number | undefined;
}

export interface ContributionsOptions<T> {
  readonly self: NodeId;
  readonly definition: Definition<T>;
  readonly hlc: HybridClock;
  /** False for a node of another zone, where the scope is a zone. */
  readonly isInScope: (node: NodeId) => boolean;
}

const tooFarAhead = { reason: 'its clock is too far ahead' } as const;

export class Contributions<T> {
  readonly #options: ContributionsOptions<T>;
  readonly #known = new Map<NodeId, Known<T>>();
  /** Nodes of `#known` and this one, in order. */
  #order: NodeId[];

  constructor(options: ContributionsOptions<T>) {
    this.#options = options;
    this.#order = [options.self];
  }

  /** `entries` are read for all nodes but this one, for which `own` stands. Contributions up to the stamp `baseline` do not count. */
  read(entries: ReadonlyMap<NodeId, Value>, own: Verdict<T> | undefined, baseline: number): Reading<T> {
    const { self, isInScope } = this.#options;
    const { cause, premature } = this.#take(entries);
    const counted: Contribution<T>[] = [];
    const ignored: { readonly node: NodeId; readonly reason: string }[] = [];
    const held: Held<T>[] = [];
    for (const node of this.#order) {
      const verdict = node === self ? own : this.#known.get(node)?.verdict;
      if (verdict === undefined) continue;
      if ('reason' in verdict) ignored.push({ node, reason: verdict.reason });
      else if (!isInScope(node)) ignored.push({ node, reason: 'in another zone' });
      else if (verdict.contribution.at <= baseline) ignored.push({ node, reason: 'made before the agreement' });
      else {
        counted.push(verdict.contribution);
        if (verdict.held !== undefined && verdict.held.since > baseline) held.push(verdict.held);
      }
    }
    return { counted, ignored, held, cause, premature };
  }

  /** Reads what is new. */
  #take(entries: ReadonlyMap<NodeId, Value>): {
    readonly cause: NodeId | undefined;
    readonly premature: number | undefined;
  } {
    const { self } = this.#options;
    let cause: NodeId | undefined;
    let causedAt = -1;
    let premature: number | undefined;
    let others = 0;
    let isSameSet = true;
    for (const [node, entry] of entries) {
      if (node === self) continue;
      others += 1;
      const known = this.#known.get(node);
      if (known !== undefined && known.entry === entry && known.verdict !== tooFarAhead) continue;
      const read = readContribution(entry);
      const verdict: Verdict<T> = read.ok ? this.#judge(node, read.value) : read;
      this.#known.set(node, { entry, verdict });
      if (known === undefined) isSameSet = false;
      const at = read.ok ? read.value.at : 0;
      if (verdict === tooFarAhead) premature = Math.min(premature ?? at, at);
      else if (at >= causedAt) [cause, causedAt] = [node, at];
    }
    if (others < this.#known.size) {
      isSameSet = false;
      for (const node of this.#known.keys()) {
        if (entries.has(node)) continue;
        this.#known.delete(node);
        cause = node;
      }
    }
    if (!isSameSet) this.#order = [...this.#known.keys(), self].sort();
    return { cause, premature };
  }

  #judge(node: NodeId, entry: ContributionEntry): Verdict<T> {
    const { definition, hlc } = this.#options;
    const { weight, performance, at } = entry;
    if (weight > definition.maxWeight) return { reason: 'weighs more than allowed' };
    const value = this.#valueOf(entry);
    if (!value.ok) return value;
    if (!hlc.observe(at)) return tooFarAhead;
    const contribution = Object.freeze({ node, value: value.value, weight, performance, at });
    return { contribution, held: this.#heldOf(entry) };
  }

  #valueOf({ version, digest, value }: ContributionEntry): ReturnType<Definition<T>['kind']['check']> {
    const { definition } = this.#options;
    if (version > definition.version) return { ok: false, reason: `of version ${version}, later than ours` };
    if (version === definition.version) {
      if (digest !== definition.digest) return { ok: false, reason: 'defined differently' };
      return definition.kind.check(value);
    }
    return migrated(definition, value, version);
  }

  /** A claim about what is held is no reason to refuse the contribution beside it. */
  #heldOf({ held, version }: ContributionEntry): Held<T> | undefined {
    const { definition, hlc } = this.#options;
    if (held === undefined || version !== definition.version) return undefined;
    const checked = definition.kind.check(held.value);
    return checked.ok && hlc.observe(held.since) ? { value: checked.value, since: held.since } : undefined;
  }
}

/** A value of an older version as one of this version, checked. */
export function migrated<T>(
  { kind, migrate }: Definition<T>,
  value: Value,
  fromVersion: number,
): ReturnType<Definition<T>['kind']['check']> {
  if (migrate === undefined) return { ok: false, reason: `of version ${fromVersion}, and there is no \`migrate\`` };
  try {
    const checked = kind.check(migrate(value, fromVersion));
    return checked.ok ? checked : { ok: false, reason: `of version ${fromVersion}, and not translated` };
  } catch {
    // The translator of the application, given what another node wrote: the entry does not count, and `explain` says so.
    return { ok: false, reason: `of version ${fromVersion}, and \`migrate\` failed on it` };
  }
}
