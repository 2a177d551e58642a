/**
 * What a whole mesh costs and how fast it knows: joining, an update reaching everybody, a killed and a
 * stopped node being noticed, and what a node costs when nothing happens.
 *
 *   npm run bench -- mesh [--json] -- --nodes 100 --agents 1000
 *
 * Processes hold ten nodes each; one more holds the node that is killed, one the node that is stopped. The
 * reference is Serf (Debian), measured on a machine of this kind; it is quoted, not run.
 */
import { type ChildProcess, fork } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { setTimeout as delay } from 'node:timers/promises';
import { benchArguments, quantile, report } from './harness.ts';
import type { FromHost, ToHost } from './mesh/host.ts';

const nodesPerProcess = 10;
const serf: Record<number, Record<string, number>> = {
  30: {
    joinAllMs: 456,
    updateP50Ms: 253,
    updateP99Ms: 539,
    killDetectedFirstMs: 8_100,
    killDetectedAllMs: 8_400,
    idleCpuPercentPerNode: 0.23,
    rssMBPerNode: 14.6,
  },
  100: {
    joinAllMs: 2_197,
    updateP50Ms: 345,
    updateP99Ms: 617,
    killDetectedFirstMs: 10_000,
    killDetectedAllMs: 10_400,
    idleCpuPercentPerNode: 0.23,
    rssMBPerNode: 15.2,
  },
};

type Of<T extends FromHost['type']> = Extract<FromHost, { type: T }>;

/** One child process, its messages kept in the order they came. */
class Host {
  readonly child: ChildProcess;
  readonly inbox: FromHost[] = [];
  readonly #waiting = new Set<() => void>();
  nodes = 0;

  constructor() {
    this.child = fork(new URL('./mesh/host.ts', import.meta.url), { serialization: 'advanced' });
    this.child.on('message', (message: FromHost) => {
      this.inbox.push(message);
      for (const wake of [...this.#waiting]) wake();
    });
    this.child.on('exit', () => {
      for (const wake of [...this.#waiting]) wake();
    });
  }

  send(message: ToHost): void {
    this.child.send(message);
  }

  all<T extends FromHost['type']>(type: T): Of<T>[] {
    return this.inbox.filter((message): message is Of<T> => message.type === type);
  }

  /** The first message of that type that passes, already here or to come. */
  async next<T extends FromHost['type']>(
    type: T,
    passes: (message: Of<T>) => boolean,
    withinMs: number,
  ): Promise<Of<T>> {
    const until = Date.now() + withinMs;
    for (;;) {
      const found = this.all(type).find(passes);
      if (found !== undefined) return found;
      const left = until - Date.now();
      if (left <= 0) throw new Error(`a process sent no '${type}' within ${withinMs} ms`);
      if (this.child.exitCode !== null) throw new Error(`a process ended with code ${this.child.exitCode}`);
      await new Promise<void>((resolve) => {
        const timer = setTimeout(done, left);
        const waiting = this.#waiting;
        function done(): void {
          clearTimeout(timer);
          waiting.delete(done);
          resolve();
        }
        waiting.add(done);
      });
    }
  }
}

const { json, nodes: nodeCount, agents: agentCount } = benchArguments({ nodes: 100, agents: 1_000 });
if (!Number.isInteger(nodeCount) || nodeCount < 4 || !Number.isInteger(agentCount) || agentCount < nodeCount) {
  throw new Error('--nodes must be a whole number from 4 on, --agents at least as many');
}

const say = (text: string): void => console.log(text);
const machineNow = (): number => Number(process.hrtime.bigint()) / 1e6;
const whole = (value: number | null | undefined): number | null => (value == null ? null : Math.round(value));

const big = Array.from({ length: Math.ceil((nodeCount - 2) / nodesPerProcess) }, () => new Host());
const victim = new Host();
const sleeper = new Host();
const hosts = [...big, sleeper, victim];
process.on('exit', () => {
  for (const host of hosts) host.child.kill('SIGKILL');
});

/** Fills the processes with nodes, the first of all alone. */
async function startAll(): Promise<{ firstStartAt: number; lastStartAt: number }> {
  const agentsOf = (index: number): number =>
    Math.floor(agentCount / nodeCount) + (index < agentCount % nodeCount ? 1 : 0);
  let index = 0;
  const startOne = async (host: Host, bootstrap: readonly string[]): Promise<Of<'started'>> => {
    const mine = index++;
    host.send({ type: 'start', bootstrap, agents: agentsOf(mine), index: mine });
    const position = host.nodes++;
    return host
      .next('started', () => host.all('started').length > position, 120_000)
      .then(() => host.all('started')[position] as Of<'started'>);
  };
  const first = await startOne(big[0] as Host, []);
  const shares: number[] = hosts.map((host) => (host === victim || host === sleeper ? 1 : 0));
  for (let left = nodeCount - 3, at = 0; left > 0; left--, at = (at + 1) % big.length)
    shares[at] = (shares[at] ?? 0) + 1;
  // As many at a time as there are cores; more would only measure how long a queue gets. `startAllMs` tells what all took.
  const queue = hosts.flatMap((host, at) => Array.from({ length: shares[at] ?? 0 }, () => host));
  const starter = async (): Promise<void> => {
    for (let host = queue.shift(); host !== undefined; host = queue.shift()) {
      // Any member will do to join by: the last one of the same process, or the first of all.
      await startOne(host, [host.all('started').at(-1)?.address ?? first.address]);
    }
  };
  await Promise.all(Array.from({ length: availableParallelism() }, starter));
  const starts = hosts.flatMap((host) => host.all('started').map((message) => message.calledAt));
  return { firstStartAt: Math.min(...starts), lastStartAt: Math.max(...starts) };
}

async function measureUpdates(): Promise<number[]> {
  const first = big[0] as Host;
  const observers = hosts;
  const latencies: number[] = [];
  for (let n = 1; n <= 100; n++) {
    first.send({ type: 'update', round: n });
    const { at } = await first.next('updated', (message) => message.round === n, 10_000);
    for (const host of observers) {
      const seen = await host.next('seen', (message) => message.round === n, 30_000);
      for (const time of seen.at) latencies.push(time - at);
    }
    await delay(20);
  }
  return latencies.sort((a, b) => a - b);
}

const verdicts = (from: readonly Host[], passes: (verdict: Of<'verdict'>) => boolean): Of<'verdict'>[] =>
  from.flatMap((host) => host.all('verdict')).filter(passes);

/** When each of `observers` first had a verdict on `accused` after `since`; waits until all have, or gives up. */
async function allKnow(
  observers: readonly Host[],
  accused: string,
  since: number,
  withinMs: number,
): Promise<number[]> {
  const wanted = observers.reduce((sum, host) => sum + host.nodes, 0);
  const until = Date.now() + withinMs;
  for (;;) {
    const first = new Map<string, number>();
    for (const verdict of verdicts(observers, (one) => one.accused === accused && one.at >= since)) {
      if (!first.has(verdict.observer)) first.set(verdict.observer, verdict.at - since);
    }
    if (first.size >= wanted) return [...first.values()].sort((a, b) => a - b);
    if (Date.now() > until)
      throw new Error(`only ${first.size} of ${wanted} nodes know of ${accused} after ${withinMs} ms`);
    await delay(5);
  }
}

/** Bytes that crossed the loopback interface, TCP/IP headers and acknowledgements included. */
function loopbackBytes(): number {
  const line = readFileSync('/proc/net/dev', 'utf8')
    .split('\n')
    .find((one) => one.trim().startsWith('lo:'));
  return Number(line?.trim().split(/\s+/)[9] ?? Number.NaN);
}

async function usage(): Promise<{ cpuMs: number; rss: number; agents: number }> {
  const reports: Of<'usage'>[] = [];
  for (const host of hosts.filter((one) => one !== victim)) {
    const before = host.all('usage').length;
    host.send({ type: 'usage' });
    await host.next('usage', () => host.all('usage').length > before, 30_000);
    reports.push(host.all('usage')[before] as Of<'usage'>);
  }
  return {
    cpuMs: reports.reduce((sum, one) => sum + one.cpuMs, 0),
    rss: reports.reduce((sum, one) => sum + one.rss, 0),
    agents: Math.min(...reports.map((one) => one.agents)),
  };
}

const { firstStartAt, lastStartAt } = await startAll();
for (const host of hosts) host.send({ type: 'expect', nodes: nodeCount, agents: agentCount });
const convergedAt = Math.max(
  ...(await Promise.all(hosts.map((host) => host.next('converged', () => true, 120_000)))).map((one) => one.at),
);
say(
  `${nodeCount} nodes and ${agentCount} agents in ${hosts.length} processes, known to all ${whole(convergedAt - lastStartAt)} ms after the last start`,
);

await delay(5_000);
const updates = await measureUpdates();
say(
  `an update is seen by all nodes: p50 ${quantile(updates, 0.5)?.toFixed(1)} ms, p99 ${quantile(updates, 0.99)?.toFixed(1)} ms`,
);

await delay(25_000); // Links settle; the surplus of the start is pruned.
const idleMs = 20_000;
const [usageBefore, bytesBefore, idleFrom] = [await usage(), loopbackBytes(), machineNow()];
await delay(idleMs);
const [usageAfter, bytesAfter, idleTo] = [await usage(), loopbackBytes(), machineNow()];
const idleCpu = ((usageAfter.cpuMs - usageBefore.cpuMs) / (idleTo - idleFrom) / nodeCount) * 100;
const idleBytes = (bytesAfter - bytesBefore) / ((idleTo - idleFrom) / 1_000) / nodeCount;
say(
  `idle: ${idleCpu.toFixed(3)} % of a core and ${whole(idleBytes)} B/s on the wire per node, ${(usageAfter.rss / 1e6 / nodeCount).toFixed(1)} MB`,
);

const idOf = (host: Host): string => (host.all('started')[0] as Of<'started'>).id;
const stopFor = async (ms: number): Promise<number> => {
  const at = machineNow();
  sleeper.child.kill('SIGSTOP');
  await delay(ms);
  sleeper.child.kill('SIGCONT');
  return at;
};
const others = [...big, victim];
const pause3At = await stopFor(3_000);
await delay(6_000);
const false3 = verdicts(hosts, (one) => one.at >= pause3At).length;
say(`a node stopped for 3 s: ${false3} verdicts on anyone`);

const pause8At = machineNow();
const resumed = stopFor(8_000);
const pause8 = await allKnow(others, idOf(sleeper), pause8At, 20_000);
await resumed;
await delay(4_000);
const bystanders = verdicts(hosts, (one) => one.at >= pause8At && one.accused !== idOf(sleeper)).length;
say(`a node stopped for 8 s: known to all after ${whole(pause8.at(-1))} ms; ${bystanders} verdicts on bystanders`);

const killAt = machineNow();
victim.child.kill('SIGKILL');
const kill = await allKnow([...big, sleeper], idOf(victim), killAt, 60_000);
say(`a killed node: first known after ${whole(kill[0])} ms, to all after ${whole(kill.at(-1))} ms`);

const figures = {
  nodes: nodeCount,
  agents: agentCount,
  startAllMs: lastStartAt - firstStartAt,
  joinAllMs: convergedAt - lastStartAt,
  updateP50Ms: quantile(updates, 0.5),
  updateP99Ms: quantile(updates, 0.99),
  killDetectedFirstMs: kill[0] ?? null,
  killDetectedAllMs: kill.at(-1) ?? null,
  pause3sFalseVerdicts: false3,
  pause8sDetectedAllMs: pause8.at(-1) ?? null,
  pause8sBystanderVerdicts: bystanders,
  idleCpuPercentPerNode: idleCpu,
  idleBytesPerSecPerNode: idleBytes,
  rssMBPerNode: usageAfter.rss / 1e6 / nodeCount,
  convergedAgents: usageAfter.agents,
};
const reference = serf[nodeCount];
if (reference !== undefined) {
  say('\nBeside Serf 0.8 (one process a node, measured on the same kind of machine):');
  for (const [key, theirs] of Object.entries(reference)) {
    const ours = figures[key as keyof typeof figures] ?? Number.NaN;
    say(
      `  ${key.padEnd(24)} ${ours.toFixed(2).padStart(9)}   Serf ${theirs.toFixed(2).padStart(9)}   ratio ${(ours / theirs).toFixed(3)}`,
    );
  }
}
for (const host of hosts.filter((one) => one !== victim)) host.send({ type: 'stop' });
await Promise.all(hosts.filter((one) => one !== victim).map((host) => host.next('stopped', () => true, 60_000)));
report('mesh', figures, json);
