/** A contradiction as text, for whoever has to find the reason. */
import type { Operation } from './history.ts';
import type { Contradiction } from './minimise.ts';
import { attemptOf, type Model } from './model.ts';

const barWidth = 40;

/** Who asked what when, with bars for the times; then where the attempt that came furthest is stuck. Times are those of the record. */
export function explain<State, Input, Output>(
  model: Model<State, Input, Output>,
  { start, startsLater, core, context, leftOut, violation }: Contradiction<State, Input, Output>,
): string {
  const { blocked, order, states } = violation;
  const shown = [...core, ...context].toSorted((a, b) => a.invokedAt - b.invokedAt);
  const describe = (operation: Operation<Input, Output>): string => model.describe(attemptOf(operation));
  const beginning = Math.min(...shown.map(({ invokedAt }) => invokedAt));
  const end = Math.max(...shown.map(({ invokedAt, outcome }) => outcome.at ?? invokedAt));
  const inContext = new Set(context);
  const rows = shown.map((operation) => {
    const { process, invokedAt, outcome } = operation;
    const mark = operation === blocked ? '!' : inContext.has(operation) ? '~' : ' ';
    const until = outcome.kind === 'info' ? '?' : outcome.at.toFixed(3);
    return [mark, invokedAt.toFixed(3), until, process, bar(operation, beginning, end), describe(operation)];
  });
  const [first] = shown;
  return [
    `${model.name} ${JSON.stringify(first!.key)}: no order of these operations explains their answers.`,
    `${startsLater ? 'What was before led to' : 'First'}: ${model.describeState(start)}`,
    '',
    ...table([['', 'from ms', 'to ms', 'process', '', 'operation'], ...rows]),
    '',
    order.length === 0 ? 'Nothing could take effect.' : 'Furthest attempt:',
    ...order.map((operation, i) => `  ${i + 1}. ${describe(inOrder(operation, shown))}`),
    `Then: ${states.map((state) => model.describeState(state)).join('; or: ')}`,
    `Impossible by ${attemptOf(blocked).returnedAt.toFixed(3)}: ${describe(blocked)}`,
    ...(context.length === 0 ? [] : ['~ may take effect later or never, whatever its answer was: it does not help.']),
    `${leftOut} further operations of this history are left out; they cannot resolve it.`,
  ].join('\n');
}

/** The operation as it was recorded: the search knew those of the context without their answers. */
function inOrder<Input, Output>(
  operation: Operation<Input, Output>,
  recorded: readonly Operation<Input, Output>[],
): Operation<Input, Output> {
  const same = recorded.find(
    ({ process, invokedAt, input }) =>
      process === operation.process && invokedAt === operation.invokedAt && input === operation.input,
  );
  return same ?? operation;
}

function bar({ invokedAt, outcome }: Operation<unknown, unknown>, beginning: number, end: number): string {
  const column = (at: number): number => Math.round(((at - beginning) / (end - beginning || 1)) * (barWidth - 1));
  const from = column(invokedAt);
  const open = outcome.kind === 'info';
  const to = open ? barWidth - 1 : column(outcome.at);
  const line = to === from ? '|' : `|${'-'.repeat(to - from - 1)}${open ? '>' : '|'}`;
  return `${' '.repeat(from)}${line}`.padEnd(barWidth);
}

function table(rows: readonly (readonly string[])[]): string[] {
  const widths = rows[0]!.map((_, column) => Math.max(...rows.map((row) => row[column]!.length)));
  return rows.map((row) =>
    row
      .map((cell, i) => cell.padEnd(widths[i]!))
      .join('  ')
      .trimEnd(),
  );
}
