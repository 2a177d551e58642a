/**
 * A run: clients work on registers, locks and names of a mesh of real processes while faults happen; then everything is healed, read
 * back and judged. The seed decides which faults and operations are tried in which order; real processes make of it what they like.
 */
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { type Rng, seededRng } from '../../../src/clock.ts';
import { newObjects, runClient, type Workload } from './clients.ts';
import { Cluster } from './cluster.ts';
import { disturbClients, disturbValidators, type FaultLog, type ValidatorFault } from './faults.ts';
import { finalReader, readBack } from './read-back.ts';
import { machineNow, RunRecord } from './record.ts';
import { Tally } from './tally.ts';
import { type Durability, durability, judge, type ModelVerdict } from './verdict.ts';
import type { WorkerProcess } from './worker-process.ts';

export interface RunOptions {
  readonly seed: number;
  /** An empty directory for data directories, logs of the processes, and the history. */
  readonly directory: string;
  readonly clients: number;
  /** Between two operations of a thread on average. Default 40: some hundred operations a second with three clients. */
  readonly pauseMs?: number;
  /** How long faults are injected; or exactly which, and then none of clients. */
  readonly faults: { readonly forMs: number } | { readonly plan: readonly ValidatorFault[] };
  /** Told of what happens, one line each. */
  readonly onProgress?: (line: string) => void;
}

export interface RunReport {
  readonly seed: number;
  /** On the machine's clock. */
  readonly startedAt: number;
  readonly durationMs: number;
  readonly tally: Tally;
  readonly faults: readonly FaultLog[];
  readonly verdicts: readonly ModelVerdict[];
  readonly durability: Durability;
  /** Everything else that must not happen: a stuck group, a validator that stopped, an operation that hung, an unexpected error. */
  readonly failures: readonly string[];
  readonly passed: boolean;
}

/** Clients go on for a while when all faults are over: what is stuck shows now. */
const calmMs = 2_000;

export async function run(options: RunOptions): Promise<RunReport> {
  const { seed, directory, onProgress = () => undefined } = options;
  const rng = seededRng(seed);
  const startedAt = machineNow();
  const record = new RunRecord();
  const tally = new Tally();
  const faults: FaultLog[] = [];
  const failures: string[] = [];
  let isReadBack = false;
  const fail = (message: string): void => {
    failures.push(message);
    onProgress(`FAILED: ${message}`);
  };
  const cluster = new Cluster(directory, {
    onFailed: fail,
    onLost: (owner, name, token) => void record.lostNames.push({ owner, name, token }),
    onKilled: (id, at) => void record.killedAt.set(id, at),
  });
  try {
    await cluster.start(options.clients);
    onProgress(`The mesh runs after ${seconds(machineNow() - startedAt)}.`);
    const log = (fault: FaultLog): void => {
      faults.push(fault);
      const { recovery } = fault;
      const after =
        recovery === undefined
          ? ''
          : `; decided again ${seconds(recovery.decidedMs)} later, all keep up ${seconds(recovery.allMs)} later`;
      onProgress(`${seconds(fault.at - startedAt)}: ${fault.kind}, ${fault.detail}${after}`);
    };
    const pauseMs = options.pauseMs ?? 40;
    const workload = { record, tally, ...newObjects(), pauseMs };
    await disturb(options, { cluster, rng, log, workload, failed: () => failures.length > 0 });
    await cluster.agreed();
    onProgress(`${seconds(machineNow() - startedAt)}: all validators have executed the same.`);
    await readBack(cluster.observer, workload);
    isReadBack = true;
    onProgress(`${seconds(machineNow() - startedAt)}: everything is read back.`);
  } catch (error) {
    fail(error instanceof Error ? error.message : String(error));
  } finally {
    await cluster.stop();
  }
  for (const [what, message] of tally.surprises) fail(`unexpected outcome of ${what}: ${message}`);
  // Before it is judged: a search may take long, and what it was about must not be lost.
  await keep(join(directory, 'history.json'), { seed, faults, failures, record });
  const verdicts = judge(record, (line) => onProgress(line));
  // Without the last reads nothing is known of what lasts; the run has failed for the reason why there are none.
  const lasting = isReadBack ? durability(record, finalReader) : { acknowledged: 0, lost: [] };
  const passed =
    failures.length === 0 && lasting.lost.length === 0 && verdicts.every(({ verdict }) => verdict === 'linearizable');
  const durationMs = machineNow() - startedAt;
  return { seed, startedAt, durationMs, tally, faults, verdicts, durability: lasting, failures, passed };
}

interface Disturbed {
  readonly cluster: Cluster;
  readonly rng: Rng;
  readonly log: (fault: FaultLog) => void;
  readonly workload: Omit<Workload, 'over'>;
  readonly failed: () => boolean;
}

async function disturb({ faults }: RunOptions, parts: Disturbed): Promise<void> {
  const { cluster, rng, log, failed } = parts;
  const newRng = (): Rng => seededRng(rng.below(0xffff_ffff));
  let calm = false;
  const workload: Workload = { ...parts.workload, over: () => calm };
  const running: Promise<void>[] = [];
  const onClient = (worker: WorkerProcess): void => void running.push(runClient(worker, workload, newRng));
  for (const client of cluster.clients) onClient(client);
  const until = machineNow() + ('forMs' in faults ? faults.forMs : 0);
  const over = (): boolean => machineNow() >= until || failed();
  const disturbing = { cluster, over, log, onClient };
  try {
    await Promise.all([
      disturbValidators({ ...disturbing, rng: newRng() }, 'plan' in faults ? faults.plan : undefined),
      disturbClients({ ...disturbing, rng: newRng() }),
    ]);
    await delay(calmMs);
  } finally {
    calm = true;
    await Promise.all(running);
  }
}

/** What a person needs to look into it: the histories as the checker saw them. */
async function keep(
  file: string,
  { seed, faults, failures, record }: { seed: number; faults: unknown; failures: unknown; record: RunRecord },
): Promise<void> {
  const registers = record.registerHistory();
  const locks = record.lockHistory();
  const names = record.nameHistory();
  await writeFile(file, JSON.stringify({ seed, faults, failures, registers, locks, names }));
}

const seconds = (ms: number): string => `${(ms / 1_000).toFixed(1)} s`;
