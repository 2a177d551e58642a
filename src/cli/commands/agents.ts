/** `quorate agents` lists, `quorate query` asks for what is needed and fails when nobody has it. */
import type { Command } from 'commander';
import type { AgentRecord, Value } from '../../index.ts';
import { pc } from '../colors.ts';
import { askingNode, type CommandContext, type CommonOptions, parseNumber, runAction, withNode } from '../command.ts';
import { exitCodes } from '../exit-codes.ts';
import { toJson } from '../json.ts';
import { shortId, table } from '../output.ts';
import { parseTerms } from '../terms.ts';

interface QueryCommandOptions extends CommonOptions {
  readonly limit?: string;
  readonly order?: string;
  readonly desc?: boolean;
  readonly scope?: string;
}

export function registerAgents(program: Command, context: CommandContext): void {
  const shared = (command: Command): Command =>
    askingNode(command)
      .option('--limit <n>', 'at most so many')
      .option('--order <path>', 'sort by this field, e.g. capacity.cpu')
      .option('--desc', 'largest first')
      .option('--scope <scope>', 'cluster, zone (of the node asked) or node (only its own)');
  const json = (_terms: readonly string[], options: QueryCommandOptions): boolean => options.json === true;

  shared(program.command('agents'))
    .argument('[terms...]', 'only those that match, e.g. capabilities=summarise zone=eu-1')
    .description('list the agents of the mesh')
    .action(
      runAction(context, json, async (terms, options) => {
        await ask(context, terms, options);
        return exitCodes.ok;
      }),
    );
  shared(program.command('query'))
    .argument('<terms...>', "capabilities=summarise zone=eu-1,eu-2 'capacity.cpu>=0.5', or one JSON object")
    .description('find agents by what they can do; exit code 4 when there is none')
    .action(
      runAction(context, json, async (terms, options) =>
        (await ask(context, terms, options)) === 0 ? exitCodes.noMatch : exitCodes.ok,
      ),
    );
}

async function ask(context: CommandContext, terms: readonly string[], options: QueryCommandOptions): Promise<number> {
  const args: Record<string, Value> = {};
  const criteria = parseTerms(terms);
  if (criteria !== undefined) args['criteria'] = criteria as Value;
  const limit = parseNumber('limit', options.limit, 0);
  if (limit !== undefined) args['limit'] = limit;
  if (options.order !== undefined) args['orderBy'] = options.desc ? [options.order, 'desc'] : options.order;
  if (options.scope !== undefined) args['scope'] = options.scope;
  let found = 0;
  await withNode(context, options, async (client) => {
    const records = (await client.request('query', args)) as unknown as readonly AgentRecord[];
    found = records.length;
    if (options.json) for (const record of records) context.terminal.out(`${toJson(record)}\n`);
    else context.terminal.out(describe(records));
    return exitCodes.ok;
  });
  return found;
}

function describe(records: readonly AgentRecord[]): string {
  if (records.length === 0) return `${pc.dim('No agent matches.')}\n`;
  const rows = records.map((record) => [
    record.id,
    record.capabilities.join(','),
    record.health,
    record.zone,
    shortId(record.node),
    [
      record.kind === undefined ? '' : `kind=${record.kind}`,
      ...Object.entries(record.capacity).map(([name, free]) => `${name}=${free}`),
      ...Object.entries(record.custom ?? {}).map(([name, value]) => `${name}=${toJson(value)}`),
    ]
      .filter((text) => text !== '')
      .join(' '),
  ]);
  return table(['AGENT', 'CAPABILITIES', 'HEALTH', 'ZONE', 'NODE', 'MORE'], rows, (text, column) => {
    if (column === 0) return pc.bold(text);
    if (column !== 2 || text.trim() === 'healthy') return text;
    return text.trim() === 'degraded' ? pc.yellow(text) : pc.red(text);
  });
}
