/** Several changes in one go, with one of three answers to a failure. */
import { QuorateError } from '../../errors.ts';
import type { BatchOperation, BatchResult } from './registry.ts';
import type { Applied, Step, Writes } from './writes.ts';

export type OnError = 'continue' | 'stop' | 'rollback';
type Row<Custom> = BatchResult<Custom>['results'][number];

/** Throws `INVALID_ARGUMENT` for what is no batch; all else is told in the result. */
export async function runBatch<Custom>(
  writes: Writes<Custom>,
  operations: readonly BatchOperation<Custom>[],
  onError: OnError,
): Promise<BatchResult<Custom>> {
  if (!Array.isArray(operations)) {
    throw new QuorateError('INVALID_ARGUMENT', 'A batch must be a list of operations.');
  }
  if (onError !== 'continue' && onError !== 'stop' && onError !== 'rollback') {
    throw new QuorateError('INVALID_ARGUMENT', "A batch's `onError` must be 'continue', 'stop' or 'rollback'.");
  }
  return onError === 'rollback'
    ? allOrNothing(writes, [...operations])
    : oneByOne(writes, [...operations], onError === 'stop');
}

async function oneByOne<Custom>(
  writes: Writes<Custom>,
  operations: readonly BatchOperation<Custom>[],
  stop: boolean,
): Promise<BatchResult<Custom>> {
  const results: Row<Custom>[] = [];
  for (const [at, operation] of operations.entries()) {
    try {
      const step = await writes.accept(operation);
      const applied = step();
      applied.commit();
      results.push(landed(operation, applied));
    } catch (cause) {
      const error = asError(cause);
      results.push({ ok: false, error, skipped: false });
      if (!stop) continue;
      for (let rest = at + 1; rest < operations.length; rest++) results.push(notDone(rest, 'was skipped', at, error));
      break;
    }
  }
  return { status: results.every(({ ok }) => ok) ? 'complete' : 'partial', results };
}

/** Everything is checked first; then all is applied without a pause, so nothing of others can come between. */
async function allOrNothing<Custom>(
  writes: Writes<Custom>,
  operations: readonly BatchOperation<Custom>[],
): Promise<BatchResult<Custom>> {
  const steps: Step<Custom>[] = [];
  const failures = new Map<number, Error>();
  for (const [at, operation] of operations.entries()) {
    try {
      steps.push(await writes.accept(operation));
    } catch (error) {
      failures.set(at, asError(error));
    }
  }
  const done: Applied<Custom>[] = [];
  if (failures.size === 0) {
    try {
      for (const step of steps) done.push(step());
    } catch (error) {
      failures.set(done.length, asError(error));
      for (const applied of done.reverse()) applied.undo();
    }
  }
  const [first] = failures;
  if (first === undefined) {
    for (const applied of done) applied.commit();
    const results = done.map((applied, at) => landed(operations[at] as BatchOperation<Custom>, applied));
    return { status: 'complete', results };
  }
  const results = operations.map((_, at): Row<Custom> => {
    const error = failures.get(at);
    return error === undefined ? notDone(at, 'was undone', ...first) : { ok: false, error, skipped: false };
  });
  return { status: 'rolledBack', results };
}

function landed<Custom>(operation: BatchOperation<Custom>, applied: Applied<Custom>): Row<Custom> {
  const { registration } = applied;
  return operation.op === 'register' && registration !== undefined ? { ok: true, registration } : { ok: true };
}

function notDone<Custom>(at: number, what: string, failedAt: number, cause: Error): Row<Custom> {
  const code = cause instanceof QuorateError ? cause.code : 'INVALID_ARGUMENT';
  const message = `Operation ${at} ${what} because operation ${failedAt} failed: ${cause.message}`;
  return { ok: false, error: new QuorateError(code, message, { failedOperation: failedAt }, { cause }), skipped: true };
}

const asError = (error: unknown): Error => (error instanceof Error ? error : new Error(String(error)));
