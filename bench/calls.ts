/**
 * Calls between two processes, and within one: round trips one after the other, 64 at a time, a stream, a local call.
 * References in the same run, in rounds taken in turns: the same payload echoed over a bare libp2p stream (TLS),
 * and moleculer with its TCP transporter, which encrypts nothing.
 *
 *   npm run bench -- calls [--json] [-- --rounds 5 --trips 2000 --seconds 2]
 */
import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import type { FromSide, ToCaller } from './calls/side.ts';
import { benchArguments, freePort, quantile, report } from './harness.ts';

const { json, rounds, trips, seconds } = benchArguments({ rounds: 5, trips: 2_000, seconds: 2 });

const children: ChildProcess[] = [];

function start(system: string, ...args: string[]): ChildProcess {
  const child = fork(fileURLToPath(new URL(`./calls/${system}.ts`, import.meta.url)), args);
  children.push(child);
  child.once('exit', (code) => {
    if (code === 0) return;
    console.error(`The ${system} ${args[0] ?? ''} ended with ${code}.`);
    process.exit(1);
  });
  return child;
}

/** What a side says next; a side that dies instead says so on its own, and the benchmark ends. */
async function next(child: ChildProcess, type: FromSide['type']): Promise<FromSide> {
  const [message] = (await once(child, 'message')) as [FromSide];
  if (message.type !== type) throw new Error(`expected '${type}', got '${message.type}'`);
  return message;
}

/** The caller of a system whose caller is told the callee's address. */
async function pair(system: string): Promise<ChildProcess> {
  const callee = start(system, 'callee');
  const ready = await next(callee, 'ready');
  const caller = start(system, 'caller', ready.type === 'ready' ? ready.address : '');
  await next(caller, 'ready');
  return caller;
}

/** Undefined when the reference is not installed. */
async function moleculer(): Promise<ChildProcess | undefined> {
  if (!existsSync(new URL('./node_modules/moleculer', import.meta.url))) {
    console.error('moleculer is not installed (npm install --prefix bench): its figures are left out.');
    return undefined;
  }
  const [first, second] = [await freePort(), await freePort()];
  const callee = start('moleculer', 'callee', `${first},${second}`);
  await next(callee, 'ready');
  const caller = start('moleculer', 'caller', `${second},${first}`);
  await next(caller, 'ready'); // started
  await next(caller, 'ready'); // sees the service
  return caller;
}

async function ask(caller: ChildProcess, wish: ToCaller): Promise<{ samples: readonly number[]; value: number }> {
  caller.send(wish);
  const result = await next(caller, 'result');
  if (result.type !== 'result') throw new Error('no result');
  return { samples: result.samples ?? [], value: result.value ?? Number.NaN };
}

class System {
  readonly trips: number[] = [];
  readonly rates: number[] = [];
  readonly #caller: ChildProcess;

  constructor(caller: ChildProcess) {
    this.#caller = caller;
  }

  async round(keep: boolean): Promise<void> {
    const { samples } = await ask(this.#caller, { do: 'roundTrips', count: trips });
    const { value } = await ask(this.#caller, { do: 'inFlight', lanes: 64, forMs: (seconds * 1_000) / rounds });
    if (!keep) return;
    this.trips.push(...samples);
    this.rates.push(value);
  }
}

const median = (values: readonly number[]): number | null => quantile(values, 0.5);

try {
  const quorateCaller = await pair('quorate');
  const quorate = new System(quorateCaller);
  const raw = new System(await pair('raw'));
  const moleculerCaller = await moleculer();
  const other = moleculerCaller === undefined ? undefined : new System(moleculerCaller);
  const locals: number[] = [];
  const streams: number[] = [];
  // The first round warms the compilers up and is not counted.
  for (let round = 0; round <= rounds; round++) {
    for (const system of [raw, quorate, other]) await system?.round(round > 0);
    const local = await ask(quorateCaller, { do: 'local', forMs: 300 });
    const stream = await ask(quorateCaller, { do: 'stream', items: 1_000, itemBytes: 64 * 1_024 });
    if (round === 0) continue;
    locals.push(local.value);
    streams.push(stream.value);
  }
  const rttP50Us = median(quorate.trips);
  const rawStreamRttP50Us = median(raw.trips);
  report(
    'calls: two processes, 100-byte payload; Quorate and the bare stream with TLS, moleculer without',
    {
      localCallUs: median(locals),
      rttP50Us,
      rttP99Us: quantile(quorate.trips, 0.99),
      rawStreamRttP50Us,
      rttRatio: rttP50Us === null || rawStreamRttP50Us === null ? null : rttP50Us / rawStreamRttP50Us,
      inFlight64PerSec: median(quorate.rates),
      rawInFlight64PerSec: median(raw.rates),
      streamMBPerSec: median(streams),
      moleculerRttP50Us: other === undefined ? null : median(other.trips),
      moleculerInFlight64PerSec: other === undefined ? null : median(other.rates),
    },
    json,
  );
} finally {
  for (const child of children) child.disconnect();
}
