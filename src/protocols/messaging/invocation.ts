/**
 * One message on its way through a handler of this process. It is the handler's context, the entry in the
 * mailbox and the entry on the wheel of deadlines in one object, because a local call is to cost less than a
 * microsecond; the abort signal and the scoped messaging are made only when the handler asks for them.
 *
 * Life: waiting → running → ended. Independently it is answered once: by the handler's result, or before
 * that by its deadline or a cancellation. A handler that ignores the abort keeps its place in the mailbox
 * until it returns, so that handlers that hang are bounded by `maxConcurrent`.
 */
import type { QuorateError } from '../../errors.ts';
import type { NodeId } from '../../node-id.ts';
import type { AgentId, Value } from '../../value.ts';
import type { DeadlineTimer } from './deadline-timer.ts';
import { Deadline } from './deadlines.ts';
import type { MailboxItem } from './mailbox.ts';
import type { AgentHandler, CallContext, Messaging, MethodHandler, TraceContext } from './messaging.ts';
import { notDelivered, type UnknownReason, unknownOutcome } from './outcome.ts';

/** What a message carries besides its payload. */
export interface MessageHeader {
  readonly method: string;
  readonly callerNode: NodeId;
  readonly callerAgent: AgentId | undefined;
  readonly idempotencyKey: string | undefined;
  readonly trace: TraceContext | undefined;
}

/** What an invocation needs of the dispatcher it belongs to. */
export interface InvocationHost {
  readonly deadlines: DeadlineTimer;
  now(): number;
  scoped(invocation: Invocation): Messaging;
  withdraw(invocation: Invocation): void;
  armDeadline(invocation: Invocation): void;
  /** A failure nobody waits for. */
  report(error: unknown, agent: AgentId): void;
}

export type Phase = 'new' | 'waiting' | 'scheduled' | 'running' | 'ended';

const noItems: AsyncIterator<Value> = { next: async () => ({ done: true, value: undefined }) };
const emptyInput: AsyncIterable<Value> = { [Symbol.asyncIterator]: () => noItems };

export abstract class Invocation extends Deadline implements CallContext, MailboxItem {
  readonly agent: AgentId;
  readonly method: string;
  readonly message: unknown;
  readonly callerNode: NodeId;
  readonly callerAgent: AgentId | undefined;
  readonly idempotencyKey: string | undefined;
  readonly trace: TraceContext | undefined;
  /** On the clock's scale; Infinity for a stream without an overall bound. */
  deadlineAt: number;
  phase: Phase = 'new';
  answered = false;
  withdrawn = false;
  /** Made on behalf of a handler that runs here: drain lets it through. */
  nested = false;
  /** Found when the message was taken; a later registration of the same id does not get it. */
  handler: AgentHandler | undefined = undefined;
  run: MethodHandler | undefined = undefined;
  /** The run this one waits for, when its idempotency key was known. */
  joined: { leave(waiter: Invocation, error: QuorateError): void } | undefined = undefined;
  /** Encoded size of the reply, once it was sent to another node. */
  replyBytes = 0;
  protected readonly dispatcher: InvocationHost;
  #controller: AbortController | undefined;
  #abortedWith: QuorateError | undefined;
  #abortListeners: Set<(error: QuorateError) => void> | undefined;
  #mesh: Messaging | undefined;

  constructor(dispatcher: InvocationHost, agent: AgentId, message: unknown, deadlineAt: number, header: MessageHeader) {
    super();
    this.dispatcher = dispatcher;
    this.agent = agent;
    this.message = message;
    this.deadlineAt = deadlineAt;
    this.method = header.method;
    this.callerNode = header.callerNode;
    this.callerAgent = header.callerAgent;
    this.idempotencyKey = header.idempotencyKey;
    this.trace = header.trace;
  }

  /** Whether a handler may answer with a stream. */
  get takesStream(): boolean {
    return false;
  }
  get input(): AsyncIterable<Value> {
    return emptyInput;
  }

  get signal(): AbortSignal {
    if (this.#controller === undefined) {
      this.#controller = new AbortController();
      if (this.#abortedWith !== undefined) this.#controller.abort(this.#abortedWith);
    }
    return this.#controller.signal;
  }

  get mesh(): Messaging {
    this.#mesh ??= this.dispatcher.scoped(this);
    return this.#mesh;
  }

  get abortedWith(): QuorateError | undefined {
    return this.#abortedWith;
  }

  remainingMs(): number {
    return Math.max(0, this.deadlineAt - this.dispatcher.now());
  }

  /** Calls `listener` when the invocation is aborted; the returned function takes it back. */
  onAbort(listener: (error: QuorateError) => void): () => void {
    this.#abortListeners ??= new Set();
    this.#abortListeners.add(listener);
    return () => void this.#abortListeners?.delete(listener);
  }

  /** Tells the handler to stop. The answer, if it is still owed, is the handler's to give. */
  abort(error: QuorateError): void {
    if (this.#abortedWith !== undefined || this.phase === 'ended') return;
    this.#abortedWith = error;
    const listeners = this.#abortListeners;
    this.#abortListeners = undefined;
    if (listeners !== undefined) for (const listener of listeners) listener(error);
    this.#controller?.abort(error);
  }

  /** The caller gives up, or its time is over: it is answered now, whatever the handler does. */
  giveUp(reason: UnknownReason & ('deadline' | 'cancelled' | 'connection-lost' | 'stopped')): void {
    if (this.answered) return;
    const started = this.phase === 'running';
    const error = started ? unknownOutcome(this.agent, reason) : notDelivered(this.agent, reason);
    if (this.phase === 'waiting') this.dispatcher.withdraw(this);
    if (started) this.abort(error);
    this.fail(error);
    this.joined?.leave(this, error);
  }

  override onDeadline(): void {
    this.giveUp('deadline');
  }

  /** Answers with the handler's result, unless an answer was given before. */
  reply(value: unknown): void {
    if (this.answered) return;
    this.answered = true;
    this.dispatcher.deadlines.remove(this);
    this.sendReply(value);
  }

  /** Answers with an error, unless an answer was given before. */
  fail(error: QuorateError): void {
    if (this.answered) return;
    this.answered = true;
    this.dispatcher.deadlines.remove(this);
    this.sendFailure(error);
  }

  /** The handler ended, after an answer or before; called once. For those who keep outcomes. */
  handlerEnded(_outcome: { readonly value: unknown } | { readonly error: QuorateError }): void {}

  protected abstract sendReply(value: unknown): void;
  protected abstract sendFailure(error: QuorateError): void;

  /** Takes over a streamed reply and calls `ended` when it is over; only with `takesStream`. */
  sendStream(_items: AsyncIterable<unknown>, ended: () => void): void {
    ended();
  }
}
