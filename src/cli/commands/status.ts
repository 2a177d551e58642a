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
import { ago, milliseconds, plural, printable, seconds } from '../output.ts';
import { describeValidators, type ValidatorsAnswer } from './validators.ts';

interface StatusOptions extends CommonOptions {
  readonly timeout?: string;
}

export function registerStatus(program: Command, context: CommandContext): void {
  agreeing(program.command('status'), '1000')
    .description('one screen about the node and its mesh')
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
  lines.push(...tuning(status).map(([what, text]) => row(what, text)));
  const none = pc.dim("No validators: nothing is agreed on here. 'quorate keygen --help' says how to found a group.\n");
  return `${lines.join('')}\n${validators === undefined ? none : describeValidators(validators)}`;
}

/** What this node has of variables, breakers, limits and monitors; in full only what is not well. */
function tuning({ variables, infrastructure }: MeshStatus): [string, string][] {
  const lines: [string, string][] = [];
  const { breakers, limiters, monitors } = infrastructure;
  if (variables.length > 0) {
    const conflicts = variables.filter(({ conflict }) => conflict !== undefined).map(({ name }) => printable(name));
    const bad = conflicts.length === 0 ? '' : pc.yellow(`; defined differently elsewhere: ${conflicts.join(', ')}`);
    lines.push(['variables', `${variables.length} here${bad}`]);
  }
  const agents = breakers.flatMap(({ id, agents: all }) => all.map((agent) => ({ id, ...agent })));
  if (breakers.length > 0) {
    const shut = agents.filter(({ state }) => state === 'closed').length;
    lines.push(['breakers', `${breakers.length} here; ${plural(shut, 'agent')} closed, ${agents.length - shut} not`]);
  }
  for (const { id, agent, state, retryAfterMs } of agents) {
    if (state === 'closed') continue;
    const next = retryAfterMs === undefined ? '' : `, next probe in ${seconds(retryAfterMs)}`;
    lines.push(['', pc.red(`${printable(id)}: ${state} for ${printable(agent)}${next}`)]);
  }
  for (const { id, share, requestsPerSecond, refused } of limiters) {
    const [part, whole] = [share, requestsPerSecond].map((rate) => Number(rate.toPrecision(4)));
    lines.push(['limit', `${printable(id)}: ${part} of ${whole}/s here, ${refused} refused`]);
  }
  if (monitors.length > 0) {
    lines.push(['monitors', `${monitors.length} here, ${monitors.filter(({ level }) => level === 'ok').length} ok`]);
  }
  for (const { id, metric, aggregation, level, value } of monitors) {
    if (level === 'ok') continue;
    const paint = level === 'critical' ? pc.red : pc.yellow;
    const found = value === undefined ? '' : ` is ${Number(value.toPrecision(4))}`;
    lines.push(['', paint(`${printable(id)}: ${level}, ${aggregation} of ${printable(metric)}${found}`)]);
  }
  return lines;
}
