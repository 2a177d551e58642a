/**
 * `npm run soak -- linearizability --minutes 5 [--seed 1] [--clients 3] [--keep]`: four validators and some clients, each a
 * process, over libp2p on loopback; killed, stopped and cut off from each other while the clients work on registers, locks and exclusive names. What they
 * asked and heard is then checked for linearizability, and whether everything acknowledged is still there. On a violation prints
 * the few operations that contradict each other and keeps the history, the logs and the data directories; exit code 1.
 */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { type RunReport, run } from '../test/linearizability/cluster/run.ts';

const { values } = parseArgs({
  options: {
    minutes: { type: 'string', default: '5' },
    seed: { type: 'string', default: String(1 + Math.floor(Math.random() * 1e8)) },
    clients: { type: 'string', default: '3' },
    /** Keeps the directory of a run that passed, too. */
    keep: { type: 'boolean', default: false },
  },
});
const wanted: Readonly<Record<'minutes' | 'seed' | 'clients', RegExp>> = {
  minutes: /^\d{1,4}(\.\d+)?$/,
  seed: /^[1-9]\d{0,8}$/,
  clients: /^[1-9]$/,
};
for (const option of ['minutes', 'seed', 'clients'] as const) {
  if (wanted[option].test(values[option])) continue;
  console.error(`--${option} must look like ${wanted[option]}, not '${values[option]}'.`);
  process.exit(2);
}

const directory = await mkdtemp(join(tmpdir(), 'quorate-linearizability-'));
console.log(`seed ${values.seed}, in ${directory}`);
const report = await run({
  seed: Number(values.seed),
  directory,
  clients: Number(values.clients),
  faults: { forMs: Number(values.minutes) * 60_000 },
  onProgress: (line) => console.log(line),
});
print(report);
if (report.passed && !values.keep) await rm(directory, { recursive: true, force: true });
else console.log(`Histories, logs and data directories are in ${directory}.`);
process.exit(report.passed ? 0 : 1);

function print({
  seed,
  startedAt,
  durationMs,
  tally,
  faults,
  verdicts,
  durability,
  failures,
  passed,
}: RunReport): void {
  console.log(`\n${tally.total} operations in ${(durationMs / 1_000).toFixed(0)} s`);
  for (const [operation, outcomes] of tally.outcomes) {
    console.log(
      `  ${operation.padEnd(8)} ${[...outcomes].map(([outcome, count]) => `${outcome} ${count}`).join(', ')}`,
    );
  }
  console.log(
    `answered ${(tally.okShare * 100).toFixed(1)} %, longest time without any answer ${(tally.longestGapMs / 1_000).toFixed(1)} s, until ${((tally.longestGapEndedAt - startedAt) / 1_000).toFixed(1)} s`,
  );
  console.log(`${faults.length} faults`);
  for (const [kind, all] of Map.groupBy(faults, (fault) => fault.kind)) {
    const recoveries = all.flatMap(({ recovery }) => recovery ?? []);
    const most = (of: 'decidedMs' | 'allMs'): string =>
      `${(Math.max(...recoveries.map((one) => one[of])) / 1_000).toFixed(1)} s`;
    const worst =
      recoveries.length === 0
        ? ''
        : `; at most ${most('decidedMs')} later decided again, ${most('allMs')} later all keep up`;
    console.log(`  ${kind}: ${all.length}${worst}`);
  }
  for (const { model, verdict, operations, unknown, objects, explanations } of verdicts) {
    console.log(`${model}: ${verdict}; ${operations} operations (${unknown} of unknown outcome) on ${objects} objects`);
    for (const explanation of explanations) console.log(`\n${explanation}\n`);
  }
  console.log(`${durability.acknowledged} acknowledged writes, ${durability.lost.length} lost`);
  for (const line of durability.lost) console.log(`  ${line}`);
  for (const failure of failures) console.log(`FAILED: ${failure}`);
  console.log(passed ? 'No violation.' : `VIOLATION or failure, seed ${seed}.`);
}
