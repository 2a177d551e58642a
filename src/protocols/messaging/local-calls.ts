/** Invocations whose caller is in the same process: payloads pass by reference, nothing is encoded. */
import type { QuorateError } from '../../errors.ts';
import type { Dispatcher } from './dispatcher.ts';
import { Invocation } from './invocation.ts';
import { linkCancellation, type Outgoing } from './outgoing.ts';

export class LocalCall extends Invocation {
  readonly #resolve: (value: never) => void;
  readonly #reject: (error: QuorateError) => void;
  #unlink: (() => void) | undefined;

  constructor(
    dispatcher: Dispatcher,
    outgoing: Outgoing,
    resolve: (value: never) => void,
    reject: (error: QuorateError) => void,
  ) {
    super(dispatcher, outgoing.agent, outgoing.message, outgoing.deadlineAt, outgoing);
    this.#resolve = resolve;
    this.#reject = reject;
    this.nested = outgoing.scope !== undefined;
    this.#unlink = linkCancellation(outgoing.signal, outgoing.scope, this);
  }

  cancel(): void {
    this.giveUp('cancelled');
  }

  protected override sendReply(value: unknown): void {
    this.#unlink?.();
    this.#unlink = undefined;
    this.#resolve(value as never);
  }

  protected override sendFailure(error: QuorateError): void {
    this.#unlink?.();
    this.#unlink = undefined;
    this.#reject(error);
  }
}

/** Nobody waits: what the handler throws is reported, what refuses the message at once is kept for the sender. */
export class LocalCast extends Invocation {
  refusedWith: QuorateError | undefined;
  handedOver = false;
  readonly #unlink: (() => void) | undefined;

  constructor(dispatcher: Dispatcher, outgoing: Outgoing) {
    super(dispatcher, outgoing.agent, outgoing.message, outgoing.deadlineAt, outgoing);
    this.nested = outgoing.scope !== undefined;
    this.#unlink = linkCancellation(outgoing.signal, undefined, this);
  }

  cancel(): void {
    this.giveUp('cancelled');
  }

  protected override sendReply(): void {
    this.#unlink?.();
  }

  protected override sendFailure(error: QuorateError): void {
    this.#unlink?.();
    if (!this.handedOver) this.refusedWith = error;
    else if (error.data['reason'] !== 'cancelled') this.dispatcher.report(error, this.agent);
  }
}
