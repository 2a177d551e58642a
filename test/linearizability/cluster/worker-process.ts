/** The parent's end of `cluster-worker.ts`. */
import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, openSync } from 'node:fs';
import { join } from 'node:path';
import type { Answer, Request, Results, Said, Setup, Task } from './protocol.ts';

/** `died`: nobody will ever know. `hung`: it lives, and did not answer in a time that nothing may take. */
export type Reply<Result> = Answer<Result> | 'died' | 'hung';

/** Every operation has a deadline of some seconds, and a worker is stopped for at most some more. */
const hungMs = 60_000;

const living = new Set<WorkerProcess>();
process.on('exit', () => {
  for (const worker of living) worker.signal('SIGKILL');
});

export interface WorkerEvents {
  /** Something it says cannot go on; the run has failed. */
  readonly onFailed: (message: string) => void;
  readonly onLost: (name: string, token: number) => void;
}

export class WorkerProcess {
  readonly name: string;
  readonly #child: ChildProcess;
  readonly #pending = new Map<number, (reply: Reply<unknown>) => void>();
  readonly #exit: Promise<unknown[]>;
  #requests = 0;
  #ready: { readonly id: string; readonly address: string } | undefined;

  private constructor(name: string, setup: Setup, logFile: string) {
    this.name = name;
    const log = openSync(logFile, 'a');
    this.#child = fork(join(import.meta.dirname, 'cluster-worker.ts'), [JSON.stringify(setup)], {
      stdio: ['ignore', log, log, 'ipc'],
    });
    closeSync(log);
    this.#exit = once(this.#child, 'exit');
    living.add(this);
  }

  /** Resolves when it runs. */
  static async start(name: string, setup: Setup, logFile: string, events: WorkerEvents): Promise<WorkerProcess> {
    const worker = new WorkerProcess(name, setup, logFile);
    await worker.#start(events);
    return worker;
  }

  async #start({ onFailed, onLost }: WorkerEvents): Promise<void> {
    const ready = Promise.withResolvers<void>();
    this.#child.on('message', (said: Said) => {
      if (said.type === 'answer') {
        this.#pending.get(said.number)?.(said.answer);
      } else if (said.type === 'ready') {
        this.#ready = said;
        ready.resolve();
      } else if (said.type === 'lost') {
        onLost(said.name, said.token);
      } else {
        onFailed(`${this.name}: ${said.message}`);
      }
    });
    this.#child.on('error', (error) => onFailed(`${this.name}: ${error.message}`));
    void this.#exit.then(([code]) => {
      living.delete(this);
      if (code !== null) onFailed(`${this.name} ended by itself, with code ${String(code)}`);
      for (const settle of [...this.#pending.values()]) settle('died');
      ready.reject(new Error(`${this.name} ended before it was ready.`));
    });
    await ready.promise;
  }

  get id(): string {
    return this.#ready?.id as string;
  }

  get address(): string {
    return this.#ready?.address as string;
  }

  get runs(): boolean {
    return this.#child.exitCode === null && this.#child.signalCode === null;
  }

  /** The task leaves when this is called, so whoever keeps a record has made it before. */
  ask<T extends Task>(task: T): Promise<Reply<Results[T['do']]>> {
    if (!this.runs) return Promise.resolve('died');
    const { promise, resolve } = Promise.withResolvers<Reply<unknown>>();
    const number = this.#requests++;
    const timer = setTimeout(() => resolve('hung'), hungMs);
    this.#pending.set(number, resolve);
    this.#child.send({ number, task } satisfies Request, (error) => {
      if (error !== null) void this.#exit.then(() => resolve('died'));
    });
    const settled = promise.finally(() => {
      clearTimeout(timer);
      this.#pending.delete(number);
    });
    return settled as Promise<Reply<Results[T['do']]>>;
  }

  signal(signal: NodeJS.Signals): void {
    if (this.runs) this.#child.kill(signal);
  }

  async kill(): Promise<void> {
    this.signal('SIGKILL');
    await this.#exit;
  }
}
