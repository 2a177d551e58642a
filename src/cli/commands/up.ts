/** `quorate up`: one node in the foreground, until Ctrl-C. */
import { resolve as resolvePath } from 'node:path';
import { pathToFileURL } from 'node:url';
import type { Command } from 'commander';
import {
  type CallContext,
  createMesh,
  type Logger,
  type Mesh,
  type MeshOptions,
  QuorateError,
  serveControl,
} from '../../index.ts';
import { asMultiaddr } from '../addresses.ts';
import { pc } from '../colors.ts';
import { type CommandContext, given, parseList, parseNumber, runAction } from '../command.ts';
import { exitCodes } from '../exit-codes.ts';
import { invocation, joinLine } from '../join-line.ts';
import { toJson } from '../json.ts';
import { networkKeyVariable, readNetworkKey } from '../network-key.ts';
import { shortId, type Terminal } from '../output.ts';
import { describeEvent } from './watch.ts';

interface UpOptions {
  readonly name?: string;
  readonly zone?: string;
  readonly dataDir?: string;
  readonly listen?: readonly string[];
  readonly announce?: readonly string[];
  readonly bootstrap?: readonly string[];
  readonly networkKeyFile?: string;
  readonly allow?: readonly string[];
  readonly validators?: string;
  readonly f?: string;
  readonly group?: string;
  readonly durable: boolean;
  readonly trustChanges?: boolean;
  readonly echo?: boolean | string;
  readonly load?: readonly string[];
  readonly control: boolean;
  readonly json?: boolean;
}

export function registerUp(program: Command, context: CommandContext): void {
  program
    .command('up')
    .description('run a node in the foreground until Ctrl-C; prints the line with which others join')
    .option('--name <name>', 'name of the mesh; meshes of different names never merge')
    .option('--zone <zone>', 'where this node is, e.g. eu-west-1a')
    .option('--data-dir <dir>', 'keep the identity here; without it the node is a new one each time')
    .option('--listen <address...>', 'multiaddr, host:port or port (default: a free port on loopback)')
    .option('--announce <address...>', 'tell others these addresses instead')
    .option('--bootstrap <address...>', 'members to join by; any one is enough')
    .option(
      '--network-key-file <file>',
      `pre-shared key, from 'quorate keygen --network' (or in ${networkKeyVariable})`,
    )
    .option('--allow <id...>', 'only these node ids may be members')
    .option('--validators <ids>', "found the group that decides, with these nodes: id,id,… ('self': this node)")
    .option('--f <n>', 'how many validators may lie (default: as many as their number bears; 0: they only crash)')
    .option('--group <id>', "accept no other group of validators than this (its id: 'quorate validators')")
    .option('--trust-changes', 'second every change of validators that another of them votes for')
    .option('--no-durable', 'a validator here keeps its promises in memory only, and must never come back')
    .option('--echo [id]', 'register an agent that sends back what it is sent (id: echo)')
    .option('--load <module...>', 'import this module and call its default export with the mesh, to register agents')
    .option('--no-control', 'no control socket: the other commands cannot reach this node')
    .option('--json', 'print one JSON line per event')
    .action(
      runAction(
        context,
        (options: UpOptions) => options.json === true,
        (options) => up(context, options),
      ),
    );
}

type Report = (event: string, facts: Record<string, unknown>, text: string) => void;

function reporter(terminal: Terminal, json: boolean): Report {
  return (event, facts, text) => {
    const at = new Date();
    terminal.out(json ? `${toJson({ at, event, ...facts })}\n` : `${pc.dim(at.toLocaleTimeString())} ${text}\n`);
  };
}

function meshOptions(options: UpOptions, logger: Logger): MeshOptions {
  const networkKey = readNetworkKey(options.networkKeyFile);
  const chosen = {
    name: options.name,
    zone: options.zone,
    dataDir: options.dataDir,
    listen: options.listen?.map(asMultiaddr),
    announce: options.announce?.map(asMultiaddr),
    bootstrap: options.bootstrap?.map(asMultiaddr),
    networkKey,
    allow: options.allow as MeshOptions['allow'],
    coordination: coordinationOptions(options),
  };
  const given = Object.entries(chosen).filter(([, value]) => value !== undefined);
  return { mode: 'cluster', logger, ...(Object.fromEntries(given) as MeshOptions) };
}

/** What is no node id is left to `createMesh`, which names all that is wrong. */
function coordinationOptions(options: UpOptions): MeshOptions['coordination'] {
  const { validators, group, durable, trustChanges } = options;
  return given({
    validators: validators === undefined ? undefined : parseList('validators', validators),
    f: parseNumber('f', options.f, 0),
    group,
    durable: durable ? undefined : false,
    changes: trustChanges ? 'trust' : undefined,
  }) as MeshOptions['coordination'];
}

async function up(context: CommandContext, options: UpOptions): Promise<number> {
  const { terminal, interrupted } = context;
  const json = options.json === true;
  const report = reporter(terminal, json);
  const log =
    (level: 'warn' | 'error'): Logger['warn'] =>
    (message, data) =>
      report('log', { level, message, data }, `${(level === 'warn' ? pc.yellow : pc.red)(level)} ${message}`);
  const silent = (): void => undefined;
  const settings = meshOptions(options, { debug: silent, info: silent, warn: log('warn'), error: log('error') });
  const mesh = await createMesh(settings);
  try {
    const control = options.control ? await serveControl(mesh, { options: settings }) : undefined;
    try {
      await registerAgents(mesh, options);
      announce(mesh, options, terminal, control?.path);
      await followEvents(mesh, report, interrupted);
    } finally {
      await control?.stop();
    }
  } finally {
    await mesh.stop();
  }
  report('stopped', { node: mesh.id }, 'stopped; the mesh was told');
  return exitCodes.ok;
}

async function registerAgents(mesh: Mesh, options: UpOptions): Promise<void> {
  if (options.echo !== undefined && options.echo !== false) {
    const id = options.echo === true ? 'echo' : options.echo;
    const echo = (message: unknown, _context: CallContext): unknown => message;
    await mesh.registry.register(id, echo, { capabilities: ['echo'] });
  }
  for (const path of options.load ?? []) {
    const loaded = (await import(pathToFileURL(resolvePath(path)).href)) as { default?: unknown };
    if (typeof loaded.default !== 'function') {
      throw new QuorateError(
        'INVALID_ARGUMENT',
        `${path} has no default export that is a function. It needs: export default async (mesh) => { await mesh.registry.register(…) }`,
        { path },
      );
    }
    await (loaded.default as (mesh: Mesh) => Promise<void>)(mesh);
  }
}

function announce(mesh: Mesh, options: UpOptions, terminal: Terminal, control: string | undefined): void {
  const { name, zone, addresses, version } = mesh.status();
  const hasNetworkKey = options.networkKeyFile !== undefined || Boolean(process.env[networkKeyVariable]);
  const join = joinLine({ name, addresses, networkKeyFile: options.networkKeyFile, hasNetworkKey });
  if (options.json) {
    const facts = { node: mesh.id, mesh: name, zone, version, pid: process.pid, addresses, join, control };
    terminal.out(`${toJson({ at: new Date(), event: 'ready', ...facts })}\n`);
    return;
  }
  const row = (what: string, text: string): void => terminal.out(`  ${pc.dim(what.padEnd(10))} ${text}\n`);
  terminal.out(`\n${pc.bold(`Node ${mesh.id}`)}\n\n`);
  row('mesh', `${name}${hasNetworkKey ? ' (with a pre-shared key)' : ''}`);
  row('zone', zone);
  row(
    'identity',
    options.dataDir === undefined ? 'new; gone when it stops (--data-dir keeps one)' : `kept in ${options.dataDir}`,
  );
  for (const address of addresses) row('address', address);
  if (join !== undefined) terminal.out(`\nAnother terminal joins with\n\n  ${pc.cyan(join)}\n`);
  if (control !== undefined) {
    const command = invocation();
    const asks = ['status', 'members', 'agents', 'validators', 'watch', 'doctor'].map((name) =>
      pc.cyan(`${command} ${name}`),
    );
    terminal.out(`\nand asks with ${asks.join(', ')}. Ctrl-C stops the node.\n`);
  }
  terminal.out('\n');
}

/** Prints members and agents as they come and go; ends with Ctrl-C. */
async function followEvents(mesh: Mesh, report: Report, signal: AbortSignal): Promise<void> {
  const off = mesh.membership.on('change', ({ member, previous }) => {
    if (member.id === mesh.id || member.state === previous) return;
    report('member', { member, previous }, describeEvent({ type: 'member', member, previous }));
  });
  const offValidators = mesh.on('validators', (change) => {
    const { epoch, validators, f } = change;
    report('validators', change, `validators: ${validators.map(shortId).join(', ')} (f = ${f}, epoch ${epoch})`);
  });
  try {
    for await (const event of mesh.registry.watch(undefined, { signal })) {
      const { type, ...facts } = event;
      report(`agent-${type}`, facts, describeEvent(event));
    }
  } finally {
    off();
    offValidators();
  }
  if (!signal.aborted)
    throw new QuorateError('STOPPED', `The node ${shortId(mesh.id)} stopped by itself; its log says why.`);
}
