/** `quorate status`: one screen about a node, its mesh, and those who decide in it. */
import type { Command } from 'commander';
import { isQuorateError, type MeshStatus } from '../../index.ts';
import { pc } from '../colors.ts';
import {
  agreeing,
  type CommandContext,
  type CommonOptions,
  given,
  parseNumber,
  runAction,
  withNode,
} from '../command.ts';
import { exitCodes } from '../exit-codes.ts';
import { toJson } from '../json.ts';
import { ago, milliseconds, plural } from '../output.ts';
import { describeValidators, type ValidatorsAnswer } from './validators.ts';

interface StatusOptions extends CommonOptions {
  readonly timeout?: string;
}

export function registerStatus(program: Command, context: CommandContext): void {
  agreeing(program.command('status'), '1000')
    .description('one screen: node, mesh, lag, validators')
    .action(
      runAction(
        context,
        (options: StatusOptions) => options.json === true,
        (options) =>
          withNode(context, options, async (client) => {
            const status = (await client.request('status')) as unknown as MeshStatus;
            const timeoutMs = parseNumber('timeout', options.timeout, 1);
            const validators = await unlessNone(client.request('validators', given({ timeoutMs })));
            const answer = validators as unknown as ValidatorsAnswer | undefined;
            context.terminal.out(
              options.json ? `${toJson({ ...status, validators: answer ?? null })}\n` : describe(status, answer),
            );
            return exitCodes.ok;
          }),
      ),
    );
}

/** A mesh without validators is well, it only decides nothing. */
async function unlessNone<T>(answer: Promise<T>): Promise<T | undefined> {
  try {
    return await answer;
  } catch (error) {
    if (isQuorateError(error, 'NO_VALIDATORS')) return undefined;
    throw error;
  }
}

function describe(status: MeshStatus, validators: ValidatorsAnswer | undefined): string {
  const { name, zone, mode, version, startedAt, members, agents, addresses, lag, calls, coordination } = status;
  const row = (what: string, text: string): string => `  ${pc.dim(what.padEnd(10))} ${text}\n`;
  const states = Object.entries(members).filter(([, count]) => count > 0);
  const behind = lag.feedsBehind === 0 ? 'feeds up to date' : `${plural(lag.feedsBehind, 'neighbour')} differ in feeds`;
  const lines = [
    `${pc.bold(`Node ${status.id}`)}\n`,
    row('mesh', `${name}${mode === 'local' ? ' (one process, no network)' : ''}, zone ${zone}`),
    row('running', `for ${ago(startedAt, Date.now())}, quorate ${version}`),
    ...addresses.map((address) => row('address', address)),
    row('members', states.map(([state, count]) => `${count} ${state}`).join(', ')),
    row('agents', `${agents.here} here, ${agents.total} in all; ${plural(calls.pending, 'call')} unanswered`),
    row('lag', `timers ${milliseconds(lag.eventLoopMs)} late, ${behind}`),
  ];
  if (coordination.pending > 0) lines.push(row('agreement', `${plural(coordination.pending, 'command')} unanswered`));
  if (coordination.failure !== undefined) {
    lines.push(row('validator', pc.red(`this node's has stopped: ${coordination.failure}`)));
  }
  const none = pc.dim("No validators: nothing is agreed on here. 'quorate keygen --help' says how to found a group.\n");
  return `${lines.join('')}\n${validators === undefined ? none : describeValidators(validators)}`;
}
