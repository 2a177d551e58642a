/**
 * What is granted to one at a time, or to a few: locks, permits of a semaphore, leadership.
 *
 * Every grant has a lease, which its holder renews by itself, and a fencing token, higher than any given before. The lease frees what a dead
 * holder held; the token makes a late one harmless: no clock can stop a process from acting on what it held a moment ago,
 * only the resource can refuse it (`TokenGuard`).
 *
 * Not offered: reentrancy. Who asks twice waits for himself, until the time of the second wait is over.
 */
import type { NodeId } from '../../../node-id.ts';
import type { Value } from '../../../value.ts';
import type { ReadConsistency } from '../ordering.ts';

export interface Grants {
  /**
   * Waits for the lock and holds it until it is released or its lease is lost. Who asked first is granted first.
   *
   * Rejects with `TIMED_OUT` (and is never granted later), the reason of `signal`, `ALREADY_EXISTS` when the name is that
   * of a semaphore or an election, `LIMIT_EXCEEDED`, `INVALID_ARGUMENT`, or with what ordering rejects with (`NO_QUORUM`, `UNKNOWN_OUTCOME` …).
   *
   * @example
   * await using lock = await mesh.coordination.lock('reports/today');
   * await store.write(report, { token: lock.token, signal: lock.signal });
   */
  lock(name: string, options?: LockOptions): Promise<Lock>;
  /**
   * Waits for `count` of `permits`. Strictly in order: a small request does not pass a large one that waits. Rejects like
   * `lock`; `ALREADY_EXISTS` also when others use the name with another number of permits (`data.permits`, `data.asked`).
   *
   * @example
   * await using permit = await mesh.coordination.semaphore('gpu', { permits: 4, count: 2 });
   */
  semaphore(name: string, options: SemaphoreOptions): Promise<Permit>;
  /** One leader among those who campaign. Throws `INVALID_ARGUMENT` for a name that is none. */
  election(name: string): Election;
  /** Who holds what has this name, and who waits for it, in order; undefined when nobody does. Rejects like any read. */
  inspect(
    name: string,
    options?: { readonly consistency?: ReadConsistency; readonly signal?: AbortSignal; readonly timeoutMs?: number },
  ): Promise<GrantInspection | undefined>;
}

export interface GrantOptions {
  /**
   * How long a holder that went silent still holds, milliseconds, 100 to 86,400,000. Default 10,000 (a guess: longer than most
   * pauses of a process, short enough to wait for). It is renewed at each third of it.
   */
  readonly leaseMs?: number;
  /** How long to wait at most, milliseconds. Default: `coordination.timeoutMs` of the mesh. */
  readonly timeoutMs?: number;
  /** Ends the wait, not what was granted. */
  readonly signal?: AbortSignal;
}

export interface LockOptions extends GrantOptions {
  /** `false`: only if it is free now; otherwise `TIMED_OUT` at once, with `data.holder`. Default true. */
  readonly wait?: boolean;
}

export interface SemaphoreOptions extends LockOptions {
  /** How many there are in all, 1 to 1,000,000; all who use the name must say the same. */
  readonly permits: number;
  /** How many to take, 1 to `permits`. Default 1. */
  readonly count?: number;
}

export interface CampaignOptions extends GrantOptions {
  /** What others shall know of the leader, an address say: at most 2 KiB encoded. */
  readonly value?: Value;
  /** Default: as long as `signal` allows, for standing by is what most candidates do. */
  readonly timeoutMs?: number;
}

/** Something held. Disposing of it releases it. */
export interface Grant extends AsyncDisposable {
  readonly name: string;
  /** The fencing token: higher than that of every grant before. Send it along to what you protect. */
  readonly token: number;
  /**
   * Whether it is held still. Looks at the clock at each read, so that a process that was stopped for longer than its lease
   * sees it before it acts. It may be lost between this read and the act: what must not happen twice needs the token.
   */
  readonly held: boolean;
  /** Aborts with `GRANT_LOST` when it is not held any more, for whatever reason; `reason.data.reason` says which. */
  readonly signal: AbortSignal;
  /** Throws `GRANT_LOST` unless `held`. */
  assertHeld(): void;
  /**
   * Gives it back. Idempotent, never rejects: it resolves when the release is known, or else when the lease has run out;
   * at once when it was lost before, or when the mesh has stopped.
   */
  release(): Promise<void>;
}

export interface Lock extends Grant {}

export interface Permit extends Grant {
  readonly count: number;
}

export interface Leadership extends Grant {
  readonly value: Value;
}

export interface Leader {
  readonly node: NodeId;
  /** Of this term; rises from leader to leader. */
  readonly token: number;
  readonly value: Value;
}

export interface Election {
  readonly name: string;
  /**
   * Waits to become the leader, and is until released (that resigns) or lost. Candidates follow each other in the order in
   * which they began. Rejects like `lock`.
   *
   * @example
   * await using leadership = await mesh.coordination.election('scheduler').campaign({ signal });
   * while (leadership.held) await scheduleNext(leadership.token);
   */
  campaign(options?: CampaignOptions): Promise<Leadership>;
  /** Who leads; undefined when nobody does. Default consistency: linearizable. Rejects like any read. */
  leader(options?: {
    readonly consistency?: ReadConsistency;
    readonly signal?: AbortSignal;
    readonly timeoutMs?: number;
  }): Promise<Leader | undefined>;
  /**
   * The leader of now, then each new one; undefined while there is none. A slow reader gets the newest, not all between. Goes on
   * through a lost quorum; ends when `signal` aborts, and throws `STOPPED` when the mesh stops.
   */
  observe(options?: { readonly signal?: AbortSignal }): AsyncIterable<Leader | undefined>;
}

export interface GrantHolder {
  readonly node: NodeId;
  readonly token: number;
  readonly count: number;
  /** Agreed time at which the lease ends unless it is renewed, milliseconds since 1970. */
  readonly leaseEndsAt: number;
}

export interface GrantWaiter {
  readonly node: NodeId;
  readonly count: number;
  /** Agreed time until which it waits unless it says again that it does, milliseconds since 1970. */
  readonly waitsUntil: number;
}

export type GrantSort = 'lock' | 'semaphore' | 'election';

export interface GrantInspection {
  readonly name: string;
  readonly sort: GrantSort;
  readonly permits: number;
  /** How many are free; they may be, although somebody waits who wants more. */
  readonly free: number;
  /** The first 100, by token. */
  readonly holders: readonly GrantHolder[];
  /** The first 100, in the order in which they will be granted. */
  readonly waiters: readonly GrantWaiter[];
  /** All that wait. */
  readonly waiting: number;
}
