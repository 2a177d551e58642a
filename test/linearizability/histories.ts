/** Histories in few words. Every operation is a process of its own unless one is named. */
import type { Operation } from './history.ts';

interface Who {
  readonly process?: string;
  readonly key?: string;
}

let processes = 0;
const some = (): string => `p${++processes}`;

export function ok<Input, Output>(
  from: number,
  to: number,
  input: Input,
  output: Output,
  { process = some(), key = 'x' }: Who = {},
): Operation<Input, Output> {
  return { process, key, input, invokedAt: from, outcome: { kind: 'ok', output, at: to } };
}

export function info<Input>(
  from: number,
  input: Input,
  { process = some(), key = 'x' }: Who = {},
): Operation<Input, never> {
  return { process, key, input, invokedAt: from, outcome: { kind: 'info' } };
}

export function failed<Input>(
  from: number,
  to: number,
  input: Input,
  { process = some(), key = 'x' }: Who = {},
): Operation<Input, never> {
  return { process, key, input, invokedAt: from, outcome: { kind: 'failed', at: to } };
}
