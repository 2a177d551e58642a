/** Threads of a client: each asks one thing at a time, for as long as its process lives, and records what it asked and heard. */
import { setTimeout as delay } from 'node:timers/promises';
import type { Rng } from '../../../src/clock.ts';
import type { Invocation } from '../history.ts';
import type { LockOutput } from '../models/lock.ts';
import type { NameOutput } from '../models/name.ts';
import type { RegisterOutput } from '../models/register.ts';
import { Objects } from './objects.ts';
import type { Results, Task } from './protocol.ts';
import type { RunRecord } from './record.ts';
import type { Tally } from './tally.ts';
import type { Reply, WorkerProcess } from './worker-process.ts';

/** What certainly was not executed and never will be. */
const notRun: ReadonlySet<string> = new Set(['NO_QUORUM', 'NO_VALIDATORS', 'REJECTED']);
const leasesMs = [3_000, 4_000, 5_000] as const;
/** For a lock, which others hold; not above the deadline of other operations. */
const patienceMs = 2_500;

export interface Workload {
  readonly record: RunRecord;
  readonly tally: Tally;
  readonly registers: Objects;
  readonly locks: Objects;
  readonly names: Objects;
  /** True from when the clients shall end. */
  readonly over: () => boolean;
  /** Between two operations of a thread on average. */
  readonly pauseMs: number;
}

export function newObjects(): Pick<Workload, 'registers' | 'locks' | 'names'> {
  return { registers: new Objects('register', 3), locks: new Objects('lock', 2), names: new Objects('name', 3) };
}

/** Resolves when all threads have ended: the run is over, or the client dead. */
export async function runClient(worker: WorkerProcess, workload: Workload, rng: () => Rng): Promise<void> {
  const threads = [
    new RegisterThread(worker, workload, rng(), 'r1'),
    new RegisterThread(worker, workload, rng(), 'r2'),
    new RegisterThread(worker, workload, rng(), 'r3'),
    new LockThread(worker, workload, rng(), 'l1'),
    new LockThread(worker, workload, rng(), 'l2'),
    new NameThread(worker, workload, rng(), 'n1'),
  ];
  await Promise.all(threads.map((thread) => thread.run()));
}

abstract class Thread {
  protected readonly worker: WorkerProcess;
  protected readonly workload: Workload;
  protected readonly rng: Rng;
  protected readonly name: string;

  constructor(worker: WorkerProcess, workload: Workload, rng: Rng, name: string) {
    this.worker = worker;
    this.workload = workload;
    this.rng = rng;
    this.name = `${worker.name} ${name}`;
  }

  async run(): Promise<void> {
    while (this.worker.runs && !this.workload.over()) {
      await this.act();
      await delay(this.rng.float() * 2 * this.workload.pauseMs);
    }
    if (this.worker.runs) await this.end();
  }

  protected abstract act(): Promise<void>;
  /** Gives back what it holds. */
  protected abstract end(): Promise<void>;

  /** Asks, and ends the invocation when there is no result; `refused` may end it otherwise. */
  protected async ask<T extends Task, Output>(
    task: T,
    invocation: Invocation<Output>,
    ended: {
      readonly ok: (result: Results[T['do']]) => void;
      /** True when it has ended the invocation. */
      readonly refused?: (code: string, data: Readonly<Record<string, unknown>>) => boolean;
      /** Nothing was changed, whatever the outcome. */
      readonly reads?: boolean;
      /** `NO_QUORUM` and its like say that nothing was done. Default true. */
      readonly certain?: boolean;
    },
  ): Promise<void> {
    const reply: Reply<Results[T['do']]> = await this.worker.ask(task);
    const { tally } = this.workload;
    if (reply === 'died' || reply === 'hung') {
      tally.add(task.do, reply);
      if (reply === 'hung') invocation.info();
      return;
    }
    if (reply.ok) {
      tally.add(task.do, 'ok');
      return ended.ok(reply.value);
    }
    const answered = ended.refused?.(reply.code, reply.data) === true;
    tally.add(task.do, answered ? 'ok' : reply.code, reply.message);
    if (answered) return;
    if (ended.reads || (ended.certain !== false && notRun.has(reply.code))) invocation.failed();
    else invocation.info();
  }

  protected pick<T>(list: readonly T[]): T {
    return list[this.rng.below(list.length)] as T;
  }
}

class RegisterThread extends Thread {
  readonly #seen = new Map<string, number>();
  #written = 0;

  protected async act(): Promise<void> {
    const { registers } = this.workload;
    const key = registers.at(this.rng.below(registers.count));
    const what = this.rng.float();
    if (what < 0.4) return this.#read(key);
    if (what < 0.9) return this.#swap(key);
    return this.#write(key);
  }

  protected async end(): Promise<void> {
    this.#seen.clear();
  }

  #value(): string {
    return `${this.name} ${++this.#written}`;
  }

  #read(key: string): Promise<void> {
    const invocation = this.#invoke(key, { type: 'read' });
    return this.ask({ do: 'get', key }, invocation, {
      reads: true,
      ok: (entry) => {
        this.#seen.set(key, entry?.version ?? 0);
        invocation.ok(entry === null ? { type: 'read', value: null } : { type: 'read', ...entry });
      },
    });
  }

  #swap(key: string): Promise<void> {
    const version = this.#seen.get(key) ?? 0;
    const value = this.#value();
    const expected = version === 0 ? { value: null } : { version };
    const invocation = this.#invoke(key, { type: 'cas', expected, value });
    return this.ask({ do: 'cas', key, version, value }, invocation, {
      ok: (swap) => {
        this.#seen.set(key, swap.version);
        if (swap.ok) invocation.ok({ type: 'cas', swapped: true, version: swap.version });
        else if (swap.version === 0) invocation.ok({ type: 'cas', swapped: false, value: null });
        else invocation.ok({ type: 'cas', swapped: false, version: swap.version, value: swap.value });
      },
    });
  }

  #write(key: string): Promise<void> {
    const value = this.#value();
    const invocation = this.#invoke(key, { type: 'write', value });
    return this.ask({ do: 'set', key, value }, invocation, {
      ok: ({ version }) => {
        this.#seen.set(key, version);
        invocation.ok({ type: 'write', version });
      },
    });
  }

  #invoke(key: string, input: Parameters<RunRecord['registers']['recorder']['invoke']>[2]): Invocation<RegisterOutput> {
    return this.workload.record.registers.recorder.invoke(this.name, key, input);
  }
}

class LockThread extends Thread {
  #held: { readonly name: string; readonly token: number } | undefined;

  protected async act(): Promise<void> {
    const { locks } = this.workload;
    const held = this.#held;
    if (held !== undefined) return this.rng.float() < 0.5 ? this.#isHeld(held) : this.#release(held);
    const name = locks.at(this.rng.below(locks.count));
    if (this.rng.float() < 0.3) return this.#inspect(name);
    await this.#acquire(name);
    // Some holders keep it for longer than its lease, which must be renewed then.
    if (this.#held !== undefined && this.rng.float() < 0.05) await delay(this.rng.float() * 6_000);
  }

  protected async end(): Promise<void> {
    if (this.#held !== undefined) await this.#release(this.#held);
  }

  async #acquire(name: string): Promise<void> {
    const leaseMs = this.pick(leasesMs);
    const wait = this.rng.float() < 0.6;
    const invocation = this.#invoke(name, { type: 'acquire', owner: this.worker.id, leaseMs });
    // Who is refused is told who holds it: that is what the refusal says.
    const told = this.#invoke(name, { type: 'holder' }, ' told');
    let heard = false;
    await this.ask({ do: 'lock', name, leaseMs, wait, timeoutMs: patienceMs }, invocation, {
      // It may have been granted to who then could not confirm it, and be withdrawn.
      certain: false,
      ok: ({ token }) => {
        this.#held = { name, token };
        invocation.ok({ type: 'acquire', granted: true, token });
      },
      refused: (code, data) => {
        if (code !== 'TIMED_OUT') return false;
        const { holder, token } = data;
        if (wait) {
          // Who waited may have been granted it at the last moment, and have given it back. Who held it was heard at any time of the wait.
          invocation.info();
        } else {
          invocation.failed();
        }
        if (typeof holder !== 'string' || typeof token !== 'number') return true;
        heard = true;
        told.ok({ type: 'holder', owner: holder, token });
        return true;
      },
    });
    if (!heard) told.failed();
  }

  #isHeld(held: { readonly name: string; readonly token: number }): Promise<void> {
    const owner = this.worker.id;
    const invocation = this.#invoke(held.name, { type: 'holder' });
    return this.ask({ do: 'held', ...held }, invocation, {
      reads: true,
      ok: (isHeld) => {
        if (isHeld) return invocation.ok({ type: 'holder', owner, token: held.token });
        this.#held = undefined;
        invocation.failed();
      },
    });
  }

  #release(held: { readonly name: string; readonly token: number }): Promise<void> {
    this.#held = undefined;
    const invocation = this.#invoke(held.name, { type: 'release', owner: this.worker.id, token: held.token });
    return this.ask({ do: 'unlock', ...held }, invocation, {
      ok: (certain) => (certain ? invocation.ok({ type: 'release', released: true }) : invocation.info()),
    });
  }

  #inspect(name: string): Promise<void> {
    const invocation = this.#invoke(name, { type: 'holder' });
    return this.ask({ do: 'inspect', name }, invocation, {
      reads: true,
      ok: (holder) =>
        invocation.ok(
          holder === null
            ? { type: 'holder', owner: null }
            : { type: 'holder', owner: holder.node, token: holder.token },
        ),
    });
  }

  #invoke(
    name: string,
    input: Parameters<RunRecord['locks']['recorder']['invoke']>[2],
    aspect = '',
  ): Invocation<LockOutput> {
    return this.workload.record.locks.recorder.invoke(`${this.name}${aspect}`, name, input);
  }
}

class NameThread extends Thread {
  #held: string | undefined;

  protected async act(): Promise<void> {
    if (this.#held !== undefined && this.rng.float() < 0.5) return this.#release(this.#held);
    const { names } = this.workload;
    const name = names.at(this.rng.below(names.count));
    if (this.#held !== undefined || this.rng.float() < 0.4) return this.#lookUp(name);
    return this.#claim(name);
  }

  protected async end(): Promise<void> {
    if (this.#held !== undefined) await this.#release(this.#held);
  }

  #claim(name: string): Promise<void> {
    const invocation = this.#invoke(name, { type: 'claim', owner: this.worker.id });
    return this.ask({ do: 'claim', name }, invocation, {
      // The name may have been granted before its proof could not be had.
      certain: false,
      ok: ({ token }) => {
        this.#held = name;
        invocation.ok({ type: 'claim', claimed: true, token });
      },
      refused: (code, { node, token }) => {
        // Only the validators name the token. What this process refuses by itself is no answer about the name.
        if (code !== 'ALREADY_REGISTERED' || token === undefined || node === this.worker.id) return false;
        invocation.ok({ type: 'claim', claimed: false, holder: String(node) });
        return true;
      },
    });
  }

  #release(name: string): Promise<void> {
    this.#held = undefined;
    const invocation = this.#invoke(name, { type: 'release', owner: this.worker.id });
    return this.ask({ do: 'unclaim', name }, invocation, {
      ok: (released) => (released ? invocation.ok({ type: 'release', released: true }) : invocation.info()),
    });
  }

  #lookUp(name: string): Promise<void> {
    const invocation = this.#invoke(name, { type: 'lookup' });
    return this.ask({ do: 'owner', name }, invocation, {
      reads: true,
      ok: (owner) => invocation.ok({ type: 'lookup', owner: owner?.node ?? null }),
    });
  }

  #invoke(name: string, input: Parameters<RunRecord['names']['recorder']['invoke']>[2]): Invocation<NameOutput> {
    return this.workload.record.names.recorder.invoke(this.name, name, input);
  }
}
