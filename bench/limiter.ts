/**
 * A limit shared by ten nodes (real connections, in a few processes) that all want more than there is: what passes in the best and the worst second. And what one decision costs, beside
 * rate-limiter-flexible in memory.
 *
 * Requests come as a Poisson process at each node, 1.5 times its part of the limit in all. The burst is a twentieth of the limit, so that a pause of a process, after which its bucket is full, stays within 5 %. A second is any second: the admissions of all processes are merged by the machine's monotonic clock.
 * `rebalanceMs`: one node begins to want four times as much while the others want half; until it passes nine tenths of what is then its share. `partitionOverPercent` comes from a
 * simulated cut (virtual time, 30 s, the demand moves on both sides), because a host firewall is not ours to change; the nodes run the same code.
 *
 *   npm run bench -- limiter [--json] [-- --nodes 10 --processes 2 --seconds 10]
 */
import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { setTimeout as pause } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { createMesh } from '../src/index.ts';
import { divide } from '../src/protocols/infrastructure/limiter/shares.ts';
import { LimiterWorld } from '../test/simulation/infrastructure/limiter-world.ts';
import { benchArguments, nanosecondsPerCall, report } from './harness.ts';
import type { FromHost, HostConfig, ToHost } from './limiter/host.ts';

const { json, nodes, processes, seconds, target, burst } = benchArguments({
  nodes: 10,
  processes: 2,
  seconds: 10,
  target: 1_000,
  burst: 50,
});
const id = 'bench';
const overload = 1.5;

async function decision(): Promise<number> {
  await using mesh = await createMesh();
  // Far more than can be asked for, so that every decision takes tokens.
  const limiter = mesh.infrastructure.rateLimiter({ id, requestsPerSecond: 1e8 });
  return await nanosecondsPerCall(() => limiter.tryAcquire());
}

async function flexibleDecision(): Promise<number | null> {
  if (!existsSync(new URL('./node_modules/rate-limiter-flexible', import.meta.url))) {
    console.log('rate-limiter-flexible is not installed (npm install --prefix bench): its figure will be null');
    return null;
  }
  const name = 'rate-limiter-flexible';
  const { RateLimiterMemory } = (await import(name)) as {
    RateLimiterMemory: new (options: {
      points: number;
      duration: number;
    }) => { consume(key: string): Promise<unknown> };
  };
  const limiter = new RateLimiterMemory({ points: 1e9, duration: 1 });
  const rounds = 200_000;
  const times: number[] = [];
  for (let round = 0; round < 5; round++) {
    const start = performance.now();
    for (let call = 0; call < rounds; call++) await limiter.consume('k');
    times.push(((performance.now() - start) * 1e6) / rounds);
  }
  return times.sort((a, b) => a - b)[2] ?? null;
}

interface Shared {
  readonly admittedPerSec: number;
  readonly worstSecondOverPercent: number;
  readonly worstSecondUnderPercent: number;
  readonly rebalanceMs: number | null;
}

const machineNow = (): number => Number(process.hrtime.bigint()) / 1e6;

async function shared(): Promise<Shared> {
  await using founder = await createMesh({ mode: 'cluster', name: 'bench-limiter' });
  const bootstrap = founder.status().addresses;
  const hosts: ChildProcess[] = [];
  try {
    for (let at = 0; at < processes; at++) {
      const own = Math.floor(nodes / processes) + (at < nodes % processes ? 1 : 0);
      hosts.push(start({ bootstrap, nodes: own, total: nodes, id, requestsPerSecond: target, burst, seed: at + 1 }));
    }
    await Promise.all(hosts.map((host) => once(host, 'message')));
    const each = (overload * target) / nodes;
    const begin = machineNow();
    ask(hosts, () => each);
    await pause(3_000 + seconds * 1_000);
    const steady = await admissions(hosts);
    const window = seconds * 1_000;
    const from = begin + 2_500;
    const passed = steady.flat().sort((a, b) => a - b);
    const { most, fewest } = extremes(passed, from, from + window);

    const eager = (node: number): number => (node === 0 ? each * 4 : each / 2);
    const turned = machineNow();
    ask(hosts, eager);
    await pause(3_000);
    const [first = []] = await admissions(hosts);
    for (const host of hosts) host.disconnect();
    return {
      admittedPerSec: (passed.filter((at) => at >= from && at < from + window).length * 1_000) / window,
      worstSecondOverPercent: (100 * (most - target)) / target,
      worstSecondUnderPercent: (100 * (target - fewest)) / target,
      rebalanceMs: untilRate(first, turned, eagerShare(eager)),
    };
  } finally {
    for (const host of hosts) host.kill();
  }
}

/** What the eager node is to pass. */
function eagerShare(rateOf: (node: number) => number): number {
  const claims = Array.from({ length: nodes }, (_, node) => ({ demand: rateOf(node), capacity: undefined }));
  return Math.min(rateOf(0), divide(target, 'byDemand', claims)[0] as number);
}

function start(config: HostConfig): ChildProcess {
  return fork(fileURLToPath(new URL('./limiter/host.ts', import.meta.url)), [JSON.stringify(config)]);
}

function ask(hosts: readonly ChildProcess[], rateOf: (node: number) => number): void {
  let node = 0;
  for (const [at, host] of hosts.entries()) {
    const own = Math.floor(nodes / processes) + (at < nodes % processes ? 1 : 0);
    const rates = Array.from({ length: own }, () => rateOf(node++));
    host.send({ type: 'ask', rates } satisfies ToHost);
  }
}

/** By node, since the last call. */
async function admissions(hosts: readonly ChildProcess[]): Promise<number[][]> {
  const answers = hosts.map((host) => once(host, 'message') as Promise<[FromHost]>);
  for (const host of hosts) host.send({ type: 'report' } satisfies ToHost);
  const lists: number[][] = [];
  for (const [answer] of await Promise.all(answers)) if (answer.type === 'admitted') lists.push(...answer.times);
  return lists;
}

function extremes(times: readonly number[], from: number, to: number): { most: number; fewest: number } {
  const within = times.filter((time) => time >= from && time <= to);
  let [most, fewest, end] = [0, Infinity, 0];
  for (const [at, time] of within.entries()) {
    while (end < within.length && (within[end] as number) < time + 1_000) end += 1;
    most = Math.max(most, end - at);
    // A second that begins right after this admission.
    if (time + 1_000 <= to) fewest = Math.min(fewest, end - at - 1);
  }
  return { most, fewest };
}

/** Milliseconds from `since` until nine tenths of the rate have passed in some 200 ms. */
function untilRate(times: readonly number[], since: number, rate: number): number | null {
  const span = 200;
  const enough = (0.9 * rate * span) / 1_000;
  for (const [at, time] of times.entries()) {
    if (time < since + span) continue;
    const recent = times.slice(Math.max(0, at - Math.ceil(enough) * 2), at + 1).filter((past) => past > time - span);
    if (recent.length >= enough) return time - since;
  }
  return null;
}

/** Most that passed in any second of a cut that lasts 30 s, over three runs. */
async function partitionOver(): Promise<number> {
  let worst = 0;
  for (const seed of [1, 2, 3]) {
    const world = new LimiterWorld({ id, requestsPerSecond: target, burst }, { seed });
    for (let node = 0; node < nodes; node++) world.join();
    for (const node of world.nodes) node.ask((overload * target) / nodes);
    await world.run(4_000);
    const left = world.nodes.slice(0, Math.floor(nodes / 3));
    world.shared.partition(left.map(({ entries }) => entries));
    const cutAt = world.now;
    for (const node of world.nodes) node.ask(left.includes(node) ? target : target / nodes);
    await world.run(15_000);
    for (const node of world.nodes) node.ask(left.includes(node) ? target / nodes : target);
    await world.run(15_000);
    worst = Math.max(worst, world.seconds(cutAt, world.now).most);
  }
  return (100 * (worst - target)) / target;
}

const decideNs = await decision();
const rateLimiterFlexibleNs = await flexibleDecision();
const partitionOverPercent = await partitionOver();
report('limiter', { decideNs, rateLimiterFlexibleNs, nodes, target, ...(await shared()), partitionOverPercent }, json);
