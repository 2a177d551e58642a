/**
 * When a holder must believe that it holds no more, by its own clocks.
 *
 * It counts from before it sent what renewed the lease, so the lease began later in the log; and it stops a tenth early, for clocks that
 * run unlike each other. The steady clock stands still while the machine is suspended, the wall clock may be set: whichever says
 * first that the lease is over is believed. What agreed time jumps when another primary takes over can be more than the tenth;
 * for that there are fencing tokens.
 */
import type { Clock } from '../../../clock.ts';

export interface Lease {
  /** On the steady clock. */
  readonly endsAt: number;
  /** On the wall clock. */
  readonly wallEndsAt: number;
}

/** What the holder does not use of its lease: a guess, far above what quartz does in a lease's time. */
const marginShare = 0.1;

export function leaseFromNow(clock: Clock, leaseMs: number): Lease {
  const usableMs = leaseMs * (1 - marginShare);
  return { endsAt: clock.now() + usableMs, wallEndsAt: clock.wallNow() + usableMs };
}

export function isOver(lease: Lease, clock: Clock): boolean {
  return clock.now() >= lease.endsAt || clock.wallNow() >= lease.wallEndsAt;
}
