/**
 * Where control sockets are: one directory per user, 0700, with one socket per running node in it. A
 * program finds the nodes of this machine by looking there; nobody but their owner can.
 */
import { chmodSync, lstatSync, mkdirSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir, userInfo } from 'node:os';
import { join } from 'node:path';
import { QuorateError } from '../errors.ts';

/** `QUORATE_RUNTIME_DIR`, or `$XDG_RUNTIME_DIR/quorate`, or a directory of this user below the temporary one. */
export function controlDirectory(env: NodeJS.ProcessEnv = process.env): string {
  const own = env['QUORATE_RUNTIME_DIR'];
  if (own) return own;
  const runtime = env['XDG_RUNTIME_DIR'];
  return runtime ? join(runtime, 'quorate') : join(tmpdir(), `quorate-${userInfo().uid}`);
}

/**
 * Creates the directory where it is missing. Throws `CONTROL_UNAVAILABLE` when it belongs to somebody else
 * or is a link: a directory in a shared place could have been put there to listen in.
 */
export function prepareControlDirectory(directory: string): void {
  try {
    mkdirSync(directory, { recursive: true, mode: 0o700 });
    const found = lstatSync(directory);
    if (!found.isDirectory() || found.uid !== userInfo().uid) {
      throw new QuorateError(
        'CONTROL_UNAVAILABLE',
        `${directory} is not a directory of this user, so no control socket is put there. Set QUORATE_RUNTIME_DIR to a directory of your own.`,
        { directory },
      );
    }
    if ((found.mode & 0o077) !== 0) chmodSync(directory, 0o700);
  } catch (cause) {
    if (cause instanceof QuorateError) throw cause;
    throw new QuorateError(
      'CONTROL_UNAVAILABLE',
      `The directory for the control socket, ${directory}, cannot be used: ${cause instanceof Error ? cause.message : cause}. Set QUORATE_RUNTIME_DIR to another one.`,
      { directory },
      { cause },
    );
  }
}

const socketName = /^(\d{1,10})-([1-9A-HJ-NP-Za-km-z]{1,16})\.sock$/;

/** Short, because the path of a socket may have only about 100 characters. */
export function socketPath(directory: string, pid: number, node: string): string {
  return join(directory, `${pid}-${node.slice(-8)}.sock`);
}

/** Sockets whose process lives; those that a killed process left behind are removed on the way. */
export function liveSockets(directory: string): string[] {
  let names: string[];
  try {
    names = readdirSync(directory);
  } catch {
    return []; // No directory: no node has ever run here.
  }
  const paths: string[] = [];
  for (const name of names.sort()) {
    const pid = socketName.exec(name)?.[1];
    if (pid === undefined) continue;
    if (isRunning(Number(pid))) paths.push(join(directory, name));
    else rmSync(join(directory, name), { force: true });
  }
  return paths;
}

/** Whether a process with this id lives. */
export function isRunning(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM'; // It lives, under another user.
  }
}
