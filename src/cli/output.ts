/** What commands print: tables and lines for people, one JSON value per line for programs. */

import { isQuorateError } from '../errors.ts';
import { pc } from './colors.ts';
import { exitCodeOf } from './exit-codes.ts';
import { toJson } from './json.ts';

/** Where a command writes, so that a test can read it. */
export interface Terminal {
  readonly out: (text: string) => void;
  readonly err: (text: string) => void;
  /** Redrawing and colours make sense. */
  readonly isTty: boolean;
  readonly columns: number;
}

export function processTerminal(): Terminal {
  return {
    out: (text) => void process.stdout.write(text),
    err: (text) => void process.stderr.write(text),
    isTty: process.stdout.isTTY === true,
    columns: process.stdout.columns ?? 100,
  };
}

/** Columns as wide as their widest cell; colours are put on after the widths are known. */
export function table(
  headings: readonly string[],
  rows: readonly (readonly string[])[],
  paint: (text: string, column: number, row: number) => string = (text) => text,
): string {
  const widths = headings.map((heading, i) => Math.max(heading.length, ...rows.map((row) => (row[i] ?? '').length)));
  const line = (cells: readonly string[], color: (text: string, column: number) => string): string =>
    cells
      .map((cell, i) => color(i === cells.length - 1 ? cell : cell.padEnd(widths[i] ?? 0), i))
      .join('  ')
      .trimEnd();
  const body = rows.map((row, r) => line(row, (text, column) => paint(text, column, r)));
  return `${[line(headings, (text) => pc.dim(text)), ...body].join('\n')}\n`;
}

/** Text of others, without what would steer a terminal or turn its direction. */
export function printable(text: string): string {
  return text.replace(
    /[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}]/gu,
    (character) => `\\u{${(character.codePointAt(0) as number).toString(16)}}`,
  );
}

/** The last eight characters: enough to tell members apart, and accepted wherever an id is asked for. */
export function shortId(id: string): string {
  return `…${id.slice(-8)}`;
}

/** "1 batch", "1,200 batches". */
export function plural(count: number, noun: string): string {
  const many = noun.endsWith('ch') ? `${noun}es` : `${noun}s`;
  return `${count.toLocaleString('en-US')} ${count === 1 ? noun : many}`;
}

export function ago(sinceMs: number, nowMs: number): string {
  const seconds = Math.max(0, Math.round((nowMs - sinceMs) / 1000));
  if (seconds < 120) return `${seconds} s`;
  const minutes = Math.round(seconds / 60);
  return minutes < 120 ? `${minutes} min` : `${Math.round(minutes / 60)} h`;
}

export function milliseconds(value: number | undefined): string {
  if (value === undefined) return '–';
  return value < 10 ? `${value.toFixed(1)} ms` : `${Math.round(value)} ms`;
}

/** Of a wait that is still to come. */
export function seconds(ms: number): string {
  return ms < 10_000 ? `${(Math.ceil(ms / 100) / 10).toFixed(1)} s` : `${Math.ceil(ms / 1000)} s`;
}

/** Says what went wrong, in the form asked for, and returns the exit code. */
export function reportError(terminal: Terminal, json: boolean, error: unknown): number {
  if (json) {
    const { code, message, data } = isQuorateError(error)
      ? error
      : { code: 'INTERNAL', message: error instanceof Error ? error.message : String(error), data: {} };
    terminal.err(`${toJson({ error: { code, message, data } })}\n`);
  } else {
    const code = isQuorateError(error) ? ` ${pc.dim(`(${error.code})`)}` : '';
    terminal.err(`${pc.red('✗')} ${error instanceof Error ? error.message : String(error)}${code}\n`);
  }
  return exitCodeOf(error);
}
