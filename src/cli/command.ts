/** What every command is given, and the two ways commands run: by themselves, or against a running node. */
import type { Command } from 'commander';
import type { ControlClient } from '../control/client.ts';
import { QuorateError } from '../errors.ts';
import type { Value } from '../index.ts';
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

/** Asks the running node that `options` mean. Ctrl-C ends the wait, with `interrupted` as exit code. */
export async function withNode(
  context: CommandContext,
  options: CommonOptions,
  act: (client: ControlClient) => Promise<number>,
  interrupted: number = exitCodes.ok,
): Promise<number> {
  const { client, note } = await chooseNode(options.node);
  if (note !== undefined && !options.json) context.terminal.err(`${pc.dim(note)}\n`);
  try {
    return await Promise.race([act(client), interruption(context.interrupted, interrupted)]);
  } finally {
    client.close();
  }
}

function interruption(signal: AbortSignal, code: number): Promise<number> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve(code);
    signal.addEventListener('abort', () => resolve(code), { once: true });
  });
}

/** The two options of every command that asks a running node. */
export function askingNode(command: Command): Command {
  return command
    .option('--node <which>', 'the running node to ask: process id, mesh name, or part of a node id')
    .option('--json', 'print JSON, one value per line');
}

/** As `askingNode`, for what waits for an agreement. */
export function agreeing(command: Command, fallback = '10000'): Command {
  return askingNode(command).option('--timeout <ms>', `wait so long at most (default ${fallback})`);
}

/** `a,b,c` typed as an option; blanks around names do not count. Throws `INVALID_ARGUMENT` for an empty name. */
export function parseList(name: string, typed: string): string[] {
  const items = typed.split(',').map((item) => item.trim());
  if (items.every((item) => item !== '')) return items;
  throw new QuorateError('INVALID_ARGUMENT', `--${name} wants names with commas between, not '${typed}'.`);
}

/** `a=5,b=3` typed as an option; a name alone has `fallback`, where there is one. Throws `INVALID_ARGUMENT`. */
export function parseCounts(name: string, typed: string, fallback?: number): [string, number][] {
  return parseList(name, typed).map((item) => {
    const at = item.lastIndexOf('=');
    const count = at < 0 ? fallback : Number(item.slice(at + 1));
    if (at !== 0 && count !== undefined && Number.isInteger(count) && count > 0) {
      return [at < 0 ? item : item.slice(0, at), count];
    }
    throw new QuorateError('INVALID_ARGUMENT', `--${name} wants name=number with commas between, not '${item}'.`);
  });
}

/** The options that were given, without the others. */
export function given(fields: Readonly<Record<string, unknown>>): Record<string, Value> {
  return Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined)) as Record<string, Value>;
}

/** A count or a time typed as an option. Throws `INVALID_ARGUMENT`. */
export function parseNumber(name: string, typed: string | undefined, least: number): number | undefined {
  if (typed === undefined) return undefined;
  const value = Number(typed);
  if (typed.trim() !== '' && Number.isFinite(value) && value >= least) return value;
  throw new QuorateError('INVALID_ARGUMENT', `--${name} wants a number from ${least} on, not '${typed}'.`);
}
