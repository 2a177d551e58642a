/**
 * A barrier of eight participants in two zones, ordered by four validators (f = 1, durable), each a process of its own. Measured twice: with one node per zone
 * that hosts its four participants, and with four nodes per zone (in one process) that host one each (`…OwnNodes…`). All arrive at one moment of the machine's
 * clock; the time ends when the last of them was released. Messages are those of all participants to the validators, requests only.
 *
 *   npm run bench -- barrier [--json] [-- --generations 100]
 */
import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { tmpdir } from 'node:os';
import { fileURLToPath } from 'node:url';
import type { FromHost, HostConfig, ToHost } from './barrier/host.ts';
import { benchArguments, quantile, report } from './harness.ts';
import { ReplicaGroup } from './pbft/group.ts';

const { json, generations } = benchArguments({ generations: 100 });
const zones = ['north', 'south'];
const perZone = 4;
const warmUp = Math.ceil(generations / 4);
/** Time for the wish to reach the hosts before the moment it names. */
const leadMs = 3;

const machineNow = (): number => Number(process.hrtime.bigint()) / 1e6;

interface Passage {
  readonly elapsedMs: number;
  readonly toGroup: number;
}

function start(config: HostConfig): ChildProcess {
  const child = fork(fileURLToPath(new URL('./barrier/host.ts', import.meta.url)), [JSON.stringify(config)]);
  child.once('exit', (code) => {
    if (code === 0) return;
    console.error(`The host of ${config.zone} ended with ${code}.`);
    process.exit(1);
  });
  return child;
}

let generation = 0;

async function pass(hosts: readonly ChildProcess[], strategy: ToHost['strategy']): Promise<Passage> {
  const wish: ToHost = { strategy, generation: ++generation, at: machineNow() + leadMs };
  const answers = hosts.map((host) => once(host, 'message') as Promise<[FromHost]>);
  for (const host of hosts) host.send(wish);
  let last = 0;
  let toGroup = 0;
  for (const [answer] of await Promise.all(answers)) {
    if (answer.type !== 'released' || answer.generation !== generation) throw new Error('no passage');
    last = Math.max(last, answer.at);
    toGroup += answer.toGroup;
  }
  return { elapsedMs: last - wish.at, toGroup };
}

class Strategy {
  readonly times: number[] = [];
  messages = 0;
  readonly #hosts: readonly ChildProcess[];
  readonly #name: ToHost['strategy'];

  constructor(hosts: readonly ChildProcess[], name: ToHost['strategy']) {
    this.#hosts = hosts;
    this.#name = name;
  }

  async run(count: number, keep: boolean): Promise<void> {
    let sent = (await pass(this.#hosts, this.#name)).toGroup; // Counts from what was sent when this one had opened.
    for (let at = 0; at < count; at++) {
      const { elapsedMs, toGroup } = await pass(this.#hosts, this.#name);
      if (keep) {
        this.times.push(elapsedMs);
        this.messages += toGroup - sent;
      }
      sent = toGroup;
    }
  }
}

/** Everything once, with so many nodes for the four participants of a zone. */
async function measure(nodes: number): Promise<{ readonly flat: Strategy; readonly hierarchical: Strategy }> {
  const group = await ReplicaGroup.start(tmpdir(), 4, 1);
  const hosts: ChildProcess[] = [];
  generation = 0;
  try {
    const shares = Object.fromEntries(zones.map((zone) => [zone, perZone]));
    for (const zone of zones) {
      const { meshName, addresses: bootstrap } = group;
      hosts.push(start({ meshName, zone, nodes, participantsPerNode: perZone / nodes, bootstrap, perZone: shares }));
      await once(hosts.at(-1) as ChildProcess, 'message');
    }
    const flat = new Strategy(hosts, 'flat');
    const hierarchical = new Strategy(hosts, 'hierarchical');
    for (const strategy of [flat, hierarchical]) await strategy.run(warmUp, false);
    // In turns, so that both see the same machine.
    for (let round = 0; round < 4; round++) {
      for (const strategy of [flat, hierarchical]) await strategy.run(Math.ceil(generations / 4), true);
    }
    return { flat, hierarchical };
  } finally {
    for (const host of hosts) host.disconnect();
    await group.stop();
  }
}

const together = await measure(1);
const apart = await measure(perZone);
const perGeneration = ({ messages, times }: Strategy): number => messages / times.length;
report(
  'barrier: from the moment at which all arrive until the last is released; 4 validators, 2 zones of 1 node (OwnNodes: of 4)',
  {
    participants: zones.length * perZone,
    zones: zones.length,
    flatP50Ms: quantile(together.flat.times, 0.5),
    hierarchicalP50Ms: quantile(together.hierarchical.times, 0.5),
    messagesFlat: perGeneration(together.flat),
    messagesHierarchical: perGeneration(together.hierarchical),
    flatOwnNodesP50Ms: quantile(apart.flat.times, 0.5),
    hierarchicalOwnNodesP50Ms: quantile(apart.hierarchical.times, 0.5),
    messagesFlatOwnNodes: perGeneration(apart.flat),
    messagesHierarchicalOwnNodes: perGeneration(apart.hierarchical),
  },
  json,
);
process.exit(0);
