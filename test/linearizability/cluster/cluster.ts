/** Four validators with data directories, some clients, and an observer whom no fault meets; each a process. */
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { ensureNodeKey } from '../../../src/composition/node-key.ts';
import type { NodeId } from '../../../src/node-id.ts';
import type { Setup } from './protocol.ts';
import { machineNow } from './record.ts';
import { WorkerProcess } from './worker-process.ts';

export const validatorCount = 4;
/** Deadline of an operation. Short, so that a time without a quorum leaves few operations open. */
const operationMs = 3_000;
/** After a fault is over, all validators keep up again within this time, or something is stuck. */
const recoveryMs = 120_000;

interface Validator {
  readonly dataDir: string;
  readonly id: NodeId;
  listen: string;
  worker: WorkerProcess | undefined;
}

/** How long after a fault, milliseconds. */
export interface Recovery {
  /** Until a command was decided. */
  readonly decidedMs: number;
  /** Until all validators had executed it, too. */
  readonly allMs: number;
}

export interface ClusterEvents {
  /** Something that must not happen; the run has failed. */
  readonly onFailed: (message: string) => void;
  readonly onLost: (owner: string, name: string, token: number) => void;
  readonly onKilled: (id: string, at: number) => void;
}

export class Cluster {
  readonly #directory: string;
  readonly #events: ClusterEvents;
  readonly #validators: Validator[] = [];
  readonly #clients: WorkerProcess[] = [];
  #observer: WorkerProcess | undefined;
  #lives = 0;

  constructor(directory: string, events: ClusterEvents) {
    this.#directory = directory;
    this.#events = events;
  }

  async start(clients: number): Promise<void> {
    for (let index = 0; index < validatorCount; index++) {
      const dataDir = join(this.#directory, `validator-${index}`);
      await mkdir(dataDir, { recursive: true, mode: 0o700 });
      const id = await ensureNodeKey(dataDir);
      this.#validators.push({ dataDir, id, listen: '/ip4/127.0.0.1/tcp/0', worker: undefined });
    }
    await this.startValidator(0);
    await Promise.all([1, 2, 3].map((index) => this.startValidator(index)));
    const members = Array.from({ length: clients }, () => this.#startMember(this.#nextName()));
    this.#observer = await this.#startMember('observer');
    this.#clients.push(...(await Promise.all(members)));
    await this.recovered();
  }

  get observer(): WorkerProcess {
    return this.#observer as WorkerProcess;
  }

  get clients(): readonly WorkerProcess[] {
    return this.#clients;
  }

  validator(index: number): WorkerProcess | undefined {
    return this.#validators[index]?.worker;
  }

  async startValidator(index: number): Promise<void> {
    const validator = this.#validators[index] as Validator;
    const worker = await this.#startWorker(`validator-${index}`, {
      dataDir: validator.dataDir,
      listen: [validator.listen],
      coordination: { validators: this.#validators.map(({ id }) => id), f: 1, timeoutMs: operationMs },
    });
    validator.listen = worker.address.split('/p2p/')[0] as string;
    validator.worker = worker;
  }

  async killValidator(index: number): Promise<void> {
    await this.validator(index)?.kill();
  }

  /** The client dies, and another comes in its place. */
  async replaceClient(index: number): Promise<WorkerProcess> {
    const client = this.#clients[index] as WorkerProcess;
    // Before it dies: what its death frees cannot be free earlier.
    this.#events.onKilled(client.id, machineNow());
    await client.kill();
    const next = await this.#startMember(this.#nextName());
    this.#clients[index] = next;
    return next;
  }

  /** No connection between one side and the other, until `mend`. */
  async cut(one: readonly WorkerProcess[], other: readonly WorkerProcess[]): Promise<void> {
    await this.#gate('cut', one, other);
  }

  async mend(one: readonly WorkerProcess[], other: readonly WorkerProcess[]): Promise<void> {
    await this.#gate('mend', one, other);
  }

  async #gate(what: 'cut' | 'mend', one: readonly WorkerProcess[], other: readonly WorkerProcess[]): Promise<void> {
    const tell = (side: readonly WorkerProcess[], against: readonly WorkerProcess[]) =>
      side.map((worker) => worker.ask({ do: what, peers: against.map(({ id }) => id) }));
    await Promise.all([...tell(one, other), ...tell(other, one)]);
  }

  /** Resolves when a command of now is decided, and all validators have executed it. */
  async recovered(): Promise<Recovery> {
    const startedAt = machineNow();
    await this.#until('decide anything', async () => {
      const reply = await this.observer.ask({ do: 'set', key: 'probe', value: String(startedAt) });
      return { reached: typeof reply === 'object' && reply.ok, said: reply };
    });
    const decidedAt = machineNow();
    let decided: number | undefined;
    await this.#until('keep up', async () => {
      const { executed, said } = await this.#executed();
      decided ??= executed === undefined ? undefined : Math.max(...executed);
      return { reached: decided !== undefined && executed?.every((one) => one >= decided!) === true, said };
    });
    return { decidedMs: decidedAt - startedAt, allMs: machineNow() - startedAt };
  }

  /** Resolves when all validators have executed the same; only when nobody asks anything any more. */
  async agreed(): Promise<void> {
    await this.#until('execute the same', async () => {
      const { executed, said } = await this.#executed();
      return { reached: executed !== undefined && new Set(executed).size === 1, said };
    });
  }

  async stop(): Promise<void> {
    const workers = [...this.#validators.map(({ worker }) => worker), ...this.#clients, this.#observer];
    await Promise.all(workers.map((worker) => worker?.kill()));
  }

  async #until(what: string, attempt: () => Promise<{ reached: boolean; said: unknown }>): Promise<void> {
    const startedAt = machineNow();
    for (;;) {
      const { reached, said } = await attempt();
      if (reached) return;
      if (machineNow() - startedAt > recoveryMs) {
        const last = JSON.stringify(said);
        throw new Error(
          `Within ${recoveryMs} ms without a fault the validators do not ${what}; the last word: ${last}`,
        );
      }
      await delay(100);
    }
  }

  /** What each validator has executed; undefined unless all of them say. */
  async #executed(): Promise<{ readonly executed: readonly number[] | undefined; readonly said: unknown }> {
    const said = await this.observer.ask({ do: 'health' });
    const executed = typeof said === 'object' && said.ok ? said.value.filter((sequence) => sequence !== null) : [];
    return { executed: executed.length === validatorCount ? executed : undefined, said };
  }

  #nextName(): string {
    return `client-${this.#lives++}`;
  }

  #startMember(name: string): Promise<WorkerProcess> {
    return this.#startWorker(name, { coordination: { timeoutMs: operationMs } });
  }

  async #startWorker(name: string, setup: Setup): Promise<WorkerProcess> {
    const bootstrap = this.#validators.map(({ listen }) => listen).filter((address) => !address.endsWith('/tcp/0'));
    const log = join(this.#directory, `${name}.log`);
    const worker: WorkerProcess = await WorkerProcess.start(
      name,
      { mode: 'cluster', name: 'linearizability', bootstrap, ...setup },
      log,
      {
        onFailed: this.#events.onFailed,
        onLost: (lost, token) => this.#events.onLost(worker.id, lost, token),
      },
    );
    return worker;
  }
}
