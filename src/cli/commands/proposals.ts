/** `quorate propose`, `vote` and `proposals`: decisions of agents by vote. */
import { randomUUID } from 'node:crypto';
import type { Command } from 'commander';
import { type Decision, type Proposal, QuorateError, type Value } from '../../index.ts';
import { writeCertificate } from '../certificate-file.ts';
import { pc } from '../colors.ts';
import {
  agreeing,
  askingNode,
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
import { parseMessage, toJson } from '../json.ts';
import { shortId, table } from '../output.ts';

type Decided = Omit<Decision, 'certificate'> & { readonly certificate?: Value };

interface ProposeOptions extends CommonOptions {
  readonly participants: string;
  readonly rule?: string;
  readonly zones?: string;
  readonly id?: string;
  readonly timeout?: string;
  readonly certificate?: string;
}

interface VoteOptions extends CommonOptions {
  readonly as: string;
  readonly value?: string;
  readonly reason?: string;
}

interface ProposalsOptions extends CommonOptions {
  readonly agent?: string;
  readonly limit?: string;
  readonly timeout?: string;
  readonly certificate?: string;
}

export function registerProposals(program: Command, context: CommandContext): void {
  askingNode(program.command('propose'))
    .argument('<proposal>', 'JSON, or plain text')
    .description('have agents vote; exit code 7 when not accepted')
    .requiredOption('--participants <agents>', 'who votes, with weights where they matter: a,b=2,c')
    .option('--rule <rule>', 'majority (default), unanimous, quorum=n, weighted=w, or byzantine=f')
    .option('--zones <zones>', 'more than half of each of these zones must agree, too')
    .option('--id <text>', 'names it (default: random); with the same id and terms it is the same proposal')
    .option('--timeout <ms>', 'it is decided by then, one way or the other (default 10000)')
    .option('--certificate <file>', "write the decision with its proof there, for 'quorate verify'")
    .action(
      runAction(
        context,
        (_proposal: string, options: ProposeOptions) => options.json === true,
        (proposal, options) => propose(context, proposal, options),
      ),
    );
  askingNode(program.command('vote'))
    .argument('<id>', 'of the proposal')
    .argument('<vote>', 'accept or reject')
    .description('vote for an agent of the node asked')
    .requiredOption('--as <agent>', 'whose vote it is')
    .option('--value <json>', 'accept this instead of the proposal as it is')
    .option('--reason <text>', 'for people to read')
    .action(
      runAction(
        context,
        (_id: string, _vote: string, options: VoteOptions) => options.json === true,
        (id, vote, options) => cast(context, id, vote, options),
      ),
    );
  agreeing(program.command('proposals'), '0')
    .argument('[id]', 'the decision on this one (with --timeout: wait for it)')
    .description('open proposals, or the decision on one')
    .option('--agent <id>', 'only those that this agent may vote on')
    .option('--limit <n>', 'at most so many (default 100)')
    .option('--certificate <file>', 'with an id: write the decision with its proof there')
    .action(
      runAction(
        context,
        (_id: string | undefined, options: ProposalsOptions) => options.json === true,
        (id, options) => (id === undefined ? list(context, options) : decision(context, id, options)),
      ),
    );
}

async function propose(context: CommandContext, typed: string, options: ProposeOptions): Promise<number> {
  const id = options.id ?? randomUUID();
  const terms = given({
    id,
    participants: parseCounts('participants', options.participants, 1).map(([agent, weight]) => ({ agent, weight })),
    rule: options.rule === undefined ? undefined : parseRule(options.rule),
    zones: options.zones === undefined ? undefined : parseList('zones', options.zones),
    deadlineMs: parseNumber('timeout', options.timeout, 1),
  });
  const request = { terms: { ...terms, proposal: parseValue(typed) }, certificate: options.certificate !== undefined };
  return withNode(
    context,
    options,
    async (client) => {
      if (!options.json) {
        context.terminal.err(`${pc.dim(`Proposal ${id}. Vote with: quorate vote ${id} accept --as <agent>`)}\n`);
      }
      const decided = (await client.request('propose', request)) as unknown as Decided;
      return report(context, options, decided);
    },
    exitCodes.interrupted,
  );
}

/** Throws `INVALID_ARGUMENT`. */
function parseRule(typed: string): Value {
  if (typed === 'majority' || typed === 'unanimous') return typed;
  const [, kind, count] = /^(quorum|weighted|byzantine)=(\d+)$/.exec(typed) ?? [];
  if (kind !== undefined) return { [kind]: Number(count) };
  throw new QuorateError(
    'INVALID_ARGUMENT',
    `'${typed}' is no rule. There are majority, unanimous, quorum=2, weighted=5 and byzantine=1.`,
  );
}

/** Throws `INVALID_ARGUMENT` for what begins like JSON and is none. */
function parseValue(typed: string): Value {
  const value = parseMessage(typed);
  if (value !== undefined) return value.value;
  throw new QuorateError('INVALID_ARGUMENT', `This begins like JSON but is none; check quotes and braces: ${typed}`);
}

async function cast(context: CommandContext, id: string, vote: string, options: VoteOptions): Promise<number> {
  if (vote !== 'accept' && vote !== 'reject') {
    throw new QuorateError('INVALID_ARGUMENT', `Vote accept or reject, not '${vote}'.`);
  }
  const { as, reason } = options;
  const value = options.value === undefined ? {} : { value: parseValue(options.value) };
  const ballot = { ...given({ id, as, accept: vote === 'accept', reason }), ...value };
  return withNode(
    context,
    options,
    async (client) => {
      await client.request('vote', ballot);
      context.terminal.out(
        options.json
          ? `${toJson({ id, as, vote })}\n`
          : `${as} has voted: ${vote}. The outcome: quorate proposals ${id}\n`,
      );
      return exitCodes.ok;
    },
    exitCodes.interrupted,
  );
}

async function list(context: CommandContext, options: ProposalsOptions): Promise<number> {
  const asked = given({ agent: options.agent, limit: parseNumber('limit', options.limit, 1) });
  return withNode(context, options, async (client) => {
    const proposals = (await client.request('proposals', asked)) as unknown as readonly Proposal[];
    if (options.json) for (const proposal of proposals) context.terminal.out(`${toJson(proposal)}\n`);
    else context.terminal.out(describeOpen(proposals));
    return exitCodes.ok;
  });
}

async function decision(context: CommandContext, id: string, options: ProposalsOptions): Promise<number> {
  const waitMs = parseNumber('timeout', options.timeout, 1);
  const asked = given({ id, waitMs, certificate: options.certificate !== undefined });
  return withNode(
    context,
    options,
    async (client) => report(context, options, (await client.request('decision', asked)) as unknown as Decided),
    exitCodes.interrupted,
  );
}

function report(
  { terminal }: CommandContext,
  options: { readonly json?: boolean; readonly certificate?: string },
  { certificate, ...decided }: Decided,
): number {
  if (options.certificate !== undefined && certificate !== undefined)
    writeCertificate(options.certificate, certificate);
  terminal.out(options.json ? `${toJson(decided)}\n` : describeDecision(decided));
  return decided.accepted ? exitCodes.ok : exitCodes.notAccepted;
}

/** What a decision says, for people. */
export function describeDecision(decided: Omit<Decision, 'certificate'>): string {
  const { accepted, outcome, value, votes, missing, tally } = decided;
  const verdict = accepted ? `${pc.green('accepted')}: ${toJson(value)}` : pc.red(outcome);
  const [strongest] = tally.choices;
  const unit = tally.counts === 'weight' ? 'of the weight' : 'participants';
  const lines = [
    verdict,
    pc.dim(`  ${strongest?.count ?? 0} of ${tally.total} ${unit} for the strongest value, ${tally.needed} needed`),
    ...votes.map(({ agent, accept, value: chosen, reason }) => {
      const what = accept ? `accepts ${toJson(chosen)}` : 'rejects';
      return `  ${agent} ${what}${reason === undefined ? '' : `: ${reason}`}`;
    }),
  ];
  if (missing.length > 0) lines.push(`  ${pc.yellow(`not heard of: ${missing.join(', ')}`)}`);
  return `${lines.join('\n')}\n`;
}

function describeOpen(proposals: readonly Proposal[]): string {
  if (proposals.length === 0) return `${pc.dim('No proposal is open.')}\n`;
  const now = Date.now();
  const rows = proposals.map(({ id, proposer, participants, votes, rule, deadlineAt, proposal }) => [
    id,
    shortId(proposer),
    typeof rule === 'string' ? rule : (Object.entries(rule).map((pair) => pair.join('='))[0] ?? ''),
    `${votes.length}/${participants.length}`,
    `${Math.max(0, Math.round((deadlineAt - now) / 1000))} s`,
    toJson(proposal),
  ]);
  return table(['PROPOSAL', 'FROM', 'RULE', 'VOTES', 'ENDS IN', 'WHAT'], rows);
}
