import { afterEach, describe, expect, test } from 'vitest';
import type { Clock } from '../../../src/clock.ts';
import { SimulatedWorld } from '../../../src/p2p/simulated/world.ts';
import { CapacityMeter } from '../../../src/protocols/membership/capacity-meter.ts';

let meter: CapacityMeter | undefined;
afterEach(() => meter?.stop());

/** A machine of one core, idle for that share of the time from now on. */
class Machine {
  idle = 1;
  freeMB = 1_000;
  failing = false;
  readonly #clock: Clock;
  #times = { idleMs: 0, totalMs: 0 };

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  cpu(): { idleMs: number; totalMs: number } {
    if (this.failing) throw new Error('no counters here');
    const passed = this.#clock.now() - this.#times.totalMs;
    this.#times = { idleMs: this.#times.idleMs + this.idle * passed, totalMs: this.#clock.now() };
    return this.#times;
  }

  freeMemoryBytes(): number {
    return this.freeMB * 2 ** 20;
  }
}

function start(): {
  readonly world: SimulatedWorld;
  readonly machine: Machine;
  readonly said: Readonly<Record<string, number>>[];
  readonly errors: unknown[];
} {
  const world = new SimulatedWorld({ seed: 1 });
  const machine = new Machine(world.clock);
  const said: Readonly<Record<string, number>>[] = [];
  const errors: unknown[] = [];
  meter = new CapacityMeter({
    clock: world.clock,
    fixed: { gpu: 2, cpu: 99 },
    announce: (capacity) => said.push(capacity),
    onError: (error) => errors.push(error),
    source: machine,
  });
  meter.start();
  return { world, machine, said, errors };
}

describe('fresh capacity', () => {
  test('is announced once, beside what is fixed, and not again while nothing changes', async () => {
    const { world, said } = start();
    expect(meter?.free).toBeUndefined();
    await world.run(3_600_000);
    expect(said).toEqual([{ gpu: 2, cpu: 1, memoryMB: 1_000 }]);
  });

  test('follows a change that lasts, at most every five seconds', async () => {
    const { world, machine, said } = start();
    await world.run(60_000);
    machine.idle = 0.25;
    const before = said.length;
    await world.run(10_000);
    expect(said.length - before).toBeLessThanOrEqual(2);
    await world.run(60_000);
    expect(said.at(-1)?.['cpu']).toBeLessThan(0.28);
    const after = said.length;
    expect(after - before).toBeLessThanOrEqual(8);
    machine.freeMB = 500;
    await world.run(60_000);
    expect(said.at(-1)?.['memoryMB']).toBeLessThan(560);
  });

  test('does not follow noise', async () => {
    const { world, machine, said } = start();
    await world.run(10_000);
    for (let n = 0; n < 100; n++) {
      machine.idle = 1 - 0.1 * world.rng.float();
      machine.freeMB = 1_000 + 60 * world.rng.float();
      await world.run(2_500);
    }
    expect(said.length).toBe(1);
  });

  test('a machine that cannot be measured is reported, and measured when it can be again', async () => {
    const { world, machine, said, errors } = start();
    machine.failing = true;
    await world.run(5_000);
    expect([said.length, errors.length]).toEqual([0, 2]);
    machine.failing = false;
    await world.run(10_000);
    expect(said.length).toBe(1);
    meter?.stop();
    machine.idle = 0;
    await world.run(60_000);
    expect(said.length).toBe(1);
  });

  test('of this machine', async () => {
    const world = new SimulatedWorld({ seed: 1 });
    const said: Readonly<Record<string, number>>[] = [];
    meter = new CapacityMeter({
      clock: world.clock,
      fixed: {},
      announce: (capacity) => said.push(capacity),
      onError: (error) => expect.unreachable(String(error)),
    });
    meter.start();
    // Its counters move in hundredths of a second, and the clock here is another: only work makes them differ.
    for (const until = Date.now() + 10_000; said.length === 0 && Date.now() < until; ) await world.run(2_500);
    expect(said[0]?.['cpu']).toBeGreaterThanOrEqual(0);
    expect(said[0]?.['cpu']).toBeLessThanOrEqual(1);
    expect(said[0]?.['memoryMB']).toBeGreaterThan(1);
  });
});
