/** What the clients of a run asked and heard: one record for each kind of object, and from it the histories that the models know. */
import { type History, type HistoryEvent, HistoryRecorder, historyFromEvents, type Operation } from '../history.ts';
import type { LockInput, LockOutput } from '../models/lock.ts';
import type { NameInput, NameOutput } from '../models/name.ts';
import type { RegisterInput, RegisterOutput } from '../models/register.ts';

/** The machine's own, the same for all processes. */
export const machineNow = (): number => Number(process.hrtime.bigint()) / 1e6;

class Log<Input, Output> {
  readonly events: HistoryEvent<Input, Output>[] = [];
  readonly recorder = new HistoryRecorder<Input, Output>(machineNow, (event) => this.events.push(event));

  operations(): Operation<Input, Output>[] {
    return historyFromEvents(this.events);
  }
}

export class RunRecord {
  readonly registers = new Log<RegisterInput, RegisterOutput>();
  readonly locks = new Log<LockInput, LockOutput>();
  readonly names = new Log<NameInput, NameOutput>();
  /** When the process of a node was killed. */
  readonly killedAt = new Map<string, number>();
  readonly lostNames: { readonly owner: string; readonly name: string; readonly token: number }[] = [];

  registerHistory(): History<RegisterInput, RegisterOutput> {
    return this.registers.operations();
  }

  lockHistory(): History<LockInput, LockOutput> {
    return lockHistory(this.locks.operations());
  }

  nameHistory(): History<NameInput, NameOutput> {
    return this.names.operations().flatMap((operation) => this.#withHiddenReleases(operation));
  }

  /**
   * A node's names are freed without anybody asking when it dies or loses its lease; and a claim that was granted is given back by itself
   * when the rest of the registration fails.
   */
  #withHiddenReleases(operation: Operation<NameInput, NameOutput>): Operation<NameInput, NameOutput>[] {
    const { input, outcome, invokedAt, key } = operation;
    if (input.type !== 'claim') return [operation];
    const { owner } = input;
    if (outcome.kind === 'failed' || (outcome.kind === 'ok' && !isClaimed(outcome.output))) return [operation];
    const release = (number: number, at: number): Operation<NameInput, NameOutput> =>
      hidden(operation, number, { type: 'release', owner }, at);
    if (outcome.kind === 'info') return [operation, release(0, invokedAt)];
    const lost = this.lostNames.some((loss) => loss.owner === owner && loss.name === key);
    const killedAt = this.killedAt.get(owner);
    const more: Operation<NameInput, NameOutput>[] = [];
    if (lost) more.push(release(0, outcome.at));
    if (killedAt !== undefined) more.push(release(1, Math.max(killedAt, outcome.at)));
    // Long enough for a session that ended under it, and with it a grant nobody heard of.
    if (outcome.at - invokedAt > longClaimMs) {
      more.push(hidden(operation, 2, input, invokedAt), release(3, invokedAt));
    }
    return [operation, ...more];
  }
}

const longClaimMs = 5_000;

function isClaimed(output: NameOutput): boolean {
  return output.type === 'claim' && output.claimed;
}

/** An operation without a known outcome, by a process of its own. */
function hidden<Input, Output>(
  { process, key, invokedAt }: Operation<Input, Output>,
  number: number,
  input: Input,
  at: number,
): Operation<Input, Output> {
  return { process: `${process} hidden ${invokedAt} ${number}`, key, input, invokedAt: at, outcome: { kind: 'info' } };
}

/**
 * Grants nobody was told of. Who gave up waiting withdraws, so such a grant may end at once: its lease is taken for 0, which allows most. One wait that
 * lasts for longer than a lease may have been granted and have lost the lock before the grant it told of.
 *
 * They explain nothing but that somebody saw them: they only keep the lock from others. So they are left out for owners of whom no unknown token was seen,
 * which spares the search most of its work and takes nothing from it.
 */
function lockHistory(operations: History<LockInput, LockOutput>): History<LockInput, LockOutput> {
  const known = new Set<string>();
  for (const { key, outcome } of operations) {
    if (outcome.kind === 'ok' && outcome.output.type === 'acquire' && outcome.output.granted) {
      known.add(`${key} ${outcome.output.token}`);
    }
  }
  const seen = new Set<string>();
  for (const { key, outcome } of operations) {
    if (outcome.kind !== 'ok' || outcome.output.type !== 'holder' || outcome.output.owner === null) continue;
    if (!known.has(`${key} ${outcome.output.token}`)) seen.add(`${key} ${outcome.output.owner}`);
  }
  return operations.flatMap((operation) => {
    const { input, outcome, invokedAt, key } = operation;
    if (input.type !== 'acquire' || outcome.kind === 'failed') return [operation];
    if (!seen.has(`${key} ${input.owner}`)) return outcome.kind === 'info' ? [] : [operation];
    const { leaseMs = 0 } = input;
    const brief: LockInput = { ...input, leaseMs: 0 };
    const told = outcome.kind === 'info' ? { ...operation, input: brief } : operation;
    const more = Math.floor(((outcome.at ?? invokedAt) - invokedAt) / (leaseMs * 0.8));
    return [told, ...Array.from({ length: more }, (_, number) => hidden(operation, number, brief, invokedAt))];
  });
}
