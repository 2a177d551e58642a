/** A call or cast to an agent of another node, from sending until its promise is settled. */
import type { QuorateError } from '../../errors.ts';
import type { NodeId } from '../../node-id.ts';
import type { Channel } from '../../p2p/network.ts';
import type { Value } from '../../value.ts';
import type { PendingCounter } from './base.ts';
import type { DeadlineTimer } from './deadline-timer.ts';
import { Deadline } from './deadlines.ts';
import { encodeRequest, frameType, type ReplyHead } from './frames.ts';
import type { MessagingLimits } from './limits.ts';
import { notDelivered, rejected, unknownOutcome } from './outcome.ts';
import { linkCancellation, type Outgoing } from './outgoing.ts';
import type { LinkedCall, PeerLink } from './peer-link.ts';

/** What a call needs of the messaging it belongs to. */
export interface RemoteCallHost {
  readonly limits: MessagingLimits;
  readonly deadlines: DeadlineTimer;
  now(): number;
  /** A round trip took so long; the peer is alive. */
  onAnswered(peer: NodeId, ms: number): void;
  /** Resolves once this node knows the peer's registry as far as `head`; undefined when it does already. */
  catchUp(peer: NodeId, head: ReplyHead, signal: AbortSignal): Promise<void> | undefined;
  /** The agent is not there any more; the peer says it is at `hint`. Finds the link to it, or none. */
  follow(call: RemoteCall, from: NodeId, hint: string | undefined): PeerLink | 'here' | undefined;
  /** Runs the message in this process, where the agent has moved. */
  runHere(call: RemoteCall): void;
}

export class RemoteCall extends Deadline implements LinkedCall {
  linkId = -1;
  sentOn: Channel | undefined = undefined;
  readonly outgoing: Outgoing;
  readonly resolve: (value: never) => void;
  readonly reject: (error: QuorateError) => void;
  readonly isCast: boolean;
  readonly #host: RemoteCallHost;
  readonly #counter: PendingCounter;
  /** When the promise must be settled; for a cast that is the handing over, not the handler. */
  readonly #settleBy: number;
  readonly #startedAt: number;
  #link: PeerLink;
  #moves = 0;
  #settled = false;
  #unlink: (() => void) | undefined;
  #catchingUp: AbortController | undefined;
  /** What is to be done with an answer that waits for the registry. */
  #pendingSettle: (() => void) | undefined;

  constructor(
    host: RemoteCallHost,
    link: PeerLink,
    outgoing: Outgoing,
    counter: PendingCounter,
    isCast: boolean,
    resolve: (value: never) => void,
    reject: (error: QuorateError) => void,
  ) {
    super();
    this.#host = host;
    this.#link = link;
    this.outgoing = outgoing;
    this.#counter = counter;
    this.isCast = isCast;
    this.resolve = resolve;
    this.reject = reject;
    this.#startedAt = host.now();
    this.#settleBy = isCast
      ? Math.min(outgoing.deadlineAt, this.#startedAt + host.limits.defaultTimeoutMs)
      : outgoing.deadlineAt;
    counter.count += 1;
    this.#unlink = linkCancellation(outgoing.signal, isCast ? undefined : outgoing.scope, this);
    host.deadlines.add(this, this.#settleBy, this.#startedAt);
  }

  get moves(): number {
    return this.#moves;
  }

  /** Encodes and sends. Throws `UNSUPPORTED_VALUE` and `PAYLOAD_TOO_LARGE`, then the call is over. */
  send(): void {
    const { outgoing } = this;
    const link = this.#link;
    if (link.draining) {
      this.#fail(rejected(outgoing.agent, 'draining', { node: link.peer }));
      return;
    }
    if (link.full) {
      this.#fail(rejected(outgoing.agent, 'overloaded', { node: link.peer }));
      return;
    }
    const id = link.admit(this);
    const remaining = outgoing.deadlineAt - (this.#moves === 0 ? this.#startedAt : this.#host.now());
    let frame: Uint8Array;
    try {
      frame = encodeRequest(
        this.isCast ? frameType.cast : frameType.request,
        id,
        outgoing.agent,
        outgoing,
        remaining,
        outgoing.message,
        this.#host.limits.maxMessageBytes,
      );
    } catch (error) {
      this.#fail(error as QuorateError);
      return;
    }
    if (!link.send(frame, this)) this.#fail(rejected(outgoing.agent, 'overloaded', { node: link.peer }));
  }

  cancel(): void {
    this.#giveUp('cancelled');
  }

  override onDeadline(): void {
    this.#giveUp('deadline');
  }

  onSent(channel: Channel): void {
    this.sentOn = channel;
  }

  onUndelivered(reason: 'unreachable' | 'connection-lost', cause: unknown): void {
    this.#fail(notDelivered(this.outgoing.agent, reason, this.#link.peer, cause));
  }

  onConnectionLost(reason: 'connection-lost' | 'unreachable', cause: unknown): void {
    this.#fail(unknownOutcome(this.outgoing.agent, reason, this.#link.peer, cause));
  }

  onReply(value: Value, head: ReplyHead | undefined): void {
    this.#answered();
    this.#afterCatchUp(head, () => this.#succeed(value));
  }

  onError(error: QuorateError, head: ReplyHead | undefined): void {
    this.#answered();
    if (error.code === 'REJECTED' && error.data['reason'] === 'no-such-agent' && this.#move(undefined)) return;
    this.#afterCatchUp(head, () => this.#fail(error));
  }

  onMoved(node: string): void {
    this.#answered();
    if (!this.#move(node)) this.#fail(rejected(this.outgoing.agent, 'no-such-agent', { node: this.#link.peer }));
  }

  /** Takes the call out of this class's hands: it goes on in this process. */
  handOver(): void {
    this.#end();
  }

  #answered(): void {
    const now = this.#host.now();
    this.#host.onAnswered(this.#link.peer, now - this.#startedAt);
    if (this.isCast) this.#keepCancellable();
    this.#link.release(this);
  }

  /**
   * Read your writes: what the handler registered there is to be found here when the promise settles. A
   * reply without a head of its own may still follow one whose head is waited for.
   */
  #afterCatchUp(head: ReplyHead | undefined, settle: () => void): void {
    const link = this.#link;
    const target = head ?? link.catchingUp;
    if (target === undefined) {
      settle();
      return;
    }
    const waiting = new AbortController();
    const caughtUp = this.#host.catchUp(link.peer, target, waiting.signal);
    if (caughtUp === undefined) {
      link.catchingUp = undefined;
      settle();
      return;
    }
    link.catchingUp = target;
    this.#catchingUp = waiting;
    this.#pendingSettle = settle;
    const now = this.#host.now();
    this.#host.deadlines.add(this, Math.min(this.#settleBy, now + this.#host.limits.catchUpMs), now);
    const done = (): void => {
      if (link.catchingUp === target) link.catchingUp = undefined;
      this.#settleNow();
    };
    caughtUp.then(done, done); // The reply is good even where the registry lags behind.
  }

  #settleNow(): void {
    const settle = this.#pendingSettle;
    this.#pendingSettle = undefined;
    this.#catchingUp = undefined;
    settle?.();
  }

  /** The agent is elsewhere: nothing was done at this peer, so sending again is safe. */
  #move(hint: string | undefined): boolean {
    if (this.#settled || this.#moves >= this.#host.limits.maxMoves) return false;
    const next = this.#host.follow(this, this.#link.peer, hint);
    if (next === undefined) return false;
    this.#moves += 1;
    this.sentOn = undefined;
    if (next === 'here') {
      this.#host.runHere(this);
      return true;
    }
    this.#link = next;
    this.send();
    return true;
  }

  #giveUp(reason: 'deadline' | 'cancelled'): void {
    if (this.#settled) return;
    if (this.#pendingSettle !== undefined) {
      // The answer is here; only the registry's catching up is cut short.
      this.#catchingUp?.abort();
      this.#settleNow();
      return;
    }
    const { agent } = this.outgoing;
    if (this.sentOn === undefined) {
      this.#link.call.withdraw(this);
      this.#link.bulk.withdraw(this);
      this.#fail(notDelivered(agent, reason, this.#link.peer));
      return;
    }
    this.#link.cancel(this.linkId, this.sentOn);
    this.#fail(unknownOutcome(agent, reason, this.#link.peer));
  }

  #succeed(value: Value): void {
    if (this.#settled) return;
    this.#end();
    this.resolve((this.isCast ? undefined : value) as never);
  }

  #fail(error: QuorateError): void {
    if (this.#settled) return;
    this.#end();
    this.reject(error);
  }

  #end(): void {
    this.#settled = true;
    this.#counter.count -= 1;
    this.#link.release(this);
    this.#host.deadlines.remove(this);
    this.#unlink?.();
    this.#unlink = undefined;
  }

  /** A cast with a signal of its own can be cancelled until its handler's deadline. */
  #keepCancellable(): void {
    const { signal, deadlineAt } = this.outgoing;
    const channel = this.sentOn;
    if (signal === undefined || channel === undefined || !this.#link.holdCast(this.linkId)) return;
    const handed = new HandedOverCast(this.#link, this.linkId, channel, signal, this.#host.deadlines);
    this.#host.deadlines.add(handed, deadlineAt, this.#host.now());
  }
}

/** Waits for the caller's signal while the handler of a cast may run. */
class HandedOverCast extends Deadline {
  readonly #end: () => void;

  constructor(link: PeerLink, id: number, channel: Channel, signal: AbortSignal, deadlines: DeadlineTimer) {
    super();
    const onAbort = (): void => {
      link.cancel(id, channel);
      deadlines.remove(this);
      link.releaseCast(id);
    };
    signal.addEventListener('abort', onAbort, { once: true });
    this.#end = () => {
      signal.removeEventListener('abort', onAbort);
      link.releaseCast(id);
    };
  }

  override onDeadline(): void {
    this.#end();
  }
}
