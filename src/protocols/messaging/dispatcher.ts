/**
 * Brings messages to the handlers of this process: one mailbox per agent, a bounded number of invocations
 * at a time, every outcome answered exactly once. Local and remote callers meet here and are treated alike.
 */
import type { Clock } from '../../clock.ts';
import { QuorateError } from '../../errors.ts';
import type { AgentId } from '../../value.ts';
import { DeadlineTimer } from './deadline-timer.ts';
import type { Invocation } from './invocation.ts';
import { KeyedRuns, type RunHost } from './keyed-runs.ts';
import type { AgentLimits, MessagingLimits } from './limits.ts';
import { Mailbox } from './mailbox.ts';
import type { AgentHandler, LocalHandlers, MailboxStatus, Messaging, MethodHandler } from './messaging.ts';
import { handlerFailed, rejected, streamedReply, unknownOutcome } from './outcome.ts';

interface AgentBox {
  readonly mailbox: Mailbox<Invocation>;
  readonly running: Set<Invocation>;
  /** Its limits were changed while it was busy. */
  stale: boolean;
}

export interface DispatcherCounters {
  /** Invocations begun, and of these those whose handler threw. */
  invocations: number;
  failures: number;
  /** Messages refused before their handler. */
  refused: number;
}

export interface DispatcherOptions {
  readonly handlers: LocalHandlers;
  readonly limits: MessagingLimits;
  readonly clock: Clock;
  /** The messaging a handler gets as `context.mesh`. */
  readonly scoped: (invocation: Invocation) => Messaging;
  /** What a handler threw when nobody waits for an answer, and what a reply iterable threw on closing. */
  readonly onError: (error: unknown, agent: AgentId) => void;
}

export class Dispatcher implements RunHost {
  readonly deadlines: DeadlineTimer;
  readonly counters: DispatcherCounters = { invocations: 0, failures: 0, refused: 0 };
  readonly #handlers: LocalHandlers;
  readonly #limits: MessagingLimits;
  readonly #clock: Clock;
  readonly #options: DispatcherOptions;
  readonly #keyed: KeyedRuns;
  readonly #boxes = new Map<AgentId, AgentBox>();
  readonly #agentLimits = new Map<AgentId, AgentLimits>();
  #ready: Invocation[] = [];
  #scheduled = false;
  #draining = false;
  #active = 0;
  #onIdle: (() => void)[] = [];

  constructor(options: DispatcherOptions) {
    this.#options = options;
    this.#handlers = options.handlers;
    this.#limits = options.limits;
    this.#clock = options.clock;
    this.deadlines = new DeadlineTimer(options.clock);
    this.#keyed = new KeyedRuns(this, options.limits);
    options.handlers.onGone((agent) => this.#onGone(agent));
  }

  now(): number {
    return this.#clock.now();
  }

  scoped(invocation: Invocation): Messaging {
    return this.#options.scoped(invocation);
  }

  get draining(): boolean {
    return this.#draining;
  }

  /** Messages that wait or run. */
  get active(): number {
    return this.#active;
  }

  has(agent: AgentId): boolean {
    return this.#handlers.get(agent) !== undefined;
  }

  mailboxes(): MailboxStatus[] {
    return [...this.#boxes].map(([agent, { mailbox }]) => ({
      agent,
      running: mailbox.running,
      queued: mailbox.queued,
    }));
  }

  /** Takes effect when the agent is idle next; an agent that never ran has it from the start. */
  setLimits(agent: AgentId, limits: AgentLimits): void {
    for (const [name, value] of Object.entries(limits)) {
      if (value !== undefined && (!Number.isInteger(value) || value < 1)) {
        throw new QuorateError('INVALID_ARGUMENT', `${name} of agent ${agent} must be a whole number of at least 1.`, {
          agent,
          [name]: value,
        });
      }
    }
    this.#agentLimits.set(agent, limits);
    const box = this.#boxes.get(agent);
    if (box === undefined) return;
    if (box.mailbox.idle) this.#boxes.delete(agent);
    else box.stale = true;
  }

  /**
   * Takes a message. With `direct` the handler may run before this returns (the caller stands on an empty
   * stack); otherwise it runs in a microtask, so that a local call never runs inside its caller.
   */
  submit(invocation: Invocation, direct: boolean): void {
    if (invocation.idempotencyKey !== undefined && this.#keyed.take(invocation, direct)) return;
    if (this.#draining && !invocation.nested) {
      this.#refuse(invocation, rejected(invocation.agent, 'draining'));
      return;
    }
    const handler = this.#handlers.get(invocation.agent);
    if (handler === undefined) {
      this.#refuse(invocation, rejected(invocation.agent, 'no-such-agent'));
      return;
    }
    const method = findMethod(handler, invocation.method);
    if (method === undefined) {
      this.#refuse(invocation, rejected(invocation.agent, 'no-such-method', { method: invocation.method }));
      return;
    }
    invocation.handler = handler;
    invocation.run = method;
    const box = this.#boxes.get(invocation.agent) ?? this.#newBox(invocation.agent);
    switch (box.mailbox.offer(invocation)) {
      case 'full':
        this.#refuse(invocation, rejected(invocation.agent, 'mailbox-full', { queued: box.mailbox.queued }));
        return;
      case 'wait':
        this.#active += 1;
        invocation.phase = 'waiting';
        this.armDeadline(invocation);
        return;
      case 'run':
        this.#active += 1;
        if (direct) this.#run(box, invocation);
        else this.#schedule(invocation);
    }
  }

  /** A waiting message is given up by its sender. */
  withdraw(invocation: Invocation): void {
    const box = this.#boxes.get(invocation.agent);
    if (box === undefined || invocation.withdrawn) return;
    box.mailbox.withdraw(invocation);
    invocation.phase = 'ended';
    this.#ended();
  }

  armDeadline(invocation: Invocation): void {
    if (invocation.deadlineAt === Number.POSITIVE_INFINITY) return;
    this.deadlines.add(invocation, invocation.deadlineAt, this.#clock.now());
  }

  startDraining(): void {
    this.#draining = true;
  }

  /** Resolves when nothing waits or runs. */
  idle(): Promise<void> {
    if (this.#active === 0) return Promise.resolve();
    return new Promise((resolve) => this.#onIdle.push(resolve));
  }

  /** Gives up everything that waits or runs; handlers are told by their signal. */
  stop(): void {
    this.#draining = true;
    for (const [agent, box] of this.#boxes) {
      for (const waiting of box.mailbox.clear()) {
        waiting.phase = 'ended';
        waiting.giveUp('stopped');
        this.#ended();
      }
      for (const running of [...box.running]) {
        running.abort(unknownOutcome(agent, 'stopped'));
        running.giveUp('stopped');
      }
    }
    this.deadlines.stop();
  }

  report(error: unknown, agent: AgentId): void {
    this.#options.onError(error, agent);
  }

  #newBox(agent: AgentId): AgentBox {
    const own = this.#agentLimits.get(agent);
    const box: AgentBox = {
      mailbox: new Mailbox(own?.maxConcurrent ?? this.#limits.maxConcurrent, own?.mailbox ?? this.#limits.mailbox),
      running: new Set(),
      stale: false,
    };
    this.#boxes.set(agent, box);
    return box;
  }

  #refuse(invocation: Invocation, error: QuorateError): void {
    this.counters.refused += 1;
    invocation.phase = 'ended';
    invocation.fail(error);
  }

  #schedule(invocation: Invocation): void {
    invocation.phase = 'scheduled';
    this.#ready.push(invocation);
    if (this.#scheduled) return;
    this.#scheduled = true;
    queueMicrotask(() => this.#runReady());
  }

  #runReady(): void {
    this.#scheduled = false;
    const ready = this.#ready;
    this.#ready = [];
    for (let index = 0; index < ready.length; index++) {
      const invocation = ready[index] as Invocation;
      const box = this.#boxes.get(invocation.agent) as AgentBox;
      if (invocation.answered) this.#free(box, invocation);
      else if (this.#handlers.get(invocation.agent) !== invocation.handler) {
        this.#refuse(invocation, rejected(invocation.agent, 'agent-gone'));
        this.#free(box, invocation);
      } else this.#run(box, invocation);
    }
  }

  #run(box: AgentBox, invocation: Invocation): void {
    invocation.phase = 'running';
    box.running.add(invocation);
    this.counters.invocations += 1;
    try {
      const result: unknown = invocation.run?.call(invocation.handler, invocation.message as never, invocation);
      if (!isThenable(result)) {
        this.#succeeded(box, invocation, result);
        return;
      }
      if (invocation.deadlineSlot < 0) this.armDeadline(invocation);
      result.then(
        (value) => this.#succeeded(box, invocation, value),
        (error: unknown) => this.#failed(box, invocation, error),
      );
    } catch (error) {
      this.#failed(box, invocation, error);
    }
  }

  #succeeded(box: AgentBox, invocation: Invocation, value: unknown): void {
    if (isAsyncIterable(value)) {
      this.#streamed(box, invocation, value);
      return;
    }
    invocation.reply(value);
    invocation.handlerEnded({ value });
    this.#free(box, invocation);
  }

  #failed(box: AgentBox, invocation: Invocation, thrown: unknown): void {
    this.counters.failures += 1;
    const error = handlerFailed(invocation.agent, invocation.method, thrown);
    invocation.fail(error);
    invocation.handlerEnded({ error });
    this.#free(box, invocation);
  }

  #streamed(box: AgentBox, invocation: Invocation, items: AsyncIterable<unknown>): void {
    if (invocation.takesStream && !invocation.answered) {
      this.armDeadline(invocation);
      invocation.sendStream(items, () => {
        invocation.handlerEnded({ value: undefined });
        this.#free(box, invocation);
      });
      return;
    }
    const error = streamedReply(invocation.agent, invocation.method);
    closeIterable(items).catch((cause: unknown) => this.report(cause, invocation.agent));
    invocation.fail(error);
    invocation.handlerEnded({ error });
    this.#free(box, invocation);
  }

  /** The place of an invocation becomes free; the next one in the mailbox takes it. */
  #free(box: AgentBox, invocation: Invocation): void {
    if (invocation.deadlineSlot >= 0) this.deadlines.remove(invocation);
    invocation.phase = 'ended';
    box.running.delete(invocation);
    this.#ended();
    const next = box.mailbox.finish();
    if (next !== undefined) this.#schedule(next);
    else if (box.mailbox.idle && (box.stale || this.#handlers.get(invocation.agent) === undefined)) {
      this.#forget(invocation.agent, box);
    }
  }

  #ended(): void {
    this.#active -= 1;
    if (this.#active > 0 || this.#onIdle.length === 0) return;
    const waiting = this.#onIdle;
    this.#onIdle = [];
    for (const resolve of waiting) resolve();
  }

  #onGone(agent: AgentId): void {
    const box = this.#boxes.get(agent);
    if (box === undefined) return;
    for (const waiting of box.mailbox.clear()) {
      this.#refuse(waiting, rejected(agent, 'agent-gone'));
      this.#ended();
    }
    for (const running of [...box.running]) running.abort(unknownOutcome(agent, 'agent-gone'));
    if (box.mailbox.idle) this.#forget(agent, box);
  }

  #forget(agent: AgentId, box: AgentBox): void {
    if (this.#boxes.get(agent) === box) this.#boxes.delete(agent);
  }
}

function isThenable(value: unknown): value is PromiseLike<unknown> {
  return typeof value === 'object' && value !== null && typeof (value as { then?: unknown }).then === 'function';
}

function isAsyncIterable(value: unknown): value is AsyncIterable<unknown> {
  return typeof value === 'object' && value !== null && Symbol.asyncIterator in value;
}

/** Ends an iterable nobody reads. The body of a generator that was never asked for an item does not run. */
async function closeIterable(items: AsyncIterable<unknown>): Promise<void> {
  await items[Symbol.asyncIterator]().return?.();
}

/**
 * The function for a method. A function takes every method (it finds the name in its context). Of an object,
 * its own methods and those of its class, but nothing every object has, and no name that begins with `_`.
 */
function findMethod(handler: AgentHandler, method: string): MethodHandler | undefined {
  if (typeof handler === 'function') return handler;
  if (method === '' || method === 'constructor' || method.charCodeAt(0) === 0x5f) return undefined;
  let holder: object | null = handler;
  while (holder !== null && holder !== Object.prototype) {
    if (Object.hasOwn(holder, method)) {
      const found = handler[method];
      return typeof found === 'function' ? found : undefined;
    }
    holder = Object.getPrototypeOf(holder) as object | null;
  }
  return undefined;
}
