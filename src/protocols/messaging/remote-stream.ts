/** The caller's side of one stream to an agent of another node. Opens its channel at once, not with the first item asked for. */
import type { Clock } from '../../clock.ts';
import { isQuorateError, type QuorateError } from '../../errors.ts';
import type { NodeId } from '../../node-id.ts';
import type { Channel } from '../../p2p/network.ts';
import type { Value } from '../../value.ts';
import type { DeadlineTimer } from './deadline-timer.ts';
import { Deadline } from './deadlines.ts';
import { decodeFrame, encodeCredit, encodeFailed, encodeOpen, endFrame, frameType } from './frames.ts';
import type { MessagingLimits } from './limits.ts';
import { handlerFailed, notDelivered, rejected, unknownOutcome } from './outcome.ts';
import { linkCancellation, type Outgoing } from './outgoing.ts';
import { ItemPump, ItemReader } from './stream-items.ts';

export interface RemoteStreamOptions {
  readonly peer: NodeId;
  readonly outgoing: Outgoing;
  readonly input: AsyncIterable<Value> | undefined;
  readonly itemTimeoutMs: number;
  readonly limits: MessagingLimits;
  readonly clock: Clock;
  readonly deadlines: DeadlineTimer;
  readonly open: (peer: NodeId, signal: AbortSignal) => Promise<Channel>;
  /** Where the agent went that is not at `from` any more; undefined when nobody knows. */
  readonly follow: (from: NodeId, hint: string | undefined) => NodeId | undefined;
  readonly onMalformed: (channel: Channel, reason: string) => void;
  /** The stream holds nothing any more; called once. */
  readonly onEnded: () => void;
  readonly onError: (error: unknown) => void;
}

export class RemoteStream<Item> extends Deadline implements AsyncIterator<Item> {
  readonly #options: RemoteStreamOptions;
  readonly #items: ItemReader;
  readonly #opening = new AbortController();
  #peer: NodeId;
  #channel: Channel | undefined;
  #pump: ItemPump | undefined;
  #moves = 0;
  /** The `open` frame is with the channel. */
  #sent = false;
  #over = false;
  #unlink: (() => void) | undefined;

  constructor(options: RemoteStreamOptions) {
    super();
    this.#options = options;
    this.#peer = options.peer;
    this.#items = new ItemReader(
      options.limits.streamWindowBytes,
      (bytes) => this.#send(encodeCredit(frameType.credit, bytes)),
      () => undefined,
    );
    const { signal, scope } = options.outgoing;
    this.#unlink = linkCancellation(signal, scope, { cancel: () => this.#giveUp('cancelled') });
  }

  get peer(): NodeId {
    return this.#peer;
  }

  /** Call once. */
  start(): void {
    void this.#start();
  }

  async next(): Promise<IteratorResult<Item>> {
    const { deadlines, itemTimeoutMs, outgoing, clock } = this.#options;
    const now = clock.now();
    deadlines.add(this, Math.min(now + itemTimeoutMs, outgoing.deadlineAt), now);
    try {
      return (await this.#items.next()) as IteratorResult<Item>;
    } finally {
      deadlines.remove(this);
    }
  }

  async return(): Promise<IteratorResult<Item>> {
    this.#items.discard();
    this.#end(new Error('The reader left the stream.'));
    return { done: true, value: undefined };
  }

  override onDeadline(): void {
    this.#giveUp('deadline');
  }

  onPeerGone(reason: 'unreachable' | 'connection-lost', cause: Error): void {
    this.#fail(this.#lost(reason, cause), cause);
  }

  async #start(): Promise<void> {
    const { outgoing, limits, clock, open } = this.#options;
    let channel: Channel;
    try {
      const remaining = outgoing.deadlineAt - clock.now();
      const { streamWindowBytes: window, maxMessageBytes } = limits;
      const frame = encodeOpen(outgoing.agent, outgoing, remaining, window, outgoing.message, maxMessageBytes);
      channel = await open(this.#peer, this.#opening.signal);
      if (this.#over) {
        channel.abort(new Error('It is no longer wanted.'));
        return;
      }
      this.#channel = channel;
      this.#sent = true;
      channel.listen({
        onFrame: (bytes) => this.#onFrame(channel, bytes),
        onClose: (error) => this.#onClose(channel, error),
      });
      channel.send(frame);
    } catch (error) {
      const own = isQuorateError(error, 'PAYLOAD_TOO_LARGE') || isQuorateError(error, 'UNSUPPORTED_VALUE');
      const failure = own ? error : notDelivered(outgoing.agent, 'unreachable', this.#peer, error);
      this.#fail(failure, failure);
    }
  }

  #onFrame(channel: Channel, bytes: Uint8Array): void {
    if (this.#over || channel !== this.#channel) return;
    const frame = decodeFrame(bytes);
    switch (frame?.type) {
      case 17:
        if (!this.#items.onItem(frame.value, frame.bytes)) this.#malformed(channel, 'an item without credit');
        return;
      case 18:
        this.#items.onEnd();
        this.#end();
        return;
      case 19:
        this.#onFailed(frame.error);
        return;
      case 6:
        this.#onMoved(frame.node);
        return;
      case 20:
        if (this.#pump?.onCredit(frame.credit) === false) this.#malformed(channel, 'too much credit');
        return;
      case 21:
        this.#onAccepted(channel, frame.credit);
        return;
      default:
        this.#malformed(channel, frame === undefined ? 'not a frame' : `frame ${frame.type} has no place in a stream`);
    }
  }

  #onFailed(error: QuorateError): void {
    const { reason } = error.data as { readonly reason?: unknown };
    if (error.code === 'REJECTED' && reason === 'no-such-agent' && this.#move(undefined)) return;
    this.#fail(error);
  }

  #onMoved(hint: string): void {
    if (this.#move(hint)) return;
    this.#fail(rejected(this.#options.outgoing.agent, 'no-such-agent', { node: this.#peer }));
  }

  /** Nothing was done at this peer and no input was sent, so the stream may open elsewhere. */
  #move(hint: string | undefined): boolean {
    if (this.#pump !== undefined || this.#moves >= this.#options.limits.maxMoves) return false;
    const next = this.#options.follow(this.#peer, hint);
    if (next === undefined) return false;
    this.#moves += 1;
    this.#closeQuietly(this.#channel);
    this.#channel = undefined;
    this.#sent = false;
    this.#peer = next;
    void this.#start();
    return true;
  }

  #onAccepted(channel: Channel, credit: number): void {
    if (this.#pump !== undefined) {
      this.#malformed(channel, 'accepted twice');
      return;
    }
    const { clock, limits, input } = this.#options;
    this.#pump = new ItemPump(channel, clock, limits.streamStallMs, limits.maxMessageBytes);
    if (!this.#pump.onCredit(credit)) {
      this.#malformed(channel, 'too much credit');
      return;
    }
    if (input === undefined) this.#send(endFrame);
    else void this.#pumpInput(this.#pump, input);
  }

  async #pumpInput(pump: ItemPump, input: AsyncIterable<Value>): Promise<void> {
    const end = await pump.run(input);
    if (this.#over) return;
    if (end.kind === 'done') this.#send(endFrame);
    else if (end.kind === 'threw') {
      const { agent, method } = this.#options.outgoing;
      // It throws at the handler's `for await`, as it would in one process; the handler decides what follows.
      this.#send(encodeFailed(handlerFailed(agent, `${method} (input of the caller)`, end.error)));
    } else if (end.kind === 'stalled') this.#fail(unknownOutcome(this.#options.outgoing.agent, 'stalled', this.#peer));
  }

  #onClose(channel: Channel, error: Error | undefined): void {
    if (this.#over || channel !== this.#channel) return;
    this.#fail(this.#lost('connection-lost', error));
  }

  #lost(reason: 'unreachable' | 'connection-lost', cause: unknown): QuorateError {
    const { agent } = this.#options.outgoing;
    return this.#sent
      ? unknownOutcome(agent, reason, this.#peer, cause)
      : notDelivered(agent, reason, this.#peer, cause);
  }

  #giveUp(reason: 'deadline' | 'cancelled'): void {
    const { agent } = this.#options.outgoing;
    const error = this.#sent ? unknownOutcome(agent, reason, this.#peer) : notDelivered(agent, reason, this.#peer);
    this.#fail(error, error);
  }

  /** Items that came are still read, then the reader sees the failure. With `abort` the peer is told at once. */
  #fail(error: QuorateError, abort?: Error): void {
    if (this.#over) return;
    this.#items.onEnd(error);
    this.#end(abort);
  }

  #end(abort?: Error): void {
    if (this.#over) return;
    this.#over = true;
    this.#opening.abort(abort);
    this.#pump?.stop();
    this.#unlink?.();
    this.#unlink = undefined;
    if (abort !== undefined) this.#channel?.abort(abort);
    else this.#closeQuietly(this.#channel);
    this.#options.onEnded();
  }

  #closeQuietly(channel: Channel | undefined): void {
    channel?.close().catch((error: unknown) => this.#options.onError(error));
  }

  #send(frame: Uint8Array): void {
    if (this.#channel?.closed === false) this.#channel.send(frame);
  }

  #malformed(channel: Channel, reason: string): void {
    this.#options.onMalformed(channel, reason);
  }
}
