/** The command line as processes of their own, with a runtime directory apart from the user's. */
import { type ChildProcess, spawn } from 'node:child_process';
import { join } from 'node:path';

const program = join(import.meta.dirname, '../../src/cli/main.ts');

export interface Ended {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly out: string;
  readonly err: string;
}

/** A started command line. It leads its own process group, so that what it leaves behind can be seen. */
export class QuorateProcess {
  readonly child: ChildProcess;
  readonly ended: Promise<Ended>;
  readonly pid: number;
  #out = '';
  #err = '';
  #onOut = (): void => undefined;

  constructor(args: readonly string[], runtimeDirectory: string, env: NodeJS.ProcessEnv = {}) {
    this.child = spawn(process.execPath, [program, ...args], {
      env: { ...process.env, QUORATE_RUNTIME_DIR: runtimeDirectory, NO_COLOR: '1', ...env },
      stdio: ['ignore', 'pipe', 'pipe'],
      detached: true,
    });
    this.pid = this.child.pid as number;
    this.child.stdout?.setEncoding('utf8').on('data', (text: string) => {
      this.#out += text;
      this.#onOut();
    });
    this.child.stderr?.setEncoding('utf8').on('data', (text: string) => {
      this.#err += text;
    });
    this.ended = new Promise((resolve, reject) => {
      this.child.once('error', reject);
      this.child.once('close', (code, signal) => {
        this.#onOut();
        resolve({ code, signal, out: this.#out, err: this.#err });
      });
    });
  }

  /** The first whole line of standard output for which `match` gives something; rejects when the process ends first. */
  async line<T>(match: (line: string) => T | undefined): Promise<T> {
    for (;;) {
      const lines = this.#out.split('\n').slice(0, -1);
      const found = lines.map(match).find((result) => result !== undefined);
      if (found !== undefined) return found;
      if (this.child.exitCode !== null || this.child.signalCode !== null) {
        throw new Error(`The process ended before it said so.\n${this.#out}\n${this.#err}`);
      }
      await new Promise<void>((resolve) => {
        this.#onOut = resolve;
      });
    }
  }

  /** The first JSON line with these values. */
  json(expected: Readonly<Record<string, unknown>>): Promise<Record<string, never>> {
    return this.line((line) => {
      const value = JSON.parse(line) as Record<string, never>;
      return Object.entries(expected).every(([key, wanted]) => value[key] === wanted) ? value : undefined;
    });
  }

  kill(signal: NodeJS.Signals): void {
    this.child.kill(signal);
  }

  /** Whether this process or one it started still runs. */
  get groupRuns(): boolean {
    try {
      process.kill(-this.pid, 0);
      return true;
    } catch {
      return false; // ESRCH: nobody is left in the group.
    }
  }

  /** For the end of a test: ends whatever is left. */
  async destroy(): Promise<void> {
    if (this.groupRuns) process.kill(-this.pid, 'SIGKILL');
    await this.ended;
  }
}

/** Runs a command to its end. */
export function quorate(runtimeDirectory: string, ...args: string[]): Promise<Ended> {
  return new QuorateProcess(args, runtimeDirectory).ended;
}
