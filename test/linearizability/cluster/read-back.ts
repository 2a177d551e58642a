/** At the end: reads everything, by somebody whom no fault has met, and takes every lock once more. */
import { setTimeout as delay } from 'node:timers/promises';
import type { Workload } from './clients.ts';
import type { Results, Task } from './protocol.ts';
import type { WorkerProcess } from './worker-process.ts';

/** The process under which the last reads are recorded. */
export const finalReader = 'observer';
/** Leases of those who died with a lock are over by then, and operations that were cut off have ended. */
const patienceMs = 60_000;

/** Rejects when something cannot be read although nothing is wrong any more. */
export async function readBack(
  observer: WorkerProcess,
  { record, registers, locks, names }: Pick<Workload, 'record' | 'registers' | 'locks' | 'names'>,
): Promise<void> {
  for (const key of registers.all) {
    const invocation = record.registers.recorder.invoke(finalReader, key, { type: 'read' });
    const entry = await insist(observer, { do: 'get', key });
    invocation.ok(entry === null ? { type: 'read', value: null } : { type: 'read', ...entry });
  }
  for (const name of names.all) {
    const invocation = record.names.recorder.invoke(finalReader, name, { type: 'lookup' });
    invocation.ok({ type: 'lookup', owner: (await insist(observer, { do: 'owner', name }))?.node ?? null });
  }
  for (const name of locks.all) {
    const owner = observer.id;
    const leaseMs = 60_000;
    const invocation = record.locks.recorder.invoke(finalReader, name, { type: 'acquire', owner, leaseMs });
    const { token } = await insist(observer, { do: 'lock', name, leaseMs, wait: true, timeoutMs: 30_000 });
    invocation.ok({ type: 'acquire', granted: true, token });
  }
}

async function insist<T extends Task>(observer: WorkerProcess, task: T): Promise<Results[T['do']]> {
  const until = performance.now() + patienceMs;
  for (;;) {
    const reply = await observer.ask(task);
    if (typeof reply === 'object' && reply.ok) return reply.value;
    if (performance.now() > until) {
      throw new Error(`'${JSON.stringify(task)}' does not succeed although nothing is wrong: ${JSON.stringify(reply)}`);
    }
    await delay(100);
  }
}
