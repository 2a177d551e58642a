/** `quorate auction`: who gets something, and for how much. */
import type { Command } from 'commander';
import { type Mesh, QuorateError, type Value } from '../../index.ts';
import { writeCertificate } from '../certificate-file.ts';
import { pc } from '../colors.ts';
import {
  agreeing,
  type CommandContext,
  type CommonOptions,
  given,
  parseList,
  parseNumber,
  runAction,
  withNode,
} from '../command.ts';
import { exitCodes } from '../exit-codes.ts';
import { parseMessage, toJson } from '../json.ts';
import { shortId, table } from '../output.ts';

type Coordination = Mesh['coordination'];
type Auction = Awaited<ReturnType<Coordination['auction']>>;
type State = Awaited<ReturnType<Coordination['inspectAuction']>>;
type Summary = Awaited<ReturnType<Coordination['openAuctions']>>[number];
type Result = Awaited<ReturnType<Auction['result']>>;
type Receipt = Awaited<ReturnType<Auction['bid']>>;

interface AuctionOptions extends CommonOptions {
  readonly timeout?: string;
}

interface OpenOptions extends AuctionOptions {
  readonly mechanism: string;
  readonly id?: string;
  readonly bidders?: string;
  readonly reserve?: string;
  readonly bid?: string;
  readonly reveal?: string;
  readonly start?: string;
  readonly increment?: string;
  readonly step?: string;
  readonly every?: string;
}

const mechanisms: Readonly<Record<string, string>> = {
  'second-price': 'sealedBidSecondPrice',
  'first-price': 'sealedBidFirstPrice',
  english: 'english',
  dutch: 'dutch',
};
const defaultBidMs = 60_000;

export function registerAuction(program: Command, context: CommandContext): void {
  const auction = program.command('auction').description('sell something to the agents of the mesh');
  const amounts = 'Amounts are whole numbers of the smallest unit, times milliseconds.';
  const json = (...args: readonly unknown[]): boolean =>
    (args.find((arg) => typeof arg === 'object' && arg !== null) as CommonOptions | undefined)?.json === true;

  agreeing(auction.command('open'))
    .argument('<resource>', 'what is sold: JSON, or plain text')
    .description(`open one and print its id. ${amounts}`)
    .option('--mechanism <how>', 'second-price, first-price (both sealed), english or dutch', 'second-price')
    .option('--reserve <amount>', 'nothing is sold below it (default 0)')
    .option('--bidders <agents>', 'only these may bid: a,b,c (default: every agent)')
    .option('--id <text>', 'names it (default: random)')
    .option('--bid <ms>', `sealed, english: how long bids are taken (default ${defaultBidMs})`)
    .option('--reveal <ms>', 'sealed: how long bidders have to reveal (default 30000)')
    .option('--start <amount>', 'english: the least first bid; dutch: the first price')
    .option('--increment <amount>', 'english: by how much a bid must exceed the one before (default 1)')
    .option('--step <amount>', 'dutch: what the price falls by')
    .option('--every <ms>', 'dutch: how long each price stands')
    .action(runAction(context, json, (resource: string, options: OpenOptions) => open(context, resource, options)));
  agreeing(auction.command('bid'))
    .argument('<id>')
    .argument('<amount>')
    .description('bid for an agent of the node that is asked; that node reveals a sealed bid by itself')
    .requiredOption('--as <agent>', 'who bids')
    .action(
      runAction(context, json, (id: string, amount: string, options: AuctionOptions & { readonly as: string }) => {
        const request = given({ id, amount: parseNumber('amount', amount, 0), as: options.as });
        return ask(context, options, 'auction.bid', request, (answer) => {
          const { agent, amount: stands } = answer as unknown as Receipt;
          return `${agent} bids ${stands} in ${id}. The outcome: quorate auction result ${id}\n`;
        });
      }),
    );
  agreeing(auction.command('show'))
    .argument('<id>')
    .description('how it stands: phase, bids, the least that is worth bidding')
    .action(
      runAction(context, json, (id: string, options: AuctionOptions) =>
        ask(context, options, 'auction.show', { id }, (answer) => describeState(answer as unknown as State)),
      ),
    );
  agreeing(auction.command('result'), 'until it is over')
    .argument('<id>')
    .description('wait for the end and print who won; exit code 7 when nothing was sold')
    .option('--certificate <file>', "write the result with its proof there, for 'quorate verify'")
    .action(
      runAction(context, json, (id: string, options: AuctionOptions & { readonly certificate?: string }) =>
        result(context, id, options),
      ),
    );
  agreeing(auction.command('list'))
    .description('auctions that take bids or are being revealed')
    .action(
      runAction(context, json, (options: AuctionOptions) =>
        ask(context, options, 'auction.list', {}, (answer) => describeList(answer as unknown as readonly Summary[])),
      ),
    );
}

/** One request and its answer. A list is one JSON value per line. */
function ask(
  context: CommandContext,
  options: AuctionOptions,
  operation: string,
  request: Readonly<Record<string, Value>>,
  describe: (answer: Value) => string,
): Promise<number> {
  const timeoutMs = parseNumber('timeout', options.timeout, 1);
  return withNode(
    context,
    options,
    async (client) => {
      const answer = await client.request(operation, { ...request, ...given({ timeoutMs }) });
      const lines = Array.isArray(answer) ? answer : [answer];
      if (options.json) for (const line of lines) context.terminal.out(`${toJson(line)}\n`);
      else context.terminal.out(describe(answer));
      return exitCodes.ok;
    },
    exitCodes.interrupted,
  );
}

async function open(context: CommandContext, typed: string, options: OpenOptions): Promise<number> {
  const resource = parseMessage(typed);
  if (resource === undefined) {
    throw new QuorateError('INVALID_ARGUMENT', 'The resource begins like JSON but is none; check quotes and braces.');
  }
  const mechanism = mechanisms[options.mechanism];
  if (mechanism === undefined) {
    throw new QuorateError(
      'INVALID_ARGUMENT',
      `'${options.mechanism}' is no mechanism. There are ${Object.keys(mechanisms).join(', ')}.`,
    );
  }
  if (mechanism === 'dutch' && [options.start, options.step, options.every].includes(undefined)) {
    throw new QuorateError('INVALID_ARGUMENT', 'A Dutch auction needs --start, --step and --every.');
  }
  // What a mechanism does not know is refused by the node, which names it.
  const terms = given({
    mechanism,
    id: options.id,
    reserve: parseNumber('reserve', options.reserve, 0),
    bidders: options.bidders === undefined ? undefined : parseList('bidders', options.bidders),
    bidMs: parseNumber('bid', options.bid, 1) ?? (mechanism === 'dutch' ? undefined : defaultBidMs),
    revealMs: parseNumber('reveal', options.reveal, 1),
    startPrice: parseNumber('start', options.start, 0),
    increment: parseNumber('increment', options.increment, 1),
    stepBy: parseNumber('step', options.step, 1),
    stepMs: parseNumber('every', options.every, 1),
  });
  const request = { terms: { ...terms, resource: resource.value } };
  return ask(context, options, 'auction.open', request, (answer) => `${(answer as { id: string }).id}\n`);
}

async function result(
  context: CommandContext,
  id: string,
  options: AuctionOptions & { readonly certificate?: string },
): Promise<number> {
  const timeoutMs = parseNumber('timeout', options.timeout, 1);
  const request = given({ id, timeoutMs, certificate: options.certificate !== undefined });
  return withNode(
    context,
    options,
    async (client) => {
      const answer = (await client.request('auction.result', request)) as { [key: string]: Value };
      const { certificate, ...outcome } = answer;
      if (options.certificate !== undefined) writeCertificate(options.certificate, certificate);
      const { sold } = outcome as unknown as Result;
      context.terminal.out(options.json ? `${toJson(outcome)}\n` : describeResult(outcome as unknown as Result));
      return sold ? exitCodes.ok : exitCodes.notAccepted;
    },
    exitCodes.interrupted,
  );
}

/** Who won and what was bid, for people. */
export function describeResult({ winner, price, bids, unrevealed, token }: Result): string {
  const verdict =
    winner === undefined
      ? pc.yellow('not sold')
      : `${pc.green('sold')} to ${pc.bold(winner.agent)} on ${shortId(winner.node)} for ${price} ${pc.dim(`(token ${token})`)}`;
  const lines = [verdict, ...bids.map(({ agent, amount }) => `  ${agent} bid ${amount}`)];
  if (unrevealed.length > 0) {
    lines.push(pc.yellow(`  not revealed, so out: ${unrevealed.map(({ agent }) => agent).join(', ')}`));
  }
  return `${lines.join('\n')}\n`;
}

function describeState({ id, terms, phase, endsAt, bids, minimum, result: ended }: State): string {
  if (ended !== undefined) return `${id} ${pc.dim(`(${terms.mechanism})`)}: ${describeResult(ended)}`;
  const lines = [
    `${pc.bold(id)} ${pc.dim(`(${terms.mechanism})`)}: ${phase}, ends in ${seconds(endsAt)}`,
    `  ${toJson(terms.resource)}`,
    `  the least worth bidding: ${minimum}`,
    ...bids.map(({ agent, amount }) => `  ${agent} bid ${amount ?? '(sealed)'}`),
  ];
  return `${lines.join('\n')}\n`;
}

function describeList(auctions: readonly Summary[]): string {
  if (auctions.length === 0) return `${pc.dim('No auction is open.')}\n`;
  const rows = auctions.map(({ id, mechanism, phase, endsAt, named }) => [
    id,
    mechanism,
    phase,
    seconds(endsAt),
    named ? 'those named' : 'every agent',
  ]);
  return table(['AUCTION', 'MECHANISM', 'PHASE', 'ENDS IN', 'WHO MAY BID'], rows);
}

function seconds(at: number): string {
  return `${Math.max(0, Math.round((at - Date.now()) / 100) / 10)} s`;
}
