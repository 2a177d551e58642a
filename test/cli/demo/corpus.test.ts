import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { cutIntoBatches, readCorpus } from '../../../src/cli/demo/corpus.ts';
import { isQuorateError } from '../../../src/errors.ts';

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'quorate-corpus-'));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

describe('the folder to index', () => {
  it('is read in order, without what nobody wrote and what is no text', () => {
    for (const name of ['b', 'node_modules', '.git']) mkdirSync(join(folder, name));
    for (const name of ['b/x.md', 'a.txt', 'node_modules/n.js', '.git/config', '.env']) {
      writeFileSync(join(folder, name), 'text');
    }
    writeFileSync(join(folder, 'picture.png'), Buffer.of(1, 0, 2));
    symlinkSync(folder, join(folder, 'circle'));
    const corpus = readCorpus(folder);
    expect(corpus.files.map(({ path }) => path)).toEqual(['a.txt', 'b/x.md']);
    expect(corpus).toMatchObject({ bytes: 8, skipped: 1 });
  });

  it('must be there and have text in it', () => {
    const refused = expect.toSatisfy((error) => isQuorateError(error, 'INVALID_ARGUMENT'));
    expect(() => readCorpus(folder)).toThrow(refused);
    expect(() => readCorpus(join(folder, 'none'))).toThrow(refused);
  });

  it('is cut into batches that have each file once', () => {
    for (let i = 0; i < 50; i++) writeFileSync(join(folder, `f${i}`), 'x'.repeat(10 * i));
    const corpus = readCorpus(folder);
    const batches = cutIntoBatches(corpus, 10);
    expect(batches.flatMap(({ files }) => files)).toEqual(corpus.files);
    expect(batches.map(({ id }) => id)).toEqual(batches.map((_, i) => i));
    expect(batches.length).toBeGreaterThanOrEqual(10);
    const target = Math.ceil(corpus.bytes / 10);
    for (const { bytes, files } of batches) expect(bytes <= target || files.length === 1).toBe(true);
  });
});
