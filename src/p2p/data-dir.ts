/**
 * One process per data directory.
 *
 * Each contender makes a file `lock-<pid>-<start of that process>-<uuid>` and then lists the directory: alone among the
 * living, it has the lock, and keeps the file. Of two contenders at least the one that lists later sees the other, so
 * never do both believe to be alone. Files of dead processes are removed by whoever sees them, which is safe since a
 * name is never used twice; the start time tells a process from a later one with its id.
 */
import { mkdir, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { QuorateError } from '../errors.ts';
import { codeOf, unusable } from './whole-file.ts';

const lockName = /^lock-(\d{1,10})-(\d*)-([0-9a-f-]{36})$/;
/** Contenders that meet try again so often; together about a fifth of a second before the directory counts as taken. */
const maxRounds = 8;
const retryMs = 20;

export interface DataDirLock {
  /** Idempotent. */
  release(): Promise<void>;
}

/**
 * Creates the directory (0700) when it is missing, and takes it for this process until `release`. Throws `DATA_DIR_LOCKED`
 * naming the holder, and `DATA_DIR_UNUSABLE`.
 */
export async function lockDataDir(path: string): Promise<DataDirLock> {
  const uuid = crypto.randomUUID();
  const name = `lock-${process.pid}-${await startOf(process.pid)}-${uuid}`;
  const file = join(path, name);
  const withdraw = (): Promise<void> => rm(file, { force: true });
  try {
    await mkdir(path, { recursive: true, mode: 0o700 });
    for (let round = 1; ; round++) {
      await writeFile(file, '', { mode: 0o600 });
      const rival = await firstLivingRival(path, name);
      if (rival === undefined) return { release: withdraw };
      if (round === maxRounds) throw locked(path, rival.pid);
      // The first by name stays and waits for the others to withdraw, so that contenders of one moment get a winner.
      if (rival.uuid < uuid) await withdraw();
      await delay(retryMs * (1 + Math.random()));
    }
  } catch (cause) {
    await withdraw().catch(() => undefined); // Where it cannot be removed, it could not be made.
    throw unusable(path, cause);
  }
}

interface Rival {
  readonly pid: number;
  readonly uuid: string;
}

/** The first by uuid of the other living contenders or holders; removes the files of dead ones. */
async function firstLivingRival(path: string, own: string): Promise<Rival | undefined> {
  let first: Rival | undefined;
  for (const name of await readdir(path)) {
    const match = lockName.exec(name);
    if (match === null || name === own) continue;
    const [, pid = '', startedAt = '', uuid = ''] = match;
    if (!(await isAlive(Number(pid), startedAt))) await rm(join(path, name), { force: true });
    else if (first === undefined || uuid < first.uuid) first = { pid: Number(pid), uuid };
  }
  return first;
}

function locked(path: string, pid: number): QuorateError {
  return new QuorateError(
    'DATA_DIR_LOCKED',
    `The data directory ${path} is in use by process ${pid}. Stop that process, or give this one a directory of its own.`,
    { path, pid },
  );
}

async function isAlive(pid: number, startedAt: string): Promise<boolean> {
  try {
    process.kill(pid, 0);
  } catch (error) {
    // EPERM: it lives, under another user.
    if (codeOf(error) !== 'EPERM') return false;
  }
  const started = await startOf(pid);
  if (started === undefined) return false;
  return started === '' || startedAt === '' || started === startedAt;
}

/**
 * Field 22 of /proc/PID/stat; the second field, the name, may hold spaces and parentheses. Empty elsewhere than on Linux,
 * and undefined for a zombie: it has ended, only nobody has asked for its exit code yet.
 */
async function startOf(pid: number): Promise<string | undefined> {
  try {
    const text = await readFile(`/proc/${pid}/stat`, 'utf8');
    const [state, ...fields] = text.slice(text.lastIndexOf(')') + 2).split(' ');
    return state === 'Z' || state === 'X' ? undefined : (fields[18] ?? '');
  } catch {
    return ''; // Gone, or a system without /proc: the process id alone must do.
  }
}
