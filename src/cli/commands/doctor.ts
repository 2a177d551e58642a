/** `quorate doctor`: what is wrong, and what to do about it. */
import { statSync } from 'node:fs';
import type { Command } from 'commander';
import type { ControlClient } from '../../control/client.ts';
import { checkDataDir, checkNodeVersion, dial } from '../../control/diagnosis.ts';
import type { Diagnosis } from '../../control/finding.ts';
import { isQuorateError } from '../../errors.ts';
import { asMultiaddr } from '../addresses.ts';
import { pc } from '../colors.ts';
import { askingNode, type CommandContext, type CommonOptions, runAction } from '../command.ts';
import { exitCodes } from '../exit-codes.ts';
import { toJson } from '../json.ts';
import { printable } from '../output.ts';
import { chooseNode, type NodeChoice } from '../running-node.ts';

interface DoctorOptions extends CommonOptions {
  readonly dataDir?: string;
  readonly bootstrap?: readonly string[];
}

export function registerDoctor(program: Command, context: CommandContext): void {
  askingNode(program.command('doctor'))
    .description('check a running node, or without one this machine; exit code 1 when a check failed')
    .option('--data-dir <dir>', 'check this data directory too')
    .option('--bootstrap <address...>', 'check whether somebody answers there')
    .action(
      runAction(
        context,
        (options: DoctorOptions) => options.json === true,
        async (options) => {
          const checks = await collect(context, options);
          for (const check of checks) context.terminal.out(options.json ? `${toJson(check)}\n` : describe(check));
          const failed = checks.filter(({ level }) => level === 'fail').length;
          const warned = checks.filter(({ level }) => level === 'warn').length;
          if (!options.json) {
            const bad = failed + warned === 0 ? pc.green('All is well.') : `${failed} failed, ${warned} to look at.`;
            context.terminal.out(`\n${bad}\n`);
          }
          return failed === 0 ? exitCodes.ok : exitCodes.failure;
        },
      ),
    );
}

async function collect(context: CommandContext, options: DoctorOptions): Promise<Diagnosis[]> {
  const node = await findNode(options);
  const asked = [
    ...(options.dataDir === undefined ? [] : checkDataDir(options.dataDir)),
    ...(await Promise.all(
      (options.bootstrap ?? []).map((typed) => checkAddress(asMultiaddr(typed), context.interrupted)),
    )),
  ];
  if ('code' in node) {
    const found = 'no node of this user runs here';
    const none: Diagnosis = { check: 'running', level: 'warn', found, advice: "Start one with 'quorate up'." };
    return [checkNodeVersion(process.versions.node), none, ...asked];
  }
  const { client, note } = node;
  if (note !== undefined && !options.json) context.terminal.err(`${pc.dim(note)}\n`);
  try {
    const checks = (await client.request('doctor')) as unknown as Diagnosis[];
    return [describeNode(client), checkSocket(client.path), ...checks, ...asked];
  } finally {
    client.close();
  }
}

/** The node to check; or that there is none, which is a finding and no error, unless one was named. */
async function findNode(options: DoctorOptions): Promise<NodeChoice | { readonly code: string }> {
  try {
    return await chooseNode(options.node);
  } catch (error) {
    const none = isQuorateError(error, 'CONTROL_UNAVAILABLE') && error.data['nodes'] === undefined;
    if (none && options.node === undefined) return { code: error.code };
    throw error;
  }
}

function describeNode({ greeting }: ControlClient): Diagnosis {
  const { node, mesh, version, pid } = greeting;
  return { check: 'running', level: 'ok', found: `${node} in mesh '${mesh}', quorate ${version}, process ${pid}` };
}

function checkSocket(path: string): Diagnosis {
  const mode = statSync(path).mode & 0o777;
  const found = `${path} is ${mode.toString(8).padStart(4, '0')}`;
  if ((mode & 0o077) === 0) return { check: 'control', level: 'ok', found };
  return {
    check: 'control',
    level: 'fail',
    found,
    advice: `Others on this machine can command the node: chmod 600 ${path}`,
  };
}

async function checkAddress(address: string, signal: AbortSignal): Promise<Diagnosis> {
  const { open, why } = await dial(address, signal);
  if (open) return { check: 'bootstrap', level: 'ok', found: `${address} answers` };
  const advice = 'Is that node up, and the address right?';
  return { check: 'bootstrap', level: 'fail', found: `${address} does not answer: ${why}`, advice };
}

function describe({ check, level, found, advice }: Diagnosis): string {
  const sign = { ok: pc.green('✓'), warn: pc.yellow('!'), fail: pc.red('✗') }[level];
  return `${sign} ${check.padEnd(10)} ${printable(found)}\n${advice === undefined ? '' : `${' '.repeat(13)}${pc.dim('→')} ${printable(advice)}\n`}`;
}
