/** The files and headings that the documents point to exist, and so do the source files they name. */
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { describe, expect, test } from 'vitest';

const root = join(import.meta.dirname, '..');
const documents = [
  'ARCHITECTURE.md',
  'PROTOCOL.md',
  'llms.txt',
  ...readdirSync(join(root, 'docs'))
    .filter((name) => name.endsWith('.md'))
    .map((name) => `docs/${name}`),
];
const read = (file: string): string => readFileSync(join(root, file), 'utf8');

/** As GitHub makes it of a heading. */
function anchorOf(heading: string): string {
  return heading
    .toLowerCase()
    .replace(/[^\w\- ]/g, '')
    .replaceAll(' ', '-');
}

function problemOf(document: string, target: string): string | undefined {
  const [path = '', anchor] = target.split('#');
  const file = path === '' ? document : join(dirname(document), path);
  if (!existsSync(join(root, file))) return `${target}: no such file`;
  if (anchor === undefined) return undefined;
  const anchors = [...read(file).matchAll(/^#+ (.+)$/gm)].map(([, heading = '']) => anchorOf(heading));
  return anchors.includes(anchor) ? undefined : `${target}: no such heading`;
}

describe.each(documents)('%s', (document) => {
  const text = read(document);

  test('links to what exists', () => {
    const links = [...text.matchAll(/\]\(([^)\s]+)\)/g)].map(([, target = '']) => target);
    const own = links.filter((target) => !/^https?:/.test(target));
    expect(own.map((target) => problemOf(document, target)).filter((problem) => problem !== undefined)).toEqual([]);
  });

  test('names sources and tests that exist', () => {
    const named = [...text.matchAll(/`((?:src|test|docs)\/[\w./-]+)`/g)].map(([, path = '']) => path);
    expect(named.filter((path) => !existsSync(join(root, path)))).toEqual([]);
  });
});

test('the table of ARCHITECTURE.md names files that exist', () => {
  const table = read('ARCHITECTURE.md').split('## If you want to change X, open Y')[1]?.split('\n## ')[0] ?? '';
  const rows = table.split('\n').filter((line) => line.startsWith('| ') && line.includes('.ts`'));
  expect(rows.length).toBeGreaterThan(20);
  const missing: string[] = [];
  for (const row of rows) {
    let folder = '';
    // A file without a folder is beside the one named before it, or below the room that one is in.
    for (const [, path = ''] of row.matchAll(/`([\w./-]+\.m?ts)`/g)) {
      const candidates = [path, join(folder, path), join(dirname(folder), path)];
      const found = candidates.find((candidate) => existsSync(join(root, candidate)));
      if (found === undefined) missing.push(path);
      else if (path.includes('/')) folder = dirname(found);
    }
  }
  expect(missing).toEqual([]);
});
