// A lock with fencing protects a file. Two meshes' worth of trouble in one process: the first writer is paused past its lease, in the
// middle of a write, as a garbage collector or a suspended laptop does it; a second one takes over; and when the first one's write
// arrives at last, the file refuses it. With `mode: 'cluster'` and validators the same lines run in many processes.
import assert from 'node:assert/strict';
import { mkdtemp, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { createMesh, isQuorateError, TokenGuard } from 'quorate';

/** What is protected. The token is in the file itself, so that a restart forgets nothing. */
class FencedFile {
  readonly #path: string;

  constructor(path: string) {
    this.#path = path;
  }

  async read(): Promise<{ token: number; lines: string[] }> {
    return JSON.parse(await readFile(this.#path, 'utf8'));
  }

  /** Throws `STALE_TOKEN` for who held the lock once. */
  async append(line: string, token: number): Promise<void> {
    const { token: highest, lines } = await this.read();
    const guard = new TokenGuard(highest);
    guard.check(token);
    await this.#replace({ token: guard.highest, lines: [...lines, line] });
  }

  /** Both at once, or neither. */
  async #replace(content: { token: number; lines: string[] }): Promise<void> {
    await writeFile(`${this.#path}.new`, JSON.stringify(content));
    await rename(`${this.#path}.new`, this.#path);
  }

  static async create(path: string): Promise<FencedFile> {
    const file = new FencedFile(path);
    await file.#replace({ token: 0, lines: [] });
    return file;
  }
}

const folder = await mkdtemp(join(tmpdir(), 'quorate-lock-file-'));
await using mesh = await createMesh();
const ledger = await FencedFile.create(join(folder, 'ledger.json'));
const leaseMs = 300;
const firstWrote = Promise.withResolvers<void>();
const secondWrote = Promise.withResolvers<void>();

async function firstWriter(): Promise<void> {
  const lock = await mesh.coordination.lock('ledger', { leaseMs });
  console.log(`first writer holds the lock with token ${lock.token}`);
  await ledger.append('opened by the first', lock.token);
  assert.equal(lock.held, true);
  firstWrote.resolve();
  await sleep(50); // The second one comes, and waits in line.

  // The whole process stands still: no timer fires, no renewal is sent.
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 2 * leaseMs);

  // Who looks before it acts sees it at once, although no timer has had time to tell:
  assert.equal(lock.held, false);
  console.log('first writer was paused for twice its lease, and sees that it lost the lock');

  // Who had looked just before the pause writes nevertheless. That is what the token is for.
  await secondWrote.promise;
  try {
    await ledger.append('written late by the first', lock.token);
    assert.fail('the late write went through');
  } catch (error) {
    if (!isQuorateError(error, 'STALE_TOKEN')) throw error;
    console.log(`its late write is refused: ${error.message}`);
  }
}

async function secondWriter(): Promise<void> {
  await firstWrote.promise;
  await using lock = await mesh.coordination.lock('ledger', { leaseMs });
  console.log(`second writer holds the lock with token ${lock.token}`);
  await ledger.append('continued by the second', lock.token);
  secondWrote.resolve();
}

try {
  await Promise.all([firstWriter(), secondWriter()]);
  const { lines } = await ledger.read();
  assert.deepEqual(lines, ['opened by the first', 'continued by the second']);
  console.log('the file has both lines of who held the lock, and none of who did not');
} finally {
  await rm(folder, { recursive: true });
}
