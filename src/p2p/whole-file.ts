/** Files that are whole or absent, whatever crashes in between, and what the file system's errors mean. */
import { randomBytes } from 'node:crypto';
import { link, open, rename, rm } from 'node:fs/promises';
import { dirname } from 'node:path';
import { QuorateError } from '../errors.ts';

/** Creates a file (0600) with this content, on disk before it appears. False when there is one already. */
export async function createWhole(file: string, content: string): Promise<boolean> {
  const temporary = await writeTemporary(file, content);
  try {
    await link(temporary, file);
  } catch (error) {
    if (codeOf(error) === 'EEXIST') return false;
    throw error;
  } finally {
    await rm(temporary, { force: true });
  }
  await syncDirectory(dirname(file));
  return true;
}

/** Replaces a file's content: after a crash it has the old content or the new one, and after this call the new one. */
export async function replaceWhole(file: string, content: string): Promise<void> {
  const temporary = await writeTemporary(file, content);
  try {
    await rename(temporary, file);
  } catch (error) {
    await rm(temporary, { force: true });
    throw error;
  }
  await syncDirectory(dirname(file));
}

async function writeTemporary(file: string, content: string): Promise<string> {
  const temporary = `${file}.${process.pid}.${randomBytes(4).toString('hex')}.tmp`;
  const handle = await open(temporary, 'wx', 0o600);
  try {
    await handle.writeFile(content);
    await handle.sync();
  } catch (error) {
    await rm(temporary, { force: true });
    throw error;
  } finally {
    await handle.close();
  }
  return temporary;
}

async function syncDirectory(path: string): Promise<void> {
  if (process.platform === 'win32') return; // Directories cannot be opened there; NTFS keeps a journal of its own.
  const handle = await open(path, 'r');
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}

export function codeOf(error: unknown): string | undefined {
  const { code } = (error ?? {}) as { readonly code?: unknown };
  return typeof code === 'string' ? code : undefined;
}

const notPermitted = 'this user may not read and write it. Change its owner or mode, or choose another directory';
const notADirectory = 'it is not a directory. Choose another path';
const reasons: Readonly<Record<string, string>> = {
  EACCES: notPermitted,
  EPERM: notPermitted,
  ENOTDIR: notADirectory,
  EEXIST: notADirectory,
  ENOSPC: 'the disk is full. Free some space',
  EDQUOT: "the user's disk quota is used up. Free some space",
  EROFS: 'the file system is read-only. Choose another directory',
};

/** `DATA_DIR_UNUSABLE` for what the file system says; coded errors pass unchanged. */
export function unusable(path: string, error: unknown): QuorateError {
  if (error instanceof QuorateError) return error;
  const code = codeOf(error);
  const said = error instanceof Error ? error.message : String(error);
  const why = (code === undefined ? undefined : reasons[code]) ?? said;
  const message = `The data directory ${path} cannot be used: ${why}.`;
  return new QuorateError('DATA_DIR_UNUSABLE', message, { path, code }, { cause: error });
}
