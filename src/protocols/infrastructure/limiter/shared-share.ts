/**
 * A node's share of one limit (or of one key of it), over shared entries: hears the others, tells them, and runs timers only while something is under way.
 *
 * What is told is little: at once after a pause, then ten times a second at most, and nothing while neither demand nor shares change.
 */
import type { Clock, Timer } from '../../../clock.ts';
import type { NodeId } from '../../../node-id.ts';
import type { Value } from '../../../value.ts';
import type { SharedEntries } from '../../sharing/shared-entries.ts';
import { encodeLimitEntry, type LimitEntry, parseLimitEntry } from './limit-entries.ts';
import { ShareCore, type ShareView } from './share-core.ts';
import { type Distribution, idleShare } from './shares.ts';
import { TokenBucket } from './token-bucket.ts';

/** What nodes tell of one share: so many entries per second, and so many at once after a pause. */
const entriesPerSecond = 10;
const entriesAtOnce = 4;
/** Entries of others are looked at together when they come closer than this. */
const lookEveryMs = 5;
/** A share that has fallen by less is not worth telling. */
const worthTelling = 0.02;
/** Raising by less is not either. */
const worthRaising = 0.01;

export interface ShareParts {
  readonly entries: SharedEntries;
  readonly clock: Clock;
  readonly key: string;
  readonly rate: number;
  readonly distribution: Distribution;
  isInScope(node: NodeId): boolean;
  capacityOf(node: NodeId): number | undefined;
  /** Used by nodes that have no entry under this key. */
  reservedFor(heard: ReadonlyMap<NodeId, LimitEntry>): number;
  /** This node may admit so much from now on. */
  onShare(share: number): void;
  onError(error: unknown, where: string): void;
}

export class SharedShare {
  readonly #parts: ShareParts;
  readonly #core: ShareCore;
  readonly #budget: TokenBucket;
  readonly #parsed = new Map<NodeId, { readonly raw: Value; readonly entry: LimitEntry | undefined }>();
  readonly #unsubscribe: () => void;
  #said: LimitEntry = { share: 0, demand: 0, crowded: false };
  #demand = 0;
  #live = 1;
  #crowded = false;
  #telling = false;
  #lookedAt = -Infinity;
  #lookTimer: Timer | undefined;
  #tellTimer: Timer | undefined;
  #stopped = false;
  /** Entries of others that were none. */
  malformed = 0;

  constructor(parts: ShareParts) {
    this.#parts = parts;
    const { entries, clock, key, rate, distribution } = parts;
    this.#core = new ShareCore({ self: entries.self, rate, distribution });
    this.#budget = new TokenBucket({
      rate: entriesPerSecond,
      capacity: entriesAtOnce,
      tokens: entriesAtOnce,
      now: clock.now(),
    });
    this.#unsubscribe = entries.onKey(key, () => this.lookSoon());
    const view = this.#view(0);
    this.#core.begin(view);
    this.#tell(view.now);
  }

  get share(): number {
    return this.#core.share;
  }

  /** As told, this node's own first. */
  shares(): Record<NodeId, number> {
    const { self } = this.#parts.entries;
    const others = [...this.#heard()].map(([node, { share }]) => [node, share] as const);
    return Object.fromEntries([[self, this.#said.share], ...others]) as Record<NodeId, number>;
  }

  /** Others that take part. */
  heard(): ReadonlyMap<NodeId, LimitEntry> {
    return this.#heard();
  }

  setDemand(demand: number): void {
    // So little is had without asking; it is not worth an entry.
    const idle = (idleShare * this.#parts.rate) / Math.max(1, this.#live);
    const rounded = demand <= idle ? 0 : Number(demand.toPrecision(3));
    if (rounded === this.#demand) return;
    this.#demand = rounded;
    this.#look();
  }

  setCrowded(crowded: boolean): void {
    if (crowded === this.#crowded) return;
    this.#crowded = crowded;
    this.#look();
  }

  /** Something around has changed: nodes, zones, capacities, what is reserved. */
  lookSoon(): void {
    if (this.#telling || this.#stopped) return;
    const wait = this.#lookedAt + lookEveryMs - this.#parts.clock.now();
    if (wait <= 0) this.#look();
    else this.#lookAfter(wait);
  }

  /** Gives the share up. */
  stop(): void {
    if (this.#stopped) return;
    this.#stopped = true;
    this.#unsubscribe();
    this.#lookTimer?.cancel();
    this.#tellTimer?.cancel();
    this.#parts.entries.delete(this.#parts.key);
  }

  #look(): void {
    if (this.#stopped) return;
    const now = this.#parts.clock.now();
    this.#lookedAt = now;
    this.#lookTimer?.cancel();
    this.#lookTimer = undefined;
    const before = this.#core.share;
    const { allowed, lookAgainMs } = this.#core.look(this.#view(this.#said.demand));
    const { share } = this.#core;
    if (share !== before) this.#parts.onShare(share);
    if (lookAgainMs !== undefined) this.#lookAfter(lookAgainMs);
    const lowered = this.#said.share > share * (1 + worthTelling);
    const news = this.#demand !== this.#said.demand || this.#crowded !== this.#said.crowded;
    if (lowered || news || allowed > share * (1 + worthRaising)) this.#tellSoon(now);
  }

  #lookAfter(ms: number): void {
    this.#lookTimer?.cancel();
    this.#lookTimer = this.#parts.clock.after(ms, () => this.#look());
  }

  #tellSoon(now: number): void {
    if (this.#tellTimer !== undefined) return;
    const wait = this.#budget.waitMs(1, 0, now);
    if (wait === 0) {
      this.#tell(now);
      return;
    }
    this.#tellTimer = this.#parts.clock.after(wait, () => {
      this.#tellTimer = undefined;
      this.#look();
    });
  }

  #tell(now: number): void {
    const { entries, key, onShare, onError } = this.#parts;
    this.#budget.take(1, now);
    const { allowed } = this.#core.look(this.#view(this.#demand));
    const said = { share: Number(allowed.toPrecision(6)), demand: this.#demand, crowded: this.#crowded };
    this.#telling = true;
    try {
      entries.set(key, encodeLimitEntry(said));
      this.#said = said;
      // Only now: nobody uses what it has not claimed.
      this.#core.raise(said.share);
    } catch (error) {
      onError(error, `the share of '${key}'`);
    } finally {
      this.#telling = false;
    }
    onShare(this.#core.share);
  }

  #view(demand: number): ShareView {
    const { entries, clock, isInScope, capacityOf, reservedFor } = this.#parts;
    const heard = this.#heard();
    this.#live = entries.nodes().filter((node) => isInScope(node)).length;
    return {
      now: clock.now(),
      entries: heard,
      live: this.#live,
      reserved: reservedFor(heard),
      demand,
      standing: (node) => (isInScope(node) ? entries.standing(node) : 'gone'),
      capacityOf,
    };
  }

  /** What the others say, each entry parsed once. */
  #heard(): Map<NodeId, LimitEntry> {
    const { entries, key, isInScope } = this.#parts;
    const heard = new Map<NodeId, LimitEntry>();
    const raws = entries.of(key);
    for (const [node, raw] of raws) {
      if (node === entries.self || !isInScope(node)) continue;
      let known = this.#parsed.get(node);
      if (known === undefined || known.raw !== raw) {
        known = { raw, entry: parseLimitEntry(raw) };
        if (known.entry === undefined) this.malformed += 1;
        this.#parsed.set(node, known);
      }
      if (known.entry !== undefined) heard.set(node, known.entry);
    }
    for (const node of this.#parsed.keys()) if (!raws.has(node)) this.#parsed.delete(node);
    return heard;
  }
}
