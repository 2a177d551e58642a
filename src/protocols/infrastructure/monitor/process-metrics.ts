/** What this process can measure of itself. Each runs only while a monitor needs it. */
import { availableParallelism } from 'node:os';
import type { Clock, Timer } from '../../../clock.ts';
import type { MetricSource, MetricSources } from './metric-sources.ts';

/** How often the event loop is probed: a loop that stands still for so long is seen, at ten short wake-ups a second. */
const lagProbeMs = 100;
const cpuPeriodMs = 1_000;

export function processMetrics(clock: Clock): Required<Pick<MetricSources, 'eventLoopLag' | 'cpu' | 'memory'>> {
  return {
    eventLoopLag: eventLoopLag(clock),
    cpu: cpuShare(clock, () => {
      const { user, system } = process.cpuUsage();
      return (user + system) / 1_000;
    }),
    memory: { kind: 'sampled', sample: () => process.memoryUsage.rss() },
  };
}

/** How late timers fire, milliseconds. */
export function eventLoopLag(clock: Clock): MetricSource {
  return {
    kind: 'told',
    start: (record) =>
      every(clock, lagProbeMs, (lateMs) => {
        record(lateMs);
      }),
  };
}

/** `usedMs`: processor time used so far. Told as the share of all cores, 0 to 1. */
export function cpuShare(clock: Clock, usedMs: () => number, cores = availableParallelism()): MetricSource {
  return {
    kind: 'told',
    start: (record) => {
      let before = { at: clock.now(), usedMs: usedMs() };
      return every(clock, cpuPeriodMs, () => {
        const after = { at: clock.now(), usedMs: usedMs() };
        const share = (after.usedMs - before.usedMs) / ((after.at - before.at) * cores);
        before = after;
        record(Math.min(1, Math.max(0, share)));
      });
    },
  };
}

function every(clock: Clock, periodMs: number, run: (lateMs: number) => void): () => void {
  let timer: Timer;
  const arm = (): void => {
    const dueAt = clock.now() + periodMs;
    timer = clock.after(periodMs, () => {
      arm();
      run(Math.max(0, clock.now() - dueAt));
    });
  };
  arm();
  return () => timer.cancel();
}
