/**
 * Three etcd members as processes on loopback, as Debian ships them: data on disk, every write synced, default
 * heartbeat (100 ms) and election timeout (1 s). Neither TLS nor authentication is on.
 */
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, mkdtempSync, openSync, readFileSync, rmSync } from 'node:fs';
import { constants } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { freePort } from '../harness.ts';
import { EtcdClient } from './etcd-client.ts';

const healthyWithinMs = 60_000;

/** What etcd is installed, as it says; undefined where none is. */
export function etcdVersion(): string | undefined {
  const { status, stdout } = spawnSync('etcd', ['--version'], { encoding: 'utf8', env: environment() });
  return status === 0 ? /etcd Version: (\S+)/.exec(stdout)?.[1] : undefined;
}

/** One member: its process, which can be killed and started again on the same data, and a client of it. */
class Member {
  readonly client: EtcdClient;
  readonly #url: string;
  readonly #arguments: readonly string[];
  readonly #log: string;
  #process: ChildProcess | undefined;

  constructor(name: string, directory: string, url: string, peers: Readonly<Record<string, string>>) {
    const peer = peers[name] ?? '';
    this.client = new EtcdClient(url);
    this.#url = url;
    this.#log = join(directory, `${name}.log`);
    this.#arguments = Object.entries({
      name,
      'data-dir': join(directory, name),
      'listen-client-urls': url,
      'advertise-client-urls': url,
      'listen-peer-urls': peer,
      'initial-advertise-peer-urls': peer,
      'initial-cluster': Object.entries(peers)
        .map(([of, at]) => `${of}=${at}`)
        .join(),
    }).map(([flag, value]) => `--${flag}=${value}`);
  }

  start(): void {
    const log = openSync(this.#log, 'a');
    this.#process = spawn('etcd', this.#arguments, { stdio: ['ignore', log, log], env: environment() });
    closeSync(log);
  }

  /** Sends the signal and does not wait for the end. */
  kill(): void {
    this.#process?.kill('SIGKILL');
  }

  async ended(): Promise<void> {
    if (this.#process !== undefined && !this.#hasEnded()) await once(this.#process, 'exit');
  }

  /** The ids of this member and of whom it takes for the leader; undefined while it is not healthy. */
  async leader(): Promise<{ readonly self: string; readonly leader: string } | undefined> {
    if (this.#hasEnded()) throw new Error(`etcd ended by itself:\n${readFileSync(this.#log, 'utf8').slice(-2_000)}`);
    const health = (await this.#ask('/health')) as { health?: string } | undefined;
    if (health?.health !== 'true') return undefined;
    const status = (await this.#ask('/v3/maintenance/status', { method: 'POST', body: '{}' })) as
      | { header?: { member_id?: string }; leader?: string }
      | undefined;
    const { leader, header } = status ?? {};
    return leader === undefined || header?.member_id === undefined ? undefined : { self: header.member_id, leader };
  }

  #hasEnded(): boolean {
    return this.#process !== undefined && (this.#process.exitCode !== null || this.#process.signalCode !== null);
  }

  async #ask(path: string, init?: RequestInit): Promise<unknown> {
    try {
      const response = await fetch(`${this.#url}${path}`, { ...init, signal: AbortSignal.timeout(1_000) });
      return await response.json();
    } catch {
      return undefined; // Not listening yet, or without a leader: the caller asks again.
    }
  }
}

export class EtcdCluster {
  readonly members: readonly Member[];
  readonly #directory: string;
  readonly #onExit = (): void => this.#remove();

  private constructor(directory: string, members: readonly Member[]) {
    this.#directory = directory;
    this.members = members;
    process.once('exit', this.#onExit);
    for (const signal of endingSignals) process.once(signal, exitBecauseOf);
  }

  /** Starts three members in a new directory under `parent`, whose file system is what they write to. */
  static async start(parent: string): Promise<EtcdCluster> {
    const ports = new Set<number>();
    while (ports.size < 6) ports.add(await freePort());
    const urls = [...ports].map((port) => `http://127.0.0.1:${port}`);
    const names = ['a', 'b', 'c'];
    const peers = Object.fromEntries(names.map((name, at) => [name, urls[at + 3] ?? '']));
    const directory = mkdtempSync(join(parent, 'quorate-etcd-'));
    const members = names.map((name, at) => new Member(name, directory, urls[at] ?? '', peers));
    const cluster = new EtcdCluster(directory, members);
    try {
      for (const member of members) member.start();
      await cluster.leader();
      return cluster;
    } catch (error) {
      await cluster.stop();
      throw error;
    }
  }

  /** Resolves once all three members are healthy and agree on a leader. */
  async leader(): Promise<Member> {
    const deadline = performance.now() + healthyWithinMs;
    while (performance.now() < deadline) {
      const said = await Promise.all(this.members.map((member) => member.leader()));
      const leader = said[0]?.leader;
      const found = this.members[said.findIndex((one) => one !== undefined && one.self === leader)];
      if (found !== undefined && said.every((one) => one?.leader === leader)) return found;
      await delay(50);
    }
    throw new Error(`The etcd members did not agree on a leader within ${healthyWithinMs / 1e3} s.`);
  }

  /** Kills all members and removes their data. */
  async stop(): Promise<void> {
    for (const member of this.members) member.kill();
    await Promise.all(this.members.map((member) => member.ended()));
    this.#remove();
    process.off('exit', this.#onExit);
    for (const signal of endingSignals) process.off(signal, exitBecauseOf);
  }

  #remove(): void {
    for (const member of this.members) {
      member.client.close();
      member.kill();
    }
    // A member that is dying may still create a file.
    rmSync(this.#directory, { recursive: true, force: true, maxRetries: 20, retryDelay: 50 });
  }
}

const endingSignals = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;

/** Lets the 'exit' handlers above run, which a signal alone does not. */
function exitBecauseOf(signal: NodeJS.Signals): void {
  process.exit(128 + constants.signals[signal]);
}

/** Without etcd's own variables, which could turn the syncing off. */
function environment(): NodeJS.ProcessEnv {
  const kept = Object.entries(process.env).filter(
    ([name]) => !name.startsWith('ETCD_') || name === 'ETCD_UNSUPPORTED_ARCH',
  );
  return Object.fromEntries(kept);
}
