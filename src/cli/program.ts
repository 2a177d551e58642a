/** All commands put together, and the exit code they end with. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { Command, CommanderError } from 'commander';
import type { CommandContext } from './command.ts';
import { registerAgents } from './commands/agents.ts';
import { registerCall } from './commands/call.ts';
import { registerDemo } from './commands/demo.ts';
import { registerDoctor } from './commands/doctor.ts';
import { registerKeygen } from './commands/keygen.ts';
import { registerMembers } from './commands/members.ts';
import { registerUp } from './commands/up.ts';
import { registerWatch } from './commands/watch.ts';
import { exitCodes, exitCodesHelp } from './exit-codes.ts';
import type { Terminal } from './output.ts';

/** The same two folders up from the sources and from what is built of them. */
function packageVersion(): string {
  const manifest = readFileSync(join(import.meta.dirname, '..', '..', 'package.json'), 'utf8');
  return (JSON.parse(manifest) as { version: string }).version;
}

/** Runs one command line (without program and script name) and resolves with its exit code. */
export async function runCli(args: readonly string[], terminal: Terminal, interrupted: AbortSignal): Promise<number> {
  let code: number = exitCodes.ok;
  const context: CommandContext = {
    terminal,
    interrupted,
    exit: (value) => {
      code = value;
    },
  };
  const program = new Command('quorate')
    .description('Agents that find each other, share state and agree, with no server.')
    .version(packageVersion())
    .showHelpAfterError('(add --help for what there is)')
    .addHelpText('after', exitCodesHelp)
    .exitOverride()
    .configureOutput({ writeOut: terminal.out, writeErr: terminal.err });
  for (const register of [
    registerUp,
    registerMembers,
    registerAgents,
    registerCall,
    registerWatch,
    registerDoctor,
    registerKeygen,
    registerDemo,
  ]) {
    register(program, context);
  }
  for (const command of program.commands) command.exitOverride().addHelpText('after', exitCodesHelp);
  try {
    if (args.length === 0) program.outputHelp();
    else await program.parseAsync(args, { from: 'user' });
  } catch (error) {
    // Help and version are ended by an exception of code 0; everything else is wrong usage, already told.
    if (!(error instanceof CommanderError)) throw error;
    return error.exitCode === 0 ? exitCodes.ok : exitCodes.usage;
  }
  return code;
}
