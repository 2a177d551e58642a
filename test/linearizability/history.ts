/**
 * What clients of a shared object did and saw, as a checker needs it: who asked what, when, and what came back.
 *
 * An operation happens at one instant between its invocation and its completion. The three completions are Jepsen's:
 * `ok` (it took effect and this was its output), `failed` (it certainly never took effect, nor will it), and `info`
 * (nobody knows: it may take effect at any time after its invocation, or never). Calling an operation failed that
 * may yet be executed makes a checker cry wolf; calling it info only makes the check slower.
 *
 * All times are milliseconds of one clock that never goes back, the same for every process of a history.
 * `performance.now()` starts anew in each process; `Number(process.hrtime.bigint()) / 1e6` is the machine's own.
 */

export type Outcome<Output> =
  | { readonly kind: 'ok'; readonly output: Output; readonly at: number }
  | { readonly kind: 'failed'; readonly at: number }
  /** `at` is when the client gave up; absent when it died first. It tells the reader something, the checker nothing. */
  | { readonly kind: 'info'; readonly at?: number };

export interface Operation<Input, Output> {
  /** One thread of a client: it asks one thing at a time. */
  readonly process: string;
  /** The object it is about. Objects are independent of each other and are checked one by one. */
  readonly key: string;
  readonly input: Input;
  readonly invokedAt: number;
  readonly outcome: Outcome<Output>;
}

export type History<Input, Output> = readonly Operation<Input, Output>[];

/** One line of a record; plain data, so that it can travel as JSON. `id` is unique within its process. */
export type HistoryEvent<Input, Output> =
  | {
      readonly type: 'invoke';
      readonly process: string;
      readonly id: number;
      readonly key: string;
      readonly input: Input;
      readonly at: number;
    }
  | { readonly type: 'ok'; readonly process: string; readonly id: number; readonly output: Output; readonly at: number }
  | { readonly type: 'failed' | 'info'; readonly process: string; readonly id: number; readonly at: number };

/** How an invocation ends; exactly one of them is called, or none when the client is killed. */
export interface Invocation<Output> {
  ok(output: Output): void;
  /** Only when it is certain that the operation was not executed and never will be. */
  failed(): void;
  info(): void;
}

/**
 * Turns calls into events with their times.
 *
 * The invocation must be on record before the request leaves, and must outlive the client: with clients that get
 * killed, record in the process that starts them, or wait until it has the event. An effect without an invocation
 * looks like a violation.
 *
 * @example
 * const events: HistoryEvent<RegisterInput, RegisterOutput>[] = [];
 * const recorder = new HistoryRecorder<RegisterInput, RegisterOutput>(clock.now, (event) => events.push(event));
 * const invocation = recorder.invoke('client-1', 'x', { type: 'read' });
 * invocation.ok({ value: await map.get('x') });
 * checkHistory(registerModel(), historyFromEvents(events));
 */
export class HistoryRecorder<Input, Output> {
  readonly #now: () => number;
  readonly #emit: (event: HistoryEvent<Input, Output>) => void;
  readonly #busy = new Set<string>();
  #nextId = 0;

  constructor(now: () => number, emit: (event: HistoryEvent<Input, Output>) => void) {
    this.#now = now;
    this.#emit = emit;
  }

  /** Throws when `process` has not finished its last operation. After `info` it may go on: the answer is no longer awaited. */
  invoke(process: string, key: string, input: Input): Invocation<Output> {
    if (this.#busy.has(process)) throw new Error(`Process ${process} asks again before its last operation ended.`);
    this.#busy.add(process);
    const id = this.#nextId++;
    this.#emit({ type: 'invoke', process, id, key, input, at: this.#now() });
    let open = true;
    const end = (event: HistoryEvent<Input, Output>): void => {
      if (!open) throw new Error(`Operation ${id} of process ${process} ended twice.`);
      open = false;
      this.#busy.delete(process);
      this.#emit(event);
    };
    return {
      ok: (output) => end({ type: 'ok', process, id, output, at: this.#now() }),
      failed: () => end({ type: 'failed', process, id, at: this.#now() }),
      info: () => end({ type: 'info', process, id, at: this.#now() }),
    };
  }
}

/** Pairs invocations with their completions. An invocation without one has an unknown outcome. */
export function historyFromEvents<Input, Output>(
  events: Iterable<HistoryEvent<Input, Output>>,
): Operation<Input, Output>[] {
  const operations = new Map<string, Operation<Input, Output>>();
  const ended = new Set<string>();
  for (const event of events) {
    const name = JSON.stringify([event.process, event.id]);
    const operation = operations.get(name);
    if (event.type === 'invoke') {
      if (operation !== undefined) throw new Error(`Operation ${name} was invoked twice.`);
      const { process, key, input, at } = event;
      operations.set(name, { process, key, input, invokedAt: at, outcome: { kind: 'info' } });
      continue;
    }
    if (operation === undefined) throw new Error(`Operation ${name} ended without having been invoked.`);
    if (ended.has(name)) throw new Error(`Operation ${name} ended twice.`);
    ended.add(name);
    const { at } = event;
    const outcome = event.type === 'ok' ? { kind: event.type, output: event.output, at } : { kind: event.type, at };
    operations.set(name, { ...operation, outcome });
  }
  return [...operations.values()];
}

/**
 * Throws when the record itself is wrong, so that a broken clock or harness is not taken for a broken system: a time
 * that is no number, a completion before its invocation, a process whose operations overlap.
 */
export function assertWellFormed<Input, Output>(history: History<Input, Output>): void {
  const ofProcess = new Map<string, Operation<Input, Output>[]>();
  for (const operation of history) {
    const { process, invokedAt, outcome } = operation;
    const end = outcome.at ?? invokedAt;
    if (!Number.isFinite(invokedAt) || !Number.isFinite(end)) {
      throw new Error(`An operation of process ${process} has a time that is no finite number.`);
    }
    if (end < invokedAt) {
      throw new Error(`An operation of process ${process} ended at ${end}, before its invocation at ${invokedAt}.`);
    }
    const others = ofProcess.get(process);
    if (others === undefined) ofProcess.set(process, [operation]);
    else others.push(operation);
  }
  for (const [process, operations] of ofProcess) {
    let last: number | undefined;
    for (const { invokedAt, outcome } of operations.toSorted((a, b) => a.invokedAt - b.invokedAt)) {
      if (last !== undefined && invokedAt < last) {
        throw new Error(`Process ${process} asks at ${invokedAt}, before its last operation ended at ${last}.`);
      }
      last = outcome.at ?? invokedAt;
    }
  }
}

/** The operations of each key, in the order of the keys' first appearance. */
export function byKey<Input, Output>(history: History<Input, Output>): Map<string, Operation<Input, Output>[]> {
  return Map.groupBy(history, (operation) => operation.key);
}
