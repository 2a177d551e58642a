/** The log of a validator in processes of their own: killed, and stopped by the system. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { openFileLog } from '../../src/protocols/pbft/driver/write-ahead-log.ts';
import type { LogRecord } from '../../src/protocols/pbft/effects.ts';

const worker = join(import.meta.dirname, 'pbft-log-worker.ts');
const groupId = new Uint8Array(32).fill(7);
let directory: string;
let child: ChildProcess | undefined;

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'quorate-wal-'));
});
afterEach(async () => {
  child?.kill('SIGKILL');
  await rm(directory, { recursive: true, force: true });
});

/** Runs a worker, and gives each line it says to `heard`. Resolves with the last position it called durable. */
async function work(command: string, args: readonly string[], heard: (line: string) => void): Promise<number> {
  const started = spawn(command, args, { stdio: ['ignore', 'pipe', 'inherit'] });
  child = started;
  let durable = 0;
  const ended = once(started, 'exit');
  for await (const line of createInterface({ input: started.stdout })) {
    const position = /^durable (\d+)$/.exec(line)?.[1];
    if (position !== undefined) durable = Number(position);
    heard(line);
  }
  await ended;
  return durable;
}

/** As the worker wrote them: each sequence once, from the first that is there, with its own bytes. */
function expectUnbroken(records: readonly LogRecord[], durable: number): void {
  const first = records[0]?.seq ?? 0;
  records.forEach(({ seq, bytes }, index) => {
    expect(seq).toBe(first + index);
    expect(Buffer.from(bytes)).toEqual(Buffer.alloc(seq % 900, seq % 251));
  });
  expect(records.at(-1)?.seq).toBeGreaterThanOrEqual(durable);
}

describe('the log of a validator', () => {
  it('has everything acknowledged after kill -9, again and again', async () => {
    for (const until of [1, 40, 400, 1_500]) {
      await rm(directory, { recursive: true, force: true });
      const durable = await work(process.execPath, [worker, directory, 'checkpoints'], (line) => {
        if (line.startsWith('durable') && Number(line.slice(8)) >= until) child?.kill('SIGKILL');
      });
      expect(durable).toBeGreaterThanOrEqual(until);
      const log = await openFileLog(directory, groupId);
      expectUnbroken(log.recovered, durable);
      await log.close();
    }
  });

  it.skipIf(process.platform === 'win32')(
    'fails once, and is whole, where the system stops the file from growing',
    async () => {
      const failures: string[] = [];
      const limited = ['-c', 'ulimit -f 128; exec "$0" "$@"', process.execPath, worker, directory];
      const durable = await work('sh', limited, (line) => {
        if (line.startsWith('failed')) failures.push(line);
      });
      expect(failures).toEqual(['failed DATA_DIR_UNUSABLE EFBIG']);
      expect(durable).toBeGreaterThan(50);
      const log = await openFileLog(directory, groupId);
      expect(log.recovered[0]?.seq).toBe(1);
      expectUnbroken(log.recovered, durable);
      await log.close();
    },
  );
});
