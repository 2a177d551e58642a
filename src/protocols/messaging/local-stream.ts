/**
 * A stream within one process: the caller pulls the handler's iterator directly, which is all the
 * backpressure there needs to be. A plain reply is a stream of one item.
 */
import type { QuorateError } from '../../errors.ts';
import type { Value } from '../../value.ts';
import { Deadline } from './deadlines.ts';
import type { Dispatcher } from './dispatcher.ts';
import { Invocation } from './invocation.ts';
import type { StreamOptions } from './messaging.ts';
import { handlerFailed, unknownOutcome } from './outcome.ts';
import { linkCancellation, type Outgoing } from './outgoing.ts';

/** The handler's side: becomes an iterator once the handler has answered. */
class LocalStreamRun extends Invocation {
  readonly opened: Promise<AsyncIterator<unknown>>;
  ended: () => void = () => {};
  readonly #input: AsyncIterable<Value> | undefined;
  readonly #onFailure: (error: QuorateError) => void;
  readonly #resolve: (items: AsyncIterator<unknown>) => void;

  constructor(
    dispatcher: Dispatcher,
    outgoing: Outgoing,
    input: AsyncIterable<Value> | undefined,
    onFailure: (error: QuorateError) => void,
  ) {
    super(dispatcher, outgoing.agent, outgoing.message, outgoing.deadlineAt, outgoing);
    this.nested = outgoing.scope !== undefined;
    this.#input = input;
    this.#onFailure = onFailure;
    const { promise, resolve } = Promise.withResolvers<AsyncIterator<unknown>>();
    this.opened = promise;
    this.#resolve = resolve;
  }

  override get takesStream(): boolean {
    return true;
  }

  override get input(): AsyncIterable<Value> {
    return this.#input ?? super.input;
  }

  protected override sendReply(value: unknown): void {
    this.#resolve(oneItem(value));
  }

  protected override sendFailure(error: QuorateError): void {
    this.#onFailure(error);
  }

  override sendStream(items: AsyncIterable<unknown>, ended: () => void): void {
    this.ended = ended;
    this.#resolve(items[Symbol.asyncIterator]());
  }
}

async function* oneItem(value: unknown): AsyncGenerator<unknown> {
  yield value;
}

interface Waiting<Item> {
  resolve(result: IteratorResult<Item>): void;
  reject(error: unknown): void;
}

/** The caller's side. The deadline is that of the item being waited for. */
export class LocalStream<Item> extends Deadline implements AsyncIterator<Item> {
  readonly #dispatcher: Dispatcher;
  readonly #outgoing: Outgoing;
  readonly #timeoutMs: number;
  readonly #run: LocalStreamRun;
  #items: AsyncIterator<unknown> | undefined;
  #unlink: (() => void) | undefined;
  #waiting: Waiting<Item> | undefined;
  #last: Promise<unknown> = Promise.resolve();
  #failure: QuorateError | undefined;
  #over = false;

  constructor(dispatcher: Dispatcher, outgoing: Outgoing, options: StreamOptions, timeoutMs: number) {
    super();
    this.#dispatcher = dispatcher;
    this.#outgoing = outgoing;
    this.#timeoutMs = timeoutMs;
    this.#run = new LocalStreamRun(dispatcher, outgoing, options.input, (error) => this.#fail(error));
    this.#unlink = linkCancellation(outgoing.signal, outgoing.scope, { cancel: () => this.#run.giveUp('cancelled') });
    dispatcher.submit(this.#run, false);
  }

  next(): Promise<IteratorResult<Item>> {
    const step = this.#last.then(() => this.#step());
    this.#last = step.catch(() => undefined);
    return step;
  }

  async return(): Promise<IteratorResult<Item>> {
    if (!this.#over) {
      this.#end();
      this.#run.giveUp('cancelled');
    }
    return { done: true, value: undefined };
  }

  override onDeadline(): void {
    this.#fail(unknownOutcome(this.#outgoing.agent, 'deadline'));
  }

  #step(): Promise<IteratorResult<Item>> {
    if (this.#failure !== undefined) {
      const failure = this.#failure;
      this.#failure = undefined;
      return Promise.reject(failure);
    }
    if (this.#over) return Promise.resolve({ done: true, value: undefined });
    return new Promise<IteratorResult<Item>>((resolve, reject) => {
      this.#waiting = { resolve, reject };
      const now = this.#dispatcher.now();
      this.#dispatcher.deadlines.add(this, Math.min(now + this.#timeoutMs, this.#outgoing.deadlineAt), now);
      this.#pull().then(
        (result) => this.#took(result),
        (thrown: unknown) => this.#fail(handlerFailed(this.#outgoing.agent, this.#outgoing.method, thrown)),
      );
    });
  }

  async #pull(): Promise<IteratorResult<unknown>> {
    this.#items ??= await this.#run.opened;
    return this.#items.next();
  }

  #took(result: IteratorResult<unknown>): void {
    const waiting = this.#waiting;
    this.#waiting = undefined;
    this.#dispatcher.deadlines.remove(this);
    if (result.done === true) this.#end();
    waiting?.resolve(result as IteratorResult<Item>);
  }

  #fail(error: QuorateError): void {
    if (this.#over) return;
    this.#end();
    const waiting = this.#waiting;
    this.#waiting = undefined;
    if (waiting === undefined) this.#failure = error;
    else waiting.reject(error);
    this.#run.abort(error);
    this.#run.answered = true;
  }

  /** Lets go of everything; the place in the mailbox is free once the handler's iterator has closed. */
  #end(): void {
    this.#over = true;
    this.#dispatcher.deadlines.remove(this);
    this.#unlink?.();
    this.#unlink = undefined;
    const { ended } = this.#run;
    // Not awaited: a generator that waits for something ends when that does, the caller need not.
    // Called within a promise: an iterator that throws at once would end the process from a deadline's timer.
    new Promise((resolve) => resolve(this.#items?.return?.())).then(ended, (error: unknown) => {
      this.#dispatcher.report(error, this.#outgoing.agent);
      ended();
    });
  }
}
