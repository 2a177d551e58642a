#!/usr/bin/env node
/** The program `quorate`. */
import { enableCompileCache } from 'node:module';
import { join } from 'node:path';
import { controlDirectory, prepareControlDirectory } from '../control/directory.ts';
import { isQuorateError } from '../errors.ts';

/** Compiled code of earlier starts, in a directory that only this user can write to: it will be run. */
function useCompileCache(): void {
  const directory = controlDirectory();
  try {
    prepareControlDirectory(directory);
  } catch (error) {
    if (isQuorateError(error)) return; // It starts more slowly; what needs the directory will say what is wrong.
    throw error;
  }
  enableCompileCache(join(directory, 'compile-cache'));
}

useCompileCache();
// Only from here on is the cache used.
const [{ processTerminal }, { runCli }] = await Promise.all([import('./output.ts'), import('./program.ts')]);

const interrupt = new AbortController();
let firstAt: number | undefined;
for (const signal of ['SIGINT', 'SIGTERM'] as const) {
  process.on(signal, () => {
    firstAt ??= performance.now();
    interrupt.abort();
    // Asked twice: no more goodbyes. Under npm one Ctrl-C arrives twice, from the terminal and from npm.
    if (performance.now() - firstAt > 500) process.exit(130);
  });
}
// `quorate agents | head` closes our standard output early; that is no error.
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  if (error.code === 'EPIPE') process.exit(0);
  throw error;
});

process.exitCode = await runCli(process.argv.slice(2), processTerminal(), interrupt.signal);
