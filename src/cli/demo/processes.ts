/** The indexer processes: started, killed for the demonstration, and never left behind. */
import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { flushCompileCache, getCompileCacheDir } from 'node:module';
import { extname, join } from 'node:path';
import type { IndexerReady, IndexerSettings } from './contract.ts';

export interface IndexerProcess {
  readonly settings: IndexerSettings;
  readonly pid: number;
  /** Its node id. */
  readonly node: string;
  /** SIGKILL: no goodbye, no closing of sockets by the program. */
  kill(): void;
}

/** Same suffix as this file: sources in a clone, JavaScript in the package. */
const program = join(import.meta.dirname, `indexer${extname(import.meta.filename)}`);
const stopTimeoutMs = 5_000;

export class IndexerProcesses {
  readonly #children = new Set<ChildProcess>();
  /** What indexers wrote to standard error; shown when something goes wrong. */
  readonly complaints: string[] = [];

  constructor() {
    // The last word when this process ends in whatever way it can still notice.
    process.once('exit', () => {
      for (const child of this.#children) child.kill('SIGKILL');
    });
  }

  /** Resolves when the process is in the mesh and its agent registered. Rejects when it ends before that. */
  async start(settings: IndexerSettings, signal: AbortSignal): Promise<IndexerProcess> {
    // fork uses process.execPath: the same Node.js as this process, whatever `node` is on the path.
    // What this process has compiled of the same files, they need not compile again: half their start.
    flushCompileCache();
    const cache = getCompileCacheDir();
    const child = fork(program, [JSON.stringify(settings)], {
      stdio: ['ignore', 'ignore', 'pipe', 'ipc'],
      env: { ...process.env, ...(cache === undefined ? {} : { NODE_COMPILE_CACHE: cache }) },
    });
    this.#children.add(child);
    child.once('exit', () => this.#children.delete(child));
    child.stderr?.setEncoding('utf8').on('data', (text: string) => {
      if (this.complaints.length < 100) this.complaints.push(`${settings.agent}: ${text.trimEnd()}`);
    });
    const node = await new Promise<string>((resolve, reject) => {
      const ended = (): void =>
        reject(new Error(`The process of ${settings.agent} ended before it was ready.\n${this.complaints.join('\n')}`));
      const aborted = (): void => reject(signal.reason);
      signal.addEventListener('abort', aborted, { once: true });
      child.once('exit', ended).once('error', reject);
      child.once('message', (message: IndexerReady) => {
        child.off('exit', ended);
        signal.removeEventListener('abort', aborted);
        resolve(message.node);
      });
    });
    return { settings, pid: child.pid ?? 0, node, kill: () => void child.kill('SIGKILL') };
  }

  /** Lets the others say goodbye to the mesh, then makes sure. Idempotent. */
  async stop(): Promise<void> {
    await Promise.all(
      [...this.#children].map(async (child) => {
        const gone = once(child, 'exit');
        const limit = setTimeout(() => child.kill('SIGKILL'), stopTimeoutMs);
        if (child.connected) child.disconnect();
        else child.kill('SIGKILL');
        await gone;
        clearTimeout(limit);
      }),
    );
  }
}
