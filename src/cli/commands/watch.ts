/** `quorate watch`: members and agents as they come, change and go, until Ctrl-C. */
import type { Command } from 'commander';
import type { Member, MemberState, RegistryEvent, Value } from '../../index.ts';
import { pc } from '../colors.ts';
import { askingNode, type CommandContext, type CommonOptions, runAction, withNode } from '../command.ts';
import { exitCodes } from '../exit-codes.ts';
import { toJson } from '../json.ts';
import { shortId } from '../output.ts';
import { parseTerms } from '../terms.ts';
import { paintState } from './members.ts';

interface WatchOptions extends CommonOptions {
  readonly members?: boolean;
  readonly agents?: boolean;
}

export type WatchEvent =
  | RegistryEvent
  | { readonly type: 'member'; readonly member: Member; readonly previous: MemberState | undefined };

export function registerWatch(program: Command, context: CommandContext): void {
  askingNode(program.command('watch'))
    .argument('[terms...]', 'only agents that match, e.g. capabilities=summarise')
    .description('print members and agents as they come, change and go, until Ctrl-C')
    .option('--members', 'only members')
    .option('--agents', 'only agents')
    .action(
      runAction(
        context,
        (_terms: readonly string[], options: WatchOptions) => options.json === true,
        async (terms, options) => {
          const both = options.members === options.agents;
          const args: Record<string, Value> = {
            members: both ? terms.length === 0 : options.members === true,
            agents: both || options.agents === true,
          };
          const criteria = parseTerms(terms);
          if (criteria !== undefined) args['criteria'] = criteria as Value;
          return withNode(context, options, async (client) => {
            for await (const item of client.stream('watch', args, context.interrupted)) {
              const event = item as unknown as WatchEvent;
              const at = new Date();
              context.terminal.out(
                options.json
                  ? `${toJson({ at, ...event })}\n`
                  : `${pc.dim(at.toLocaleTimeString())} ${describeEvent(event)}\n`,
              );
            }
            return exitCodes.ok;
          });
        },
      ),
    );
}

export function describeEvent(event: WatchEvent): string {
  if (event.type === 'member') {
    const { member, previous } = event;
    const was = previous === undefined || previous === member.state ? '' : pc.dim(` (was ${previous})`);
    return `member ${shortId(member.id)} in zone ${member.zone} is ${paintState(member.state)}${was}`;
  }
  const { record } = event;
  const what = `agent  ${pc.bold(record.id)} on ${shortId(record.node)}`;
  if (event.type === 'down') return `${what} is ${pc.red('gone')}: ${event.reason}`;
  const can = `can ${record.capabilities.join(', ')}; ${record.health}`;
  return event.type === 'up' ? `${what} is ${pc.green('up')}: ${can}` : `${what} changed: ${can}`;
}
