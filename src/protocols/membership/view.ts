/**
 * The merged view of the `members` feeds: who is a member, in which state, and on whose word. Pure.
 *
 * Intuition. Members speak of themselves; only a node's observers (a few, drawn by hash rings) may say
 * that it does not answer, and more of them must say so than may lie. Whoever is accused and lives raises
 * its incarnation, which voids what was said against the old one.
 *
 * The rule. X is unreachable at N when at least `min(liars + 1, observers)` observers of X accuse X's
 * current incarnation, where
 * - observers are taken over the members that are not unreachable, removed or gone, and X;
 * - an observer that N accuses itself, or gets no answer from, is no witness for N and not waited for; but
 *   when fewer than `liars + 1` remain for that reason, N's own evidence must be among the votes. So a node
 *   cut off with few others still comes to a verdict, and a liar alone never makes one;
 * - an accusation counts only if its accuser made it in its own current incarnation: a node that had to
 *   defend itself may have been the one cut off, and checks again what it said before. This is why two
 *   sides of a healed partition do not condemn each other with what they said while it lasted.
 *
 * A verdict once reached is kept while enough of its votes stand, whatever happens to the rings or to the
 * accusers meanwhile; otherwise the second of two crashes could revive the first.
 *
 * Invariants: this node is never unreachable to itself. One author alone, whatever it writes, makes nobody
 * else unreachable while there are two others. Without accusers that are accused themselves, the states
 * depend on the set of entries and not on their order.
 */
import { isDeepStrictEqual } from 'node:util';
import type { NodeId } from '../../node-id.ts';
import { Rings } from '../../p2p/detector/rings.ts';
import type { Value } from '../../value.ts';
import {
  accusedOfKey,
  parseAccusation,
  parseSelf,
  type SelfEntry,
  type StandingAccusation,
  selfKey,
} from './entries.ts';
import type { Member, MemberInfo, MemberState } from './membership.ts';

export interface ViewOptions {
  readonly self: NodeId;
  /** How many members may lie; `liars + 1` observers must agree. */
  readonly liars: number;
  readonly removeAfterMs: number;
  /** Members known at most; more are ignored. */
  readonly maxMembers: number;
  readonly rttMs: (id: NodeId) => number | undefined;
}

/** Now, on both clocks: the monotonic one for durations, the wall clock for people. */
export interface Moment {
  readonly now: number;
  readonly wall: number;
}

export interface ViewChange {
  readonly member: Member;
  readonly previous: MemberState | undefined;
  /** It raised or replaced its incarnation. */
  readonly renewed: boolean;
}

/** An accusation that is no verdict yet, seen from this node. */
export interface Undecided {
  readonly id: NodeId;
  /** Witnesses that have not voted. */
  readonly waitingFor: readonly NodeId[];
  /** True when this node's own evidence is needed, see the rule. */
  readonly needsOwnEvidence: boolean;
}

interface Verdict {
  readonly incarnation: number;
  readonly votes: ReadonlySet<NodeId>;
  readonly needed: number;
  /** It needed this node's own evidence. */
  readonly short: boolean;
}

interface Entry {
  info: MemberInfo;
  /** The info in `member`. */
  told: MemberInfo;
  left: boolean;
  /** Undefined while there is no verdict; `isolation` when only our own isolation says so. */
  verdict: Verdict | 'isolation' | undefined;
  state: MemberState;
  /** When `state` was entered. */
  since: Moment;
  member: Member;
}

/** An author's accusations beyond this number are ignored: it observes about five nodes. */
const maxAccusationsPerAuthor = 256;

export class MembershipView {
  readonly rings = new Rings();
  readonly #options: ViewOptions;
  readonly #entries = new Map<NodeId, Entry>();
  /** Accused → accuser → accusation, of any incarnation; the accused need not be known yet. */
  readonly #accusations = new Map<NodeId, Map<NodeId, StandingAccusation>>();
  readonly #accusedBy = new Map<NodeId, Set<NodeId>>();
  readonly #suspected = new Set<NodeId>();
  readonly #unanswering = new Set<NodeId>();
  readonly #dirty = new Set<NodeId>();
  readonly #renewed = new Set<NodeId>();
  /** Added and forgotten since the last `settle`. */
  readonly #fresh = new Set<NodeId>();
  readonly #forgotten = new Map<NodeId, Entry>();
  #isolated = false;

  constructor(options: ViewOptions) {
    this.#options = options;
  }

  // Reading.

  get isolated(): boolean {
    return this.#isolated;
  }

  get(id: NodeId): Member | undefined {
    return this.#entries.get(id)?.member;
  }

  members(): Member[] {
    return Array.from(this.#entries.values(), ({ member }) => member);
  }

  /** Accusations against the current incarnation of `of`, or of all members. */
  accusations(of?: NodeId): StandingAccusation[] {
    const accused = of === undefined ? [...this.#accusations.keys()] : [of];
    return accused.flatMap((id) => this.#standing(id));
  }

  /** What this node itself says against `id`, of whatever incarnation. */
  ownAccusation(id: NodeId): StandingAccusation | undefined {
    return this.#accusations.get(id)?.get(this.#options.self);
  }

  ownAccused(): Iterable<NodeId> {
    return this.#accusedBy.get(this.#options.self) ?? [];
  }

  isUnanswering(id: NodeId): boolean {
    return this.#unanswering.has(id);
  }

  unanswering(): NodeId[] {
    return [...this.#unanswering];
  }

  undecided(): Undecided[] {
    return this.#pending().map((id) => {
      const { witnesses, short } = this.#witnesses(id);
      const voted = new Set(this.#standing(id).map(({ accuser }) => accuser));
      return { id, waitingFor: witnesses.filter((witness) => !voted.has(witness)), needsOwnEvidence: short };
    });
  }

  /** When `expire` has something to do; undefined while nothing waits. */
  nextExpiry(): number | undefined {
    let at: number | undefined;
    for (const entry of this.#entries.values()) {
      if (entry.state !== 'unreachable') continue;
      const due = entry.since.now + this.#options.removeAfterMs;
      at = at === undefined ? due : Math.min(at, due);
    }
    return at;
  }

  // Inputs. Each takes effect with the next `settle`.

  /** An entry of `author`'s members feed became `value`; undefined when it was deleted. False when it is refused. */
  apply(author: NodeId, key: string, value: Value): boolean {
    if (key === selfKey) return this.#applySelf(author, value);
    const accused = accusedOfKey(key);
    return accused === undefined ? false : this.#applyAccusation(author, accused, value);
  }

  /** This node's own doubt, which is no vote. */
  setSuspected(id: NodeId, on: boolean): void {
    if (on) this.#suspected.add(id);
    else this.#suspected.delete(id);
    this.#dirty.add(id);
  }

  /** This node gets no answer from `id`, which it does not observe. */
  setUnanswering(id: NodeId, on: boolean): void {
    if (on === this.#unanswering.has(id)) return;
    if (on) this.#unanswering.add(id);
    else this.#unanswering.delete(id);
    this.#touchPending();
    this.#dirty.add(id);
  }

  /** This node reaches nobody at all. */
  setIsolated(on: boolean): void {
    if (this.#isolated === on) return;
    this.#isolated = on;
    for (const id of this.#entries.keys()) this.#dirty.add(id);
  }

  /** Brings the states up to date with all inputs, and tells what changed. */
  settle(moment: Moment): ViewChange[] {
    const touched = new Set<NodeId>();
    while (this.#dirty.size > 0) {
      const round = [...this.#dirty].sort();
      this.#dirty.clear();
      // All of a round are judged on the same state: no verdict depends on the order within it.
      const verdicts = round.map((id) => this.#judge(id));
      for (const [index, id] of round.entries()) {
        touched.add(id);
        this.#setVerdict(id, verdicts[index]);
      }
    }
    const changes: ViewChange[] = [];
    for (const id of touched) this.#update(id, moment, changes);
    this.#renewed.clear();
    return changes;
  }

  /** Turns what was unreachable long enough into removed. */
  expire(moment: Moment): ViewChange[] {
    for (const [id, entry] of this.#entries) {
      if (entry.state !== 'unreachable') continue;
      if (this.#isExpired(entry, moment)) this.#dirty.add(id);
    }
    return this.settle(moment);
  }

  // Entries.

  #applySelf(author: NodeId, value: Value): boolean {
    const parsed = value === undefined ? undefined : parseSelf(author, value);
    const entry = this.#entries.get(author);
    if (parsed === undefined) {
      // Deleted with its feed, or nonsense where something valid stood: it says nothing of itself any more.
      if (entry !== undefined) this.#forget(author, entry);
      return value === undefined;
    }
    if (entry === undefined) {
      if (this.#entries.size >= this.#options.maxMembers) return false;
      this.#addEntry(author, parsed);
    } else {
      if (entry.info.incarnation !== parsed.info.incarnation) this.#renew(author);
      if (!isDeepStrictEqual(entry.info, parsed.info)) entry.info = parsed.info;
      entry.left = parsed.left;
    }
    this.#dirty.add(author);
    return true;
  }

  #addEntry(id: NodeId, { info, left }: SelfEntry): void {
    const since = { now: 0, wall: 0 };
    const member = this.#memberOf(id, info, 'alive', since);
    this.#entries.set(id, { info, told: info, left, verdict: undefined, state: 'alive', since, member });
    this.#renew(id);
    this.#fresh.add(id);
  }

  #forget(id: NodeId, entry: Entry): void {
    this.#entries.delete(id);
    if (!this.#fresh.delete(id)) this.#forgotten.set(id, entry);
    this.#suspected.delete(id);
    this.#unanswering.delete(id);
    if (this.rings.remove(id)) this.#touchPending();
    this.#dirty.add(id);
  }

  /** A new incarnation is answerable for nothing said of the old one, nor upholds what the old one said. */
  #renew(id: NodeId): void {
    this.#renewed.add(id);
    this.#unanswering.delete(id);
    for (const accused of this.#accusedBy.get(id) ?? []) this.#dirty.add(accused);
  }

  #applyAccusation(accuser: NodeId, accused: NodeId, value: Value): boolean {
    const accusation = value === undefined ? undefined : parseAccusation(accuser, accused, value);
    const mine = this.#accusedBy.get(accuser) ?? new Set();
    if (accusation === undefined) {
      mine.delete(accused);
      if (mine.size === 0) this.#accusedBy.delete(accuser);
      const others = this.#accusations.get(accused);
      others?.delete(accuser);
      if (others?.size === 0) this.#accusations.delete(accused);
    } else {
      if (!mine.has(accused) && mine.size >= maxAccusationsPerAuthor) return false;
      mine.add(accused);
      this.#accusedBy.set(accuser, mine);
      const others = this.#accusations.get(accused) ?? new Map<NodeId, StandingAccusation>();
      others.set(accuser, accusation);
      this.#accusations.set(accused, others);
    }
    this.#dirty.add(accused);
    if (accuser === this.#options.self) this.#touchPending();
    return accusation !== undefined || value === undefined;
  }

  // Judgement.

  /** Accusations against the incarnation that `id` has now. */
  #standing(id: NodeId): StandingAccusation[] {
    const entry = this.#entries.get(id);
    const all = this.#accusations.get(id);
    if (entry === undefined || all === undefined || entry.left) return [];
    return [...all.values()].filter(({ incarnation }) => incarnation === entry.info.incarnation);
  }

  /** Accused members without a verdict: those whom a change of the rings or of our own evidence may concern. */
  #pending(): NodeId[] {
    const pending: NodeId[] = [];
    for (const id of this.#accusations.keys()) {
      const entry = this.#entries.get(id);
      if (entry === undefined || id === this.#options.self || entry.left) continue;
      if (entry.verdict === undefined && this.#standing(id).length > 0) pending.push(id);
    }
    return pending;
  }

  #touchPending(): void {
    for (const id of this.#pending()) this.#dirty.add(id);
  }

  #deniedByUs(id: NodeId): boolean {
    if (id === this.#options.self) return false;
    if (this.#unanswering.has(id)) return true;
    return this.ownAccusation(id)?.incarnation === this.#entries.get(id)?.info.incarnation && this.#entries.has(id);
  }

  /** Who may testify against `id`, and whether too few remain because we cannot reach the others. */
  #witnesses(id: NodeId): { witnesses: NodeId[]; needed: number; short: boolean } {
    const observers = this.rings.observersOf(id);
    const witnesses = observers.filter((observer) => !this.#deniedByUs(observer));
    const wanted = Math.min(this.#options.liars + 1, observers.length);
    const needed = Math.max(1, Math.min(wanted, witnesses.length));
    return { witnesses, needed, short: needed < wanted };
  }

  #judge(id: NodeId): Entry['verdict'] {
    const entry = this.#entries.get(id);
    if (entry === undefined || entry.left || id === this.#options.self) return undefined;
    const standing = this.#standing(id);
    return (
      this.#uphold(id, entry, standing) ?? this.#verdict(id, standing) ?? (this.#isolated ? 'isolation' : undefined)
    );
  }

  /** The verdict there is, while enough of its votes stand. */
  #uphold(id: NodeId, entry: Entry, standing: readonly StandingAccusation[]): Verdict | undefined {
    const { verdict, info } = entry;
    if (verdict === undefined || verdict === 'isolation' || verdict.incarnation !== info.incarnation) return undefined;
    if (verdict.short && !this.#deniedByUs(id)) return undefined;
    const observers = this.rings.observersOf(id);
    const votes = new Set<NodeId>();
    for (const accusation of standing) {
      const { accuser } = accusation;
      // Whoever of its observers finds the same later helps to uphold it.
      const joins = observers.includes(accuser) && this.#isCurrent(accusation);
      if (joins || verdict.votes.has(accuser)) votes.add(accuser);
    }
    if (verdict.short) votes.add(this.#options.self);
    return votes.size >= verdict.needed ? { ...verdict, votes } : undefined;
  }

  #verdict(id: NodeId, standing: readonly StandingAccusation[]): Verdict | undefined {
    if (standing.length === 0 && !this.#unanswering.has(id)) return undefined;
    const { self } = this.#options;
    const { witnesses, needed, short } = this.#witnesses(id);
    const current = standing.filter((accusation) => this.#isCurrent(accusation));
    const votes = new Set(current.map(({ accuser }) => accuser).filter((accuser) => witnesses.includes(accuser)));
    if (short) {
      if (!this.#deniedByUs(id)) return undefined;
      votes.add(self);
    }
    if (votes.size < needed) return undefined;
    return { incarnation: (this.#entries.get(id) as Entry).info.incarnation, votes, needed, short };
  }

  #isCurrent({ accuser, accuserIncarnation }: StandingAccusation): boolean {
    return this.#entries.get(accuser)?.info.incarnation === accuserIncarnation;
  }

  #setVerdict(id: NodeId, verdict: Entry['verdict']): void {
    const entry = this.#entries.get(id);
    if (entry === undefined) return;
    entry.verdict = verdict;
    const inRing = verdict === undefined && !entry.left;
    if (inRing ? this.rings.add(id) : this.rings.remove(id)) this.#touchPending();
  }

  // States.

  #update(id: NodeId, moment: Moment, changes: ViewChange[]): void {
    const entry = this.#entries.get(id);
    if (entry === undefined) {
      const gone = this.#forgotten.get(id);
      this.#forgotten.delete(id);
      if (gone === undefined || gone.state === 'left' || gone.state === 'removed') return;
      const member = this.#memberOf(id, gone.info, 'removed', moment);
      changes.push({ member, previous: gone.state, renewed: false });
      return;
    }
    // A feed that was replaced by a newer epoch of its author goes and comes within one settling.
    const isFresh = this.#fresh.delete(id);
    const previous = isFresh ? this.#forgotten.get(id)?.state : entry.state;
    this.#forgotten.delete(id);
    const state = this.#stateOf(id, entry, moment);
    const renewed = this.#renewed.has(id) && previous !== undefined;
    if (isFresh || state !== previous) {
      entry.state = state;
      entry.since = moment;
    }
    if (!isFresh && previous === state && entry.told === entry.info) return;
    entry.told = entry.info;
    entry.member = this.#memberOf(id, entry.info, state, entry.since);
    changes.push({ member: entry.member, previous, renewed });
  }

  #stateOf(id: NodeId, entry: Entry, moment: Moment): MemberState {
    if (entry.left) return 'left';
    if (entry.verdict !== undefined) {
      const before = entry.state === 'unreachable' || entry.state === 'removed';
      if (!before) return 'unreachable';
      if (entry.state === 'removed') return 'removed';
      return this.#isExpired(entry, moment) ? 'removed' : 'unreachable';
    }
    if (id === this.#options.self) return 'alive';
    if (this.#suspected.has(id)) return 'suspect';
    const standing = this.#standing(id);
    if (standing.length === 0) return 'alive';
    const { witnesses } = this.#witnesses(id);
    const doubted = standing.some(
      (accusation) => this.#isCurrent(accusation) && witnesses.includes(accusation.accuser),
    );
    return doubted ? 'suspect' : 'alive';
  }

  #isExpired(entry: Entry, moment: Moment): boolean {
    return entry.since.now + this.#options.removeAfterMs <= moment.now;
  }

  #memberOf(id: NodeId, info: MemberInfo, state: MemberState, since: Moment): Member {
    const { rttMs } = this.#options;
    return Object.freeze({
      ...info,
      id,
      state,
      since: since.wall,
      get rttMs() {
        return rttMs(id);
      },
    });
  }
}
