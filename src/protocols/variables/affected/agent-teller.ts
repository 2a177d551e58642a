/**
 * Tells one agent what its queue holds, one notice after the other: calls until the agent acknowledges, with growing pauses after failures.
 *
 * A notice keeps its idempotency key from attempt to attempt, so that one whose answer was lost does not run twice; a handler that has failed gets
 * another key, since the same one would only be answered with the same failure.
 *
 * Who is not the agent's teller (any more) may still have told it something: by a notice that was on its way when another node took over, before both knew of
 * each other, or because somebody waits for the agent. That may reach the agent after what its teller said, and be out of date. So whoever told an agent that is
 * not its to tell looks again a while later, and corrects itself.
 */
import { createHash } from 'node:crypto';
import { ExponentialBackoff, type IBackoff } from 'cockatiel';
import type { Clock, Rng, Timer } from '../../../clock.ts';
import { isQuorateError, QuorateError } from '../../../errors.ts';
import type { AgentId } from '../../../value.ts';
import type { Messaging } from '../../messaging/messaging.ts';
import type { VariableNotice } from '../variables.ts';
import type { News } from './audiences.ts';
import { NoticeQueue, type Settle } from './notice-queue.ts';

/** Notices that wait for one agent, at most. The oldest give way: what counts is the present value. */
export const maxWaiting = 1_000;
/** How long one attempt takes at most, milliseconds. As any call. */
const attemptMs = 5_000;
/** A handler that has failed so often at one notice is told the next, if there is one. Guess: over half a minute of trying. */
const maxHandlerFailures = 10;
/** How long after a notice to an agent of another teller it is held against the present value, milliseconds. Far longer than entries travel. */
const lookAgainMs = 1_000;
/** Names that are longer are hashed, so that a key stays below the bound of 256 bytes. */
const maxNameInKey = 160;

export interface TellerTools {
  readonly messaging: Pick<Messaging, 'call'>;
  readonly clock: Clock;
  readonly rng: Rng;
  /** Hybrid logical stamps: greater than any given or heard of before. */
  readonly stamp: () => number;
  /** For what nobody waits for. */
  readonly onError: (error: unknown, where: string) => void;
}

export interface TellerTarget {
  readonly variable: string;
  readonly agent: AgentId;
  readonly method: string;
  /** What there is to tell now. */
  readonly present: () => News | undefined;
}

export class AgentTeller {
  readonly #tools: TellerTools;
  readonly #target: TellerTarget;
  readonly #queue: NoticeQueue;
  readonly #over = new AbortController();
  #calling = false;
  #backoff: IBackoff<unknown> | undefined;
  #retry: Timer | undefined;
  #handlerFailures = 0;
  /** Of all notices; part of their keys. */
  #failedRuns = 0;
  #lastFailure: string | undefined;
  #givenUp: string | undefined;
  #mine = false;
  /** What was sent last, whatever became of it, as long as it matters. */
  #sent: News | undefined;
  #look: Timer | undefined;

  constructor(tools: TellerTools, target: TellerTarget) {
    this.#tools = tools;
    this.#target = target;
    this.#queue = new NoticeQueue(target.variable, maxWaiting);
  }

  get waiting(): number {
    return this.#queue.length;
  }

  /** Why the notice that waits has not got through so far; undefined when nothing failed. */
  get trouble(): string | undefined {
    return this.#lastFailure;
  }

  tell(news: News): void {
    if (this.#givenUp !== undefined) return;
    this.#queue.tell(news, this.#tools.stamp());
    this.#next();
  }

  /** Whether the agent is this node's to tell; false at first. */
  get mine(): boolean {
    return this.#mine;
  }

  /** What was sent last, as long as it may matter. */
  get sent(): News | undefined {
    return this.#sent;
  }

  /** The agent was sent this before it went out of sight. */
  remember(sent: News): void {
    this.#sent ??= sent;
    this.#lookLater();
  }

  /**
   * From now on it is. What others told the agent is not known here, so it is told what is present. `before`: by another node, whose last notice may still be on its way though
   * that node is gone; so it is told once more a while later.
   */
  takeOver(before: 'another' | 'nobody'): void {
    this.#mine = true;
    this.#look?.cancel();
    this.#look = undefined;
    this.#queue.release();
    this.#tellPresent();
    if (before === 'another') this.#look = this.#tools.clock.after(lookAgainMs, () => this.#tellPresent());
  }

  #tellPresent(): void {
    const present = this.#target.present();
    if (present !== undefined) this.tell(present);
  }

  /** From now on it is another's. */
  release(): void {
    this.#mine = false;
    this.#queue.release();
    if (this.#queue.length === 0) this.#calm();
    this.#lookLater();
  }

  /** Settles when the agent has acknowledged; tries at once, whatever failed before. The function returned ends the waiting. */
  wait(news: News, settle: Settle): () => void {
    if (this.#givenUp !== undefined) {
      settle(this.#givenUp);
      return () => undefined;
    }
    const cancel = this.#queue.wait(news, news.at ?? this.#tools.stamp(), settle);
    this.#calm();
    this.#next();
    return () => {
      cancel();
      if (this.#queue.length === 0) this.#calm();
    };
  }

  /** Ends for good, and the call that is under way as well. */
  stop(reason: string): void {
    this.#givenUp = reason;
    this.#calm();
    this.#look?.cancel();
    this.#queue.abandon(reason);
    this.#over.abort();
  }

  #next(): void {
    if (this.#calling || this.#retry !== undefined) return;
    const head = this.#queue.begin();
    if (head === undefined) return;
    this.#calling = true;
    this.#sent = head.news;
    void this.#send(head.notice);
  }

  async #send(notice: VariableNotice): Promise<void> {
    // An agent of this process runs at once, and may set the variable whose change is only just being told.
    await undefined;
    if (this.#over.signal.aborted) return;
    const { agent, method } = this.#target;
    let failure: { readonly error: unknown } | undefined;
    let answered: AgentId | undefined;
    try {
      await this.#tools.messaging.call(agent, notice, {
        method,
        idempotencyKey: this.#keyOf(notice),
        retries: 0,
        timeoutMs: attemptMs,
        signal: this.#over.signal,
        onAnswered: (by) => {
          answered = by.agent;
        },
      });
      if (answered !== undefined && answered !== agent) failure = { error: answeredByAnother(agent, answered) };
    } catch (error) {
      failure = { error };
    }
    this.#calling = false;
    if (this.#over.signal.aborted) return;
    if (failure === undefined) {
      this.#queue.acknowledged();
      this.#calm();
    } else this.#onFailure(failure.error);
    this.#next();
    this.#lookLater();
  }

  #lookLater(): void {
    if (this.#mine || this.#sent === undefined || this.#givenUp !== undefined) return;
    this.#look?.cancel();
    this.#look = this.#tools.clock.after(lookAgainMs, () => this.#correct());
  }

  /** Tells what is present when that is not what was sent last; and looks again after that. */
  #correct(): void {
    this.#look = undefined;
    // What is still to be sent, or is on its way, comes by here when it has ended.
    if (this.#mine || this.#calling || this.#queue.length > 0) return;
    const present = this.#target.present();
    const isTrue = present?.agreed === this.#sent?.agreed && Object.is(present?.value, this.#sent?.value);
    this.#sent = undefined;
    if (present !== undefined && !isTrue) this.tell(present);
  }

  #keyOf({ version }: VariableNotice): string {
    const { variable } = this.#target;
    const name =
      Buffer.byteLength(variable) <= maxNameInKey
        ? variable
        : createHash('sha256').update(variable).digest('base64url');
    const again = this.#failedRuns === 0 ? '' : `/${this.#failedRuns}`;
    return `variable/${name}/${version}${again}`;
  }

  #onFailure(error: unknown): void {
    const { agent, variable, method } = this.#target;
    this.#lastFailure = error instanceof Error ? error.message : String(error);
    if (isQuorateError(error, 'REJECTED') && error.data['reason'] === 'no-such-method') {
      this.#givenUp = `it has no method '${method}'`;
      this.#queue.abandon(this.#givenUp);
      this.#tools.onError(error, `variable '${variable}' affects agent '${agent}', which is told nothing`);
      return;
    }
    if (isQuorateError(error, 'HANDLER_FAILED')) {
      this.#handlerFailures += 1;
      this.#failedRuns += 1;
    }
    const hopeless = !mayPass(error);
    if (hopeless || (this.#handlerFailures >= maxHandlerFailures && this.#queue.length > 1)) {
      this.#tools.onError(error, `variable '${variable}': a notice to agent '${agent}' was left out`);
      this.#queue.skip(this.#lastFailure);
      this.#calm();
      return;
    }
    this.#queue.failed();
    if (this.#queue.length === 0) this.#calm();
    else this.#pause(error);
  }

  #pause(error: unknown): void {
    this.#backoff = this.#backoff === undefined ? this.#firstBackoff() : this.#backoff.next(undefined);
    // A rate limit knows when it is worth while to come again.
    const hint = isQuorateError(error) ? error.data['retryAfterMs'] : undefined;
    const atLeast = typeof hint === 'number' && hint > 0 ? Math.min(hint, maxPauseMs) : 0;
    this.#retry = this.#tools.clock.after(Math.max(this.#backoff.duration, atLeast), () => {
      this.#retry = undefined;
      this.#next();
    });
  }

  #firstBackoff(): IBackoff<unknown> {
    const { rng } = this.#tools;
    const generator = (tried: number | undefined, { initialDelay, maxDelay, exponent }: BackoffOptions) => {
      const most = Math.min(maxDelay, initialDelay * exponent ** (tried ?? 0));
      return [most * (0.5 + rng.float() / 2), (tried ?? 0) + 1] as [number, number];
    };
    const options = { generator, initialDelay: firstPauseMs, maxDelay: maxPauseMs, exponent: 2 };
    return new ExponentialBackoff<number>(options).next();
  }

  /** Forgets what failed. */
  #calm(): void {
    this.#retry?.cancel();
    this.#retry = undefined;
    this.#backoff = undefined;
    this.#handlerFailures = 0;
    this.#lastFailure = undefined;
  }
}

interface BackoffOptions {
  readonly initialDelay: number;
  readonly maxDelay: number;
  readonly exponent: number;
}

const firstPauseMs = 100;
/** An agent that is back is told after so long at most. */
const maxPauseMs = 10_000;

/** A fallback of an open breaker is not the agent that must know. */
const answeredByAnother = (agent: AgentId, by: AgentId): QuorateError =>
  new QuorateError('NOT_DELIVERED', `Agent ${agent} was not told: its breaker is open, and ${by} answered.`, {
    agent,
    by,
  });

const passing: ReadonlySet<string> = new Set([
  'NOT_DELIVERED',
  'REJECTED',
  'UNKNOWN_OUTCOME',
  'HANDLER_FAILED',
  'STOPPED',
]);
const mayPass = (error: unknown): boolean => isQuorateError(error) && passing.has(error.code);
