/**
 * `npm test`: every check of the project, cheapest first. All of them run even when one fails, so that
 * one round tells everything; the summary at the end says which, and the exit code is 1 if any failed.
 * `npm test -- types imports` runs only the named ones.
 */
import { spawn } from 'node:child_process';
import { delimiter, join } from 'node:path';
import { performance } from 'node:perf_hooks';

interface Check {
  readonly name: string;
  readonly what: string;
  readonly command: readonly [string, ...string[]];
  /** A check that can hang is ended after this long. */
  readonly limitMs: number;
  /** Print its output as it comes, not only on failure. */
  readonly live?: boolean;
}

const root = join(import.meta.dirname, '..');
const importedFolders = ['src', 'test', 'bench', 'examples', 'scripts'];
const checks: readonly Check[] = [
  { name: 'types', what: 'tsc, strict', command: ['tsc'], limitMs: 120_000 },
  { name: 'lint', what: 'biome', command: ['biome', 'check', '--error-on-warnings', '.'], limitMs: 60_000 },
  {
    name: 'imports',
    what: 'directions and cycles',
    command: ['depcruise', '--config', '.dependency-cruiser.mjs', ...importedFolders],
    limitMs: 60_000,
  },
  { name: 'dead-code', what: 'knip: files, exports, dependencies', command: ['knip'], limitMs: 60_000 },
  {
    name: 'package',
    what: 'build, publint, types as others see them',
    command: ['node', 'scripts/check-package.ts'],
    limitMs: 120_000,
  },
  {
    name: 'tests',
    what: 'vitest, all but real processes',
    command: ['vitest', 'run', '--exclude', 'test/process/**'],
    limitMs: 600_000,
    live: true,
  },
  {
    // One at a time and alone: they stop and kill processes and watch others notice, which the simulations beside them would
    // slow down. One that fails is run once more, and vitest says so: the rest of the machine is not ours.
    name: 'processes',
    what: 'vitest, real processes',
    command: ['vitest', 'run', 'test/process', '--no-file-parallelism', '--retry=1'],
    limitMs: 600_000,
    live: true,
  },
  {
    name: 'examples',
    what: 'each one run to its end',
    command: ['node', 'scripts/run-examples.ts'],
    limitMs: 180_000,
    live: true,
  },
];

interface Outcome {
  readonly check: Check;
  readonly passed: boolean;
  readonly seconds: number;
}

async function run(check: Check): Promise<Outcome> {
  const [program, ...args] = check.command;
  const started = performance.now();
  const child = spawn(program, args, {
    cwd: root,
    env: { ...process.env, PATH: `${join(root, 'node_modules/.bin')}${delimiter}${process.env['PATH'] ?? ''}` },
    stdio: ['ignore', check.live ? 'inherit' : 'pipe', check.live ? 'inherit' : 'pipe'],
  });
  const output: Buffer[] = [];
  child.stdout?.on('data', (chunk: Buffer) => output.push(chunk));
  child.stderr?.on('data', (chunk: Buffer) => output.push(chunk));
  const limit = setTimeout(() => {
    output.push(Buffer.from(`\nEnded after ${check.limitMs / 1000} s.\n`));
    child.kill('SIGKILL');
  }, check.limitMs);
  const code = await new Promise<number | null>((resolve, reject) => {
    child.once('error', reject);
    child.once('close', resolve);
  });
  clearTimeout(limit);
  const passed = code === 0;
  const seconds = (performance.now() - started) / 1000;
  if (!passed) process.stdout.write(Buffer.concat(output));
  console.log(
    `${passed ? 'ok  ' : 'FAIL'}  ${check.name.padEnd(10)} ${seconds.toFixed(1).padStart(6)} s  ${check.what}`,
  );
  return { check, passed, seconds };
}

const asked = process.argv.slice(2);
const unknown = asked.filter((name) => !checks.some((check) => check.name === name));
if (unknown.length > 0) {
  console.error(`No check is called ${unknown.join(', ')}. There are: ${checks.map(({ name }) => name).join(', ')}.`);
  process.exit(2);
}
console.log(`Node ${process.version}\n`);
const outcomes: Outcome[] = [];
for (const check of checks) {
  if (asked.length === 0 || asked.includes(check.name)) outcomes.push(await run(check));
}

const failed = outcomes.filter((outcome) => !outcome.passed);
const total = outcomes.reduce((sum, { seconds }) => sum + seconds, 0);
console.log(`\nIn ${total.toFixed(0)} s:`);
for (const { check, passed, seconds } of outcomes) {
  console.log(`  ${passed ? '✓' : '✗'} ${check.name.padEnd(10)} ${seconds.toFixed(1).padStart(6)} s`);
}
console.log(`\nchecks: ${outcomes.length - failed.length} passed, ${failed.length} failed`);
process.exit(failed.length === 0 ? 0 : 1);
