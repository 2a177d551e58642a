/** `quorate watch`: members and agents as they come, change and go, and the events an operator acts on, until Ctrl-C. */
import type { Command } from 'commander';
import type { Alert, BreakerChange, Member, MemberState, RegistryEvent, Value } from '../../index.ts';
import { pc } from '../colors.ts';
import { askingNode, type CommandContext, type CommonOptions, runAction, withNode } from '../command.ts';
import { exitCodes } from '../exit-codes.ts';
import { toJson } from '../json.ts';
import { printable, shortId } from '../output.ts';
import { parseTerms } from '../terms.ts';
import { paintState } from './members.ts';

interface WatchOptions extends CommonOptions {
  readonly members?: boolean;
  readonly agents?: boolean;
  readonly events?: boolean;
}

export type WatchEvent =
  | RegistryEvent
  | { readonly type: 'member'; readonly member: Member; readonly previous: MemberState | undefined }
  | ({ readonly type: 'breaker' } & BreakerChange)
  | ({ readonly type: 'alert' } & Alert)
  | { readonly type: 'definitionConflict'; readonly variable: string; readonly code: string; readonly message: string };

export function registerWatch(program: Command, context: CommandContext): void {
  askingNode(program.command('watch'))
    .argument('[terms...]', 'only agents that match, e.g. capabilities=summarise')
    .description('print changes of members and agents, breakers and alerts, until Ctrl-C')
    .option('--members', 'only members')
    .option('--agents', 'only agents')
    .option('--events', 'only breakers that open or close, alerts, and variables defined differently')
    .action(
      runAction(
        context,
        (_terms: readonly string[], options: WatchOptions) => options.json === true,
        async (terms, options) => {
          const { members, agents, events } = options;
          const all = members !== true && agents !== true && events !== true;
          const args: Record<string, Value> = {
            members: all ? terms.length === 0 : members === true,
            agents: all || agents === true,
            events: all ? terms.length === 0 : events === true,
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
  if (event.type === 'breaker') {
    const { id, agent, state, previous, reason } = event;
    const shown = state === 'open' ? pc.red(state) : state === 'closed' ? pc.green(state) : pc.yellow(state);
    return `breaker ${pc.bold(printable(id))} for ${printable(agent)} is ${shown} (was ${previous}): ${printable(reason)}`;
  }
  if (event.type === 'alert') return describeAlert(event);
  if (event.type === 'definitionConflict') {
    return `variable ${pc.bold(printable(event.variable))} ${pc.yellow('in conflict')}: ${printable(event.message)}`;
  }
  const { record } = event;
  const what = `agent  ${pc.bold(record.id)} on ${shortId(record.node)}`;
  if (event.type === 'down') return `${what} is ${pc.red('gone')}: ${event.reason}`;
  const can = `can ${record.capabilities.join(', ')}; ${record.health}`;
  return event.type === 'up' ? `${what} is ${pc.green('up')}: ${can}` : `${what} changed: ${can}`;
}

function describeAlert({ monitor, level, previous, metric, aggregation, value, threshold }: Alert): string {
  const shown = level === 'critical' ? pc.red(level) : level === 'warning' ? pc.yellow(level) : pc.green(level);
  const found = value === undefined ? 'no measurements' : `${aggregation} of ${printable(metric)} is ${value}`;
  const over = threshold === undefined ? '' : `, threshold ${threshold}`;
  return `alert  ${pc.bold(printable(monitor))} is ${shown} (was ${previous}): ${found}${over}`;
}
