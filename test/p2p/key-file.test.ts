import { chmod, mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { loadOrCreateIdentity, nextEpoch } from '../../src/p2p/key-file.ts';

let dir: string;
beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), 'quorate-key-'));
});
afterEach(() => rm(dir, { recursive: true, force: true }));

describe('the key file', () => {
  it('is made once, for its owner only, and read again', async () => {
    const first = await loadOrCreateIdentity(dir);
    const second = await loadOrCreateIdentity(dir);
    expect(second.id).toBe(first.id);
    expect(second.seed).toEqual(first.seed);
    expect((await stat(join(dir, 'node.key'))).mode & 0o777).toBe(0o600);
    expect(await readdir(dir)).toEqual(['node.key']);
  });

  it('gives all racing starters the same identity', async () => {
    const identities = await Promise.all(Array.from({ length: 8 }, () => loadOrCreateIdentity(dir)));
    expect(new Set(identities.map((identity) => identity.id)).size).toBe(1);
  });

  it('is refused when others can read it, with the command that mends it', async () => {
    await loadOrCreateIdentity(dir);
    await chmod(join(dir, 'node.key'), 0o640);
    await expect(loadOrCreateIdentity(dir)).rejects.toMatchObject({
      code: 'KEY_INVALID',
      message: expect.stringContaining(`chmod 600 ${join(dir, 'node.key')}`),
    });
  });

  it('is refused when it is damaged in any way, and never replaced', async () => {
    await loadOrCreateIdentity(dir);
    const file = join(dir, 'node.key');
    const good = await readFile(file);
    const damages = fc.oneof(
      fc.nat({ max: 118 }).map((length) => good.subarray(0, Math.min(length, 100))),
      fc.uint8Array({ maxLength: 200 }),
      fc.constant(Buffer.alloc(5_000, 65)),
    );
    await fc.assert(
      fc.asyncProperty(damages, async (bytes) => {
        await writeFile(file, bytes);
        await expect(loadOrCreateIdentity(dir)).rejects.toMatchObject({ code: 'KEY_INVALID' });
        expect(new Uint8Array(await readFile(file))).toEqual(new Uint8Array(bytes));
      }),
      { numRuns: 40 },
    );
  });

  it('needs a directory that can be used', async () => {
    await writeFile(join(dir, 'file'), '');
    for (const path of [join(dir, 'missing'), join(dir, 'file')]) {
      await expect(loadOrCreateIdentity(path)).rejects.toMatchObject({ code: 'DATA_DIR_UNUSABLE' });
    }
  });
});

describe('the epoch', () => {
  const at = (now: number) => ({ wallNow: () => now });

  it('rises with every start, and with the wall clock', async () => {
    expect(await nextEpoch(dir, at(1_000))).toBe(1_000);
    expect(await nextEpoch(dir, at(1_000))).toBe(1_001);
    expect(await nextEpoch(dir, at(500))).toBe(1_002);
    expect(await nextEpoch(dir, at(5_000))).toBe(5_000);
    expect(await readdir(dir)).toEqual(['node.epoch']);
  });

  it('is never given twice, whatever the clock does', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(fc.nat({ max: 2 ** 42 }), { minLength: 2, maxLength: 8 }), async (times) => {
        await rm(join(dir, 'node.epoch'), { force: true });
        let last = -1;
        for (const time of times) {
          const epoch = await nextEpoch(dir, at(time));
          expect(epoch).toBeGreaterThan(last);
          last = epoch;
        }
      }),
      { numRuns: 20 },
    );
  });

  it('is on disk when it is returned: what a crash leaves is an old file, a new one, or a temporary one', async () => {
    const epoch = await nextEpoch(dir, at(7));
    expect(await readFile(join(dir, 'node.epoch'), 'utf8')).toMatch(new RegExp(`^${epoch} `));
    await writeFile(join(dir, 'node.epoch.1.abcd.tmp'), '9');
    expect(await nextEpoch(dir, at(7))).toBe(epoch + 1);
  });

  it('is not guessed from a damaged file', async () => {
    await nextEpoch(dir, at(1_234_567));
    const file = join(dir, 'node.epoch');
    const good = await readFile(file);
    const damages = fc.oneof(
      fc.nat({ max: good.length - 1 }).map((length) => good.subarray(0, length)),
      fc.tuple(fc.nat({ max: good.length - 1 }), fc.nat({ max: 7 })).map(([position, bit]) => {
        const bytes = Buffer.from(good);
        bytes[position] = (bytes[position] as number) ^ (1 << bit);
        return bytes;
      }),
    );
    await fc.assert(
      fc.asyncProperty(damages, async (bytes) => {
        await writeFile(file, bytes);
        await expect(nextEpoch(dir)).rejects.toMatchObject({ code: 'DATA_DIR_UNUSABLE' });
      }),
      { numRuns: 60 },
    );
  });
});
