/** `quorate call`: sends a message to an agent, by id or by what it can do, and prints the reply. */
import type { Command } from 'commander';
import { QuorateError } from '../../errors.ts';
import type { Value } from '../../index.ts';
import { askingNode, type CommandContext, type CommonOptions, parseNumber, runAction, withNode } from '../command.ts';
import { exitCodes } from '../exit-codes.ts';
import { parseMessage, toJson } from '../json.ts';
import { parseTerms } from '../terms.ts';

interface CallCommandOptions extends CommonOptions {
  readonly where?: readonly string[];
  readonly method?: string;
  readonly timeout?: string;
  readonly key?: string;
  readonly strategy?: string;
  readonly stream?: boolean;
}

const maxStdinBytes = 4 * 1024 * 1024;

export function registerCall(program: Command, context: CommandContext): void {
  askingNode(program.command('call'))
    .argument('[agent]', 'id of the agent; leave it out with --where')
    .argument('[message]', "JSON, or plain text; '-' reads standard input")
    .description('call an agent and print its reply')
    .option('--where <terms...>', 'call the best agent that matches, e.g. --where capabilities=summarise --')
    .option('--strategy <name>', 'how --where chooses: nearestHealthy, leastLoaded, roundRobin, random, sameZone')
    .option('--method <name>', 'a method of the agent')
    .option('--timeout <ms>', 'deadline in milliseconds (default 5000)')
    .option('--key <text>', 'idempotency key: a repeat with the same key runs once')
    .option('--stream', 'print each item of a streamed reply as it comes')
    .action(
      runAction(
        context,
        (_agent: string | undefined, _message: string | undefined, options: CallCommandOptions) =>
          options.json === true,
        async (agent, message, options) => {
          const args = await callArguments(agent, message, options);
          return withNode(context, options, async (client) => {
            const print = (value: Value): void => context.terminal.out(`${format(value, options.json === true)}\n`);
            if (options.stream)
              for await (const item of client.stream('stream', args, context.interrupted)) print(item);
            else print(await client.request('call', args));
            return exitCodes.ok;
          });
        },
      ),
    );
}

async function callArguments(
  agent: string | undefined,
  message: string | undefined,
  options: CallCommandOptions,
): Promise<Record<string, Value>> {
  const byTerms = options.where !== undefined;
  // With --where there is no agent to name, so the first word is the message.
  const typed = byTerms ? agent : message;
  if (byTerms && message !== undefined)
    throw new QuorateError('INVALID_ARGUMENT', 'Name an agent or use --where, not both.');
  if (!byTerms && agent === undefined)
    throw new QuorateError('INVALID_ARGUMENT', 'Which agent? Give its id, or --where terms.');
  const parsed = parseMessage(typed === '-' ? await readStdin() : (typed ?? 'null'));
  if (parsed === undefined) {
    throw new QuorateError('INVALID_ARGUMENT', 'The message begins like JSON but is none; check quotes and braces.');
  }
  const timeoutMs = parseNumber('timeout', options.timeout, 1);
  const optional = {
    method: options.method,
    timeoutMs,
    idempotencyKey: options.key,
    strategy: options.strategy,
  };
  return {
    target: (byTerms ? parseTerms(options.where ?? []) : agent) as Value,
    message: parsed.value,
    ...Object.fromEntries(Object.entries(optional).filter(([, value]) => value !== undefined)),
  };
}

/** A text reply is printed as it is for people; everything else as JSON. */
function format(value: Value, json: boolean): string {
  return !json && typeof value === 'string' ? value : toJson(value, json ? undefined : 2);
}

async function readStdin(): Promise<string> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of process.stdin as AsyncIterable<Buffer>) {
    bytes += chunk.length;
    if (bytes > maxStdinBytes) {
      throw new QuorateError('PAYLOAD_TOO_LARGE', `The message on standard input is over ${maxStdinBytes} bytes.`, {
        maxBytes: maxStdinBytes,
      });
    }
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString('utf8');
}
