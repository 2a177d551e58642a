/** `quorate barrier`: comes to a barrier and waits for the others. */
import type { Command } from 'commander';
import { type Mesh, QuorateError, type Value } from '../../index.ts';
import { pc } from '../colors.ts';
import {
  agreeing,
  type CommandContext,
  type CommonOptions,
  given,
  parseCounts,
  parseList,
  parseNumber,
  runAction,
  withNode,
} from '../command.ts';
import { exitCodes } from '../exit-codes.ts';
import { toJson } from '../json.ts';
import { plural } from '../output.ts';

type Barrier = Awaited<ReturnType<Mesh['coordination']['barrier']>>;
type Passage = Awaited<ReturnType<Barrier['arrive']>>;
type Status = Awaited<ReturnType<Barrier['status']>>;

interface BarrierOptions extends CommonOptions {
  readonly participants?: string;
  readonly perZone?: string;
  readonly hierarchical?: boolean;
  readonly onLost?: string;
  readonly deadline?: string;
  readonly minimum?: string;
  readonly as?: string;
  readonly status?: boolean;
  readonly timeout?: string;
}

export function registerBarrier(program: Command, context: CommandContext): void {
  agreeing(program.command('barrier'))
    .argument('<id>', 'of the barrier; whoever names it with the same terms meets there')
    .description('come to a barrier and wait for the others')
    .option('--participants <who>', 'how many, or their names: a,b,c')
    .option('--per-zone <counts>', 'how many of each zone: eu-1=5,eu-2=3')
    .option('--hierarchical', 'one message for each zone: for many participants')
    .option('--on-lost <rule>', 'when one is lost: wait (default), break, or proceed')
    .option('--minimum <n>', 'with --on-lost proceed: how many must have come')
    .option('--deadline <ms>', 'how long it may take from the first arrival on')
    .option('--as <name>', 'in whose name (default: a new one each time; needed when participants are named)')
    .option('--status', 'only say who has come and who is missing')
    .action(
      runAction(
        context,
        (_id: string, options: BarrierOptions) => options.json === true,
        (id, options) => come(context, id, options),
      ),
    );
}

async function come(context: CommandContext, id: string, options: BarrierOptions): Promise<number> {
  const terms = termsOf(id, options);
  const timeoutMs = parseNumber('timeout', options.timeout, 1) ?? afterDeadline(terms['deadlineMs']);
  return withNode(
    context,
    options,
    async (client) => {
      const print = (value: Value, text: string): void =>
        context.terminal.out(options.json ? `${toJson(value)}\n` : text);
      if (options.status) {
        const status = await client.request('barrier.status', given({ terms, timeoutMs }));
        print(status, describeStatus(status as unknown as Status));
        return exitCodes.ok;
      }
      // Two of these on one node are two participants; where names are asked for, the node finds the one that lives on it.
      const anyone = `cli-${process.pid}@${client.greeting.node}`;
      const as = options.as ?? (Array.isArray(terms['participants']) ? undefined : anyone);
      const passage = await client.request('barrier', given({ terms, as, timeoutMs }));
      print(passage, describePassage(id, passage as unknown as Passage));
      return exitCodes.ok;
    },
    exitCodes.interrupted,
  );
}

/** Who gives a deadline to all wants to wait for it, and hear how it ended. */
function afterDeadline(deadlineMs: Value): number | undefined {
  return typeof deadlineMs === 'number' ? deadlineMs + 10_000 : undefined;
}

function termsOf(id: string, options: BarrierOptions): Record<string, Value> {
  const { participants, perZone, hierarchical, onLost } = options;
  if ((participants === undefined) === (perZone === undefined)) {
    throw new QuorateError(
      'INVALID_ARGUMENT',
      'Who is waited for? Give --participants 3 (or names), or --per-zone a=5,b=3.',
    );
  }
  return given({
    id,
    participants:
      participants === undefined
        ? undefined
        : /^\d+$/.test(participants)
          ? Number(participants)
          : parseList('participants', participants),
    perZone: perZone === undefined ? undefined : Object.fromEntries(parseCounts('per-zone', perZone)),
    strategy: hierarchical ? 'hierarchical' : undefined,
    onLost,
    deadlineMs: parseNumber('deadline', options.deadline, 1),
    minimum: parseNumber('minimum', options.minimum, 1),
  });
}

function missingOf({ missing, missingUnnamed }: Pick<Passage, 'missing' | 'missingUnnamed'>): string {
  const unnamed = missingUnnamed === 0 ? [] : [missing.length === 0 ? `${missingUnnamed}` : `${missingUnnamed} more`];
  return [...missing, ...unnamed].join(', ');
}

function describePassage(id: string, passage: Passage): string {
  const { generation, arrived, token } = passage;
  const missing = missingOf(passage);
  const without = missing === '' ? '' : pc.yellow(`, without ${missing}`);
  return `${pc.green('open')}: '${id}', generation ${generation}, ${arrived} came${without} ${pc.dim(`(token ${token})`)}\n`;
}

function describeStatus(status: Status): string {
  const { id, generation, expected, arrivedCount, arrived, lost, last } = status;
  const missing = missingOf(status);
  const lines = [`'${id}', generation ${generation}: ${arrivedCount} of ${plural(expected, 'participant')} came`];
  if (arrived.length > 0) lines.push(`  came     ${arrived.join(', ')}`);
  if (missing !== '') lines.push(`  missing  ${missing}`);
  if (lost.length > 0) lines.push(`  lost     ${lost.join(', ')}`);
  if (last !== undefined) {
    lines.push(`  before   generation ${last.generation} ${last.opened ? 'opened' : `broke: ${last.reason}`}`);
  }
  return `${lines.join('\n')}\n`;
}
