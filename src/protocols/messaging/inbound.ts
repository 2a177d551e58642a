/**
 * The callee's side of one channel: requests of one peer become invocations, their outcomes become frames.
 * Everything that arrives is hostile until decoded, and counted against what the peer may hold here.
 */
import type { QuorateError } from '../../errors.ts';
import type { NodeId } from '../../node-id.ts';
import type { Channel } from '../../p2p/network.ts';
import type { Value } from '../../value.ts';
import type { Dispatcher } from './dispatcher.ts';
import {
  callProtocol,
  decodeFrame,
  drainingFrame,
  encodeError,
  encodeMoved,
  encodeReply,
  type Frame,
  type ReplyHead,
  type RequestFrame,
} from './frames.ts';
import { Invocation } from './invocation.ts';
import type { FrameOwner } from './lane.ts';
import type { MessagingLimits } from './limits.ts';
import { handlerFailed, rejected, unknownOutcome } from './outcome.ts';

/** What one peer holds here, over all its channels. */
export interface PeerUsage {
  calls: number;
  bytes: number;
  channels: number;
}

export interface InboundHost {
  readonly self: NodeId;
  readonly limits: MessagingLimits;
  readonly dispatcher: Dispatcher;
  now(): number;
  /** The node an agent runs on now, when it is known and not this one. */
  whereIs(agent: string): NodeId | undefined;
  /** This node's registry head, with everything written before on its way. */
  head(): ReplyHead | undefined;
  onHeard(peer: NodeId): void;
  onMalformed(peer: NodeId, channel: Channel, reason: string): void;
  /** A frame that answers a call of this node, on a channel the peer opened. */
  onAnswer(frame: Frame, channel: Channel): void;
  /** Sends on this node's own bulk channel to the peer. False when too much waits there. */
  sendBulk(peer: NodeId, frame: Uint8Array, owner: FrameOwner): boolean;
}

export class InboundChannel {
  readonly channel: Channel;
  readonly #host: InboundHost;
  readonly #usage: PeerUsage;
  readonly #calls = new Map<number, InboundInvocation>();
  /** Handed over and still cancellable. A newer cast with the same id takes the older one's place. */
  readonly #casts = new Map<number, InboundInvocation>();
  #told: ReplyHead | undefined;
  #paused = false;

  constructor(host: InboundHost, channel: Channel, usage: PeerUsage, onClosed: () => void) {
    this.#host = host;
    this.channel = channel;
    this.#usage = usage;
    channel.listen({
      onFrame: (bytes) => this.#onFrame(bytes),
      onClose: () => {
        this.#onClose();
        onClosed();
      },
    });
    if (host.dispatcher.draining) this.tellDraining();
  }

  tellDraining(): void {
    if (!this.channel.closed) this.channel.send(drainingFrame);
  }

  /** Sends an answer where it fits: a large one must not hold up the small ones behind it. */
  answer(frame: Uint8Array, invocation: InboundInvocation): void {
    if (this.channel.closed) return;
    const { limits } = this.#host;
    if (frame.length <= limits.bulkThresholdBytes || this.channel.protocol !== callProtocol) {
      this.#send(frame);
      return;
    }
    const lost = (): void =>
      this.#send(encodeError(invocation.id, undefined, unknownOutcome(invocation.agent, 'reply-lost')));
    const owner: FrameOwner = { onSent: () => undefined, onUndelivered: lost };
    if (!this.#host.sendBulk(this.channel.peer, frame, owner)) lost();
  }

  /** The head to put into an answer: only when it is news on this channel. */
  headForAnswer(): ReplyHead | undefined {
    const head = this.#host.head();
    if (head === undefined) return undefined;
    const told = this.#told;
    if (told !== undefined && told.epoch === head.epoch && told.seq === head.seq) return undefined;
    this.#told = { epoch: head.epoch, seq: head.seq };
    return this.#told;
  }

  /** Called by an invocation when the peer no longer holds anything with it. */
  release(invocation: InboundInvocation): void {
    this.#usage.calls -= 1;
    this.#usage.bytes -= invocation.bytes;
    if (this.#calls.get(invocation.id) === invocation) this.#calls.delete(invocation.id);
    if (this.#casts.get(invocation.id) === invocation) this.#casts.delete(invocation.id);
  }

  /** A cast is in its mailbox: its id answers to nothing but a cancel from now on. */
  handedOver(cast: InboundInvocation): void {
    this.#calls.delete(cast.id);
    this.#casts.set(cast.id, cast);
  }

  #send(frame: Uint8Array): void {
    const { channel } = this;
    if (channel.closed || channel.send(frame) || this.#paused) return;
    // The peer does not read its answers: it may not ask more before it does.
    this.#paused = true;
    channel.pause();
    channel.drained().then(
      () => {
        this.#paused = false;
        channel.resume();
      },
      () => undefined, // Closed meanwhile.
    );
  }

  #onFrame(bytes: Uint8Array): void {
    const frame = decodeFrame(bytes);
    if (frame === undefined) {
      this.#host.onMalformed(this.channel.peer, this.channel, 'not a frame');
      return;
    }
    this.#host.onHeard(this.channel.peer);
    switch (frame.type) {
      case 1:
      case 2:
        this.#onRequest(frame, bytes.length);
        return;
      case 3: {
        const invocation = this.#calls.get(frame.id) ?? this.#casts.get(frame.id);
        invocation?.giveUp('cancelled');
        return;
      }
      case 4:
      case 5:
        this.#host.onAnswer(frame, this.channel);
        return;
      default:
        this.#host.onMalformed(this.channel.peer, this.channel, `frame ${frame.type} has no place here`);
    }
  }

  #onRequest(frame: RequestFrame & { readonly type: 1 | 2; readonly id: number }, bytes: number): void {
    const { limits, dispatcher } = this.#host;
    if (this.#calls.has(frame.id)) {
      this.#host.onMalformed(this.channel.peer, this.channel, 'an id is used twice');
      return;
    }
    const usage = this.#usage;
    if (usage.calls >= limits.maxInboundCallsPerPeer || usage.bytes + bytes > limits.maxInboundBytesPerPeer) {
      this.#send(encodeError(frame.id, undefined, rejected(frame.agent, 'overloaded', { node: this.#host.self })));
      return;
    }
    if (!dispatcher.has(frame.agent)) {
      const node = this.#host.whereIs(frame.agent);
      this.#send(
        node === undefined
          ? encodeError(frame.id, undefined, rejected(frame.agent, 'no-such-agent', { node: this.#host.self }))
          : encodeMoved(frame.id, node),
      );
      return;
    }
    usage.calls += 1;
    usage.bytes += bytes;
    const Kind = frame.type === 1 ? InboundCall : InboundCast;
    const invocation = new Kind(this, this.#host, frame, bytes);
    this.#calls.set(frame.id, invocation);
    dispatcher.submit(invocation, true);
    if (invocation instanceof InboundCast) invocation.acknowledge();
  }

  #onClose(): void {
    const orphans = [...this.#calls.values()];
    this.#calls.clear();
    // Nobody waits for the answers any more. Casts were handed over and go on.
    for (const invocation of orphans) invocation.giveUp('connection-lost');
  }
}

abstract class InboundInvocation extends Invocation {
  readonly id: number;
  readonly bytes: number;
  protected readonly inbound: InboundChannel;
  protected readonly host: InboundHost;
  #released = false;

  constructor(
    inbound: InboundChannel,
    host: InboundHost,
    frame: RequestFrame & { readonly id: number },
    bytes: number,
  ) {
    const header = {
      method: frame.method,
      callerNode: inbound.channel.peer,
      callerAgent: frame.callerAgent,
      idempotencyKey: frame.idempotencyKey,
      trace: frame.trace,
    };
    super(host.dispatcher, frame.agent, frame.message, host.now() + frame.remainingMs, header);
    this.inbound = inbound;
    this.host = host;
    this.id = frame.id;
    this.bytes = bytes;
  }

  protected release(): void {
    if (this.#released) return;
    this.#released = true;
    this.inbound.release(this);
  }
}

export type { InboundInvocation };

class InboundCall extends InboundInvocation {
  protected override sendReply(value: unknown): void {
    this.release();
    const head = this.inbound.headForAnswer();
    let frame: Uint8Array;
    try {
      frame = encodeReply(this.id, head, value as Value, this.host.limits.maxMessageBytes);
    } catch (cause) {
      // The handler did its work; only its result cannot travel.
      frame = encodeError(this.id, head, handlerFailed(this.agent, this.method, cause));
    }
    this.replyBytes = frame.length;
    this.inbound.answer(frame, this);
  }

  protected override sendFailure(error: QuorateError): void {
    this.release();
    const head = error.code === 'HANDLER_FAILED' ? this.inbound.headForAnswer() : undefined;
    this.inbound.answer(encodeError(this.id, head, error), this);
  }
}

class InboundCast extends InboundInvocation {
  #acknowledged = false;

  /** Taken by the mailbox and not refused: the sender's promise resolves. */
  acknowledge(): void {
    if (this.#acknowledged) return;
    this.#acknowledged = true;
    if (!this.answered) this.inbound.handedOver(this);
    this.inbound.answer(encodeReply(this.id, undefined, undefined, this.host.limits.maxMessageBytes), this);
  }

  protected override sendReply(): void {
    this.acknowledge();
    this.release();
  }

  protected override sendFailure(error: QuorateError): void {
    this.release();
    if (this.#acknowledged) {
      if (error.data['reason'] !== 'cancelled') this.dispatcher.report(error, this.agent);
      return;
    }
    this.#acknowledged = true;
    if (error.code === 'HANDLER_FAILED') {
      // It ran at once and threw: the message was handed over all the same.
      this.inbound.answer(encodeReply(this.id, undefined, undefined, this.host.limits.maxMessageBytes), this);
      this.dispatcher.report(error, this.agent);
    } else this.inbound.answer(encodeError(this.id, undefined, error), this);
  }
}
