/** `quorate validators`: who decides in this mesh and how they are; votes on who they are. */
import type { Command } from 'commander';
import type { Mesh, NodeId, Value } from '../../index.ts';
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
import { plural, shortId, table } from '../output.ts';

type Validators = Mesh['coordination']['validators'];
type ValidatorSet = ReturnType<Validators['list']>;
type ValidatorHealth = Awaited<ReturnType<Validators['health']>>[number];
type ValidatorChange = Awaited<ReturnType<Validators['add']>>;

/** What a node answers when it is asked about the validators. */
export interface ValidatorsAnswer {
  readonly self: NodeId;
  readonly set: ValidatorSet;
  readonly health: readonly ValidatorHealth[];
}

interface ValidatorsOptions extends CommonOptions {
  readonly timeout?: string;
  readonly f?: string;
}

export function registerValidators(program: Command, context: CommandContext): void {
  const validators = program.command('validators').description('who decides, and how they are');
  agreeing(validators.command('list', { isDefault: true }), '1000')
    .description('the group, and view, sequence and lag of each validator')
    .action(
      runAction(
        context,
        (options: ValidatorsOptions) => options.json === true,
        (options) =>
          withNode(context, options, async (client) => {
            const timeoutMs = parseNumber('timeout', options.timeout, 1);
            const answer = (await client.request('validators', given({ timeoutMs }))) as unknown as ValidatorsAnswer;
            context.terminal.out(options.json ? `${toJson(answer)}\n` : describeValidators(answer));
            return exitCodes.ok;
          }),
      ),
    );
  const change = (usage: string, description: string): Command =>
    agreeing(validators.command(usage))
      .description(description)
      .option('--f <n>', 'how many of the new set may lie (default: as many as their number bears; 0 stays 0)');
  const json = (...args: readonly unknown[]): boolean =>
    (args.find((arg) => typeof arg === 'object' && arg !== null) as ValidatorsOptions | undefined)?.json === true;
  change('add <id>', 'vote for a member to become a validator; it needs a --data-dir').action(
    runAction(context, json, (id: string, options: ValidatorsOptions) => vote(context, options, { action: 'add', id })),
  );
  change('remove <id>', 'vote for a validator to go').action(
    runAction(context, json, (id: string, options: ValidatorsOptions) =>
      vote(context, options, { action: 'remove', id }),
    ),
  );
  change('replace <id> <by>', 'vote for a member to take the place of a validator, a dead one say').action(
    runAction(context, json, (id: string, by: string, options: ValidatorsOptions) =>
      vote(context, options, { action: 'replace', id, by }),
    ),
  );
}

async function vote(
  context: CommandContext,
  options: ValidatorsOptions,
  change: { readonly action: string; readonly id: string; readonly by?: string },
): Promise<number> {
  const numbers = { f: parseNumber('f', options.f, 0), timeoutMs: parseNumber('timeout', options.timeout, 1) };
  const withoutEllipsis = { ...change, id: change.id.replace(/^…/, ''), by: change.by?.replace(/^…/, '') };
  return withNode(
    context,
    options,
    async (client) => {
      const answer = (await client.request('validators.change', given({ ...withoutEllipsis, ...numbers }))) as {
        [key: string]: Value;
      };
      const { before, change: made } = answer as unknown as { before: ValidatorSet; change: ValidatorChange };
      const needed = before.quorum;
      context.terminal.out(options.json ? `${toJson({ ...made, needed })}\n` : describeChange(before, made));
      return exitCodes.ok;
    },
    exitCodes.interrupted,
  );
}

/** Batches between two validators that are both well: more are agreed on at once, and each is asked at another moment. */
const inFlight = 16;

export function describeValidators({ self, set, health }: ValidatorsAnswer): string {
  const rows = health.map(({ id, primary, health: found }) => {
    const who = `${shortId(id)}${id === self ? ' (this node)' : ''}`;
    if (found === undefined) return [who, '', '', '', '', '', 'does not answer'];
    const { view, executed, lag, logBytes, active, epoch } = found;
    const remarks = [
      active ? undefined : 'changing its view',
      epoch === set.epoch ? undefined : `in epoch ${epoch}`,
      lag > inFlight ? 'catching up' : undefined,
    ].filter((remark) => remark !== undefined);
    const numbers = [view, executed, lag].map(String);
    return [who, primary ? 'primary' : '', ...numbers, megabytes(logBytes), remarks.join(', ') || 'well'];
  });
  const answering = health.filter(({ health: found }) => found !== undefined).length;
  const drawn = table(['VALIDATOR', '', 'VIEW', 'SEQUENCE', 'LAG', 'LOG', 'STATE'], rows, (text, column) => {
    if (column === 1) return pc.bold(text);
    if (column !== 6) return text;
    return text === 'well' ? pc.green(text) : text === 'does not answer' ? pc.red(text) : pc.yellow(text);
  });
  const { group, epoch, f, quorum, validators } = set;
  const bears = f === 0 ? 'crashes only, no lies (f = 0)' : `up to ${f} of them may lie`;
  const missing = quorum - answering;
  const verdict =
    missing > 0
      ? pc.red(`${answering} of ${quorum} needed answer: nothing can be decided until ${missing} more do.`)
      : pc.dim(`${answering} of ${validators.length} answer, ${quorum} are needed.`);
  const about = `group ${group}, epoch ${epoch}: ${plural(validators.length, 'validator')}, ${bears}`;
  return `${drawn}${verdict}\n${pc.dim(about)}\n`;
}

function megabytes(bytes: number): string {
  return bytes < 1024 * 1024 ? `${Math.ceil(bytes / 1024)} KiB` : `${(bytes / (1024 * 1024)).toFixed(1)} MiB`;
}

function describeChange(before: ValidatorSet, { state, validators, f, effectiveAfter }: ValidatorChange): string {
  const next = `${plural(validators.length, 'validator')}, f = ${f}`;
  if (state === 'decided') {
    return `${pc.green('decided')}: ${next}; in force after batch ${effectiveAfter}, which comes by itself.\n`;
  }
  const others = `${before.quorum} of the ${before.validators.length} validators must say the same`;
  return `${pc.yellow('voted')} for ${next}. ${others}: repeat this command at the others, unless they run with --trust-changes.\n`;
}
