import { mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { seededRng } from '../../../../src/clock.ts';
import type { QuorateError } from '../../../../src/errors.ts';
import {
  createMemoryLog,
  type FileLogOptions,
  openFileLog,
  openLog,
  type WriteAheadLog,
} from '../../../../src/protocols/pbft/driver/write-ahead-log.ts';
import type { LogRecord } from '../../../../src/protocols/pbft/effects.ts';
import { recordsToKeep } from '../../../../src/protocols/pbft/recovery.ts';
import { CrashingFiles, idle, sectorBytes, systemError } from './crashing-files.ts';

const groupId = new Uint8Array(32).fill(7);
/** Small, so that compactions are frequent. */
const small: FileLogOptions = { reserveBytes: 4_096 };

/** One line per record: what two logs are compared by. */
const lines = (records: readonly LogRecord[]): string[] =>
  records.map(
    ({ kind, epoch, seq, view, bytes }) => `${kind} ${epoch} ${seq} ${view} ${Buffer.from(bytes).toString('hex')}`,
  );

const proposal = (seq: number, length = 100): LogRecord => {
  return { kind: 'proposal', epoch: 0, seq, view: 0, bytes: new Uint8Array(length).fill(seq) };
};
const checkpoint = (seq: number, length = 100): LogRecord => ({ ...proposal(seq, length), kind: 'checkpoint' });

interface Told {
  readonly durable: number[];
  readonly failed: QuorateError[];
}

function listening(log: WriteAheadLog): Told {
  const told: Told = { durable: [], failed: [] };
  log.listen({ onDurable: (position) => told.durable.push(position), onFailed: (error) => told.failed.push(error) });
  return told;
}

/** Opens, with every operation of the files done at once. */
async function opened(files: CrashingFiles, options: FileLogOptions = small): Promise<WriteAheadLog> {
  const opening = openLog(files, '/data/pbft.log', groupId, options);
  opening.catch(() => undefined); // Looked at below, after the steps.
  await files.settle();
  return opening;
}

describe('the log on disk', () => {
  let directory: string;
  beforeEach(async () => {
    directory = await mkdtemp(join(tmpdir(), 'quorate-wal-'));
  });
  afterEach(() => rm(directory, { recursive: true, force: true }));

  it('gives back what was appended, in files nobody else can read', async () => {
    const inner = join(directory, 'a', 'b');
    const log = await openFileLog(inner, groupId);
    expect(log.recovered).toEqual([]);
    const written = [proposal(1), checkpoint(0), proposal(2, 5_000), { ...proposal(3), kind: 'executed' as const }];
    expect(written.map((record) => log.append(record))).toEqual([1, 2, 3, 4]);
    expect(log.durable).toBe(0);
    await log.close();
    expect(log.durable).toBe(4);
    const modes = [inner, join(inner, 'pbft.log')].map(async (path) => (await stat(path)).mode & 0o777);
    if (process.platform !== 'win32') expect(await Promise.all(modes)).toEqual([0o700, 0o600]);
    expect((await stat(join(inner, 'pbft.log'))).size).toBe(log.bytes);
    const again = await openFileLog(inner, groupId);
    expect(lines(again.recovered)).toEqual(lines(written));
    await again.close();
    const third = await openFileLog(inner, groupId);
    expect(lines(third.recovered)).toEqual(lines(recordsToKeep(written)));
    await third.close();
  });

  it('tells what is durable, and stays small while checkpoints come', async () => {
    const log = await openFileLog(directory, groupId, { reserveBytes: 64 << 10 });
    const told = listening(log);
    for (let seq = 1; seq <= 2_000; seq++) {
      const position = log.append(seq % 50 === 0 ? checkpoint(seq, 2_000) : proposal(seq, 500));
      if (seq % 20 === 0)
        await new Promise<void>((done) =>
          log.listen({ onDurable: (at) => at >= position && done(), onFailed: () => undefined }),
        );
    }
    await log.close();
    expect(told.failed).toEqual([]);
    expect(told.durable.at(-1)).toBe(2_000);
    expect(told.durable).toEqual([...new Set(told.durable)].sort((a, b) => a - b));
    expect(log.bytes).toBeLessThan(256 << 10);
    const again = await openFileLog(directory, groupId);
    expect(again.recovered.at(-1)?.seq).toBe(2_000);
    await again.close();
  });

  it('refuses what it cannot vouch for, leaving it as it is', async () => {
    const file = join(directory, 'pbft.log');
    const log = await openFileLog(directory, groupId, small);
    for (let seq = 1; seq < 5; seq++) log.append(proposal(seq));
    await log.close();
    const good = await readFile(file);
    await expect(openFileLog(directory, new Uint8Array(32), small)).rejects.toMatchObject({
      code: 'DATA_DIR_UNUSABLE',
      message: expect.stringContaining('another group'),
      data: { file, offset: 0 },
    });
    const bad = Buffer.from(good);
    bad[600] = (bad[600] as number) ^ 16;
    for (const content of [bad, Buffer.from('something else'), Buffer.alloc(0)]) {
      await writeFile(file, content);
      await expect(openFileLog(directory, groupId, small)).rejects.toMatchObject({
        code: 'DATA_DIR_UNUSABLE',
        message: expect.stringMatching(/at byte \d+ .*Replace this validator/),
      });
      expect(await readFile(file)).toEqual(content);
    }
  });

  it('refuses, after a close, what a crash could have lost', async () => {
    const file = join(directory, 'pbft.log');
    const log = await openFileLog(directory, groupId, small);
    log.append(proposal(1, 2_000));
    await log.close();
    const content = await readFile(file);
    await writeFile(file, content.fill(0, 1_024, 1_536));
    await expect(openFileLog(directory, groupId, small)).rejects.toMatchObject({
      code: 'DATA_DIR_UNUSABLE',
      data: { file, offset: 512, reason: expect.stringContaining('shows that it was on disk') },
    });
  });

  it('says what is wrong with the directory', async () => {
    await writeFile(join(directory, 'file'), '');
    await expect(openFileLog(join(directory, 'file'), groupId)).rejects.toMatchObject({
      code: 'DATA_DIR_UNUSABLE',
      data: { code: 'EEXIST' },
    });
  });
});

describe('group commit', () => {
  it('writes the records of one turn together, and those appended meanwhile next', async () => {
    const files = new CrashingFiles();
    const log = await opened(files);
    const told = listening(log);
    log.append(proposal(1, 0));
    log.append(proposal(2, 0));
    await idle();
    expect(files.pending.map(({ type, length }) => ({ type, length }))).toEqual([{ type: 'write', length: 128 }]);
    for (let seq = 3; seq <= 9; seq++) log.append(proposal(seq, 0));
    await idle();
    expect(files.pending).toHaveLength(1);
    await files.step();
    expect(told.durable).toEqual([2]);
    expect(files.pending.map(({ length }) => length)).toEqual([7 * 64]);
    await files.step();
    expect(told.durable).toEqual([2, 9]);
  });

  it('goes on where the system wrote less than it was given', async () => {
    const files = new CrashingFiles();
    const log = await opened(files);
    const told = listening(log);
    log.append(proposal(1, 300));
    await idle();
    for (const length of [1, 63, 200]) {
      files.take(0).shorten(length);
      await idle();
      expect(told.durable).toEqual([]);
    }
    await files.settle();
    expect(told.durable).toEqual([1]);
    expect(lines((await opened(files.crashed(seededRng(1)))).recovered)).toEqual(lines([proposal(1, 300)]));
  });

  it('takes what listeners append', async () => {
    const files = new CrashingFiles();
    const log = await opened(files);
    log.listen({
      onDurable: (position) => position < 5 && log.append(proposal(position + 1)),
      onFailed: () => undefined,
    });
    log.append(proposal(1));
    await files.settle();
    expect(log.durable).toBe(5);
  });

  it('drops what comes after close', async () => {
    const files = new CrashingFiles();
    const log = await opened(files);
    log.append(proposal(1));
    const closing = log.close();
    expect(log.append(proposal(2))).toBe(2);
    expect(log.close()).toBe(closing);
    await files.settle();
    await closing;
    expect(log.durable).toBe(1);
    expect(lines((await opened(files.killed())).recovered)).toEqual(lines([proposal(1)]));
  });
});

describe('a failing disk', () => {
  /** Runs a fixed life of a log in which operation `failing` fails so; true when there was one. */
  async function lifeWithFault(failing: number, code: string, kept: number): Promise<boolean> {
    const files = new CrashingFiles();
    let operations = 0;
    let failed = false;
    const run = async (): Promise<void> => {
      await idle();
      while (files.pending.length > 0) {
        const operation = files.take(0);
        if (operations++ === failing) {
          failed = true;
          // A full disk still takes whole sectors first.
          const end = operation.offset + operation.length * kept;
          const length = Math.floor(end / sectorBytes) * sectorBytes - operation.offset;
          if (length > 0 && operation.type === 'write') {
            operation.shorten(length);
            await idle();
            files.take(0).fail(systemError(code));
          } else operation.fail(systemError(code));
        } else operation.succeed();
        await idle();
      }
    };
    const opening = openLog(files, '/data/pbft.log', groupId, small).catch(
      (error: unknown) => error as Error & { code: string },
    );
    await run();
    const log = await opening;
    if (log instanceof Error) {
      expect(log.code).toBe(code);
      return failed;
    }
    const told = listening(log);
    const appended: LogRecord[] = [];
    for (let seq = 1; seq <= 30; seq++) {
      const record = seq % 10 === 0 ? checkpoint(seq, 700) : proposal(seq, 300);
      appended.push(record);
      log.append(record);
      if (seq % 3 === 0) await run();
    }
    const closing = log.close();
    await run();
    await closing;
    expect(told.failed).toHaveLength(failed ? 1 : 0);
    if (failed)
      expect(told.failed[0]).toMatchObject({ code: 'DATA_DIR_UNUSABLE', data: { code, file: '/data/pbft.log' } });
    const acknowledged = log.durable;
    expect(told.durable.at(-1) ?? 0).toBe(acknowledged);
    log.append(proposal(99));
    await run();
    expect(log.durable).toBe(acknowledged);
    for (let seed = 0; seed < 8; seed++) await expectRecovery(files, seed, appended, acknowledged);
    return failed;
  }

  async function expectRecovery(
    files: CrashingFiles,
    seed: number,
    appended: readonly LogRecord[],
    least: number,
  ): Promise<void> {
    const found = await opened(seed === 0 ? files.killed() : files.crashed(seededRng(seed)));
    expect(prefixFound(appended, least, found.recovered)).toBeDefined();
  }

  it.each([
    { code: 'EIO', kept: 0 },
    { code: 'ENOSPC', kept: 0.5 },
    { code: 'EFBIG', kept: 0.1 },
  ])('stops the log once, and what was acknowledged is there: $code', async ({ code, kept }) => {
    let failing = 0;
    while (await lifeWithFault(failing, code, kept)) failing++;
    // The life includes compactions: each has a file, a directory and a name that can fail.
    expect(failing).toBeGreaterThan(30);
  });

  it('promises nothing more once a compaction failed, though the write under way succeeds', async () => {
    const files = new CrashingFiles();
    const log = await opened(files);
    const told = listening(log);
    for (let seq = 1; seq <= 12; seq++) log.append(proposal(seq, 300));
    log.append(checkpoint(12));
    await idle();
    await files.step();
    // The compaction has begun.
    expect(files.pending.map(({ type }) => type)).toEqual(['create']);
    log.append(proposal(13));
    await idle();
    expect(files.pending.map(({ type }) => type)).toEqual(['create', 'write']);
    files.take(0).fail(systemError('ENOSPC'));
    await files.settle();
    expect(told.failed.map(({ data }) => data['code'])).toEqual(['ENOSPC']);
    expect(told.durable).toEqual([13]);
    expect(log.durable).toBe(13);
    const closing = log.close();
    await files.settle();
    await closing;
    expect(lines((await opened(files.killed())).recovered).length).toBeGreaterThanOrEqual(13);
  });

  it('does not believe what it reads back after a failed sync until it has written it anew', async () => {
    const files = new CrashingFiles();
    const log = await opened(files);
    listening(log);
    log.append(proposal(1));
    await idle();
    files.take(0).fail(systemError('EIO'));
    await idle();
    // The cache still has the record, so the next process finds it; and after that it must not vanish.
    const next = files.killed();
    const second = await opened(next);
    expect(lines(second.recovered)).toEqual(lines([proposal(1)]));
    for (let seed = 0; seed < 20; seed++) {
      expect(lines((await opened(next.crashed(seededRng(seed)))).recovered)).toEqual(lines([proposal(1)]));
    }
  });

  it('that does not keep up counts as failed', async () => {
    const files = new CrashingFiles();
    const log = await opened(files, { ...small, maxQueuedBytes: 1_000 });
    const told = listening(log);
    for (let seq = 1; seq <= 12; seq++) log.append(proposal(seq));
    await files.settle();
    expect(told.failed.map(({ message }) => message)).toEqual([expect.stringContaining('more than 1000 bytes wait')]);
    const late = listening(log);
    await idle();
    expect(late.failed).toEqual(told.failed);
  });
});

/** How many of `appended`, at least `least`, a log must have had that recovers to `found`; undefined when none. */
function prefixFound(appended: readonly LogRecord[], least: number, found: readonly LogRecord[]): number | undefined {
  const kept = lines(recordsToKeep(found)).join();
  for (let length = appended.length; length >= least; length--) {
    if (lines(recordsToKeep(appended.slice(0, length))).join() === kept) return length;
  }
  return undefined;
}

type Command =
  | { readonly do: 'append'; readonly kind: LogRecord['kind']; readonly length: number; readonly fill: number }
  | { readonly do: 'step'; readonly index: number }
  | { readonly do: 'settle' }
  | { readonly do: 'end'; readonly how: 'close' | 'kill' | 'crash'; readonly seed: number; readonly steps: number };

const command: fc.Arbitrary<Command> = fc.oneof(
  {
    weight: 10,
    arbitrary: fc.record({
      do: fc.constant('append' as const),
      kind: fc.constantFrom('proposal', 'proposal', 'prepared', 'executed', 'viewChange', 'newView', 'checkpoint'),
      length: fc.oneof(fc.nat(200), fc.nat(3_000)),
      fill: fc.constantFrom(0, 0, 1, 255),
    }),
  },
  { weight: 10, arbitrary: fc.record({ do: fc.constant('step' as const), index: fc.nat(3) }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('settle' as const) }) },
  {
    weight: 2,
    arbitrary: fc.record({
      do: fc.constant('end' as const),
      how: fc.constantFrom('close' as const, 'kill' as const, 'crash' as const),
      seed: fc.nat(),
      steps: fc.nat(12),
    }),
  },
);

/** A validator's log through many lives, beside the list of what was appended. */
class Lives {
  files = new CrashingFiles();
  log: WriteAheadLog | undefined;
  told: Told = { durable: [], failed: [] };
  appended: LogRecord[] = [];
  /** So many of `appended` were there when this life began. */
  #before = 0;
  #seq = 0;
  #view = 0;

  get acknowledged(): number {
    return this.#before + (this.told.durable.at(-1) ?? 0);
  }

  append(kind: LogRecord['kind'], length: number, fill: number): void {
    const ofView = kind === 'viewChange' || kind === 'newView';
    if (ofView) this.#view++;
    const seq = ofView ? 0 : ++this.#seq;
    const bytes = new Uint8Array(length + 8).fill(fill);
    new DataView(bytes.buffer).setUint32(0, this.appended.length);
    // A checkpoint is about what was executed: some records above it stay.
    const record = { kind, epoch: 0, seq: kind === 'checkpoint' ? Math.max(0, seq - 4) : seq, view: this.#view, bytes };
    this.appended.push(record);
    this.log?.append(record);
  }

  async end(how: 'close' | 'kill' | 'crash', seed: number, steps: number): Promise<void> {
    if (how === 'close') {
      const closing = this.log?.close();
      await this.files.settle();
      await closing;
      if (this.acknowledged !== this.appended.length) throw new Error('closed, and not everything is acknowledged');
    }
    if (this.told.failed.length > 0) throw this.told.failed[0];
    const rng = seededRng(seed);
    this.#leave(how, rng);
    // First a start that is interrupted as well.
    const interrupted = openLog(this.files, '/data/pbft.log', groupId, small);
    interrupted.catch(() => undefined); // The second start would meet the same.
    for (let step = 0; step < steps; step++) await this.files.step();
    this.#leave(how, rng);
    await this.begin();
  }

  #leave(how: 'close' | 'kill' | 'crash', rng: ReturnType<typeof seededRng>): void {
    this.files = how === 'crash' ? this.files.crashed(rng) : this.files.killed();
  }

  async begin(): Promise<void> {
    const log = await opened(this.files);
    const length = prefixFound(this.appended, this.acknowledged, log.recovered);
    if (length === undefined) {
      throw new Error(
        `of ${this.appended.length} records ${this.acknowledged} were acknowledged; found: ${lines(log.recovered).join('\n')}`,
      );
    }
    this.appended = this.appended.slice(0, length);
    this.#before = length;
    this.log = log;
    this.told = listening(log);
  }
}

describe('whatever crashes when', () => {
  it('everything acknowledged is recovered, in order, and nothing else', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(command, { minLength: 1, maxLength: 120, size: 'max' }), async (commands) => {
        const lives = new Lives();
        await lives.begin();
        for (const next of commands) {
          if (next.do === 'append') lives.append(next.kind, next.length, next.fill);
          if (next.do === 'step') await lives.files.step(next.index);
          if (next.do === 'settle') await lives.files.settle();
          if (next.do === 'end') await lives.end(next.how, next.seed, next.steps);
        }
        await lives.end('close', 0, 0);
      }),
      { numRuns: 300 },
    );
  });

  it('no step of a compaction loses anything', async () => {
    // The same life, ended before each of its operations in turn.
    const endAfter = async (steps: number): Promise<boolean> => {
      const lives = new Lives();
      await lives.begin();
      for (let seq = 0; seq < 24; seq++) lives.append(seq % 8 === 7 ? 'checkpoint' : 'proposal', 700, 0);
      let finished = false;
      for (let step = 0; step < steps && !finished; step++) {
        if (step % 2 === 0 && step < 40) lives.append('proposal', 300, 0);
        await lives.files.step();
        finished = step >= 40 && lives.files.pending.length === 0;
      }
      await lives.end('crash', steps, 0);
      return finished;
    };
    let steps = 0;
    while (!(await endAfter(steps))) steps++;
    expect(steps).toBeGreaterThan(30);
  });
});

describe('the log in memory', () => {
  it('is durable when append returns, and nothing after close', async () => {
    const log = createMemoryLog();
    const told = listening(log);
    expect(log.append(proposal(1))).toBe(1);
    expect(log.durable).toBe(1);
    expect(log.append(proposal(2))).toBe(2);
    await log.close();
    expect(log.append(proposal(3))).toBe(3);
    expect(log.durable).toBe(2);
    expect(told).toEqual({ durable: [1, 2], failed: [] });
    expect(log.recovered).toEqual([]);
  });
});
