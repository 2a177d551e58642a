/** `quorate members`: who is in the mesh and in which state; `--why`: who says so. */
import type { Command } from 'commander';
import type { Accusation, Member, MemberState } from '../../index.ts';
import { pc } from '../colors.ts';
import { askingNode, type CommandContext, type CommonOptions, runAction, withNode } from '../command.ts';
import { exitCodes } from '../exit-codes.ts';
import { toJson } from '../json.ts';
import { ago, milliseconds, shortId, table } from '../output.ts';

interface MembersOptions extends CommonOptions {
  readonly why?: string;
}

export function paintState(state: MemberState | string): string {
  const text = state.trim();
  if (text === 'alive') return pc.green(state);
  if (text === 'suspect') return pc.yellow(state);
  return text === 'left' ? pc.dim(state) : pc.red(state);
}

export function registerMembers(program: Command, context: CommandContext): void {
  askingNode(program.command('members'))
    .description('list the members of the mesh: state, zone, round trip, addresses')
    .option('--why <id>', 'who accuses this member, since when, and why')
    .action(
      runAction(
        context,
        (options: MembersOptions) => options.json === true,
        (options) =>
          withNode(context, options, async (client) => {
            const print = context.terminal.out;
            if (options.why !== undefined) {
              const id = options.why.replace(/^…/, '');
              const answer = (await client.request('why', { id })) as unknown as {
                member: Member;
                accusations: readonly Accusation[];
              };
              print(options.json ? `${toJson(answer)}\n` : describeWhy(answer.member, answer.accusations));
              return exitCodes.ok;
            }
            const { self, members } = (await client.request('members')) as unknown as {
              self: string;
              members: readonly Member[];
            };
            if (options.json)
              for (const member of members) print(`${toJson({ ...member, self: member.id === self })}\n`);
            else print(describeMembers(self, members));
            return exitCodes.ok;
          }),
      ),
    );
}

function describeMembers(self: string, members: readonly Member[]): string {
  const now = Date.now();
  const rows = members.map((member) => [
    shortId(member.id),
    member.state,
    ago(member.since, now),
    member.zone,
    member.id === self ? 'this node' : milliseconds(member.rttMs),
    member.addresses.map((address) => address.replace(/\/p2p\/[^/]+$/, '')).join(' ') || '–',
  ]);
  const alive = members.filter(({ state }) => state === 'alive').length;
  const drawn = table(['NODE', 'STATE', 'FOR', 'ZONE', 'RTT', 'ADDRESSES'], rows, (text, column) =>
    column === 1 ? paintState(text) : text,
  );
  return `${drawn}${pc.dim(`${members.length} known, ${alive} alive. Whole ids: --json. Who accuses whom: --why <id>.`)}\n`;
}

function describeWhy(member: Member, accusations: readonly Accusation[]): string {
  const now = Date.now();
  const lines = [
    `${member.id}`,
    `  is ${paintState(member.state)} for ${ago(member.since, now)} (incarnation ${member.incarnation})`,
  ];
  if (accusations.length === 0) lines.push('  Nobody accuses it.');
  for (const { accuser, at, evidence, incarnation, detail } of accusations) {
    lines.push(
      `  accused by ${accuser}`,
      `    ${ago(at, now)} ago, by its clock, of incarnation ${incarnation}: ${pc.bold(evidence)}`,
      `    "${detail}"`,
    );
  }
  return `${lines.join('\n')}\n`;
}
