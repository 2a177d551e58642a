/**
 * Builds the package, packs it, and looks at it with other people's eyes: publint (is the manifest
 * right?), arethetypeswrong (do the types resolve for ESM users?), and a program that installs nothing
 * but the tarball's files and imports every entry point, running the built command line once.
 */
import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';

const root = join(import.meta.dirname, '..');
const env = { ...process.env, PATH: `${join(root, 'node_modules/.bin')}${delimiter}${process.env['PATH'] ?? ''}` };
const run = (program: string, args: readonly string[], cwd = root): string =>
  execFileSync(program, args, { cwd, env, encoding: 'utf8', stdio: ['ignore', 'pipe', 'inherit'] });

/** Runs a step; what the program printed is shown only when it failed. */
function step(what: string, act: () => void): void {
  try {
    act();
    console.log(`  ✓ ${what}`);
  } catch (error) {
    const printed = error instanceof Error && 'stdout' in error ? String(error.stdout) : '';
    console.error(`  ✗ ${what}\n${printed}\n${error instanceof Error ? error.message : error}`);
    process.exit(1);
  }
}

const folder = mkdtempSync(join(tmpdir(), 'quorate-package-'));
process.on('exit', () => rmSync(folder, { recursive: true, force: true }));
let tarball = '';

step('builds', () => {
  rmSync(join(root, 'dist'), { recursive: true, force: true });
  run('tsc', ['-p', 'tsconfig.build.json']);
});
step('packs', () => {
  const packed = run('npm', ['pack', '--ignore-scripts', '--json', '--pack-destination', folder]);
  const [{ filename }] = JSON.parse(packed) as [{ filename: string }];
  tarball = join(folder, filename);
});
step('publint', () => void run('publint', ['--strict', tarball]));
step('arethetypeswrong', () => void run('attw', [tarball, '--profile', 'esm-only', '--no-emoji']));
step('every entry point imports, the command line answers', () => {
  const installed = join(folder, 'node_modules', 'quorate');
  mkdirSync(installed, { recursive: true });
  run('tar', ['-xzf', tarball, '-C', installed, '--strip-components=1']);
  symlinkSync(join(root, 'node_modules'), join(installed, 'node_modules'));
  const manifest = JSON.parse(readFileSync(join(installed, 'package.json'), 'utf8')) as {
    exports: Record<string, unknown>;
    bin: Record<string, string>;
    version: string;
  };
  const entries = Object.keys(manifest.exports).filter((entry) => !entry.endsWith('.json'));
  const program = entries.map((entry, i) => `import * as e${i} from 'quorate${entry.slice(1)}';`).join('\n');
  const check = `for (const e of [${entries.map((_, i) => `e${i}`)}]) if (Object.keys(e).length === 0) process.exit(1);`;
  writeFileSync(join(folder, 'use.mjs'), `${program}\n${check}\n`);
  run('node', ['use.mjs'], folder);
  const version = run('node', [join(installed, manifest.bin['quorate'] ?? ''), '--version'], folder).trim();
  if (version !== manifest.version) throw new Error(`quorate --version says ${version}, not ${manifest.version}`);
});
