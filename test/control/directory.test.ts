import { chmodSync, mkdirSync, mkdtempSync, readdirSync, rmSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { controlDirectory, liveSockets, prepareControlDirectory, socketPath } from '../../src/control/directory.ts';
import { isQuorateError } from '../../src/errors.ts';

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'quorate-control-'));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

describe('the directory of control sockets', () => {
  it('is the one set, else one below the runtime directory, else one of this user', () => {
    expect(controlDirectory({ QUORATE_RUNTIME_DIR: '/a', XDG_RUNTIME_DIR: '/b' })).toBe('/a');
    expect(controlDirectory({ XDG_RUNTIME_DIR: '/b' })).toBe('/b/quorate');
    expect(controlDirectory({})).toMatch(/quorate-\d+$/);
  });

  it('is made for its owner alone, and closed to others where it was open', () => {
    const made = join(folder, 'made');
    prepareControlDirectory(made);
    expect(statSync(made).mode & 0o777).toBe(0o700);
    const open = join(folder, 'open');
    mkdirSync(open);
    chmodSync(open, 0o777);
    prepareControlDirectory(open);
    expect(statSync(open).mode & 0o777).toBe(0o700);
  });

  it('is not a link or a file that somebody laid there', () => {
    const unavailable = expect.toSatisfy((error) => isQuorateError(error, 'CONTROL_UNAVAILABLE'));
    symlinkSync(folder, join(folder, 'link'));
    writeFileSync(join(folder, 'file'), '');
    expect(() => prepareControlDirectory(join(folder, 'link'))).toThrow(unavailable);
    expect(() => prepareControlDirectory(join(folder, 'file'))).toThrow(unavailable);
  });

  it('keeps only sockets of processes that live', () => {
    const own = socketPath(folder, process.pid, '12D3KooWabcdefgh');
    const dead = socketPath(folder, 2 ** 22 + 1, '12D3KooWabcdefgh'); // Above the largest process id of Linux.
    for (const path of [own, dead, join(folder, 'other')]) writeFileSync(path, '');
    expect(liveSockets(folder)).toEqual([own]);
    expect(readdirSync(folder).sort()).toEqual([own.slice(folder.length + 1), 'other'].sort());
    expect(liveSockets(join(folder, 'none'))).toEqual([]);
  });
});
