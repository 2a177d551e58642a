/** The clock of one simulated node: the world's time, faster or slower, and a wall clock that is off. */
import type { Clock } from '../../clock.ts';
import type { SimulatedProcess, Surroundings } from './medium.ts';

export interface ClockFaults {
  /** Milliseconds this node's wall clock is ahead of the world's. Default 0. */
  readonly wallSkewMs?: number;
  /** How much faster than the world this node's clock runs: 0.01 is one percent. Default 0. */
  readonly clockDrift?: number;
}

export function nodeClock(world: Surroundings<unknown>, process: SimulatedProcess, options: ClockFaults): Clock {
  const rate = 1 + (options.clockDrift ?? 0);
  const skew = options.wallSkewMs ?? 0;
  return {
    now: () => world.now * rate,
    wallNow: () => Math.floor(world.options.wallStart + world.now * rate + skew),
    after: (delayMs, fire) => world.schedule(delayMs / rate, process, fire),
  };
}
