/** All commands put together, and the exit code they end with. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { Command, CommanderError } from 'commander';
import type { CommandContext } from './command.ts';
import { registerAgents } from './commands/agents.ts';
import { registerAuction } from './commands/auction.ts';
import { registerBarrier } from './commands/barrier.ts';
import { registerCall } from './commands/call.ts';
import { registerDemo } from './commands/demo.ts';
import { registerDoctor } from './commands/doctor.ts';
import { registerInfrastructure } from './commands/infrastructure.ts';
import { registerKeygen } from './commands/keygen.ts';
import { registerLock } from './commands/lock.ts';
import { registerMembers } from './commands/members.ts';
import { registerProposals } from './commands/proposals.ts';
import { registerStatus } from './commands/status.ts';
import { registerUp } from './commands/up.ts';
import { registerValidators } from './commands/validators.ts';
import { registerVariables } from './commands/variables.ts';
import { registerVerify } from './commands/verify.ts';
import { registerWatch } from './commands/watch.ts';
import { exitCodes, exitCodesHelp } from './exit-codes.ts';
import type { Terminal } from './output.ts';

type Register = (program: Command, context: CommandContext) => void;
const groups: readonly (readonly [string, readonly Register[]])[] = [
  ['A node:', [registerUp, registerKeygen, registerStatus, registerDoctor]],
  ['Its mesh:', [registerMembers, registerAgents, registerCall, registerWatch]],
  [
    'Agreement:',
    [registerValidators, registerLock, registerBarrier, registerProposals, registerVerify, registerAuction],
  ],
  ['Tuning and protection:', [registerVariables, registerInfrastructure]],
  ['To see it work:', [registerDemo]],
];

/** Help and wrong usage of every command end as those of the program do. */
function finish(commands: readonly Command[]): void {
  for (const command of commands) {
    command.exitOverride().addHelpText('after', exitCodesHelp);
    finish(command.commands);
  }
}

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
    .enablePositionalOptions() // What follows a command's name is that command's, also `--json` after `lock inspect`.
    .showHelpAfterError('(add --help for what there is)')
    .addHelpText('after', exitCodesHelp)
    .exitOverride()
    .configureOutput({ writeOut: terminal.out, writeErr: terminal.err });
  for (const [heading, group] of groups) {
    const before = program.commands.length;
    for (const register of group) register(program, context);
    for (const command of program.commands.slice(before)) command.helpGroup(heading);
  }
  finish(program.commands);
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
