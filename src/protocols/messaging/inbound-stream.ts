/** The callee's side of one stream: the first frame opens it, then items flow both ways under credit. */
import type { Clock, Timer } from '../../clock.ts';
import type { QuorateError } from '../../errors.ts';
import type { NodeId } from '../../node-id.ts';
import type { Channel } from '../../p2p/network.ts';
import type { AgentId, Value } from '../../value.ts';
import type { Dispatcher } from './dispatcher.ts';
import {
  decodeFrame,
  encodeCredit,
  encodeFailed,
  encodeMoved,
  endFrame,
  type Frame,
  frameType,
  type RequestFrame,
} from './frames.ts';
import { Invocation } from './invocation.ts';
import type { MessagingLimits } from './limits.ts';
import { handlerFailed, rejected, unknownOutcome } from './outcome.ts';
import { ItemPump, ItemReader, type PumpEnd } from './stream-items.ts';

/** A peer that opens a channel and says nothing holds it for so long. Milliseconds. */
const openingMs = 10_000;

/** What a stream asks of the node it arrived at; a part of `InboundHost`. */
export interface InboundStreamHost {
  readonly self: NodeId;
  readonly limits: MessagingLimits;
  readonly dispatcher: Dispatcher;
  now(): number;
  whereIs(agent: AgentId): NodeId | undefined;
  onHeard(peer: NodeId): void;
  onMalformed(peer: NodeId, channel: Channel, reason: string): void;
}

export class InboundStream {
  readonly channel: Channel;
  readonly #host: InboundStreamHost;
  readonly #pump: ItemPump;
  readonly #input: ItemReader;
  readonly #onClosed: () => void;
  readonly #opening: Timer;
  #run: StreamRun | undefined;

  constructor(host: InboundStreamHost, channel: Channel, clock: Clock, onClosed: () => void) {
    this.#host = host;
    this.channel = channel;
    this.#onClosed = onClosed;
    const { limits } = host;
    this.#pump = new ItemPump(channel, clock, limits.streamStallMs, limits.maxMessageBytes);
    this.#input = new ItemReader(
      limits.streamWindowBytes,
      (bytes) => this.#send(encodeCredit(frameType.credit, bytes)),
      () => undefined,
    );
    this.#opening = clock.after(openingMs, () => this.#malformed('it did not open'));
    channel.listen({ onFrame: (bytes) => this.#onFrame(bytes), onClose: () => this.#onClose() });
  }

  /** The handler answered with one value: a stream of one item. */
  replyOnce(value: unknown): void {
    void this.stream(
      (async function* () {
        yield value;
      })(),
      () => undefined,
    );
  }

  fail(error: QuorateError): void {
    this.#send(encodeFailed(error));
    this.#close();
  }

  /** Pumps the handler's items; `ended` is called when its iterable is closed. */
  async stream(items: AsyncIterable<unknown>, ended: () => void): Promise<void> {
    const end = await this.#pump.run(items);
    ended();
    this.#finish(end);
  }

  #finish(end: PumpEnd): void {
    const run = this.#run;
    if (run === undefined || this.channel.closed) return;
    if (end.kind === 'done') this.#send(endFrame);
    else if (end.kind === 'threw') this.#send(encodeFailed(handlerFailed(run.agent, run.method, end.error)));
    else if (end.kind === 'stalled') this.#send(encodeFailed(unknownOutcome(run.agent, 'stalled')));
    this.#close();
  }

  #onFrame(bytes: Uint8Array): void {
    const frame = decodeFrame(bytes);
    if (frame === undefined) {
      this.#malformed('not a frame');
      return;
    }
    this.#host.onHeard(this.channel.peer);
    if (this.#run === undefined) {
      if (frame.type !== frameType.open) {
        this.#malformed('the first frame does not open it');
        return;
      }
      this.#onOpen(frame);
      return;
    }
    switch (frame.type) {
      case 17:
        if (!this.#input.onItem(frame.value, frame.bytes)) this.#malformed('an item without credit');
        return;
      case 18:
        this.#input.onEnd();
        return;
      case 19:
        this.#input.onEnd(frame.error);
        return;
      case 20:
        if (!this.#pump.onCredit(frame.credit)) this.#malformed('too much credit');
        return;
      default:
        this.#malformed(`frame ${frame.type} has no place in a stream`);
    }
  }

  #onOpen(frame: RequestFrame & { readonly credit: number } & Frame): void {
    this.#opening.cancel();
    const { dispatcher, limits } = this.#host;
    this.#run = new StreamRun(this, this.#host, frame, this.#input);
    if (!this.#pump.onCredit(frame.credit)) {
      this.#malformed('too much credit');
      return;
    }
    if (!dispatcher.has(frame.agent)) {
      const node = this.#host.whereIs(frame.agent);
      if (node === undefined) this.fail(rejected(frame.agent, 'no-such-agent', { node: this.#host.self }));
      else {
        this.#send(encodeMoved(0, node));
        this.#close();
      }
      return;
    }
    this.#send(encodeCredit(frameType.accepted, limits.streamWindowBytes));
    dispatcher.submit(this.#run, true);
  }

  #onClose(): void {
    this.#opening.cancel();
    this.#pump.stop();
    const run = this.#run;
    if (run !== undefined) {
      this.#input.onEnd(unknownOutcome(run.agent, 'connection-lost'));
      run.giveUp('cancelled');
    }
    this.#onClosed();
  }

  #send(frame: Uint8Array): void {
    if (!this.channel.closed) this.channel.send(frame);
  }

  #close(): void {
    this.channel.close().catch((error: unknown) => this.#host.dispatcher.report(error, this.#run?.agent ?? ''));
  }

  #malformed(reason: string): void {
    this.#host.onMalformed(this.channel.peer, this.channel, reason);
  }
}

class StreamRun extends Invocation {
  readonly #stream: InboundStream;
  readonly #input: ItemReader;

  constructor(stream: InboundStream, host: InboundStreamHost, frame: RequestFrame, input: ItemReader) {
    const header = {
      method: frame.method,
      callerNode: stream.channel.peer,
      callerAgent: frame.callerAgent,
      // A stream cannot be answered from memory, so a key means nothing to it.
      idempotencyKey: undefined,
      trace: frame.trace,
    };
    super(host.dispatcher, frame.agent, frame.message, host.now() + frame.remainingMs, header);
    this.#stream = stream;
    this.#input = input;
  }

  override get takesStream(): boolean {
    return true;
  }

  override get input(): AsyncIterable<Value> {
    return this.#input;
  }

  protected override sendReply(value: unknown): void {
    this.#stream.replyOnce(value);
  }

  protected override sendFailure(error: QuorateError): void {
    this.#stream.fail(error);
  }

  override sendStream(items: AsyncIterable<unknown>, ended: () => void): void {
    void this.#stream.stream(items, ended);
  }
}
