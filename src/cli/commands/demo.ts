/** `quorate demo`, which is `npm start`. */
import { once } from 'node:events';
import type { Command } from 'commander';
import { QuorateError } from '../../errors.ts';
import { pc } from '../colors.ts';
import { type CommandContext, parseNumber, runAction } from '../command.ts';
import { type DemoOptions, runDemo } from '../demo/demo.ts';
import { printSummary } from '../demo/summary.ts';
import { exitCodes } from '../exit-codes.ts';
import { invocation, joinLine } from '../join-line.ts';
import { toJson } from '../json.ts';
import type { Terminal } from '../output.ts';

interface DemoCommandOptions {
  readonly stay?: boolean;
  readonly indexers: string;
  readonly pace?: string;
  readonly kill: boolean;
  readonly deadline: string;
  readonly json?: boolean;
}

export function registerDemo(program: Command, context: CommandContext): void {
  program
    .command('demo')
    .argument('[folder]', 'folder of text to index', '.')
    .description('a mesh of real processes indexes a folder and survives the kill of one (npm start)')
    .option('--stay', 'keep the mesh up afterwards, to be joined and asked')
    .option('--indexers <n>', 'indexer processes beside the coordinator', '5')
    .option('--pace <ms>', 'a batch lasts at least so long; default 120, so that people can follow; 0 with --json')
    .option('--no-kill', 'kill nobody')
    .option('--deadline <s>', 'give up after so many seconds', '120')
    .option('--json', 'print only the summary, as one JSON line')
    .action(
      runAction(
        context,
        (_folder: string, options: DemoCommandOptions) => options.json === true,
        (folder, options) => demo(context, folder, options),
      ),
    );
}

async function demo(context: CommandContext, folder: string, options: DemoCommandOptions): Promise<number> {
  const { terminal, interrupted } = context;
  const json = options.json === true;
  const indexers = parseNumber('indexers', options.indexers, 4) ?? 5;
  if (indexers > 32) throw new QuorateError('INVALID_ARGUMENT', '--indexers can be 32 at most: each is a process.');
  const demoOptions: Omit<DemoOptions, 'beforeStop'> = {
    folder,
    indexers: Math.floor(indexers),
    paceMs: parseNumber('pace', options.pace, 0) ?? (json ? 0 : 120),
    kill: options.kill,
    deadlineMs: (parseNumber('deadline', options.deadline, 1) ?? 120) * 1000,
  };
  const quiet: Terminal = { ...terminal, out: () => undefined, isTty: false };
  let ok = false;
  const beforeStop: DemoOptions['beforeStop'] = async ({ mesh, summary, search }) => {
    ok = summary.ok;
    if (json) terminal.out(`${toJson(summary)}\n`);
    else printSummary(terminal, summary);
    if (!options.stay) return;
    const answer = async (text: string): Promise<unknown> => {
      const { files, agents, top } = await search(String(text));
      return { files, agents, top: top.slice(0, 5) };
    };
    await mesh.registry.register('search', answer, { capabilities: ['search-text'] });
    if (!json) tellHowToJoin(terminal, mesh.status());
    if (!interrupted.aborted) await once(interrupted, 'abort');
  };
  try {
    await runDemo({ ...demoOptions, beforeStop }, json ? quiet : terminal, interrupted);
  } catch (error) {
    if (!interrupted.aborted) throw error;
    terminal.err('Interrupted; every process of the mesh was stopped.\n');
    return 130;
  }
  return ok ? exitCodes.ok : exitCodes.failure;
}

function tellHowToJoin(
  terminal: Terminal,
  status: { readonly name: string; readonly addresses: readonly string[] },
): void {
  const command = invocation();
  const join = joinLine({
    name: status.name,
    addresses: status.addresses,
    networkKeyFile: undefined,
    hasNetworkKey: false,
  });
  terminal.out(`${pc.bold('The mesh stays up until Ctrl-C.')} In another terminal:\n`);
  for (const line of [
    join,
    `${command} members`,
    `${command} agents`,
    `${command} watch`,
    `${command} call search 'some words'`,
  ]) {
    if (line !== undefined) terminal.out(`  ${pc.cyan(line)}\n`);
  }
}
