/**
 * Shared variables: reading one, setting one, how soon another process shows it, working out a value from 100 contributions, and agreeing on one with four
 * validators (a process each, f = 1, synced to disk) from a node that is none.
 *
 *   npm run bench -- variables [--json] [-- --changes 150 --rounds 3 --sets 400]
 */
import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { tmpdir } from 'node:os';
import { setImmediate as turn } from 'node:timers/promises';
import { HybridClock } from '../src/hlc.ts';
import { createMesh, type NodeId, type Variable } from '../src/index.ts';
import { Contributions } from '../src/protocols/variables/contributions.ts';
import { decide } from '../src/protocols/variables/decision.ts';
import { completeDefinition } from '../src/protocols/variables/definition.ts';
import { writeContribution } from '../src/protocols/variables/entries.ts';
import { NumberKind } from '../src/protocols/variables/kinds/number.ts';
import type { Value } from '../src/value.ts';
import { benchArguments, nanosecondsPerCall, quantile, report } from './harness.ts';
import { ReplicaGroup } from './pbft/group.ts';
import type { FromSide, Side } from './visibility/side.ts';

const { json, changes, rounds, sets } = benchArguments({ changes: 150, rounds: 3, sets: 400 });
const options = { min: 0, max: 1e6, default: 0 } as const;
/** A power of two, to pick one by a mask. */
const known = 512;

async function reads(): Promise<{ readonly readNs: number; readonly mapGetNs: number; readonly setLocalUs: number }> {
  await using mesh = await createMesh();
  const names = Array.from({ length: known }, (_, at) => `variable ${at}`);
  const variables: Variable<number>[] = names.map((name) => mesh.variables.float(name, options));
  const map = new Map(names.map((name, at) => [name, at]));
  const mask = known - 1;
  const readNs = await nanosecondsPerCall((call) => (variables[call & mask] as Variable<number>).value);
  const mapGetNs = await nanosecondsPerCall((call) => map.get(names[call & mask] as string));
  // Each variable is set fewer times than go out as they come, so that every set is written.
  const samples: number[] = [];
  for (const variable of variables.slice(0, 100)) {
    const begin = performance.now();
    for (let value = 1; value <= 50; value++) await variable.set(value);
    samples.push((performance.now() - begin) / 50);
    await turn();
  }
  return { readNs, mapGetNs, setLocalUs: (quantile(samples, 0.5) as number) * 1e3 };
}

/** One of 100 contributions has changed: it is read, and the value worked out by performance. */
async function resolve100(): Promise<number> {
  const kind = new NumberKind('x', 'float', options);
  const definition = completeDefinition('x', kind, {}, 0, (error) => {
    throw error;
  });
  const hlc = new HybridClock(Date.now);
  const nodes = Array.from({ length: 100 }, (_, at) => `12D3KooW${String(at).padStart(44, '0')}` as NodeId);
  const { digest } = definition;
  const entryOf = (value: number): Value =>
    writeContribution({ value, weight: 1, performance: 0.9, at: hlc.now(), version: 1, digest, held: undefined });
  const entries = new Map(nodes.map((node, at) => [node, entryOf(at)]));
  const fresh = Array.from({ length: 1_000 }, (_, at) => entryOf(at));
  const contributions = new Contributions({ self: 'self' as NodeId, definition, hlc, isInScope: () => true });
  const memory = { agreed: undefined, held: undefined, contributes: false, wallNowMs: 0, stamp: () => 0 };
  const nanoseconds = await nanosecondsPerCall(
    (call) => {
      entries.set(nodes[call % 100] as NodeId, fresh[(call * 7) % 1_000] as Value);
      return decide(definition, contributions.read(entries, undefined, 0), memory).value;
    },
    { batch: 50 },
  );
  return nanoseconds / 1e3;
}

async function startSide(
  side: Side,
  address: string,
): Promise<{ readonly child: ChildProcess; readonly address: string }> {
  const child = fork(new URL('./variables/side.ts', import.meta.url), address === '' ? [side] : [side, address]);
  const [ready] = (await once(child, 'message')) as [FromSide];
  if (ready.type !== 'ready') throw new Error(`${side} said '${ready.type}' before it was ready`);
  return { child, address: ready.address };
}

/** Changes may be seen together, so fewer may be seen than were made; none is waited for longer than a second after the last. */
async function visible(): Promise<number[]> {
  const reader = await startSide('reader', '');
  const writer = await startSide('writer', reader.address);
  const latencies: number[] = [];
  await new Promise<void>((resolve) => {
    let silence = setTimeout(resolve, 20_000);
    reader.child.on('message', (message: FromSide) => {
      if (message.type !== 'latency') return;
      latencies.push(message.ms);
      clearTimeout(silence);
      silence = setTimeout(resolve, 1_000);
      if (latencies.length === changes) resolve();
    });
    writer.child.send(changes);
  });
  for (const { child } of [writer, reader]) child.kill();
  return latencies;
}

async function strong(): Promise<number[]> {
  const group = await ReplicaGroup.start(tmpdir(), 4, 1);
  try {
    await using client = await createMesh({ mode: 'cluster', name: group.meshName, bootstrap: group.addresses });
    await group.settled(client);
    const variable = client.variables.float('budget', { ...options, sync: 'strong' });
    const samples: number[] = [];
    for (let value = 1; value <= sets; value++) {
      const begin = performance.now();
      await variable.set(value);
      samples.push(performance.now() - begin);
    }
    return samples.slice(Math.floor(sets / 4));
  } finally {
    await group.stop();
  }
}

const local = await reads();
const resolve100ContributionsUs = await resolve100();
const seen: number[] = [];
for (let round = 0; round < rounds; round++) seen.push(...(await visible()));
const agreed = await strong();
report(
  'variables',
  {
    ...local,
    readRatio: local.readNs / local.mapGetNs,
    resolve100ContributionsUs,
    visibleP50Ms: quantile(seen, 0.5),
    visibleP99Ms: quantile(seen, 0.99),
    visibleSeen: seen.length / (rounds * changes),
    strongSetP50Ms: quantile(agreed, 0.5),
    strongSetP99Ms: quantile(agreed, 0.99),
  },
  json,
);
process.exit(0);
