/**
 * What every benchmark shares: its arguments, a measurement of operations too short for a timer, and one
 * way to say the result. `npm run bench -- NAME --json` ends with one line that is one JSON object.
 */
import { once } from 'node:events';
import { createServer } from 'node:net';
import { parseArgs } from 'node:util';
import { Bench } from 'tinybench';

type Figures = Readonly<Record<string, number | null>>;

/** The numbers given as `--name value`, with these defaults, and whether `--json` was. Anything else ends the process. */
export function benchArguments<const Defaults extends Readonly<Record<string, number>>>(
  defaults: Defaults,
): { readonly json: boolean } & { readonly [K in keyof Defaults]: number } {
  const names = Object.keys(defaults);
  try {
    const { values } = parseArgs({
      options: {
        json: { type: 'boolean', default: false },
        ...Object.fromEntries(names.map((name) => [name, { type: 'string' as const }])),
      },
    });
    const given = values as Record<string, string | boolean | undefined>;
    const numbers: Record<string, number> = {};
    for (const name of names) {
      const text = given[name];
      const number = text === undefined ? defaults[name] : Number(text);
      if (number === undefined || !Number.isFinite(number)) throw new Error(`--${name} must be a number.`);
      numbers[name] = number;
    }
    return { json: given['json'] === true, ...(numbers as { [K in keyof Defaults]: number }) };
  } catch (error) {
    console.error(error instanceof Error ? error.message : String(error));
    console.error(`Options: --json ${names.map((name) => `--${name} <number, ${defaults[name]}>`).join(' ')}`);
    process.exit(2);
  }
}

/**
 * Median time of one call of `operation` in nanoseconds. It is called in batches, since reading a clock costs as much as
 * a short operation does; it gets a running number, and what it returns is kept alive.
 */
export async function nanosecondsPerCall(
  operation: (call: number) => unknown,
  options: { readonly batch?: number; readonly timeMs?: number } = {},
): Promise<number> {
  const batch = options.batch ?? 1_000;
  const loop = loopOfItsOwn();
  const kept: unknown[] = [undefined];
  let call = 0;
  const bench = new Bench({ time: options.timeMs ?? 300, warmupTime: 100 });
  bench.add('operation', () => {
    kept[0] = loop(operation, call, batch);
    call += batch;
  });
  const [task] = await bench.run();
  const result = task?.result;
  if (result === undefined || result.state !== 'completed') {
    const cause = result !== undefined && 'error' in result ? result.error : undefined;
    throw new Error('The measurement did not complete.', { cause });
  }
  return (result.latency.p50 * 1e6) / batch;
}

type Loop = (operation: (call: number) => unknown, from: number, count: number) => unknown;

/** Compiled anew for each measurement: in a loop that all share, V8 would inline the first operation measured and call the rest. */
function loopOfItsOwn(): Loop {
  const body = 'let last; for (let i = 0; i < count; i++) last = operation(from + i); return last;';
  return new Function('operation', 'from', 'count', body) as Loop;
}

/** Bytes of heap that what `build` makes holds on to. Needs --expose-gc, which `npm run bench` gives. */
export async function heapBytesOf(build: () => unknown): Promise<number> {
  const collect = globalThis.gc;
  if (collect === undefined) throw new Error('Run node with --expose-gc to measure the heap.');
  collect();
  const before = process.memoryUsage().heapUsed;
  const kept = [await build()];
  collect();
  const after = process.memoryUsage().heapUsed;
  kept.pop(); // Only here, so that it cannot have been collected before.
  return after - before;
}

/** The value below which `share` (0 to 1) of the samples lie; null without samples. */
export function quantile(samples: readonly number[], share: number): number | null {
  const sorted = [...samples].sort((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))] ?? null;
}

/** Prints the figures as a table, and with `--json` as the last line. */
export function report(name: string, figures: Figures, json: boolean): void {
  const rounded = Object.fromEntries(
    Object.entries(figures).map(([key, value]) => [key, value === null ? null : Number(value.toPrecision(4))]),
  );
  const width = Math.max(...Object.keys(rounded).map((key) => key.length));
  console.log(`\n${name}`);
  for (const [key, value] of Object.entries(rounded)) console.log(`  ${key.padEnd(width)}  ${value ?? 'not measured'}`);
  if (json) console.log(JSON.stringify(rounded));
}

/** A port of the loopback interface that nobody listens on, for a peer that must be told one. */
export async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  server.close();
  await once(server, 'close');
  if (address === null || typeof address === 'string') throw new Error('no port was free');
  return address.port;
}
