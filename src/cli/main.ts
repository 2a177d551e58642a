#!/usr/bin/env node
/** The program `quorate`. */
import { processTerminal } from './output.ts';
import { runCli } from './program.ts';

const interrupt = new AbortController();
let signals = 0;
for (const signal of ['SIGINT', 'SIGTERM'] as const) {
  process.on(signal, () => {
    signals += 1;
    interrupt.abort();
    if (signals === 2) process.exit(130); // Asked twice: no more goodbyes.
  });
}
// `quorate agents | head` closes our standard output early; that is no error.
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  if (error.code === 'EPIPE') process.exit(0);
  throw error;
});

process.exitCode = await runCli(process.argv.slice(2), processTerminal(), interrupt.signal);
