/** Reads the folder to index and cuts it into batches of about equal size. */
import { lstatSync, readdirSync, readFileSync } from 'node:fs';
import { join, relative, resolve } from 'node:path';
import { QuorateError } from '../../errors.ts';
import type { TextFile } from './term-index.ts';

export interface Corpus {
  readonly folder: string;
  readonly files: readonly TextFile[];
  readonly bytes: number;
  /** Files left out because they are no text, too large, or over the bounds. */
  readonly skipped: number;
}

export interface Batch {
  readonly id: number;
  readonly files: readonly TextFile[];
  readonly bytes: number;
}

const maxFiles = 20_000;
const maxFileBytes = 1024 * 1024;
const maxTotalBytes = 128 * 1024 * 1024;
/** Not written by people. Names beginning with a dot are left out too. */
const generated = new Set(['node_modules', 'dist', 'coverage', 'target', 'package-lock.json']);

/** Throws `INVALID_ARGUMENT` when the folder cannot be read or has no text in it. */
export function readCorpus(folder: string): Corpus {
  const root = resolve(folder);
  const files: TextFile[] = [];
  let bytes = 0;
  let skipped = 0;
  const visit = (directory: string): void => {
    for (const name of readdirSync(directory).sort()) {
      if (name.startsWith('.') || generated.has(name)) continue;
      const path = join(directory, name);
      const found = lstatSync(path); // A link could lead in a circle, or out of the folder.
      if (found.isDirectory()) visit(path);
      else if (found.isFile()) {
        const fits = found.size <= maxFileBytes && files.length < maxFiles && bytes + found.size <= maxTotalBytes;
        const text = fits ? readText(path) : undefined;
        if (text === undefined) skipped += 1;
        else {
          files.push({ path: relative(root, path), text });
          bytes += found.size;
        }
      }
    }
  };
  try {
    visit(root);
  } catch (cause) {
    const why = cause instanceof Error ? cause.message : String(cause);
    throw new QuorateError(
      'INVALID_ARGUMENT',
      `The folder ${root} cannot be read: ${why}.`,
      { folder: root },
      { cause },
    );
  }
  if (files.length === 0) {
    throw new QuorateError('INVALID_ARGUMENT', `There is no text file in ${root}; name a folder that has some.`, {
      folder: root,
    });
  }
  return { folder: root, files, bytes, skipped };
}

/** Undefined for what is no text: a zero byte near the beginning gives it away, as in git and grep. */
function readText(path: string): string | undefined {
  const content = readFileSync(path);
  return content.subarray(0, 8_000).includes(0) ? undefined : content.toString('utf8');
}

/** Whole files in order, `wanted` batches or fewer, none of them much larger than the mean or 1 MiB. */
export function cutIntoBatches(corpus: Corpus, wanted: number): Batch[] {
  const target = Math.min(maxFileBytes, Math.ceil(corpus.bytes / wanted));
  const batches: Batch[] = [];
  let files: TextFile[] = [];
  let bytes = 0;
  const close = (): void => {
    if (files.length > 0) batches.push({ id: batches.length, files, bytes });
    files = [];
    bytes = 0;
  };
  for (const file of corpus.files) {
    const size = Buffer.byteLength(file.text);
    if (bytes > 0 && bytes + size > target) close();
    files.push(file);
    bytes += size;
  }
  close();
  return batches;
}
