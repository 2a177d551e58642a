/**
 * Keeps what this node says of its free resources true, cheaply: measured every few seconds, smoothed, and announced only when it has
 * changed by enough to matter to somebody who places work. A steady node says nothing.
 */
import { cpus } from 'node:os';
import type { Clock, Timer } from '../../clock.ts';

/** Of the machine, since it started. */
export interface CpuTimes {
  readonly idleMs: number;
  readonly totalMs: number;
}

export interface CapacitySource {
  cpu(): CpuTimes;
  /** What a process may still take. */
  freeMemoryBytes(): number;
}

export interface CapacityMeterOptions {
  readonly clock: Clock;
  /** Amounts that are not measured, and are announced beside the others: the option `capacity`. */
  readonly fixed: Readonly<Record<string, number>>;
  readonly announce: (capacity: Readonly<Record<string, number>>) => void;
  readonly onError: (error: unknown, where: string) => void;
  /** Default: this machine. */
  readonly source?: CapacitySource;
}

/** A sample costs about 0.1 ms on a small machine: 0.004 % of a core. */
const sampleMs = 2_500;
/** Between two announcements, at least. */
const pauseMs = 5_000;
/** Weight of a new sample: what lasts for some ten seconds counts, what passes does not. */
const smoothing = 0.3;
/** Announced when it differs by more than this share of what was announced … */
const share = 0.1;
/** … and of these, so that little noise near zero is no change. */
const leastCpu = 0.2;
const leastMemoryMB = 256;

const machine: CapacitySource = {
  cpu: () => {
    let idleMs = 0;
    let totalMs = 0;
    for (const { times } of cpus()) {
      idleMs += times.idle;
      totalMs += times.user + times.nice + times.sys + times.irq + times.idle;
    }
    return { idleMs, totalMs };
  },
  // Knows the limits of a container, which the machine's free memory does not.
  freeMemoryBytes: () => process.availableMemory(),
};

export class CapacityMeter {
  readonly #options: CapacityMeterOptions;
  readonly #source: CapacitySource;
  #times: CpuTimes | undefined;
  #cpu: number | undefined;
  #memoryMB: number | undefined;
  #announced: { readonly cpu: number; readonly memoryMB: number } | undefined;
  #announcedAt = Number.NEGATIVE_INFINITY;
  #timer: Timer | undefined;

  constructor(options: CapacityMeterOptions) {
    this.#options = options;
    this.#source = options.source ?? machine;
  }

  /** The smoothed figures: free share of all cores, 0 to 1, and megabytes. Undefined before the second sample. */
  get free(): { readonly cpu: number; readonly memoryMB: number } | undefined {
    if (this.#cpu === undefined || this.#memoryMB === undefined) return undefined;
    return { cpu: round(this.#cpu, 100), memoryMB: Math.round(this.#memoryMB) };
  }

  start(): void {
    if (this.#timer !== undefined) return;
    this.#sample();
    this.#arm();
  }

  stop(): void {
    this.#timer?.cancel();
    this.#timer = undefined;
  }

  #arm(): void {
    this.#timer = this.#options.clock.after(sampleMs, () => {
      this.#arm();
      this.#sample();
    });
  }

  #sample(): void {
    try {
      const times = this.#source.cpu();
      const memoryMB = this.#source.freeMemoryBytes() / 2 ** 20;
      const before = this.#times;
      this.#times = times;
      this.#memoryMB = smoothed(this.#memoryMB, memoryMB);
      const passedMs = before === undefined ? 0 : times.totalMs - before.totalMs;
      if (before !== undefined && passedMs > 0) {
        const idle = (times.idleMs - before.idleMs) / passedMs;
        this.#cpu = smoothed(this.#cpu, Math.min(1, Math.max(0, idle)));
      }
      this.#announce();
    } catch (error) {
      this.#options.onError(error, 'measuring free capacity');
    }
  }

  #announce(): void {
    const { free } = this;
    const { clock, announce, fixed } = this.#options;
    if (free === undefined) return;
    const said = this.#announced;
    const isNews =
      said === undefined ||
      hasChanged(free.cpu, said.cpu, leastCpu) ||
      hasChanged(free.memoryMB, said.memoryMB, leastMemoryMB);
    if (!isNews || clock.now() < this.#announcedAt + pauseMs) return;
    this.#announced = free;
    this.#announcedAt = clock.now();
    announce({ ...fixed, ...free });
  }
}

function hasChanged(now: number, said: number, least: number): boolean {
  return Math.abs(now - said) > share * Math.max(said, least);
}

function smoothed(before: number | undefined, now: number): number {
  return before === undefined ? now : before + smoothing * (now - before);
}

function round(value: number, steps: number): number {
  return Math.round(value * steps) / steps;
}
