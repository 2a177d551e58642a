/** A group of validators, each a process of its own on a directory of its own, for the benchmarks `pbft` and `barrier`. */
import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { constants } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { ensureNodeKey, type Mesh, type NodeId } from '../../src/index.ts';
import type { FromReplica, ReplicaConfig } from './replica.ts';

const healthyWithinMs = 60_000;

interface Replica {
  readonly id: NodeId;
  readonly directory: string;
  process: ChildProcess | undefined;
  address: string;
}

export class ReplicaGroup {
  readonly f: number;
  readonly meshName: string;
  readonly #parent: string;
  readonly #replicas: readonly Replica[];
  readonly #profileTo: string | undefined;
  readonly #onExit = (): void => this.#remove();

  private constructor(parent: string, meshName: string, replicas: readonly Replica[], f: number, profileTo?: string) {
    this.#parent = parent;
    this.meshName = meshName;
    this.#replicas = replicas;
    this.f = f;
    this.#profileTo = profileTo;
    process.once('exit', this.#onExit);
    for (const signal of endingSignals) process.once(signal, exitBecauseOf);
  }

  /** Starts `count` validators in a new directory under `parent`. With `profileTo`, each writes a CPU profile there at its end. */
  static async start(parent: string, count: number, f: number, profileTo?: string): Promise<ReplicaGroup> {
    const directory = mkdtempSync(join(parent, 'quorate-bench-'));
    const directories = Array.from({ length: count }, (_, at) => join(directory, String(at)));
    const replicas: Replica[] = [];
    for (const each of directories) {
      replicas.push({ id: await ensureNodeKey(each), directory: each, process: undefined, address: '' });
    }
    const group = new ReplicaGroup(directory, `bench-${process.pid}-${count}`, replicas, f, profileTo);
    try {
      for (const replica of replicas) await group.#launch(replica);
      return group;
    } catch (error) {
      await group.stop();
      throw error;
    }
  }

  get validators(): readonly NodeId[] {
    return this.#replicas.map(({ id }) => id);
  }

  /** Of the replicas that run. */
  get addresses(): readonly string[] {
    return this.#replicas.filter(({ process }) => process !== undefined).map(({ address }) => address);
  }

  /** SIGKILL; gives the moment at which it was sent. */
  kill(id: string): number {
    const replica = this.#replica(id);
    const { process } = replica;
    replica.process = undefined;
    const at = performance.now();
    process?.kill('SIGKILL');
    return at;
  }

  /** On the directory of the one that was killed. */
  async restart(id: string): Promise<void> {
    await this.#launch(this.#replica(id));
  }

  /** Resolves with the primary once all answer, are in one active view, and none lacks anything. */
  async settled(client: Mesh): Promise<string> {
    const deadline = performance.now() + healthyWithinMs;
    for (;;) {
      const validators = await client.coordination.validators.health();
      const views = new Set(validators.map(({ health }) => health?.view));
      const well = validators.every(({ health }) => health?.active === true && health.lag <= 2);
      const primary = validators.find((validator) => validator.primary)?.id;
      if (well && views.size === 1 && primary !== undefined) return primary;
      if (performance.now() > deadline) {
        throw new Error(
          `The validators did not settle within ${healthyWithinMs / 1e3} s: ${JSON.stringify(validators)}`,
        );
      }
      await delay(20);
    }
  }

  /** Ends all processes and removes their data. */
  async stop(): Promise<void> {
    const running = this.#replicas.flatMap(({ process }) => (process === undefined ? [] : [process]));
    const ended = running.map((process) => once(process, 'exit'));
    for (const process of running) {
      if (this.#profileTo === undefined) process.kill('SIGKILL');
      else process.disconnect();
    }
    await Promise.all(ended);
    this.#remove();
    process.off('exit', this.#onExit);
    for (const signal of endingSignals) process.off(signal, exitBecauseOf);
  }

  #replica(id: string): Replica {
    const found = this.#replicas.find((replica) => replica.id === id);
    if (found === undefined) throw new Error(`${id} is no replica of this group.`);
    return found;
  }

  async #launch(replica: Replica): Promise<void> {
    const { meshName, validators, f } = this;
    const { directory } = replica;
    const config: ReplicaConfig = { meshName, directory, validators, f, bootstrap: this.addresses };
    const profile = this.#profileTo === undefined ? [] : ['--cpu-prof', `--cpu-prof-dir=${this.#profileTo}`];
    const child = fork(fileURLToPath(new URL('./replica.ts', import.meta.url)), [JSON.stringify(config)], {
      execArgv: [...process.execArgv.filter((word) => !word.startsWith('--cpu-prof')), ...profile],
    });
    replica.process = child;
    const died = once(child, 'exit').then(([code, signal]) => {
      if (replica.process !== child) return;
      replica.process = undefined;
      throw new Error(`A replica ended by itself (${code ?? signal}).`);
    });
    died.catch(() => undefined); // Whoever waits for it now hears of it; later, commands fail.
    const [message] = (await Promise.race([once(child, 'message'), died])) as [FromReplica];
    replica.address = message.address;
  }

  #remove(): void {
    for (const { process } of this.#replicas) process?.kill('SIGKILL');
    // A process that is dying may still create a file.
    rmSync(this.#parent, { recursive: true, force: true, maxRetries: 20, retryDelay: 50 });
  }
}

const endingSignals = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;

/** Lets the 'exit' handlers above run, which a signal alone does not. */
function exitBecauseOf(signal: NodeJS.Signals): void {
  process.exit(128 + constants.signals[signal]);
}
