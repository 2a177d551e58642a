/**
 * What goes wrong during a run. Two things at a time at most: one with the validators, one with a client. A fault of the validators begins when all
 * keep up again after the last one, so that there are never more than f behind, but where the fault itself is that.
 */
import { setTimeout as delay } from 'node:timers/promises';
import type { Rng } from '../../../src/clock.ts';
import { type Cluster, type Recovery, validatorCount } from './cluster.ts';
import { machineNow } from './record.ts';
import type { WorkerProcess } from './worker-process.ts';

export type ValidatorFault =
  | 'kill validator'
  | 'pause validator'
  | 'cut validator off'
  | 'cut in halves'
  | 'cut one link'
  | 'kill all validators'
  | 'set a clock wrong';
export type ClientFault = 'kill client' | 'pause client' | 'cut client off';

/** Leases are judged a tenth early; that covers validators whose clocks differ by less, and no lease of a run is below 3 s. */
const clockOffsetMs = 80;

const validatorFaults: readonly (readonly [ValidatorFault, number])[] = [
  ['kill validator', 6],
  ['pause validator', 5],
  ['cut validator off', 4],
  ['cut in halves', 2],
  ['cut one link', 3],
  ['kill all validators', 2],
  ['set a clock wrong', 2],
];
const clientFaults: readonly (readonly [ClientFault, number])[] = [
  ['pause client', 4],
  ['kill client', 3],
  ['cut client off', 3],
];

export interface FaultLog {
  readonly kind: string;
  readonly at: number;
  readonly detail: string;
  /** After the end of the fault. */
  readonly recovery?: Recovery;
}

export interface FaultParts {
  readonly cluster: Cluster;
  readonly rng: Rng;
  readonly over: () => boolean;
  readonly log: (fault: FaultLog) => void;
  /** A client that has just come. */
  readonly onClient: (worker: WorkerProcess) => void;
}

/** One fault after the other until the run is over; with `plan` exactly these. */
export async function disturbValidators(parts: FaultParts, plan?: readonly ValidatorFault[]): Promise<void> {
  const { cluster, rng, over, log } = parts;
  for (let number = 0; plan === undefined ? !over() : number < plan.length; number++) {
    await delay(500 + rng.float() * 2_500);
    const kind = plan?.[number] ?? weighted(validatorFaults, rng);
    const at = machineNow();
    const detail = await injectIntoValidators(kind, cluster, rng);
    log({ kind, at, detail, recovery: await cluster.recovered() });
  }
}

export async function disturbClients(parts: FaultParts): Promise<void> {
  const { cluster, rng, over, log } = parts;
  while (!over()) {
    await delay(3_000 + rng.float() * 7_000);
    if (over() || cluster.clients.length === 0) return;
    const kind = weighted(clientFaults, rng);
    const at = machineNow();
    const index = rng.below(cluster.clients.length);
    const client = cluster.clients[index] as WorkerProcess;
    log({ kind, at, detail: `${client.name} ${await injectIntoClient(kind, parts, index)}` });
  }
}

async function injectIntoValidators(kind: ValidatorFault, cluster: Cluster, rng: Rng): Promise<string> {
  const index = rng.below(validatorCount);
  const everybody = (): WorkerProcess[] => validators(cluster).concat(cluster.observer, ...cluster.clients);
  switch (kind) {
    case 'kill validator': {
      const downMs = span(rng, 200, 5_000);
      await cluster.killValidator(index);
      await delay(downMs);
      await cluster.startValidator(index);
      return `validator-${index} for ${downMs} ms`;
    }
    case 'kill all validators': {
      const downMs = span(rng, 100, 2_000);
      const all = Array.from({ length: validatorCount }, (_, each) => each);
      await Promise.all(all.map((each) => cluster.killValidator(each)));
      await delay(downMs);
      await Promise.all(all.map((each) => cluster.startValidator(each)));
      return `for ${downMs} ms`;
    }
    case 'pause validator':
      return `validator-${index} for ${await pause(cluster.validator(index) as WorkerProcess, rng)} ms`;
    case 'set a clock wrong': {
      const offsetMs = Math.round((rng.float() * 2 - 1) * clockOffsetMs);
      await cluster.validator(index)?.ask({ do: 'clock', offsetMs });
      return `validator-${index} by ${offsetMs} ms, until it is started again or another fault of this kind`;
    }
    case 'cut validator off': {
      const one = cluster.validator(index) as WorkerProcess;
      const others = everybody().filter((worker) => worker !== one);
      return `validator-${index} for ${await cutFor(cluster, rng, [one], others)} ms`;
    }
    case 'cut in halves': {
      const [a, b, c, d] = shuffled(validators(cluster), rng) as [
        WorkerProcess,
        WorkerProcess,
        WorkerProcess,
        WorkerProcess,
      ];
      return `${a.name} ${b.name} for ${await cutFor(cluster, rng, [a, b], [c, d])} ms`;
    }
    case 'cut one link': {
      const [a, b] = shuffled(validators(cluster), rng) as [WorkerProcess, WorkerProcess];
      return `${a.name} ${b.name} for ${await cutFor(cluster, rng, [a], [b])} ms`;
    }
  }
}

async function injectIntoClient(kind: ClientFault, parts: FaultParts, index: number): Promise<string> {
  const { cluster, rng, onClient } = parts;
  const client = cluster.clients[index] as WorkerProcess;
  if (kind === 'pause client') return `for ${await pause(client, rng)} ms`;
  if (kind === 'kill client') {
    const next = await cluster.replaceClient(index);
    onClient(next);
    return `followed by ${next.name}`;
  }
  // All validators, or all but one, through which nothing can be decided.
  const left = rng.below(2);
  const lost = shuffled(validators(cluster), rng).slice(left);
  return `from ${lost.length} validators for ${await cutFor(cluster, rng, [client], lost)} ms`;
}

function validators(cluster: Cluster): WorkerProcess[] {
  return Array.from({ length: validatorCount }, (_, index) => cluster.validator(index) as WorkerProcess);
}

async function pause(worker: WorkerProcess, rng: Rng): Promise<number> {
  const ms = span(rng, 1_000, 8_000);
  worker.signal('SIGSTOP');
  await delay(ms);
  worker.signal('SIGCONT');
  return ms;
}

async function cutFor(
  cluster: Cluster,
  rng: Rng,
  one: readonly WorkerProcess[],
  other: readonly WorkerProcess[],
): Promise<number> {
  const ms = span(rng, 1_000, 8_000);
  await cluster.cut(one, other);
  await delay(ms);
  await cluster.mend(one, other);
  return ms;
}

const span = (rng: Rng, from: number, to: number): number => Math.round(from + rng.float() * (to - from));

function shuffled<T>(list: readonly T[], rng: Rng): T[] {
  return list
    .map((one) => ({ one, order: rng.float() }))
    .sort((a, b) => a.order - b.order)
    .map(({ one }) => one);
}

function weighted<T>(choices: readonly (readonly [T, number])[], rng: Rng): T {
  let left = rng.float() * choices.reduce((sum, [, weight]) => sum + weight, 0);
  for (const [choice, weight] of choices) {
    left -= weight;
    if (left < 0) return choice;
  }
  return (choices[0] as readonly [T, number])[0];
}
