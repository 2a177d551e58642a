/** `npm run bench -- NAME [options]`: runs bench/NAME.ts; the options are its own (all know `--json`). */
import { spawn } from 'node:child_process';
import { readdirSync } from 'node:fs';
import { join } from 'node:path';

const folder = join(import.meta.dirname, '..', 'bench');
const names = readdirSync(folder, { withFileTypes: true })
  .filter((entry) => entry.isFile() && entry.name.endsWith('.ts'))
  .map((entry) => entry.name.slice(0, -'.ts'.length))
  .filter((name) => name !== 'harness') // what the benchmarks share
  .sort();
// `npm run bench -- NAME -- --option` hands on the second `--` as well.
const [name, ...rest] = process.argv.slice(2).filter((word) => word !== '--');
if (name === undefined || !names.includes(name)) {
  console.error(`Say which benchmark: npm run bench -- NAME [--json]\nThere are: ${names.join(', ')}`);
  process.exit(2);
}
const flags = ['--expose-gc', '--conditions=quorate-source'];
const child = spawn(process.execPath, [...flags, join(folder, `${name}.ts`), ...rest], { stdio: 'inherit' });
child.once('close', (code, signal) => process.exit(signal === null ? (code ?? 1) : 1));
