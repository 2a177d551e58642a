/** Variables as people read them. Names, units, rules and values come from other nodes, so they are made printable first. */
import type { VariableAnswer, VariableRow, WriteAnswer } from '../control/variable-operations.ts';
import { pc } from './colors.ts';
import { toJson } from './json.ts';
import { plural, printable, shortId, table } from './output.ts';

const maxNamed = 3;
const maxValueLength = 60;

/** The value alone, for scripts: a text is itself. */
export function plainValue(value: unknown): string {
  return printable(typeof value === 'string' ? value : toJson(value ?? null));
}

function withUnit(value: unknown, { terms }: Pick<VariableRow, 'terms'>): string {
  const { unit } = terms;
  return `${plainValue(value)}${typeof unit === 'string' && unit !== '' ? ` ${printable(unit)}` : ''}`;
}

function short(text: string): string {
  return text.length <= maxValueLength ? text : `${text.slice(0, maxValueLength - 1)}…`;
}

function names(nodes: readonly string[], self: string): string {
  const ordered = [...nodes].sort((a, b) => Number(b === self) - Number(a === self));
  const named = ordered.slice(0, maxNamed).map((node) => (node === self ? 'this node' : shortId(node)));
  if (nodes.length > maxNamed) named.push(`${nodes.length - maxNamed} more`);
  return named.join(', ');
}

export function describeVariables(self: string, rows: readonly VariableRow[]): string {
  if (rows.length === 0) return `${pc.dim('No live node announces a variable.')}\n`;
  const cells = rows.map((row) => [
    printable(row.name),
    row.kind,
    row.obstacle === undefined || row.here !== undefined ? short(withUnit(row.value, row)) : '–',
    short(printable(row.sync === 'strong' ? 'strong' : row.rule)),
    row.zone === undefined ? row.scope : printable(`zone ${row.zone}`),
    `${row.contributions}${row.ignored === 0 ? '' : ` (${row.ignored} ignored)`}`,
    names(row.definedBy, self),
  ]);
  const headings = ['VARIABLE', 'KIND', 'VALUE', 'RULE', 'SCOPE', 'CONTRIBUTE', 'DEFINED BY'];
  const drawn = table(headings, cells, (text, column) => {
    if (column === 0) return pc.bold(text);
    return column === 5 && text.includes('ignored') ? pc.yellow(text) : text;
  });
  return `${drawn}${rows.map(remarks).join('')}`;
}

/** What is wrong with a variable, or keeps this node from showing it. */
function remarks(row: VariableRow): string {
  const name = printable(row.name);
  const lines = row.conflicts.map(({ node, difference }) => {
    const fields = difference.map(({ field, stands, differs }) => `${field} is ${stands}, there ${differs}`).join('; ');
    return pc.yellow(`! ${name}: ${shortId(node)} defines it differently, and does not count: ${printable(fields)}`);
  });
  if (row.otherVersions.length > 0) {
    lines.push(
      pc.dim(`${name}: shown is version ${row.definedVersion}; there is also ${row.otherVersions.join(', ')}`),
    );
  }
  if (row.here === undefined && row.obstacle !== undefined) {
    lines.push(pc.dim(`${name}: ${printable(row.obstacle)}`));
  }
  return lines.map((line) => `${line}\n`).join('');
}

/** The value, and why it is that. */
export function describeExplanation({ self, variable, explanation }: VariableAnswer): string {
  const head = `${pc.bold(printable(variable.name))} is ${pc.bold(withUnit(variable.value, variable))}\n`;
  if (explanation === undefined) return head;
  const who = (node: string): string => (node === self ? `${shortId(node)} (this node)` : shortId(node));
  const lines = [head, `${pc.dim(printable(explanation.summary))}\n`];
  if (explanation.counted.length > 0) {
    const rows = explanation.counted.map(({ node, value, weight, performance, share }) => [
      who(node),
      short(plainValue(value)),
      String(weight),
      performance === undefined ? '–' : performance.toFixed(2),
      `${(share * 100).toFixed(1)} %`,
    ]);
    lines.push(table(['NODE', 'VALUE', 'WEIGHT', 'PERFORMANCE', 'SHARE'], rows));
  }
  for (const { node, reason } of explanation.ignored) {
    lines.push(`${pc.yellow(`ignored ${who(node)}: ${printable(reason)}`)}\n`);
  }
  return `${lines.join('')}${remarks(variable)}`;
}

export function describeWrite(answer: WriteAnswer): string {
  const { name, value, version, isAgreed, acknowledged, unacknowledged, adopted } = answer;
  const shown = printable(name);
  const what = isAgreed
    ? `${pc.green('agreed')}: ${shown} is ${plainValue(value)}, version ${version}`
    : `this node contributes ${plainValue(value)} to ${shown}`;
  const lines = [what];
  if (acknowledged.length > 0) {
    const agents = acknowledged.slice(0, 20).map(printable).join(', ');
    lines.push(pc.dim(`  acknowledged by ${plural(acknowledged.length, 'agent')}: ${agents}`));
  }
  for (const { agent, reason } of unacknowledged) {
    lines.push(`  ${pc.yellow(`not acknowledged by ${printable(agent)}: ${printable(reason)}`)}`);
  }
  if (adopted)
    lines.push(pc.dim(`  This node takes part in it from now on; no more: quorate variables withdraw ${shown}`));
  return `${lines.join('\n')}\n`;
}
