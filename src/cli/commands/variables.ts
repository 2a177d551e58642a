/** `quorate variables`: what the nodes of a mesh tune together, why it is what it is, and a hand on it. */
import type { Command } from 'commander';
import type { ControlClient } from '../../control/client.ts';
import type { VariableAnswer, VariableRow, WriteAnswer } from '../../control/variable-operations.ts';
import { QuorateError, type Value, type VariableChange } from '../../index.ts';
import { pc } from '../colors.ts';
import {
  agreeing,
  askingNode,
  type CommandContext,
  type CommonOptions,
  given,
  parseNumber,
  runAction,
  withNode,
} from '../command.ts';
import { exitCodes } from '../exit-codes.ts';
import { parseMessage, toJson } from '../json.ts';
import { printable } from '../output.ts';
import { describeExplanation, describeVariables, describeWrite, plainValue } from '../variable-view.ts';

interface WriteOptions extends CommonOptions {
  readonly weight?: string;
  readonly ifVersion?: string;
  readonly timeout?: string;
}

type Ask = (client: ControlClient, options: CommonOptions) => Promise<number>;

/** The options stand behind the arguments, of which some may be left out. */
const isJson = (...args: readonly unknown[]): boolean =>
  (args.find((arg) => typeof arg === 'object' && arg !== null) as CommonOptions | undefined)?.json === true;

export function registerVariables(program: Command, context: CommandContext): void {
  const variables = program.command('variables').description('what nodes tune together, and why');
  const asking = (options: CommonOptions, ask: Ask): Promise<number> =>
    withNode(context, options, (client) => ask(client, options));
  askingNode(variables.command('list', { isDefault: true }))
    .description('every variable that a live node announces, with its value')
    .action(
      runAction(context, isJson, (options: CommonOptions) =>
        asking(options, (client) => list(context, client, options)),
      ),
    );
  askingNode(variables.command('get <name>'))
    .description('the value alone; with --json all there is to know')
    .action(
      runAction(context, isJson, (name: string, options: CommonOptions) =>
        asking(options, async (client) => {
          const { variable } = await answerAbout(client, name);
          context.terminal.out(`${options.json ? toJson(variable) : plainValue(variable.value)}\n`);
          return exitCodes.ok;
        }),
      ),
    );
  askingNode(variables.command('explain <name>'))
    .description('why it has this value: whose contribution has which share, and whose does not count')
    .action(
      runAction(context, isJson, (name: string, options: CommonOptions) =>
        asking(options, async (client) => {
          const answer = await answerAbout(client, name);
          const { explanation, variable } = answer;
          context.terminal.out(
            options.json ? `${toJson({ name: variable.name, ...explanation })}\n` : describeExplanation(answer),
          );
          return exitCodes.ok;
        }),
      ),
    );
  askingNode(variables.command('watch <name>'))
    .description('the value, and then each change, until Ctrl-C')
    .action(runAction(context, isJson, (name: string, options: CommonOptions) => watch(context, name, options)));
  registerWrites(variables, context);
}

function registerWrites(variables: Command, context: CommandContext): void {
  const writing = (usage: string): Command =>
    agreeing(variables.command(usage)).option('--if-version <n>', 'only if this version was agreed on last (0: none)');
  writing('set <name> <value>')
    .description('contribute a value; of a strong variable: change it. Exit code 6 when agents have not acknowledged')
    .option('--weight <w>', 'what it weighs, 0 to what the variable allows (default 1)')
    .action(
      runAction(context, isJson, (name: string, value: string, options: WriteOptions) =>
        write(
          context,
          'variables.set',
          { name, ...parseValue(value), weight: parseNumber('weight', options.weight, 0) },
          options,
        ),
      ),
    );
  writing('coordinate <name> [value]')
    .description('agree on one value for all (default: the present one). Exit code 6 when agents have not acknowledged')
    .action(
      runAction(context, isJson, (name: string, value: string | undefined, options: WriteOptions) =>
        write(context, 'variables.coordinate', { name, ...(value === undefined ? {} : parseValue(value)) }, options),
      ),
    );
  askingNode(variables.command('withdraw <name>'))
    .description("take this node's contribution back")
    .action(runAction(context, isJson, (name: string, options: CommonOptions) => withdraw(context, name, options)));
}

async function answerAbout(client: ControlClient, name: string): Promise<VariableAnswer> {
  return (await client.request('variables.get', { name })) as unknown as VariableAnswer;
}

/** What was typed goes along, for choices: those are texts, whatever they look like. Throws `INVALID_ARGUMENT`. */
function parseValue(typed: string): { readonly value: Value; readonly typed: string } {
  const parsed = parseMessage(typed);
  if (parsed !== undefined) return { value: parsed.value, typed };
  throw new QuorateError('INVALID_ARGUMENT', `This begins like JSON but is none; check quotes and braces: ${typed}`);
}

async function list({ terminal }: CommandContext, client: ControlClient, options: CommonOptions): Promise<number> {
  const { self, variables } = (await client.request('variables')) as unknown as {
    readonly self: string;
    readonly variables: readonly VariableRow[];
  };
  if (options.json) for (const variable of variables) terminal.out(`${toJson(variable)}\n`);
  else terminal.out(describeVariables(self, variables));
  return exitCodes.ok;
}

async function write(
  context: CommandContext,
  operation: string,
  what: Readonly<Record<string, unknown>>,
  options: WriteOptions,
): Promise<number> {
  const ifVersion = parseNumber('if-version', options.ifVersion, 0);
  const timeoutMs = parseNumber('timeout', options.timeout, 1);
  return withNode(
    context,
    options,
    async (client) => {
      const asked = given({ ...what, ifVersion, timeoutMs });
      const answer = (await client.request(operation, asked)) as unknown as WriteAnswer;
      context.terminal.out(options.json ? `${toJson(answer)}\n` : describeWrite(answer));
      return answer.unacknowledged.length === 0 ? exitCodes.ok : exitCodes.notInTime;
    },
    exitCodes.interrupted,
  );
}

async function withdraw(context: CommandContext, name: string, options: CommonOptions): Promise<number> {
  return withNode(context, options, async (client) => {
    const answer = (await client.request('variables.withdraw', { name })) as { withdrawn: boolean; left: boolean };
    const said = answer.withdrawn ? 'withdrawn' : pc.dim(`This node had contributed nothing to '${printable(name)}'.`);
    context.terminal.out(`${options.json ? toJson(answer) : said}\n`);
    return exitCodes.ok;
  });
}

type WatchItem =
  | { readonly type: 'value'; readonly value: Value; readonly at: number }
  | ({ readonly type: 'change' } & VariableChange<Value>);

async function watch(context: CommandContext, name: string, options: CommonOptions): Promise<number> {
  return withNode(context, options, async (client) => {
    for await (const item of client.stream('variables.watch', { name }, context.interrupted)) {
      const seen = item as unknown as WatchItem;
      const was = seen.type === 'change' ? pc.dim(` (was ${plainValue(seen.previous)})`) : '';
      const line = `${pc.dim(new Date(seen.at).toLocaleTimeString())} ${plainValue(seen.value)}${was}`;
      context.terminal.out(`${options.json ? toJson(seen) : line}\n`);
    }
    return exitCodes.ok;
  });
}
