/**
 * Everything about a message that is more than one plain attempt: choosing by criteria and again after a failure, retries and their
 * budget, the policy of this node, fallbacks. How an attempt is sent is the host's.
 */
import type { Clock, Rng } from '../../clock.ts';
import { isQuorateError, type QuorateError } from '../../errors.ts';
import type { NodeId } from '../../node-id.ts';
import type { AgentId } from '../../value.ts';
import type { Criteria } from '../registry/records.ts';
import { admit, endedWith, fallbacksOf, tryFallbacks } from './admission.ts';
import type { RetryBudget } from './budget.ts';
import type { AttemptEnd, CallPolicy } from './call-policy.ts';
import { GuardedStream, type OpenedStream } from './guarded-stream.ts';
import type { Invocation } from './invocation.ts';
import type { CallOptions, CastOptions, StreamOptions } from './messaging.ts';
import { invitesRetry } from './outcome.ts';
import { Outgoing } from './outgoing.ts';

export interface AttemptsHost {
  readonly self: NodeId;
  readonly clock: Clock;
  readonly rng: Rng;
  readonly budget: RetryBudget;
  /** Throws when the message must not be sent any more. */
  checkOpen(outgoing: Outgoing): void;
  /** The best match. Throws `NO_MATCH`. */
  choose(criteria: Criteria, options: CastOptions | undefined, failed: readonly AgentId[]): AgentId;
  sendCall(outgoing: Outgoing, resolve: (value: never) => void, reject: (error: QuorateError) => void): void;
  sendCast(outgoing: Outgoing): Promise<void>;
  openStream<Item>(outgoing: Outgoing, options: StreamOptions): AsyncIterator<Item>;
  onRetry(): void;
  onError(error: unknown, where: string): void;
}

/** What is asked for, whoever it goes to. */
export interface Request {
  readonly scope: Invocation | undefined;
  readonly target: AgentId | Criteria;
  readonly message: unknown;
  readonly options: CallOptions | undefined;
  readonly deadlineAt: number;
}

/** Sends an admitted attempt, and tells `end` how it ended. */
type Send<Result> = (outgoing: Outgoing, end: AttemptEnd | undefined, by: Answerer) => Promise<Result>;

/** Agents with open breakers that one message passes over while it looks for another that matches. */
const maxPassedOver = 64;

/** Who answers, told once somebody has. */
class Answerer {
  attempts = 0;
  /** The refusal that fallbacks make up for, once one is asked. */
  insteadOf: unknown;
  readonly #request: Request;
  readonly #host: AttemptsHost;

  constructor(request: Request, host: AttemptsHost) {
    this.#request = request;
    this.#host = host;
  }

  get isWanted(): boolean {
    return this.#request.options?.onAnswered !== undefined;
  }

  answered(agent: AgentId): void {
    const fallbackFor = this.insteadOf === undefined ? undefined : this.#request.target;
    try {
      this.#request.options?.onAnswered?.({ agent, fallbackFor, attempts: this.attempts });
    } catch (error) {
      this.#host.onError(error, 'onAnswered of a call');
    }
  }
}

export class Attempts {
  readonly #host: AttemptsHost;
  readonly #send: Send<never>;
  /** Asked before each attempt; undefined costs nothing. */
  policy: CallPolicy | undefined;

  constructor(host: AttemptsHost) {
    this.#host = host;
    this.#send = (outgoing, end, by) => this.#sendCall(outgoing, end, by);
  }

  call<Reply>(request: Request): Promise<Reply> {
    const { target, options } = request;
    const byDefault = typeof target === 'string' && options?.idempotencyKey === undefined ? 0 : 1;
    const retries = options?.retries ?? byDefault;
    const by = new Answerer(request, this.#host);
    const send = this.#send as Send<unknown> as Send<Reply>;
    if (retries === 0 && typeof target === 'string') return this.#once(request, target, true, send, by);
    return this.#repeat(request, retries, send, by);
  }

  /** Its attempt ends, for the policy, once it is in the mailbox. */
  cast(request: Request): Promise<void> {
    const send: Send<void> = async (outgoing, end, by) => {
      try {
        await this.#host.sendCast(outgoing);
      } catch (error) {
        throw endedWith(end, error);
      }
      end?.(undefined);
      by.answered(outgoing.agent);
    };
    return this.#repeat(request, 0, send, new Answerer(request, this.#host));
  }

  /** Its attempt ends, for the policy, with the stream. */
  stream<Item>(request: Request, options: StreamOptions): AsyncIterator<Item> {
    return new GuardedStream<Item>((opening) => {
      const send: Send<OpenedStream<Item>> = async (outgoing, end, by) => {
        try {
          const opened = await opening.first(() => this.#host.openStream<Item>(outgoing, options), outgoing.agent, end);
          by.answered(outgoing.agent);
          return opened;
        } catch (error) {
          throw endedWith(end, error);
        }
      };
      return this.#repeat(request, 0, send, new Answerer(request, this.#host));
    });
  }

  /** One attempt, and those at the fallbacks when a breaker is open. */
  #once<Result>(
    request: Request,
    agent: AgentId,
    withFallbacks: boolean,
    send: Send<Result>,
    by: Answerer,
  ): Promise<Result> {
    let outgoing: Outgoing;
    let end: AttemptEnd | undefined;
    try {
      outgoing = this.#outgoing(request, agent);
      const admitted = this.#admit(outgoing, by.insteadOf);
      if (admitted instanceof Promise) return this.#onceLater(request, outgoing, admitted, withFallbacks, send, by);
      end = admitted;
    } catch (error) {
      return this.#refused(request, error, withFallbacks, send, by);
    }
    by.attempts += 1;
    return send(outgoing, end, by);
  }

  async #onceLater<Result>(
    request: Request,
    outgoing: Outgoing,
    admitted: Promise<AttemptEnd | undefined>,
    withFallbacks: boolean,
    send: Send<Result>,
    by: Answerer,
  ): Promise<Result> {
    let end: AttemptEnd | undefined;
    try {
      end = await admitted;
    } catch (error) {
      return this.#refused(request, error, withFallbacks, send, by);
    }
    try {
      this.#host.checkOpen(outgoing);
    } catch (error) {
      throw endedWith(end, error);
    }
    by.attempts += 1;
    return send(outgoing, end, by);
  }

  #refused<Result>(
    request: Request,
    refusal: unknown,
    withFallbacks: boolean,
    send: Send<Result>,
    by: Answerer,
  ): Promise<Result> {
    const fallbacks = withFallbacks ? fallbacksOf(refusal) : undefined;
    if (fallbacks === undefined || fallbacks.length === 0) return Promise.reject(refusal);
    by.insteadOf = refusal;
    return tryFallbacks(refusal, fallbacks, (agent) => this.#once(request, agent, false, send, by));
  }

  #outgoing({ message, deadlineAt, options, scope }: Request, agent: AgentId): Outgoing {
    return new Outgoing(this.#host.self, agent, message, deadlineAt, options, scope);
  }

  #admit(outgoing: Outgoing, insteadOf: unknown): ReturnType<CallPolicy['admit']> {
    this.#host.checkOpen(outgoing);
    return this.policy === undefined ? undefined : admit(this.policy, outgoing, insteadOf);
  }

  #sendCall(outgoing: Outgoing, end: AttemptEnd | undefined, by: Answerer): Promise<never> {
    return new Promise((resolve, reject) => {
      if (end === undefined && !by.isWanted) {
        this.#host.sendCall(outgoing, resolve, reject);
        return;
      }
      const fail = (error: unknown): void => {
        end?.(error);
        reject(error);
      };
      const succeed = (value: never): void => {
        end?.(undefined);
        by.answered(outgoing.agent);
        resolve(value);
      };
      try {
        this.#host.sendCall(outgoing, succeed, fail);
      } catch (error) {
        fail(error);
      }
    });
  }

  async #repeat<Result>(request: Request, retries: number, send: Send<Result>, by: Answerer): Promise<Result> {
    const { target, options, deadlineAt } = request;
    const host = this.#host;
    const failed: AgentId[] = [];
    let lastError: unknown;
    let unknown: QuorateError | undefined;
    let agent: AgentId | undefined = typeof target === 'string' ? target : undefined;
    for (let attempt = 0; ; ) {
      try {
        agent ??= host.choose(target as Criteria, options, failed);
      } catch (error) {
        throw lastError ?? error;
      }
      try {
        // After an unknown outcome only the same agent knows the key; anybody else might run it a second time.
        return await this.#once(request, agent, unknown === undefined, send, by);
      } catch (error) {
        // What a fallback ended with is the end: only it knows the key, and the agent asked for is not to be called.
        if (by.insteadOf !== undefined) throw error;
        // That the last attempt was not delivered says nothing about an earlier one that may have been.
        if (isQuorateError(error, 'UNKNOWN_OUTCOME')) unknown = error;
        lastError = isQuorateError(error, 'HANDLER_FAILED') ? error : (unknown ?? error);
        const mayMove = typeof target !== 'string' && unknown === undefined;
        if (mayMove && fallbacksOf(error)?.length === 0 && failed.length < maxPassedOver) {
          // Nothing was sent, so this was no attempt.
          failed.push(agent);
          agent = undefined;
          continue;
        }
        const hasKey = options?.idempotencyKey !== undefined;
        if (attempt >= retries || !invitesRetry(error, hasKey) || !host.budget.take()) throw lastError;
        host.onRetry();
        if (mayMove) {
          failed.push(agent);
          agent = undefined;
        } else if (!(await this.#pause(attempt, deadlineAt))) throw lastError;
      }
      attempt += 1;
    }
  }

  /** Waits before the same agent is tried again: 20 ms, doubled each time, jittered. False when the deadline is nearer. */
  async #pause(attempt: number, deadlineAt: number): Promise<boolean> {
    const { clock, rng } = this.#host;
    const ms = Math.min(20 * 2 ** attempt, 1_000) * (0.5 + rng.float());
    if (clock.now() + ms >= deadlineAt) return false;
    await new Promise<void>((resolve) => clock.after(ms, resolve));
    return true;
  }
}
