/**
 * What local and cluster messaging have in common: choosing the agent, deadlines, retries, and everything
 * about agents of this process. A subclass says how a message reaches an agent of another node.
 */
import type { Clock, Rng } from '../../clock.ts';
import { QuorateError } from '../../errors.ts';
import type { NodeId } from '../../node-id.ts';
import type { AgentId, Value } from '../../value.ts';
import type { Criteria, ResolveOptions } from '../registry/records.ts';
import { Attempts } from './attempts.ts';
import { RetryBudget } from './budget.ts';
import type { CallPolicy } from './call-policy.ts';
import { Dispatcher } from './dispatcher.ts';
import type { Invocation } from './invocation.ts';
import { type AgentLimits, defaultMessagingLimits, type MessagingLimits } from './limits.ts';
import { LocalCall, LocalCast } from './local-calls.ts';
import { LocalStream } from './local-stream.ts';
import type { CallOptions, CastOptions, LocalHandlers, MailboxStatus, Messaging, StreamOptions } from './messaging.ts';
import { notDelivered, rejected } from './outcome.ts';
import { checkAgentId, checkOptions, isCancelled, Outgoing } from './outgoing.ts';
import { type AgentRef, createRef } from './ref.ts';
import { ScopedMessaging } from './scoped.ts';
import { LatencyHistogram, type LatencySummary } from './stats.ts';

/** Where an agent runs; any agent record is one. */
export interface Located {
  readonly id: AgentId;
  readonly node: NodeId;
}

/** The part of a registry that messaging needs, whatever the custom metadata of its records. */
export interface AgentLocator {
  lookup(id: AgentId): Located | undefined;
  resolve(target: AgentId | Criteria, options?: ResolveOptions): Located | undefined;
}

export interface BaseMessagingOptions {
  readonly self: NodeId;
  readonly registry: AgentLocator;
  readonly handlers: LocalHandlers;
  readonly clock: Clock;
  readonly rng: Rng;
  /** Given ones replace the defaults. */
  readonly limits?: Partial<MessagingLimits>;
  /** Failures nobody waits for: handlers of casts, iterables that throw when closed, broken invariants. */
  readonly onError: (error: unknown, where: string) => void;
}

export interface MessagingStatus {
  readonly mailboxes: readonly MailboxStatus[];
  /** Messages for agents of this process that wait or run. */
  readonly active: number;
  readonly localCalls: number;
  readonly remoteCalls: number;
  readonly casts: number;
  readonly streams: number;
  readonly retries: number;
  readonly invocations: number;
  readonly handlerFailures: number;
  readonly refused: number;
  /** Round trips to other nodes, handlers included. */
  readonly latency: LatencySummary;
  readonly draining: boolean;
}

/** Calls under way to one agent. */
export interface PendingCounter {
  count: number;
}

export abstract class BaseMessaging implements Messaging {
  readonly self: NodeId;
  readonly limits: MessagingLimits;
  protected readonly dispatcher: Dispatcher;
  protected readonly registry: AgentLocator;
  protected readonly clock: Clock;
  protected readonly rng: Rng;
  protected readonly onError: (error: unknown, where: string) => void;
  protected readonly latency = new LatencyHistogram();
  protected stopped = false;
  readonly #budget: RetryBudget;
  readonly #attempts: Attempts;
  readonly #pending = new Map<AgentId, PendingCounter>();
  readonly #counts = { localCalls: 0, remoteCalls: 0, casts: 0, streams: 0, retries: 0 };

  constructor(options: BaseMessagingOptions) {
    this.self = options.self;
    this.registry = options.registry;
    this.clock = options.clock;
    this.rng = options.rng;
    this.limits = { ...defaultMessagingLimits, ...options.limits };
    this.onError = options.onError;
    this.#budget = new RetryBudget(this.limits.retryRatio, this.limits.retryBurst);
    this.#attempts = this.#makeAttempts();
    this.dispatcher = new Dispatcher({
      handlers: options.handlers,
      limits: this.limits,
      clock: options.clock,
      scoped: (invocation) => new ScopedMessaging(this, invocation),
      onError: (error, agent) => options.onError(error, `agent ${agent}`),
    });
  }

  call<Reply = Value>(target: AgentId | Criteria, message: unknown, options?: CallOptions): Promise<Reply> {
    return this.callFrom<Reply>(undefined, target, message, options);
  }

  cast(target: AgentId | Criteria, message: unknown, options?: CastOptions): Promise<void> {
    return this.castFrom(undefined, target, message, options);
  }

  stream<Item = Value>(target: AgentId | Criteria, message: unknown, options?: StreamOptions): AsyncIterable<Item> {
    return this.streamFrom<Item>(undefined, target, message, options);
  }

  ref<Api>(target: AgentId | Criteria): AgentRef<Api> {
    return createRef<Api>(this, target);
  }

  /** How many invocations of an agent of this process may run and wait. Throws `INVALID_ARGUMENT`. */
  setAgentLimits(agent: AgentId, limits: AgentLimits): void {
    this.dispatcher.setLimits(agent, limits);
  }

  /**
   * Breakers, limits and meters: asked before each attempt of each message that leaves for an agent, local ones too. Undefined: nobody.
   */
  setPolicy(policy: CallPolicy | undefined): void {
    this.#attempts.policy = policy;
  }

  /** Calls sent from here to that agent and not yet answered. */
  pendingCalls(agent: AgentId): number {
    return this.#pending.get(agent)?.count ?? 0;
  }

  status(): MessagingStatus {
    const { invocations, failures, refused } = this.dispatcher.counters;
    return {
      mailboxes: this.dispatcher.mailboxes(),
      active: this.dispatcher.active,
      ...this.#counts,
      invocations,
      handlerFailures: failures,
      refused,
      latency: this.latency.summary(),
      draining: this.dispatcher.draining,
    };
  }

  /**
   * Refuses new messages (`REJECTED`, reason `draining`: others may take them) and lets those here finish;
   * calls made by handlers that still run go through. Resolves with how many were unfinished when `signal`
   * aborted: 0 when all ended.
   */
  async drain(signal?: AbortSignal): Promise<{ readonly unfinished: number }> {
    this.dispatcher.startDraining();
    let onAbort: (() => void) | undefined;
    const aborted = new Promise<void>((resolve) => {
      onAbort = (): void => resolve();
      if (signal?.aborted === true) resolve();
      else signal?.addEventListener('abort', onAbort, { once: true });
    });
    await Promise.race([this.dispatcher.idle(), aborted]);
    if (onAbort !== undefined) signal?.removeEventListener('abort', onAbort);
    return { unfinished: this.dispatcher.active };
  }

  /** Ends at once: what runs is aborted, what waits for an answer fails. Idempotent. */
  stop(): void {
    if (this.stopped) return;
    this.stopped = true;
    this.dispatcher.stop();
  }

  callFrom<Reply>(
    scope: Invocation | undefined,
    target: AgentId | Criteria,
    message: unknown,
    options: CallOptions | undefined,
  ): Promise<Reply> {
    if (options !== undefined) {
      try {
        checkOptions(options);
      } catch (error) {
        return Promise.reject(error);
      }
    }
    this.#budget.onCall();
    const deadlineAt = this.#deadline(scope, options?.timeoutMs ?? this.limits.defaultTimeoutMs);
    if (this.#attempts.policy === undefined && typeof target === 'string' && isPlain(options)) {
      return this.#attempt<Reply>(new Outgoing(this.self, target, message, deadlineAt, options, scope));
    }
    return this.#attempts.call<Reply>({ scope, target, message, options, deadlineAt });
  }

  async castFrom(
    scope: Invocation | undefined,
    target: AgentId | Criteria,
    message: unknown,
    options: CastOptions | undefined,
  ): Promise<void> {
    if (options !== undefined) checkOptions(options);
    this.#counts.casts += 1;
    // A cast outlives the call it is made in, so it does not inherit the deadline.
    const deadlineAt = this.clock.now() + (options?.timeoutMs ?? this.limits.castTimeoutMs);
    if (this.#attempts.policy !== undefined || options?.onAnswered !== undefined) {
      await this.#attempts.cast({ scope, target, message, options, deadlineAt });
      return;
    }
    const agent = typeof target === 'string' ? target : this.#choose(target, options, []);
    const outgoing = new Outgoing(this.self, agent, message, deadlineAt, options, scope);
    this.#checkOpen(outgoing);
    await this.#sendCast(outgoing);
  }

  async #sendCast(outgoing: Outgoing): Promise<void> {
    if (!this.dispatcher.has(outgoing.agent)) {
      await this.castRemote(this.#locate(outgoing.agent), outgoing);
      return;
    }
    const cast = new LocalCast(this.dispatcher, outgoing);
    this.dispatcher.submit(cast, false);
    if (cast.refusedWith !== undefined) throw cast.refusedWith;
    cast.handedOver = true;
  }

  streamFrom<Item>(
    scope: Invocation | undefined,
    target: AgentId | Criteria,
    message: unknown,
    options: StreamOptions | undefined,
  ): AsyncIterable<Item> {
    if (options !== undefined) checkOptions(options);
    return { [Symbol.asyncIterator]: () => this.#openStream<Item>(scope, target, message, options ?? {}) };
  }

  /** Sends a call to an agent of another node and settles the promise. */
  protected abstract callRemote(
    record: Located,
    outgoing: Outgoing,
    resolve: (value: never) => void,
    reject: (error: QuorateError) => void,
  ): void;
  protected abstract castRemote(record: Located, outgoing: Outgoing): Promise<void>;
  protected abstract streamRemote<Item>(
    record: Located,
    outgoing: Outgoing,
    options: StreamOptions,
  ): AsyncIterator<Item>;

  protected pendingCounter(agent: AgentId): PendingCounter {
    let counter = this.#pending.get(agent);
    if (counter === undefined) {
      if (this.#pending.size >= 16_384) this.#forgetIdleCounters();
      counter = { count: 0 };
      this.#pending.set(agent, counter);
    }
    return counter;
  }

  #forgetIdleCounters(): void {
    for (const [agent, counter] of this.#pending) if (counter.count === 0) this.#pending.delete(agent);
  }

  #deadline(scope: Invocation | undefined, timeoutMs: number): number {
    const own = this.clock.now() + timeoutMs;
    return scope === undefined ? own : Math.min(own, scope.deadlineAt);
  }

  /** Throws when the message must not be sent any more. */
  #checkOpen(outgoing: Outgoing): void {
    if (this.stopped) {
      throw new QuorateError(
        'STOPPED',
        `The mesh was stopped, so the message to agent ${outgoing.agent} was not sent.`,
        {
          agent: outgoing.agent,
        },
      );
    }
    if (isCancelled(outgoing)) throw notDelivered(outgoing.agent, 'cancelled');
  }

  #locate(agent: AgentId): Located {
    checkAgentId(agent);
    const record = this.registry.lookup(agent);
    if (record === undefined || record.node === this.self) throw rejected(agent, 'no-such-agent');
    return record;
  }

  #choose(criteria: Criteria, options: CastOptions | undefined, failed: readonly AgentId[]): AgentId {
    const exclude = [...(options?.resolve?.exclude ?? []), ...failed];
    const record = this.registry.resolve(criteria, { ...options?.resolve, exclude });
    if (record !== undefined) return record.id;
    throw new QuorateError(
      'NO_MATCH',
      'No callable agent matches these criteria. See registry.query for what is registered, or wait with registry.watch.',
      { criteria, excluded: exclude },
    );
  }

  #attempt<Reply>(outgoing: Outgoing): Promise<Reply> {
    return new Promise<Reply>((resolve, reject) => {
      // A throw in here rejects the promise; the hot path has no other wrapper.
      this.#checkOpen(outgoing);
      this.#sendCall(outgoing, resolve as (value: never) => void, reject);
    });
  }

  #sendCall(outgoing: Outgoing, resolve: (value: never) => void, reject: (error: QuorateError) => void): void {
    if (this.dispatcher.has(outgoing.agent)) {
      this.#counts.localCalls += 1;
      this.dispatcher.submit(new LocalCall(this.dispatcher, outgoing, resolve, reject), false);
      return;
    }
    const record = this.#locate(outgoing.agent);
    this.#counts.remoteCalls += 1;
    this.callRemote(record, outgoing, resolve, reject);
  }

  #openStream<Item>(
    scope: Invocation | undefined,
    target: AgentId | Criteria,
    message: unknown,
    options: StreamOptions,
  ): AsyncIterator<Item> {
    const deadlineAt = scope?.deadlineAt ?? Number.POSITIVE_INFINITY;
    if (this.#attempts.policy !== undefined || options.onAnswered !== undefined) {
      this.#counts.streams += 1;
      return this.#attempts.stream<Item>({ scope, target, message, options, deadlineAt }, options);
    }
    const agent = typeof target === 'string' ? target : this.#choose(target, options, []);
    const outgoing = new Outgoing(this.self, agent, message, deadlineAt, options, scope);
    this.#checkOpen(outgoing);
    this.#counts.streams += 1;
    return this.#sendStream<Item>(outgoing, options);
  }

  #sendStream<Item>(outgoing: Outgoing, options: StreamOptions): AsyncIterator<Item> {
    const { agent } = outgoing;
    if (!this.dispatcher.has(agent)) return this.streamRemote<Item>(this.#locate(agent), outgoing, options);
    return new LocalStream<Item>(this.dispatcher, outgoing, options, options.timeoutMs ?? this.limits.defaultTimeoutMs);
  }

  #makeAttempts(): Attempts {
    return new Attempts({
      self: this.self,
      clock: this.clock,
      rng: this.rng,
      budget: this.#budget,
      checkOpen: (outgoing) => this.#checkOpen(outgoing),
      choose: (criteria, options, failed) => this.#choose(criteria, options, failed),
      sendCall: (outgoing, resolve, reject) => this.#sendCall(outgoing, resolve, reject),
      sendCast: (outgoing) => this.#sendCast(outgoing),
      openStream: (outgoing, options) => this.#sendStream(outgoing, options),
      onRetry: () => {
        this.#counts.retries += 1;
      },
      onError: this.onError,
    });
  }
}

/** One attempt at one agent, and nobody asks who answered. */
function isPlain(options: CallOptions | undefined): boolean {
  if (options === undefined) return true;
  const retries = options.retries ?? (options.idempotencyKey === undefined ? 0 : 1);
  return retries === 0 && options.onAnswered === undefined;
}
