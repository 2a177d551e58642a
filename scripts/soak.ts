/**
 * `npm run soak -- --seeds 10000 [--first 1] [FILE…]`: runs the simulation suites with that many seeds
 * instead of the few of `npm test`. The suites read QUORATE_SEEDS and QUORATE_FIRST_SEED; a failure
 * names its seed, and `--first THAT --seeds 1` repeats it.
 *
 * `npm run soak -- pbft --seeds 20000 [--from 1]` runs the simulation of the agreement protocol by itself, which needs no test
 * runner and has options of its own (soak-pbft.ts).
 *
 * `npm run soak -- linearizability --minutes 5` runs real processes that are killed, stopped and cut off (soak-linearizability.ts).
 */
import { spawn, spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';

const root = join(import.meta.dirname, '..');
const own = process.argv[2];
if (own === 'pbft' || own === 'linearizability') {
  const script = join(import.meta.dirname, `soak-${own}.ts`);
  const soak = spawnSync(process.execPath, [script, ...process.argv.slice(3)], { stdio: 'inherit' });
  process.exit(soak.status ?? 1);
}
const { values, positionals } = parseArgs({
  options: { seeds: { type: 'string', default: '1000' }, first: { type: 'string', default: '1' } },
  allowPositionals: true,
});
for (const option of ['seeds', 'first'] as const) {
  if (!/^[1-9]\d{0,8}$/.test(values[option])) {
    console.error(`--${option} wants a whole number from 1 on, not '${values[option]}'.`);
    process.exit(2);
  }
}
const suites = positionals.length > 0 ? positionals : ['test/simulation'];
const missing = suites.filter((suite) => !existsSync(join(root, suite)));
if (missing.length > 0) {
  console.error(`There is no ${missing.join(', ')}.`);
  process.exit(2);
}
const vitest = join(root, 'node_modules/vitest/vitest.mjs');
const child = spawn(process.execPath, [vitest, 'run', '--testTimeout=86400000', ...suites], {
  cwd: root,
  env: { ...process.env, QUORATE_SEEDS: values.seeds, QUORATE_FIRST_SEED: values.first },
  stdio: 'inherit',
});
child.once('close', (code, signal) => process.exit(signal === null ? (code ?? 1) : 1));
