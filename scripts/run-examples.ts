/**
 * Runs every examples/*.ts to its end as a newcomer would, and fails unless each ends by itself with
 * exit code 0, says something, and leaves standard error empty.
 */
import { spawn } from 'node:child_process';
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { performance } from 'node:perf_hooks';

const limitMs = 60_000;
const root = join(import.meta.dirname, '..');

interface Ended {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
  readonly timedOut: boolean;
}

async function runToEnd(file: string): Promise<Ended> {
  const child = spawn(process.execPath, [file], {
    cwd: root,
    // In the environment rather than as an argument: an example may start processes of its own.
    env: { ...process.env, NODE_OPTIONS: '--conditions=quorate-source', NO_COLOR: '1' },
    stdio: ['ignore', 'pipe', 'pipe'],
    detached: true,
  });
  let stdout = '';
  let stderr = '';
  let timedOut = false;
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    stdout += text;
  });
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    stderr += text;
  });
  const limit = setTimeout(() => {
    timedOut = true;
    if (child.pid !== undefined) process.kill(-child.pid, 'SIGKILL'); // its whole group
  }, limitMs);
  const code = await new Promise<number | null>((resolve, reject) => {
    child.once('error', reject);
    child.once('close', resolve);
  });
  clearTimeout(limit);
  return { code, stdout, stderr, timedOut };
}

function complaint({ code, stdout, stderr, timedOut }: Ended): string | undefined {
  if (timedOut) return `still running after ${limitMs / 1000} s`;
  if (code !== 0) return `exit code ${code}`;
  if (stdout.trim() === '') return 'printed nothing';
  if (stderr.trim() !== '') return 'wrote to standard error';
  return undefined;
}

const files = readdirSync(join(root, 'examples')).filter((name) => name.endsWith('.ts'));
if (files.length === 0) {
  console.error('There is no examples/*.ts to run.');
  process.exit(1);
}
let failed = 0;
for (const name of files.sort()) {
  const started = performance.now();
  const ended = await runToEnd(join('examples', name));
  const wrong = complaint(ended);
  if (wrong !== undefined) failed += 1;
  const seconds = ((performance.now() - started) / 1000).toFixed(1);
  console.log(`  ${wrong === undefined ? '✓' : '✗'} examples/${name} (${seconds} s)${wrong ? `: ${wrong}` : ''}`);
  if (wrong !== undefined) console.log(`${ended.stdout}\n${ended.stderr}`);
}
process.exit(failed === 0 ? 0 : 1);
