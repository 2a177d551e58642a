/**
 * A world of simulated nodes on one virtual clock: the same seed gives the same run, to the last event.
 *
 * Intuition: everything that happens at a node – a frame arriving, a timer firing – is an event in one
 * queue ordered by virtual time. `run` takes the events one by one, and after each lets all promises
 * settle, so asynchronous code under test runs deterministically, and a minute costs
 * milliseconds. Faults are switched by the test while the world stands still.
 *
 * Invariants. Time never goes back. Events of equal time run in the order they were scheduled. A paused
 * node (SIGSTOP) runs nothing; what reaches it waits, in order. A crashed node (kill -9) never runs again.
 */
import type { Clock, Rng } from '../../clock.ts';
import { seededRng } from '../../clock.ts';
import type { Identity } from '../../identity.ts';
import { EventQueue, type ScheduledEvent } from './event-queue.ts';
import type { SimulatedProcess, Surroundings } from './medium.ts';
import { SimulatedNetwork, type SimulatedNetworkOptions } from './network.ts';

/** Uniform between the two, in virtual milliseconds. */
export interface DelayRange {
  readonly minMs: number;
  readonly maxMs: number;
}

export interface SimulatedWorldOptions {
  readonly seed: number;
  /** One-way delay of each frame. Default 0.2 to 2 ms; or a function for other distributions. */
  readonly delay?: DelayRange | ((rng: Rng, from: SimulatedNetwork, to: SimulatedNetwork) => number);
  /** Chance that a broadcast message is lost on one hop. Default 0. */
  readonly broadcastLoss?: number;
  /** Chance that a broadcast message arrives twice on one hop. Default 0. */
  readonly broadcastDuplication?: number;
  /** Chance that a broadcast message is held back by up to 20 delays, so that later ones overtake it. Default 0. */
  readonly broadcastReordering?: number;
  /** A connection that crosses a partition breaks after this long. Default 15,000. */
  readonly partitionBreaksMs?: number;
  /** Wall clock at virtual time 0. Default 2026-01-01. */
  readonly wallStart?: number;
}

export interface PartitionOptions {
  /** Which way nothing gets through. Default 'both'. */
  readonly direction?: 'both' | 'leftToRight' | 'rightToLeft';
}

interface PartitionRule {
  readonly left: ReadonlySet<SimulatedNetwork>;
  /** Undefined: everybody who is not on the left, also nodes made later. */
  readonly right: ReadonlySet<SimulatedNetwork> | undefined;
  readonly direction: 'both' | 'leftToRight' | 'rightToLeft';
}

const defaultDelay: DelayRange = { minMs: 0.2, maxMs: 2 };
/**
 * Events after which the real event loop gets a turn, so that a test's own deadline can fire. Between them
 * only promises and ticks settle, which costs a tenth; code that waits for real immediates, timers or
 * threads has no place in a simulation, because it would not run in the same order twice.
 */
const eventsPerTurn = 256;

export class SimulatedWorld implements Surroundings<SimulatedNetwork> {
  readonly seed: number;
  /** For the test itself; nodes have generators of their own. */
  readonly rng: Rng;
  /** The world's own clock, without skew. Its timers belong to no node: no fault stops them. */
  readonly clock: Clock;
  readonly options: Required<Omit<SimulatedWorldOptions, 'seed' | 'delay'>>;
  readonly #delay: NonNullable<SimulatedWorldOptions['delay']>;
  readonly #events = new EventQueue();
  readonly #networks: SimulatedNetwork[] = [];
  readonly #partitions = new Set<PartitionRule>();
  #now = 0;
  #eventsRun = 0;

  constructor(options: SimulatedWorldOptions) {
    this.seed = options.seed;
    this.rng = seededRng(options.seed);
    this.#delay = options.delay ?? defaultDelay;
    this.options = {
      broadcastLoss: options.broadcastLoss ?? 0,
      broadcastDuplication: options.broadcastDuplication ?? 0,
      broadcastReordering: options.broadcastReordering ?? 0,
      partitionBreaksMs: options.partitionBreaksMs ?? 15_000,
      wallStart: options.wallStart ?? Date.UTC(2026, 0, 1),
    };
    this.clock = {
      now: () => this.#now,
      wallNow: () => this.options.wallStart + this.#now,
      after: (delayMs, fire) => this.schedule(delayMs, undefined, fire),
    };
  }

  /** Virtual milliseconds since the world began. */
  get now(): number {
    return this.#now;
  }

  get eventsRun(): number {
    return this.#eventsRun;
  }

  get networks(): readonly SimulatedNetwork[] {
    return this.#networks;
  }

  /** A node in this world. Call it again with the same identity after a crash or stop to restart that node: it keeps its address. */
  network(identity: Identity, options: SimulatedNetworkOptions = {}): SimulatedNetwork {
    const before = this.#networks.filter((network) => network.self === identity.id && !network.listening);
    const host = options.host ?? before.at(-1)?.host ?? `node${this.#networks.length + 1}`;
    const network = new SimulatedNetwork(this, identity, host, { ...options, rng: seededRng(this.rng.below(2 ** 32)) });
    this.#networks.push(network);
    return network;
  }

  /** Whoever listens at a host now. */
  listenerAt(host: string): SimulatedNetwork | undefined {
    return this.#networks.find((network) => network.host === host && network.listening);
  }

  // Time.

  /** Runs everything that happens within the next `forMs` of virtual time. */
  async run(forMs: number): Promise<void> {
    await this.#runUntil(this.#now + forMs, () => false);
  }

  /** Runs until `predicate` holds; throws with the seed when it does not within `maxMs` of virtual time. */
  async until(predicate: () => boolean, maxMs: number): Promise<void> {
    await turn();
    if (predicate()) return;
    if (await this.#runUntil(this.#now + maxMs, predicate)) return;
    throw new Error(`Seed ${this.seed}: not reached within ${maxMs} ms of virtual time (now ${this.#now}).`);
  }

  /** Runs until `promise` settles and gives its result; throws with the seed when that takes more than `maxMs`. */
  async settled<T>(promise: Promise<T>, maxMs = 60_000): Promise<T> {
    let done = false;
    const mark = (): void => {
      done = true;
    };
    promise.then(mark, mark);
    await this.until(() => done, maxMs);
    return promise;
  }

  async #runUntil(end: number, predicate: () => boolean): Promise<boolean> {
    await turn();
    for (let event = this.#events.peek(); event !== undefined && event.at <= end; event = this.#events.peek()) {
      this.#events.pop();
      this.#now = Math.max(this.#now, event.at);
      this.#eventsRun += 1;
      event.fire();
      await (this.#eventsRun % eventsPerTurn === 0 ? turn() : settle());
      if (predicate()) return true;
    }
    this.#now = end;
    return predicate();
  }

  /** An event in `delayMs`; with a process given, at that process: held while it is paused, dropped once it crashed. */
  schedule(delayMs: number, process: SimulatedProcess | undefined, fire: () => void): ScheduledEvent {
    const run = process === undefined ? fire : () => this.runAt(process, fire);
    return this.#events.push(this.#now + Math.max(0, delayMs), run);
  }

  /** Runs `fire` at a process now, or when it is awake and free again. */
  runAt(process: SimulatedProcess, fire: () => void): void {
    if (process.state === 'crashed') return;
    if (process.state === 'paused' || process.backlog.length > 0 || process.busyUntil > this.#now) {
      process.backlog.push(fire);
      this.#workOff(process);
      return;
    }
    process.busyUntil = this.#now + process.busyMsPerEvent;
    fire();
  }

  #workOff(process: SimulatedProcess): void {
    if (process.workingOff || process.state !== 'running') return;
    process.workingOff = true;
    this.#events.push(Math.max(this.#now, process.busyUntil), () => {
      process.workingOff = false;
      if (process.state !== 'running') return;
      const fire = process.backlog.shift();
      if (fire === undefined) return;
      process.busyUntil = this.#now + process.busyMsPerEvent;
      fire();
      if (process.backlog.length > 0) this.#workOff(process);
    });
  }

  delay(from: SimulatedNetwork, to: SimulatedNetwork): number {
    const range = this.#delay;
    if (typeof range === 'function') return range(this.rng, from, to);
    return range.minMs + this.rng.float() * (range.maxMs - range.minMs);
  }

  // Faults.

  /**
   * Nothing passes between the two groups, or out of the first when no second is given, until the returned
   * function or `heal` is called. Connections across stall, and break after `partitionBreaksMs`.
   */
  partition(
    left: readonly SimulatedNetwork[],
    right?: readonly SimulatedNetwork[],
    options: PartitionOptions = {},
  ): () => void {
    const rule: PartitionRule = {
      left: new Set(left),
      right: right === undefined ? undefined : new Set(right),
      direction: options.direction ?? 'both',
    };
    this.#partitions.add(rule);
    this.schedule(this.options.partitionBreaksMs, undefined, () => {
      if (!this.#partitions.has(rule)) return;
      for (const network of this.#networks) network.breakConnections((peer) => this.#crosses(rule, network, peer));
    });
    return () => this.#lift([rule]);
  }

  /** Ends all partitions. */
  heal(): void {
    this.#lift([...this.#partitions]);
  }

  #lift(rules: readonly PartitionRule[]): void {
    for (const rule of rules) this.#partitions.delete(rule);
    for (const network of this.#networks) network.releaseStalled();
  }

  blocked(from: SimulatedNetwork, to: SimulatedNetwork): boolean {
    for (const rule of this.#partitions) if (blocks(rule, from, to)) return true;
    return false;
  }

  #crosses(rule: PartitionRule, a: SimulatedNetwork, b: SimulatedNetwork): boolean {
    return blocks(rule, a, b) || blocks(rule, b, a);
  }

  /** kill -9: its timers and inputs end, its connections are reset. */
  crash(network: SimulatedNetwork): void {
    if (network.process.state === 'crashed') return;
    network.process.state = 'crashed';
    network.process.backlog.length = 0;
    network.resetByCrash();
  }

  /** SIGSTOP: its inputs and timers wait, its connections stay. */
  pause(network: SimulatedNetwork): void {
    if (network.process.state === 'running') network.process.state = 'paused';
  }

  /** SIGCONT: what waited happens now, in the order it came. */
  resume(network: SimulatedNetwork): void {
    if (network.process.state !== 'paused') return;
    network.process.state = 'running';
    if (network.process.backlog.length > 0) this.#workOff(network.process);
  }

  /** Each event at the node takes `busyMsPerEvent` from now on; the next one waits for it. 0 ends that. */
  slow(network: SimulatedNetwork, busyMsPerEvent: number): void {
    network.process.busyMsPerEvent = busyMsPerEvent;
  }
}

function blocks(rule: PartitionRule, from: SimulatedNetwork, to: SimulatedNetwork): boolean {
  const fromLeft = rule.left.has(from);
  const toLeft = rule.left.has(to);
  const fromRight = rule.right === undefined ? !fromLeft : rule.right.has(from);
  const toRight = rule.right === undefined ? !toLeft : rule.right.has(to);
  if (rule.direction !== 'rightToLeft' && fromLeft && toRight) return true;
  return rule.direction !== 'leftToRight' && fromRight && toLeft;
}

/** Resolves when no promise job and no tick is left: a tick runs only after all of them, twice for what they leave. */
async function settle(): Promise<void> {
  for (let round = 0; round < 2; round++) await new Promise<void>((resolve) => process.nextTick(resolve));
}

async function turn(): Promise<void> {
  for (let round = 0; round < 2; round++) await new Promise<void>((resolve) => setImmediate(resolve));
}
