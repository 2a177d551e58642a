/**
 * How soon a changed entry is readable in another process: one of 100 entries of about 120 bytes is changed every 10 ms.
 * Reference in the same run: y-websocket with its own server (a third process), not signed and not encrypted.
 *
 *   npm run bench -- visibility [--json] [-- --changes 300 --rounds 3]
 */
import { type ChildProcess, fork, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { benchArguments, freePort, quantile, report } from './harness.ts';
import type { FromSide, Side } from './visibility/side.ts';

const { json, changes, rounds } = benchArguments({ changes: 300, rounds: 3 });

interface Outcome {
  readonly latencies: number[];
  readonly rss: number;
}

/** One side in its own process; resolves once it is ready. */
async function startSide(
  system: string,
  side: Side,
  address: string,
): Promise<{ child: ChildProcess; address: string }> {
  const file = new URL(`./visibility/${system}.ts`, import.meta.url);
  const child = fork(file, address === '' ? [side] : [side, address]);
  const [ready] = (await once(child, 'message')) as [FromSide];
  if (ready.type !== 'ready') throw new Error(`${system} ${side} said '${ready.type}' before it was ready`);
  return { child, address: ready.address };
}

/** Lets the writer make its changes, and collects what the reader saw until it saw them all. */
async function measure(writer: ChildProcess, reader: ChildProcess): Promise<Outcome> {
  const latencies: number[] = [];
  const done = new Promise<void>((resolve, reject) => {
    const timer = setTimeout(
      () => reject(new Error(`the reader saw ${latencies.length} of ${changes} changes`)),
      60_000,
    );
    reader.on('message', (message: FromSide) => {
      if (message.type !== 'latency') return;
      latencies.push(message.ms);
      if (latencies.length < changes) return;
      clearTimeout(timer);
      resolve();
    });
  });
  writer.send(changes);
  await done;
  const rss = Promise.withResolvers<number>();
  reader.on('message', (message: FromSide) => message.type === 'rss' && rss.resolve(message.bytes));
  reader.send('rss');
  return { latencies, rss: await rss.promise };
}

async function quorate(): Promise<Outcome> {
  const reader = await startSide('quorate', 'reader', '');
  const writer = await startSide('quorate', 'writer', reader.address);
  const outcome = await measure(writer.child, reader.child);
  for (const { child } of [writer, reader]) child.kill();
  return outcome;
}

async function yWebsocket(): Promise<Outcome> {
  const port = await freePort();
  const server = spawn(
    process.execPath,
    [fileURLToPath(new URL('./node_modules/y-websocket/bin/server.cjs', import.meta.url))],
    {
      env: { ...process.env, HOST: '127.0.0.1', PORT: String(port) },
      stdio: ['ignore', 'pipe', 'inherit'],
    },
  );
  await once(server.stdout, 'data'); // It prints one line once it listens.
  const url = `ws://127.0.0.1:${port}`;
  const reader = await startSide('y-websocket', 'reader', url);
  const writer = await startSide('y-websocket', 'writer', url);
  const outcome = await measure(writer.child, reader.child);
  for (const child of [writer.child, reader.child, server]) child.kill();
  return outcome;
}

const havePeer = existsSync(new URL('./node_modules/y-websocket', import.meta.url));
if (!havePeer) console.log('y-websocket is not installed (npm install --prefix bench): its figures will be null');
const ours: number[] = [];
const theirs: number[] = [];
let rss = 0;
for (let round = 0; round < rounds; round++) {
  const mine = await quorate();
  ours.push(...mine.latencies);
  rss = Math.max(rss, mine.rss);
  if (havePeer) theirs.push(...(await yWebsocket()).latencies);
}
report(
  'visibility',
  {
    p50Ms: quantile(ours, 0.5),
    p99Ms: quantile(ours, 0.99),
    rssMB: rss / 1e6,
    yWebsocketP50Ms: quantile(theirs, 0.5),
    yWebsocketP99Ms: quantile(theirs, 0.99),
  },
  json,
);
