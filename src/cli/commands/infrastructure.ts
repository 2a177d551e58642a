/** `quorate breakers`, `limits` and `monitors`: what protects calls from the running node, and how the mesh is. */
import type { Command } from 'commander';
import type { BreakerStatus, MonitorStatus, RateLimiterStatus } from '../../index.ts';
import { pc } from '../colors.ts';
import {
  askingNode,
  type CommandContext,
  type CommonOptions,
  given,
  parseNumber,
  runAction,
  withNode,
} from '../command.ts';
import { exitCodes } from '../exit-codes.ts';
import { toJson } from '../json.ts';
import { printable, seconds, shortId, table } from '../output.ts';

interface BreakerOptions extends CommonOptions {
  readonly agent?: string;
  readonly ms?: string;
}

const maxNamed = 4;

export function registerInfrastructure(program: Command, context: CommandContext): void {
  registerBreakers(program, context);
  askingNode(program.command('limits'))
    .description('rate limits: share, demand, refused')
    .action(listing(context, 'limits', 'limiters', describeLimits));
  askingNode(program.command('monitors'))
    .description('monitors: value and level in the mesh')
    .action(listing(context, 'monitors', 'monitors', describeMonitors));
}

/** One JSON value per line, or a table. */
function listing<Status>(
  context: CommandContext,
  operation: string,
  part: string,
  describe: (all: readonly Status[], self: string) => string,
): (options: CommonOptions) => Promise<void> {
  return runAction(
    context,
    (options: CommonOptions) => options.json === true,
    (options) =>
      withNode(context, options, async (client) => {
        const answer = (await client.request(operation)) as { self: string } & Record<string, unknown>;
        const all = answer[part] as readonly Status[];
        if (options.json) for (const status of all) context.terminal.out(`${toJson(status)}\n`);
        else context.terminal.out(describe(all, answer.self));
        return exitCodes.ok;
      }),
  );
}

function registerBreakers(program: Command, context: CommandContext): void {
  const breakers = program.command('breakers').description('circuit breakers of the node; reset, trip');
  askingNode(breakers.command('list', { isDefault: true }))
    .description('each agent: state, failures over the scope and who reported them')
    .action(listing(context, 'breakers', 'breakers', describeBreakers));
  const acting = (usage: string, description: string): Command =>
    askingNode(breakers.command(usage))
      .description(description)
      .option('--agent <id>', 'of a breaker for several agents: which');
  const json = (_id: string, options: BreakerOptions): boolean => options.json === true;
  const act = (operation: string, id: string, options: BreakerOptions): Promise<number> => {
    const asked = given({ id, agent: options.agent, ms: parseNumber('ms', options.ms, 1) });
    return withNode(context, options, async (client) => {
      const status = (await client.request(operation, asked)) as unknown as BreakerStatus;
      context.terminal.out(options.json ? `${toJson(status)}\n` : describeBreakers([status]));
      return exitCodes.ok;
    });
  };
  acting('reset <id>', 'close it in its whole scope').action(
    runAction(context, json, (id, options) => act('breakers.reset', id, options)),
  );
  acting('trip <id>', 'open it in its whole scope')
    .option('--ms <n>', 'for so long (default: until it is reset)')
    .action(runAction(context, json, (id, options) => act('breakers.trip', id, options)));
}

function describeBreakers(breakers: readonly BreakerStatus[]): string {
  if (breakers.length === 0) return `${pc.dim('This node has made no breakers.')}\n`;
  const rows = breakers.flatMap(({ id, scope, agents }) => {
    const name = printable(id);
    if (agents.length === 0) return [[name, scope, '', 'no call yet', '', '', '']];
    return agents.map(({ agent, state, counted, retryAfterMs, reason }) => [
      name,
      scope,
      printable(agent),
      state,
      `${counted.failures} of ${counted.failures + counted.successes}`,
      retryAfterMs === undefined ? '' : seconds(retryAfterMs),
      why(reason, counted.reporters),
    ]);
  });
  const headings = ['BREAKER', 'SCOPE', 'AGENT', 'STATE', 'FAILED', 'RETRY IN', 'WHY'];
  return table(headings, rows, (text, column) => {
    if (column === 0) return pc.bold(text);
    if (column !== 3) return text;
    const state = text.trim();
    return state === 'open' ? pc.red(text) : state === 'halfOpen' ? pc.yellow(text) : pc.green(text);
  });
}

function describeLimits(limits: readonly RateLimiterStatus[], self: string): string {
  if (limits.length === 0) return `${pc.dim('This node has made no rate limits.')}\n`;
  const rows = limits.map((limit) => {
    const { id, scope, strict, requestsPerSecond, share, demand, shares, admitted, refused, waiting } = limit;
    const others = Object.entries(shares).filter(([node]) => node !== self);
    const shown = others.slice(0, maxNamed).map(([node, rate]) => `${shortId(node)} ${number(rate)}`);
    if (others.length > maxNamed) shown.push(`${others.length - maxNamed} more`);
    return [
      printable(id),
      strict ? `${scope}, strict` : scope,
      `${number(requestsPerSecond)}/s`,
      number(share),
      number(demand),
      String(admitted),
      String(refused),
      String(waiting),
      shown.join(', '),
    ];
  });
  const headings = ['LIMIT', 'SCOPE', 'RATE', 'SHARE', 'DEMAND', 'ADMITTED', 'REFUSED', 'WAITING', 'OTHERS'];
  return table(headings, rows, (text, column) => {
    if (column === 0) return pc.bold(text);
    return column === 6 && text.trim() !== '0' ? pc.yellow(text) : text;
  });
}

function describeMonitors(monitors: readonly MonitorStatus[]): string {
  if (monitors.length === 0) return `${pc.dim('This node has made no monitors.')}\n`;
  const rows = monitors.map(({ id, metric, aggregation, scope, value, level, samples, nodes }) => [
    printable(id),
    printable(metric),
    aggregation,
    scope,
    value === undefined ? '–' : number(value),
    level,
    String(samples),
    String(nodes.length),
  ]);
  const headings = ['MONITOR', 'METRIC', 'OF IT', 'SCOPE', 'VALUE', 'LEVEL', 'SAMPLES', 'NODES'];
  return table(headings, rows, (text, column) => {
    if (column === 0) return pc.bold(text);
    if (column !== 5) return text;
    const level = text.trim();
    return level === 'critical' ? pc.red(text) : level === 'warning' ? pc.yellow(text) : pc.green(text);
  });
}

function why(reason: string | undefined, reporters: readonly string[]): string {
  if (reason !== undefined && reason !== '') return printable(reason);
  return reporters.length === 0 ? '' : `failures reported by ${named(reporters)}`;
}

function named(nodes: readonly string[]): string {
  const shown = nodes.slice(0, maxNamed).map(shortId);
  if (nodes.length > maxNamed) shown.push(`${nodes.length - maxNamed} more`);
  return shown.join(', ');
}

/** Four digits are enough to compare. */
function number(value: number): string {
  return Number(value.toPrecision(4)).toLocaleString('en-US', { maximumFractionDigits: 6 });
}
