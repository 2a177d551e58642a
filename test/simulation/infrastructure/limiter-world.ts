/** Nodes with one shared limit in virtual time, their requests, and what passed in the worst second. */
import type { Timer } from '../../../src/clock.ts';
import type { RateLimiter, RateLimiterOptions } from '../../../src/protocols/infrastructure/limiter/limiter.ts';
import { Limiters } from '../../../src/protocols/infrastructure/limiter/limiters.ts';
import type { LimitersTools } from '../../../src/protocols/infrastructure/limiter/limiters-tools.ts';
import { type SharedNode, SharedWorld, type SharedWorldOptions } from '../sharing/shared-world.ts';

const rethrow = (error: unknown): never => {
  throw error;
};

export function limitersOn(node: SharedNode, more: Partial<LimitersTools> = {}): Limiters {
  return new Limiters({
    entries: node,
    zone: node.zone,
    clock: node.clock,
    rng: node.rng,
    liars: 1,
    registry: { lookup: () => undefined, query: () => [] },
    messaging: { call: () => Promise.reject(new Error('no calls')) } as unknown as LimitersTools['messaging'],
    quotas: undefined,
    capacityOf: () => undefined,
    onError: rethrow,
    ...more,
  });
}

export class LimitedNode {
  readonly entries: SharedNode;
  readonly limiters: Limiters;
  readonly limiter: RateLimiter;
  readonly #world: LimiterWorld;
  #timer: Timer | undefined;
  #perSecond = 0;
  admitted = 0;

  constructor(world: LimiterWorld, entries: SharedNode, options: RateLimiterOptions) {
    this.#world = world;
    this.entries = entries;
    this.limiters = limitersOn(entries);
    this.limiter = this.limiters.rateLimiter(options);
  }

  /** From now on so many requests per second come here, as a Poisson process. */
  ask(perSecond: number): void {
    this.#timer?.cancel();
    this.#perSecond = perSecond;
    if (perSecond > 0) this.#next();
  }

  #next(): void {
    const { clock, rng } = this.entries;
    this.#timer = clock.after((-Math.log(1 - rng.float()) * 1_000) / this.#perSecond, () => {
      if (this.limiter.tryAcquire().allowed) {
        this.admitted += 1;
        this.#world.passed.push(clock.now());
      }
      this.#next();
    });
  }
}

export class LimiterWorld {
  readonly shared: SharedWorld;
  readonly options: RateLimiterOptions;
  readonly nodes: LimitedNode[] = [];
  /** When requests passed, in order. */
  passed: number[] = [];

  constructor(options: RateLimiterOptions, world: SharedWorldOptions) {
    this.shared = new SharedWorld(world);
    this.options = options;
  }

  join(zone?: string): LimitedNode {
    const node = new LimitedNode(this, this.shared.join(zone), this.options);
    this.nodes.push(node);
    return node;
  }

  run(ms: number): Promise<void> {
    return this.shared.time.run(ms);
  }

  /** Most and fewest that passed within any second that lies between the two moments. */
  seconds(from: number, to: number): { readonly most: number; readonly fewest: number } {
    return extremes(this.passed, from, to);
  }

  kill(node: LimitedNode): void {
    this.shared.kill(node.entries);
  }

  get now(): number {
    return this.shared.time.now;
  }

  /** What all live nodes may admit together. */
  get shareSum(): number {
    return this.nodes
      .filter(({ entries }) => entries.alive)
      .reduce((sum, { limiter }) => sum + limiter.status().share, 0);
  }
}

/** Over all windows of one second: the most ends at an admission, the fewest begins right after one. */
function extremes(times: readonly number[], from: number, to: number): { most: number; fewest: number } {
  let [most, fewest, start, end] = [0, Infinity, 0, 0];
  for (let at = 0; at < times.length; at++) {
    const time = times[at] as number;
    if (time < from || time > to) continue;
    while ((times[start] as number) <= time - 1_000) start += 1;
    most = Math.max(most, at - Math.max(start, firstFrom(times, from)) + 1);
    if (time + 1_000 > to) continue;
    end = Math.max(end, at + 1);
    while (end < times.length && (times[end] as number) <= time + 1_000) end += 1;
    fewest = Math.min(fewest, end - at - 1);
  }
  return { most, fewest };
}

function firstFrom(times: readonly number[], from: number): number {
  let [low, high] = [0, times.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if ((times[middle] as number) < from) low = middle + 1;
    else high = middle;
  }
  return low;
}
