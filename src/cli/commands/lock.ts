/** `quorate lock`: holds a lock of the mesh while a command runs, as flock(1) does for one machine. */
import type { Command } from 'commander';
import type { ControlClient } from '../../control/client.ts';
import { isQuorateError, type Mesh, QuorateError, type Value } from '../../index.ts';
import { pc } from '../colors.ts';
import {
  agreeing,
  type CommandContext,
  type CommonOptions,
  given,
  parseNumber,
  runAction,
  withNode,
} from '../command.ts';
import { exitCodes } from '../exit-codes.ts';
import { HeldCommand } from '../held-command.ts';
import { toJson } from '../json.ts';
import { plural, shortId, table } from '../output.ts';

type Inspection = Awaited<ReturnType<Mesh['coordination']['inspect']>>;

interface LockOptions extends CommonOptions {
  readonly lease?: string;
  readonly timeout?: string;
  readonly wait: boolean;
  readonly killAfter?: string;
}

const defaultKillAfterMs = 2_000;

const help = `
The command finds the fencing token in QUORATE_TOKEN: pass it on to what you protect, which refuses a lower one than
it has seen. When the lock is lost the command gets SIGTERM, then SIGKILL. Whoever kills this program with SIGKILL
frees the lock, but not what the command started: only the token keeps that out.`;

export function registerLock(program: Command, context: CommandContext): void {
  const lock = agreeing(program.command('lock'))
    .usage('[options] <name> -- command args…\n       quorate lock inspect <name>')
    .description('hold a lock of the mesh while a command runs; its exit code is this one')
    .enablePositionalOptions()
    .helpCommand(false)
    .argument('<name>', 'of the lock, any text')
    .argument('[command...]', 'the command, after --')
    .option('--no-wait', 'only if it is free now; exit code 6 if not')
    .option('--lease <ms>', 'how long it stays held when this node dies (default 10000)')
    .option('--kill-after <ms>', `from SIGTERM to SIGKILL when the lock is lost (default ${defaultKillAfterMs})`)
    .addHelpText('after', help)
    .action(
      runAction(
        context,
        (_name: string, _command: readonly string[], options: LockOptions) => options.json === true,
        (name, command, options) => hold(context, name, command, options),
      ),
    );
  agreeing(lock.command('inspect'))
    .argument('<name>')
    .description('who holds it, with which token, and who waits; exit code 4 when nobody does')
    .action(
      runAction(
        context,
        (_name: string, options: LockOptions) => options.json === true,
        (name, options) =>
          withNode(context, options, async (client) => {
            const timeoutMs = parseNumber('timeout', options.timeout, 1);
            const found = (await client.request('lock.inspect', given({ name, timeoutMs }))) as unknown as Inspection;
            context.terminal.out(options.json ? `${toJson(found ?? null)}\n` : describe(name, found));
            return found === undefined ? exitCodes.noMatch : exitCodes.ok;
          }),
      ),
    );
}

async function hold(
  context: CommandContext,
  name: string,
  command: readonly string[],
  options: LockOptions,
): Promise<number> {
  const [program, ...args] = command;
  if (program === undefined) {
    throw new QuorateError(
      'INVALID_ARGUMENT',
      `Which command shall run under the lock? quorate lock ${name} -- command args… (Who holds it: quorate lock inspect ${name})`,
    );
  }
  const wanted = given({
    name,
    leaseMs: parseNumber('lease', options.lease, 1),
    timeoutMs: parseNumber('timeout', options.timeout, 1),
    wait: options.wait ? undefined : false,
  });
  const killAfterMs = parseNumber('kill-after', options.killAfter, 0) ?? defaultKillAfterMs;
  // Ctrl-C is for the wait first and for the command then; it never leaves the command running without us.
  const patient = { ...context, interrupted: new AbortController().signal };
  return withNode(patient, options, async (client) => {
    const held = await acquire(client, wanted, context.interrupted);
    if (held === undefined) return exitCodes.interrupted;
    const child = new HeldCommand(program, args, { QUORATE_TOKEN: String(held.token), QUORATE_LOCK: name });
    const onInterrupt = (): void => child.ask();
    context.interrupted.addEventListener('abort', onInterrupt, { once: true });
    if (context.interrupted.aborted) onInterrupt();
    try {
      const lost = await Promise.race([child.ended.then(() => undefined), held.lost]);
      if (lost !== undefined) {
        child.end(killAfterMs);
        await child.ended;
        throw gone(name, lost);
      }
      const code = await child.ended;
      await release(client, name, held.token);
      if (child.failure !== undefined) context.terminal.err(`${pc.red('✗')} ${child.failure}\n`);
      return code;
    } finally {
      context.interrupted.removeEventListener('abort', onInterrupt);
    }
  });
}

interface Held {
  readonly token: number;
  /** Resolves with the reason when it is held no more; with undefined when it was given back. */
  readonly lost: Promise<unknown>;
}

/** Undefined when the wait was interrupted. The request stays open for as long as the lock is held: it is what holds it. */
async function acquire(
  client: ControlClient,
  wanted: { readonly [key: string]: Value },
  interrupted: AbortSignal,
): Promise<Held | undefined> {
  const waiting = new AbortController();
  const onInterrupt = (): void => waiting.abort();
  interrupted.addEventListener('abort', onInterrupt, { once: true });
  if (interrupted.aborted) onInterrupt();
  try {
    const stream = client.stream('lock', wanted, waiting.signal)[Symbol.asyncIterator]();
    const first = await stream.next();
    if (first.done === true) return undefined;
    const { token } = first.value as { token: number };
    const lost = stream.next().then(
      () => undefined,
      (error: unknown) => error,
    );
    return { token, lost };
  } finally {
    interrupted.removeEventListener('abort', onInterrupt);
  }
}

/** The command is done: whoever comes next must not have to wait for the lease. */
async function release(client: ControlClient, name: string, token: number): Promise<void> {
  try {
    await client.request('lock.release', { name, token });
  } catch (error) {
    throw gone(name, error);
  }
}

function gone(name: string, cause: unknown): QuorateError {
  if (isQuorateError(cause, 'GRANT_LOST')) return cause;
  const why = cause instanceof Error ? cause.message : String(cause);
  return new QuorateError(
    'GRANT_LOST',
    `The lock '${name}' was lost before its command was done with it: ${why} Look at what the command did; others may have had the lock.`,
    { name },
    { cause },
  );
}

function describe(name: string, found: Inspection): string {
  if (found === undefined) return `${pc.dim(`Nobody holds '${name}', and nobody waits for it.`)}\n`;
  const { sort, holders, waiters, waiting, permits } = found;
  const now = Date.now();
  const until = (at: number): string => `${Math.max(0, Math.round((at - now) / 100) / 10)} s`;
  const rows = [
    ...holders.map((holder) => [shortId(holder.node), 'holds it', String(holder.token), until(holder.leaseEndsAt)]),
    ...waiters.map((waiter) => [shortId(waiter.node), 'waits', '', until(waiter.waitsUntil)]),
  ];
  const of = sort === 'lock' ? '' : ` (${sort}, ${plural(permits, 'permit')})`;
  const more = waiting > waiters.length ? `, ${waiting} wait in all` : '';
  return `${table(['NODE', 'STATE', 'TOKEN', 'LEASE ENDS IN'], rows)}${pc.dim(`'${name}'${of}${more}. A lease is renewed for as long as its holder lives.`)}\n`;
}
