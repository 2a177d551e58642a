/** The parent's end of `mesh-worker.ts`. */
import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { afterEach, expect } from 'vitest';
import type { MeshOptions } from '../../src/options.ts';
import { pollUntil } from '../mesh/poll.ts';

interface Said {
  readonly at: number;
  readonly type: string;
  readonly id?: string;
  readonly state?: string;
  readonly agent?: string;
  readonly number?: number;
  readonly code?: string;
  readonly reason?: string;
  readonly message?: string;
  readonly value?: unknown;
  readonly ms?: number;
  readonly address?: string;
}

const running: MeshProcess[] = [];

afterEach(async () => {
  const last = running.splice(0);
  await Promise.all(last.map((process) => process.kill('SIGKILL')));
  for (const { said } of last) expect(said.filter(({ type }) => type === 'error')).toEqual([]);
});

export class MeshProcess {
  readonly said: Said[] = [];
  readonly #child: ChildProcess;
  #calls = 0;

  constructor(options: MeshOptions, agents: readonly string[] = []) {
    this.#child = fork(join(import.meta.dirname, 'mesh-worker.ts'), [JSON.stringify({ options, agents })]);
    this.#child.on('message', (message: Said) => this.said.push(message));
    running.push(this);
  }

  /** Starts one and waits until it runs. */
  static async start(options: MeshOptions, agents: readonly string[] = []): Promise<MeshProcess> {
    const started = new MeshProcess(options, agents);
    await started.hears(({ type }) => type === 'ready' || type === 'failed');
    expect(started.said.find(({ type }) => type === 'failed')).toBeUndefined();
    return started;
  }

  get #ready(): Said {
    return this.said.find(({ type }) => type === 'ready') as Said;
  }

  get id(): string {
    return this.#ready.id as string;
  }

  get address(): string {
    return this.#ready.address as string;
  }

  get port(): number {
    return Number(this.address.split('/')[4]);
  }

  get runs(): boolean {
    return this.#child.exitCode === null && this.#child.signalCode === null;
  }

  async hears(matches: (said: Said) => boolean): Promise<Said> {
    await pollUntil(() => this.said.some(matches));
    return this.said.find(matches) as Said;
  }

  /** What it last said of a member's state. */
  stateOf(other: MeshProcess): string | undefined {
    return this.said.findLast(({ type, id }) => type === 'member' && id === other.id)?.state;
  }

  /** All states it ever saw a member in. */
  statesOf(other: MeshProcess): (string | undefined)[] {
    return this.said.filter(({ type, id }) => type === 'member' && id === other.id).map(({ state }) => state);
  }

  /** How often it saw the agent come or go. */
  count(type: 'up' | 'down', agent: string): number {
    return this.said.filter((said) => said.type === type && said.agent === agent).length;
  }

  /** Whether it sees that agent now. */
  sees(agent: string): boolean {
    return this.count('up', agent) > this.count('down', agent);
  }

  /** Has it call an agent, or any that can `work` with `*`. */
  async call(target: string, timeoutMs = 20_000): Promise<Said> {
    this.#calls += 1;
    const number = this.#calls;
    this.#child.send({ number, target, timeoutMs });
    return this.hears((said) => said.type === 'called' && said.number === number);
  }

  signal(signal: NodeJS.Signals): void {
    this.#child.kill(signal);
  }

  async kill(signal: NodeJS.Signals): Promise<void> {
    if (!this.runs) return;
    const exit = once(this.#child, 'exit');
    this.#child.kill(signal);
    await exit;
  }
}

/** Every one sees every other alive, and all their agents. */
export async function together(processes: readonly MeshProcess[], agents: readonly string[]): Promise<void> {
  for (const reader of processes) {
    for (const other of processes) await pollUntil(() => reader.stateOf(other) === 'alive');
    for (const agent of agents) await pollUntil(() => reader.sees(agent));
  }
}
