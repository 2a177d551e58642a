/**
 * The merged registry: many authors' entries, one winner for each id.
 *
 * Intuition: every author may claim any id in its own feed, and nobody can take a claim away from it. What
 * the mesh sees under an id is a pure function of the claims of the visible authors: the earliest claim,
 * of equal ones that of the smaller author. So the order in which entries arrive cannot matter, and two
 * nodes with the same entries and the same visible authors show the same winners.
 *
 * This settles conflicts between honest nodes. It is no defence against a member that backdates a claim;
 * names that must be exclusive under attack need an agreement, not a clock.
 *
 * Invariants:
 * - `slot.record` is the winner among `slot.claims` of authors not hidden; the index holds exactly the
 *   slots with a record.
 * - For each id, changes alternate: `up`, any number of `update`s, `down`. An `update` never moves an agent
 *   to another node: that is a `down` and an `up`.
 */
import { Emitter } from '../emitter.ts';
import type { NodeId } from '../node-id.ts';
import type { AgentId } from '../value.ts';
import type { Test } from './registry-criteria.ts';
import { AgentIndex, type Slot } from './registry-index.ts';
import { type AgentRecord, claimsBefore } from './registry-record.ts';

/** Why a record is no longer visible. `conflict`: an earlier claim of another author is. */
export type DownReason = 'unregistered' | 'node-down' | 'conflict';

export type ViewChange =
  | { readonly type: 'up'; readonly record: AgentRecord }
  | { readonly type: 'update'; readonly record: AgentRecord; readonly previous: AgentRecord }
  | { readonly type: 'down'; readonly record: AgentRecord; readonly reason: DownReason };

/** One author's claim to one id became `record`, or ended. */
export type Claim =
  | { readonly record: AgentRecord }
  | { readonly author: NodeId; readonly id: AgentId; readonly record: undefined };

interface ClaimSlot extends Slot {
  /** Of all authors, the hidden ones too; one for each author. Nearly always a single one. */
  claims: AgentRecord[];
}

export interface ViewEvents {
  /** What one call of `apply`, `hide` or `show` changed, after all of it is done. */
  changes: readonly ViewChange[];
}

export class RegistryView {
  readonly #slots = new Map<AgentId, ClaimSlot>();
  readonly #slotsOf = new Map<NodeId, Set<ClaimSlot>>();
  readonly #hidden = new Set<NodeId>();
  readonly #index = new AgentIndex((id) => this.#slots.get(id));
  readonly #events: Emitter<ViewEvents>;

  constructor(onListenerError: (error: unknown, type: string) => void) {
    this.#events = new Emitter(onListenerError);
  }

  get size(): number {
    return this.#index.size;
  }

  get(id: AgentId): AgentRecord | undefined {
    return this.#slots.get(id)?.record;
  }

  /** The author's own claim to the id, whether it is visible or not. */
  claimOf(author: NodeId, id: AgentId): AgentRecord | undefined {
    return this.#slots.get(id)?.claims.find((claim) => claim.node === author);
  }

  /** How many ids the author claims, visible or not. */
  claimCount(author: NodeId): number {
    return this.#slotsOf.get(author)?.size ?? 0;
  }

  select(tests: readonly Test[], limit?: number): AgentRecord[] {
    return this.#index.select(tests, limit);
  }

  count(tests: readonly Test[]): number {
    return this.#index.count(tests);
  }

  on<K extends keyof ViewEvents>(type: K, listener: (event: ViewEvents[K]) => void): () => void {
    return this.#events.on(type, listener);
  }

  /** Takes claims over in order; of several for one id and author the last counts. */
  apply(claims: readonly Claim[]): void {
    const touched = new Set<ClaimSlot>();
    for (const claim of claims) {
      const slot = claim.record === undefined ? this.#unclaim(claim.author, claim.id) : this.#claim(claim.record);
      if (slot !== undefined) touched.add(slot);
    }
    this.#settle(touched, 'unregistered');
  }

  /** Hides all the author's claims, and those that it makes until it is shown. */
  hide(author: NodeId): void {
    if (this.#hidden.has(author)) return;
    this.#hidden.add(author);
    this.#settle(this.#slotsOf.get(author) ?? [], 'node-down');
  }

  show(author: NodeId): void {
    if (!this.#hidden.delete(author)) return;
    this.#settle(this.#slotsOf.get(author) ?? [], 'unregistered');
  }

  isHidden(author: NodeId): boolean {
    return this.#hidden.has(author);
  }

  #claim(record: AgentRecord): ClaimSlot {
    let slot = this.#slots.get(record.id);
    if (slot === undefined) {
      slot = { id: record.id, record: undefined, claims: [] };
      this.#slots.set(record.id, slot);
    }
    const at = slot.claims.findIndex((claim) => claim.node === record.node);
    if (at >= 0) {
      slot.claims[at] = record;
      return slot;
    }
    slot.claims.push(record);
    const slots = this.#slotsOf.get(record.node);
    if (slots === undefined) this.#slotsOf.set(record.node, new Set([slot]));
    else slots.add(slot);
    return slot;
  }

  #unclaim(author: NodeId, id: AgentId): ClaimSlot | undefined {
    const slot = this.#slots.get(id);
    const at = slot?.claims.findIndex((claim) => claim.node === author) ?? -1;
    if (slot === undefined || at < 0) return undefined;
    slot.claims.splice(at, 1);
    const slots = this.#slotsOf.get(author);
    slots?.delete(slot);
    if (slots?.size === 0) this.#slotsOf.delete(author);
    if (slot.claims.length === 0) this.#slots.delete(id);
    return slot;
  }

  #winner(slot: ClaimSlot): AgentRecord | undefined {
    let winner: AgentRecord | undefined;
    for (const claim of slot.claims) {
      if (this.#hidden.has(claim.node)) continue;
      if (winner === undefined || claimsBefore(claim, winner)) winner = claim;
    }
    return winner;
  }

  /** Makes each slot show its winner. `goneReason`: why a record went whose claim no longer stands. */
  #settle(slots: Iterable<ClaimSlot>, goneReason: 'unregistered' | 'node-down'): void {
    const changes: ViewChange[] = [];
    for (const slot of slots) {
      const before = slot.record;
      const after = this.#winner(slot);
      if (before === after) continue;
      slot.record = after;
      this.#index.move(slot, before, after);
      if (before !== undefined && after !== undefined && before.node === after.node) {
        changes.push({ type: 'update', record: after, previous: before });
        continue;
      }
      if (before !== undefined)
        changes.push({ type: 'down', record: before, reason: this.#why(slot, goneReason, before) });
      if (after !== undefined) changes.push({ type: 'up', record: after });
    }
    if (changes.length > 0) this.#events.emit('changes', changes);
  }

  /** A record whose author still claims the id and still is visible can only have lost. */
  #why(slot: ClaimSlot, goneReason: 'unregistered' | 'node-down', before: AgentRecord): DownReason {
    const stands = !this.#hidden.has(before.node) && slot.claims.some((claim) => claim.node === before.node);
    return stands ? 'conflict' : goneReason;
  }
}
