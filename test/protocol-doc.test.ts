/** PROTOCOL.md says what the code does: its examples are the code's own bytes, its limits the code's own numbers. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { examples } from './protocol-examples.ts';

const root = join(import.meta.dirname, '..');
const document = readFileSync(join(root, 'PROTOCOL.md'), 'utf8');

const blocks = new Map(
  [...document.matchAll(/^```hex (\S+)\n([\s\S]*?)\n?```$/gm)].map(([, name = '', body = '']) => [name, body]),
);

interface Limit {
  readonly what: string;
  readonly value: number;
  readonly name: string;
  readonly file: string;
}

function limitsOfDocument(): Limit[] {
  const rows = document.matchAll(/^\| ([^|]+) \| ([\d,]+) \|[^|]*\| `([^`]+)` in `([^`]+)` \|$/gm);
  return [...rows].map(([, what = '', value = '', name = '', file = '']) => ({
    what,
    value: Number(value.replaceAll(',', '')),
    name,
    file,
  }));
}

/** What the name is set to in the source: a number, a product of numbers, or one shifted left. */
function numberInSource(source: string, name: string): number[] {
  const number = '(?:0x)?[\\da-f][\\da-f_]*';
  const found = source.matchAll(
    new RegExp(`\\b${name}\\s*(?:[:=]|\\?\\?)\\s*(${number}(?:\\s*(?:\\*|<<)\\s*${number})*)(?=[,;}\\s])`, 'g'),
  );
  return [...found].map(([, expression = '']) => {
    const [first = '', ...rest] = expression.split(/(\*|<<)/).map((part) => part.trim().replaceAll('_', ''));
    let result = Number(first);
    for (let at = 0; at < rest.length; at += 2) {
      const operand = Number(rest[at + 1]);
      result *= rest[at] === '*' ? operand : 2 ** operand;
    }
    return result;
  });
}

describe('PROTOCOL.md', () => {
  test('has every example, and no other', () => {
    expect([...blocks.keys()].sort()).toEqual(Object.keys(examples).sort());
  });

  test.each(Object.entries(examples))('the example "%s" is what the code produces', (name, make) => {
    expect(blocks.get(name)).toBe(make());
  });

  const limits = limitsOfDocument();

  test('has a row for every limit, and reads each of them', () => {
    const table = document.slice(document.indexOf('## 19. Limits'));
    const rows = table.split('\n').filter((line) => line.includes('` in `'));
    expect(limits.length).toBe(rows.length);
    expect(limits.length).toBeGreaterThan(90);
  });

  test.each(limits)('$what: $value, from $name in $file', ({ name, value, file }) => {
    const values = new Set(numberInSource(readFileSync(join(root, file), 'utf8'), name));
    expect([...values]).toEqual([value]);
  });
});
