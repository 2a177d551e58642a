/**
 * When to exchange with whom. Reasons come from all sides (a new connection, a gap, a differing digest, a
 * caller that waits); this turns them into few exchanges: one at a time per peer, a few at a time in all,
 * no two with one peer within an interval, and less and less often when exchanges change nothing.
 *
 * A few at a time, because a joiner that asked all its neighbours at once would be sent everything by each.
 */
import type { Clock, Rng, Timer } from '../../clock.ts';
import type { NodeId } from '../../node-id.ts';

export interface SchedulerOptions {
  /** Exchanges under way at a time, in all. */
  readonly maxConcurrent: number;
  /** Least time between two exchanges with one peer when something is known to be missing. */
  readonly urgentIntervalMs: number;
  /** The same when a digest differs, which may be only a message under way. */
  readonly relaxedIntervalMs: number;
  /** The relaxed interval doubles with each exchange that changed nothing, up to this. */
  readonly maxIntervalMs: number;
}

export const defaultSchedulerOptions: SchedulerOptions = {
  maxConcurrent: 3, // guess: one may hang until its timeout, and two go on
  urgentIntervalMs: 100, // guess: a repair every few round trips, far below what the responder allows
  relaxedIntervalMs: 1_000, // one probe interval
  maxIntervalMs: 30_000, // two nodes that cannot agree cost each other a kilobyte per half minute
};

export type Urgency = 'urgent' | 'relaxed';

interface PeerState {
  running: boolean;
  wanted: Urgency | undefined;
  lastStart: number;
  /** Exchanges in a row that left everything as the one before. */
  fruitless: number;
  after: string;
  timer: Timer | undefined;
}

export class SyncScheduler {
  readonly #clock: Clock;
  readonly #rng: Rng;
  readonly #options: SchedulerOptions;
  /** Runs one exchange and tells the state after it, to see whether another could change anything. Never rejects. */
  readonly #run: (peer: NodeId) => Promise<string>;
  readonly #peers = new Map<NodeId, PeerState>();
  readonly #ready = new Set<NodeId>();
  #running = 0;
  #stopped = false;

  constructor(clock: Clock, rng: Rng, options: SchedulerOptions, run: (peer: NodeId) => Promise<string>) {
    this.#clock = clock;
    this.#rng = rng;
    this.#options = options;
    this.#run = run;
  }

  get running(): number {
    return this.#running;
  }

  /** Asks for an exchange with a connected peer, as soon as the intervals allow. */
  request(peer: NodeId, urgency: Urgency): void {
    if (this.#stopped) return;
    const state = this.#state(peer);
    if (state.wanted === 'urgent') return;
    if (state.wanted === urgency) return;
    state.wanted = urgency;
    if (!state.running) this.#arm(peer, state);
  }

  /** The peer's connection is gone. */
  drop(peer: NodeId): void {
    this.#peers.get(peer)?.timer?.cancel();
    this.#peers.delete(peer);
    this.#ready.delete(peer);
  }

  stop(): void {
    this.#stopped = true;
    for (const peer of [...this.#peers.keys()]) this.drop(peer);
  }

  #state(peer: NodeId): PeerState {
    let state = this.#peers.get(peer);
    if (state === undefined) {
      state = {
        running: false,
        wanted: undefined,
        lastStart: Number.NEGATIVE_INFINITY,
        fruitless: 0,
        after: '',
        timer: undefined,
      };
      this.#peers.set(peer, state);
    }
    return state;
  }

  #arm(peer: NodeId, state: PeerState): void {
    const { urgentIntervalMs, relaxedIntervalMs, maxIntervalMs } = this.#options;
    const relaxed = Math.min(maxIntervalMs, relaxedIntervalMs * 2 ** state.fruitless);
    const interval = state.wanted === 'urgent' ? urgentIntervalMs : relaxed;
    const wait = state.lastStart + interval - this.#clock.now();
    state.timer?.cancel();
    state.timer = undefined;
    if (wait <= 0) {
      this.#enqueue(peer);
      return;
    }
    // Jitter, so that nodes that were cut apart together do not come back in step.
    state.timer = this.#clock.after(wait * (1 + 0.2 * this.#rng.float()), () => this.#enqueue(peer));
  }

  #enqueue(peer: NodeId): void {
    this.#ready.add(peer);
    this.#startNext();
  }

  #startNext(): void {
    for (const peer of this.#ready) {
      if (this.#running >= this.#options.maxConcurrent) return;
      this.#ready.delete(peer);
      const state = this.#peers.get(peer);
      if (state !== undefined && !state.running) this.#start(peer, state);
    }
  }

  #start(peer: NodeId, state: PeerState): void {
    state.running = true;
    state.wanted = undefined;
    state.lastStart = this.#clock.now();
    state.timer?.cancel();
    this.#running += 1;
    void this.#run(peer).then((after) => {
      state.running = false;
      state.fruitless = after === state.after ? state.fruitless + 1 : 0;
      state.after = after;
      this.#running -= 1;
      if (state.wanted !== undefined && this.#peers.get(peer) === state) this.#arm(peer, state);
      this.#startNext();
    });
  }
}
