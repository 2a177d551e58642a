/** docs/errors.md explains every code of `ErrorCode`, and every reason of the outcomes of calls. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';

const root = join(import.meta.dirname, '..');
const document = readFileSync(join(root, 'docs/errors.md'), 'utf8');

/** The text literals of a union type in a source file. */
function membersOf(file: string, type: string): string[] {
  const source = readFileSync(join(root, file), 'utf8');
  const declaration = new RegExp(`export type ${type} =([^;]*);`).exec(source)?.[1] ?? '';
  return [...declaration.matchAll(/(?:^|\|) '([\w-]+)'/g)].map(([, member = '']) => member).sort();
}

/** The section of a code, up to the next heading. */
function section(code: string): string {
  const from = document.indexOf(`### ${code}\n`);
  const next = document.indexOf('\n## ', from);
  const nextCode = document.indexOf('\n### ', from);
  const ends = [next, nextCode].filter((at) => at >= 0);
  return from < 0 ? '' : document.slice(from, ends.length === 0 ? undefined : Math.min(...ends));
}

describe('docs/errors.md', () => {
  const codes = membersOf('src/errors.ts', 'ErrorCode');

  test('has a heading for every code, and for nothing else', () => {
    const headings = [...document.matchAll(/^### (.+)$/gm)].map(([, heading = '']) => heading).sort();
    expect(codes.length).toBeGreaterThan(20);
    expect(headings).toEqual(codes);
  });

  test.each(codes)('%s says what to do, and which data it has', (code) => {
    expect(section(code)).toContain('**data:**');
    expect(section(code)).toMatch(/\*\*Do:\*\*|\| do \|/i);
  });

  test.each([
    ['NOT_DELIVERED', 'NotDeliveredReason'],
    ['REJECTED', 'RejectedReason'],
    ['UNKNOWN_OUTCOME', 'UnknownReason'],
  ])('%s has a row for each of its reasons', (code, type) => {
    const rows = [...section(code).matchAll(/^\| `([^`]+)` \|/gm)].map(([, reason = '']) => reason);
    expect(rows.filter((reason) => reason !== 'reason').sort()).toEqual(
      membersOf('src/protocols/messaging/outcome.ts', type),
    );
  });
});
