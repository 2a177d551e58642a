/** What every command is given, and the two ways commands run: by themselves, or against a running node. */
import type { Command } from 'commander';
import type { ControlClient } from '../control/client.ts';
import { QuorateError } from '../errors.ts';
import { pc } from './colors.ts';
import { exitCodes } from './exit-codes.ts';
import { reportError, type Terminal } from './output.ts';
import { chooseNode } from './running-node.ts';

export interface CommandContext {
  readonly terminal: Terminal;
  /** Aborts on Ctrl-C. */
  readonly interrupted: AbortSignal;
  /** Sets the exit code of the program. */
  readonly exit: (code: number) => void;
}

export interface CommonOptions {
  readonly json?: boolean;
  readonly node?: string;
}

/** Runs the action, turns what it throws into a message and its result into the exit code. */
export function runAction<Args extends unknown[]>(
  context: CommandContext,
  json: (...args: Args) => boolean,
  action: (...args: Args) => Promise<number>,
): (...args: Args) => Promise<void> {
  return async (...args) => {
    try {
      context.exit(await action(...args));
    } catch (error) {
      context.exit(reportError(context.terminal, json(...args), error));
    }
  };
}

/** Asks the running node that `options` mean. Ctrl-C ends the wait. */
export async function withNode(
  context: CommandContext,
  options: CommonOptions,
  act: (client: ControlClient) => Promise<number>,
): Promise<number> {
  const { client, note } = await chooseNode(options.node);
  if (note !== undefined && !options.json) context.terminal.err(`${pc.dim(note)}\n`);
  try {
    return await Promise.race([act(client), interruption(context.interrupted)]);
  } finally {
    client.close();
  }
}

function interruption(signal: AbortSignal): Promise<number> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve(exitCodes.ok);
    signal.addEventListener('abort', () => resolve(exitCodes.ok), { once: true });
  });
}

/** The two options of every command that asks a running node. */
export function askingNode(command: Command): Command {
  return command
    .option('--node <which>', 'the running node to ask: process id, mesh name, or part of a node id')
    .option('--json', 'print JSON, one value per line');
}

/** A count or a time typed as an option. Throws `INVALID_ARGUMENT`. */
export function parseNumber(name: string, typed: string | undefined, least: number): number | undefined {
  if (typed === undefined) return undefined;
  const value = Number(typed);
  if (typed.trim() !== '' && Number.isFinite(value) && value >= least) return value;
  throw new QuorateError('INVALID_ARGUMENT', `--${name} wants a number from ${least} on, not '${typed}'.`);
}
