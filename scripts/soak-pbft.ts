/**
 * `node scripts/soak-pbft.ts --seeds 20000 [--from 1] [--only silent,twins] [--seconds 60] [--brief]`: runs the
 * simulation of the agreement protocol, seed by seed. Stops at the first violation, with the seed, the fewest
 * faults that still cause it, and the end of its trace; exit code 1.
 */
import { performance } from 'node:perf_hooks';
import { parseArgs } from 'node:util';
import { reportFailure, runSeed } from '../test/simulation/pbft/run.ts';

const { values } = parseArgs({
  options: {
    seeds: { type: 'string', default: '1000' },
    from: { type: 'string', default: '1' },
    only: { type: 'string' },
    seconds: { type: 'string' },
    json: { type: 'boolean', default: false },
    /** Names a violation only, without looking for the smallest plan. */
    brief: { type: 'boolean', default: false },
  },
});
for (const option of ['seeds', 'from', 'seconds'] as const) {
  const given = values[option];
  if (given !== undefined && !/^[1-9]\d{0,8}$/.test(given)) {
    console.error(`--${option} wants a whole number from 1 on, not '${given}'.`);
    process.exit(2);
  }
}
const only = values.only?.split(',');
const first = Number(values.from);
const started = performance.now();
const limit = values.seconds === undefined ? Number.POSITIVE_INFINITY : Number(values.seconds) * 1_000;
const totals = { seeds: 0, virtualMs: 0, events: 0, executed: 0, views: 0 };
let failed: string | undefined;
for (let seed = first; seed < first + Number(values.seeds) && performance.now() - started < limit; seed++) {
  const result = runSeed(seed, only);
  totals.seeds++;
  totals.virtualMs += result.virtualMs;
  totals.events += result.events;
  totals.executed += result.executed;
  totals.views += result.views;
  if (result.violation === undefined) continue;
  failed = values.brief
    ? `seed ${seed}: ${result.violation.split('\n')[0]}`
    : reportFailure(result.plan, result.violation, only);
  break;
}
const seconds = (performance.now() - started) / 1_000;
const figures = {
  ...totals,
  seconds,
  seedsPerSecond: totals.seeds / seconds,
  from: first,
  passed: failed === undefined,
};
if (failed !== undefined) console.error(failed);
if (values.json) console.log(JSON.stringify(figures));
else {
  console.log(
    `${totals.seeds} seeds from ${first} in ${seconds.toFixed(1)} s (${figures.seedsPerSecond.toFixed(1)} per second): ` +
      `${(totals.virtualMs / 1_000).toFixed(0)} s of virtual time, ${totals.events} events, ` +
      `${totals.executed} sequences, ${totals.views} views entered; ${failed === undefined ? 'no violation' : 'VIOLATION'}.`,
  );
}
process.exit(failed === undefined ? 0 : 1);
