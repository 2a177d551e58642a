/**
 * The lanes of one limiter: one for requests without a key, one for each key in use, and what they have in common: a tick while any is used, one ear for the nodes of the mesh.
 *
 * Keys are bounded twice. Of those a node keeps, the one unused for longest is forgotten. Of those, so many are shared with the others; each further one has an equal part of the rate for this
 * node, and the others are told that there are such (`crowded`), and leave that part alone.
 */
import type { Timer } from '../../../clock.ts';
import type { NodeId } from '../../../node-id.ts';
import { slotMs } from './demand-meter.ts';
import type { Lane } from './lane.ts';
import { type LimitEntry, limitKey } from './limit-entries.ts';
import type { LimiterTerms } from './limiter-options.ts';
import type { LimitersTools } from './limiters-tools.ts';
import { QuotaLane } from './quota-lane.ts';
import { quotaTerms } from './quota-terms.ts';
import { SharedLane, type ShareOfLane } from './shared-lane.ts';
import { SharedShare } from './shared-share.ts';

/** Keys of one limiter that a node tells the others of. */
const maxSharedKeys = 500;
const noName = '';

export class Lanes {
  readonly #tools: LimitersTools;
  readonly #terms: LimiterTerms;
  /** By key, the one used last at the end; without key apart. */
  readonly #keyed = new Map<string, Lane>();
  readonly #awake = new Set<Lane>();
  readonly #shared = new Set<Lane>();
  readonly #equal = new Set<Lane>();
  readonly #unsubscribe: readonly (() => void)[];
  /** Of the other nodes. */
  #crowded = 0;
  #tick: Timer | undefined;
  #last: { readonly key: string; readonly lane: Lane } | undefined;
  /** For requests without a key. */
  readonly whole: Lane;
  /** Of requests without a key; none where the limit is not shared. */
  #wholeShare: SharedShare | undefined;

  constructor(tools: LimitersTools, terms: LimiterTerms) {
    this.#tools = tools;
    this.#terms = terms;
    this.whole = this.#open(noName);
    this.#unsubscribe = [
      tools.entries.onNodes(() => this.#surroundingsChanged()),
      tools.entries.onKey(limitKey(terms.id, noName), () => this.#crowdingChanged()),
    ];
  }

  of(key: string): Lane {
    if (key === noName) return this.whole;
    if (this.#last?.key === key) return this.#last.lane;
    let lane = this.#keyed.get(key);
    if (lane !== undefined) this.#keyed.delete(key);
    else {
      if (this.#keyed.size >= this.#terms.maxKeys) this.#forgetOne();
      lane = this.#open(key);
    }
    this.#keyed.set(key, lane);
    this.#last = { key, lane };
    return lane;
  }

  get keys(): number {
    return this.#keyed.size;
  }

  get waiting(): number {
    return [...this.#keyed.values()].reduce((sum, { waiting }) => sum + waiting, this.whole.waiting);
  }

  /** What this node may admit per second of requests without a key; of a strict limit, what it may admit now. */
  get share(): number {
    if (this.whole instanceof QuotaLane) return this.whole.atHand(this.#tools.clock.now());
    return this.#wholeShare?.share ?? this.#terms.rate;
  }

  shares(): Record<NodeId, number> {
    const own = { [this.#tools.entries.self]: this.share } as Record<NodeId, number>;
    return this.#terms.strict ? {} : (this.#wholeShare?.shares() ?? own);
  }

  stop(error: unknown): void {
    for (const unsubscribe of this.#unsubscribe) unsubscribe();
    this.#tick?.cancel();
    for (const lane of this.#keyed.values()) lane.stop(error);
    this.whole.stop(error);
    this.#keyed.clear();
    this.#awake.clear();
  }

  #open(key: string): Lane {
    const { clock, quotas, onError } = this.#tools;
    const { id, rate, burst, maxQueue, strict } = this.#terms;
    const onAwake = (): void => this.#wake(lane);
    let lane: Lane;
    if (strict) {
      const terms = quotaTerms(this.#terms);
      lane = new QuotaLane({ id, limit: limitKey(id, key), clock, rate, terms, maxQueue, quotas, onAwake, onError });
      return lane;
    }
    const [kind, openShare] = this.#shareFor(key);
    lane = new SharedLane({ id, clock, rate, burst, maxQueue, openShare, onAwake });
    kind?.add(lane);
    this.#tellCrowded();
    return lane;
  }

  #shareFor(key: string): [Set<Lane> | undefined, (onShare: (share: number) => void) => ShareOfLane] {
    if (this.#terms.scope === 'node') return [undefined, (onShare) => new FixedShare(() => this.#terms.rate, onShare)];
    if (key === noName) {
      return [
        undefined,
        (onShare) => {
          this.#wholeShare = this.#share(key, onShare);
          return this.#wholeShare;
        },
      ];
    }
    if (this.#shared.size < maxSharedKeys) return [this.#shared, (onShare) => this.#share(key, onShare)];
    return [this.#equal, (onShare) => new FixedShare(() => this.#terms.rate / this.#liveNodes().length, onShare)];
  }

  #share(key: string, onShare: (share: number) => void): SharedShare {
    const { entries, clock, capacityOf, onError } = this.#tools;
    const { id, rate, distribution, capacityName } = this.#terms;
    return new SharedShare({
      entries,
      clock,
      key: limitKey(id, key),
      rate,
      distribution,
      isInScope: (node) => this.#isInScope(node),
      capacityOf: (node) => (distribution === 'weightedByCapacity' ? capacityOf(node, capacityName) : undefined),
      reservedFor: (heard) => (key === noName ? 0 : this.#usedUntold(heard)),
      onShare,
      onError,
    });
  }

  /** Nodes that have more keys than they tell of may use an equal part of any key. */
  #usedUntold(heard: ReadonlyMap<NodeId, LimitEntry>): number {
    const others = this.#wholeShare?.heard() ?? new Map<NodeId, LimitEntry>();
    let untold = 0;
    for (const [node, { crowded }] of others) if (crowded && !heard.has(node)) untold += 1;
    return untold === 0 ? 0 : (untold * this.#terms.rate) / this.#liveNodes().length;
  }

  #isInScope(node: NodeId): boolean {
    return this.#terms.scope === 'cluster' || this.#tools.entries.zoneOf(node) === this.#tools.zone;
  }

  #liveNodes(): readonly NodeId[] {
    return this.#tools.entries.nodes().filter((node) => this.#isInScope(node));
  }

  #surroundingsChanged(): void {
    this.whole.surroundingsChanged();
    for (const lane of this.#shared) lane.surroundingsChanged();
    for (const lane of this.#equal) lane.surroundingsChanged();
  }

  #crowdingChanged(): void {
    let crowded = 0;
    for (const entry of this.#wholeShare?.heard().values() ?? []) if (entry.crowded) crowded += 1;
    if (crowded === this.#crowded) return;
    this.#crowded = crowded;
    for (const lane of this.#shared) lane.surroundingsChanged();
  }

  #tellCrowded(): void {
    this.#wholeShare?.setCrowded(this.#equal.size > 0);
  }

  #wake(lane: Lane): void {
    this.#awake.add(lane);
    this.#tick ??= this.#tools.clock.after(slotMs, () => this.#onTick());
  }

  #onTick(): void {
    this.#tick = undefined;
    const now = this.#tools.clock.now();
    for (const lane of this.#awake) if (!lane.tick(now)) this.#awake.delete(lane);
    // What is as at its beginning need not be kept, nor be told of.
    for (const [key, lane] of this.#keyed) {
      if (this.#awake.has(lane)) break;
      if (lane.isFresh(now)) this.#close(key, lane);
    }
    if (this.#awake.size > 0) this.#tick = this.#tools.clock.after(slotMs, () => this.#onTick());
  }

  #forgetOne(): void {
    for (const [key, lane] of this.#keyed) {
      if (lane.waiting > 0) continue;
      this.#close(key, lane);
      return;
    }
  }

  #close(key: string, lane: Lane): void {
    lane.stop(undefined);
    this.#keyed.delete(key);
    this.#awake.delete(lane);
    this.#shared.delete(lane);
    this.#equal.delete(lane);
    if (this.#last?.lane === lane) this.#last = undefined;
    this.#tellCrowded();
  }
}

/** A share that nobody else has a say in. */
class FixedShare implements ShareOfLane {
  readonly #of: () => number;
  readonly #onShare: (share: number) => void;
  share: number;

  constructor(of: () => number, onShare: (share: number) => void) {
    this.#of = of;
    this.#onShare = onShare;
    this.share = of();
    onShare(this.share);
  }

  setDemand(): void {}

  lookSoon(): void {
    const share = this.#of();
    if (share === this.share) return;
    this.share = share;
    this.#onShare(share);
  }

  stop(): void {}
}
