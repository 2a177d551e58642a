import { spawn } from 'node:child_process';
import { mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { lockDataDir } from '../../src/p2p/data-dir.ts';

let dir: string;
beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), 'quorate-dir-'));
});
afterEach(() => rm(dir, { recursive: true, force: true }));

const locks = async () => (await readdir(dir)).filter((name) => name.startsWith('lock'));

describe('the lock of a data directory', () => {
  it('creates the directory, keeps others out while held, and lets them in after', async () => {
    const path = join(dir, 'a', 'b');
    const lock = await lockDataDir(path);
    await expect(lockDataDir(path)).rejects.toMatchObject({
      code: 'DATA_DIR_LOCKED',
      data: { pid: process.pid },
      message: expect.stringContaining(`process ${process.pid}`),
    });
    await lock.release();
    await lock.release();
    const next = await lockDataDir(path);
    await next.release();
    expect(await readdir(path)).toEqual([]);
  });

  it('is held by exactly one of many racing starters', async () => {
    for (let round = 0; round < 10; round++) {
      const outcomes = await Promise.allSettled(Array.from({ length: 6 }, () => lockDataDir(dir)));
      const held = outcomes.filter((outcome) => outcome.status === 'fulfilled');
      expect(held.length).toBeLessThanOrEqual(1);
      for (const outcome of outcomes) {
        if (outcome.status === 'rejected') expect(outcome.reason).toMatchObject({ code: 'DATA_DIR_LOCKED' });
        else await outcome.value.release();
      }
      expect(await locks()).toEqual([]);
    }
  });

  it('names another process that holds it, and is free after its kill -9', async () => {
    const source = new URL('../../src/p2p/data-dir.ts', import.meta.url).href;
    const script = `const { lockDataDir } = await import(${JSON.stringify(source)}); await lockDataDir(process.argv[1]); console.log('locked'); setInterval(() => {}, 1000);`;
    const child = spawn(process.execPath, ['--input-type=module', '-e', script, dir], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    try {
      await new Promise((resolve, reject) => {
        child.stdout.once('data', resolve);
        child.once('exit', () => reject(new Error('The holder ended early.')));
      });
      await expect(lockDataDir(dir)).rejects.toMatchObject({ code: 'DATA_DIR_LOCKED', data: { pid: child.pid } });
      const ended = new Promise((resolve) => child.once('exit', resolve));
      child.kill('SIGKILL');
      await ended;
      const lock = await lockDataDir(dir);
      expect(await locks()).toHaveLength(1);
      await lock.release();
    } finally {
      child.kill('SIGKILL');
    }
  });

  it('is not fooled by a later process with the same id', async () => {
    const lock = await lockDataDir(dir);
    const [name = ''] = await locks();
    await lock.release();
    const [, pid, started, uuid] = /^lock-(\d+)-(\d*)-(.*)$/.exec(name) ?? [];
    for (const stale of [`lock-${pid}-1-${uuid}`, `lock-${2 ** 22 + 1}-${started}-${uuid}`]) {
      await writeFile(join(dir, stale), '');
      const taken = await lockDataDir(dir);
      expect(await locks()).not.toContain(stale);
      await taken.release();
    }
  });

  it('says when the path cannot be used', async () => {
    await writeFile(join(dir, 'file'), '');
    for (const path of [join(dir, 'file'), join(dir, 'file', 'below')]) {
      await expect(lockDataDir(path)).rejects.toMatchObject({ code: 'DATA_DIR_UNUSABLE' });
    }
  });
});
