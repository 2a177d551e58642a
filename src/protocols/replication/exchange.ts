/**
 * One exchange of `/quorate/sync/1` over one channel, for either side; sync-wire.ts describes it.
 *
 * Everything the peer may do is bounded: the order of messages, the bytes it sends, the time between two
 * frames and the whole. Sent bytes are bounded too, so that asking for everything again and again costs the
 * asker as much; how often it may ask is the scheduler's.
 */
import type { Clock, Timer } from '../../clock.ts';
import { differingBuckets } from '../../crdt/digest.ts';
import type { FeedStore, Received } from '../../crdt/feed-store.ts';
import type { RemoteAuthor } from '../../crdt/feed-sync.ts';
import { converse } from '../../p2p/channel-duplex.ts';
import type { Channel } from '../../p2p/network.ts';
import { decodeSync, encodeSync, type SyncMessage } from './sync-wire.ts';

export interface ExchangeLimits {
  /** This side stops sending after this much. Bytes. */
  readonly maxSentBytes: number;
  /** More than this from the peer is an abuse: it should have stopped before. Bytes. */
  readonly maxReceivedBytes: number;
  /** Longest silence of the peer. */
  readonly idleMs: number;
  /** Longest exchange. */
  readonly totalMs: number;
}

export const defaultExchangeLimits: ExchangeLimits = {
  // A thousand authors of 32 kB; more takes a second exchange.
  maxSentBytes: 32 * 1024 * 1024,
  // A message may end just past the sender's limit, and versions may differ in it.
  maxReceivedBytes: 64 * 1024 * 1024,
  // A stopped process answers nothing; one with a long pause of its event loop is back before this.
  idleMs: 5_000,
  // 32 MB over 10 Mbit/s and their verification.
  totalMs: 60_000,
};

/** The peer broke the protocol, or sent what it cannot have verified itself. */
export class SyncViolation extends Error {}

export interface ExchangeParts {
  readonly store: FeedStore;
  readonly clock: Clock;
  readonly limits: ExchangeLimits;
  /** What became of each received envelope. */
  onReceived(received: Received, bytes: Uint8Array): void;
  /** Bytes of envelopes sent. */
  onSent(length: number): void;
}

export interface ExchangeResult {
  /** Whether anything differed. */
  readonly differed: boolean;
  readonly sent: number;
  readonly received: number;
  readonly applied: number;
}

/** Runs one exchange and closes the channel. Rejects with `SyncViolation`, or with what ended the channel. */
export async function runExchange(
  channel: Channel,
  role: 'initiator' | 'responder',
  parts: ExchangeParts,
): Promise<ExchangeResult> {
  const exchange = new Exchange(channel, role, parts);
  try {
    await exchange.run();
    await channel.close();
    return exchange;
  } catch (error) {
    const reason = error instanceof Error ? error : new Error(String(error));
    channel.abort(reason);
    throw reason;
  } finally {
    exchange.end();
  }
}

/** Envelopes verified between two turns of the event loop: about 5 ms. */
const envelopesPerTurn = 32;

class Exchange implements ExchangeResult {
  differed = false;
  sent = 0;
  received = 0;
  applied = 0;
  readonly #role: 'initiator' | 'responder';
  readonly #channel: Channel;
  readonly #parts: ExchangeParts;
  /** Settled by what is heard, awaited by what is said. */
  readonly #buckets = Promise.withResolvers<Uint8Array>();
  readonly #heads = Promise.withResolvers<Extract<SyncMessage, { type: 'heads' }>>();
  readonly #total: Timer;
  #idle: Timer;
  #heardBuckets = false;
  #heardHeads = false;
  #bytesReceived = 0;

  constructor(channel: Channel, role: 'initiator' | 'responder', parts: ExchangeParts) {
    this.#channel = channel;
    this.#role = role;
    this.#parts = parts;
    // Whoever awaits them hears of a failure; nobody need.
    this.#buckets.promise.catch(ignoreHere);
    this.#heads.promise.catch(ignoreHere);
    this.#total = parts.clock.after(parts.limits.totalMs, () =>
      channel.abort(new Error('The exchange took too long.')),
    );
    this.#idle = this.#startIdle();
  }

  async run(): Promise<void> {
    const speak = this.#role === 'initiator' ? this.#initiate() : this.#respond();
    await converse<SyncMessage, SyncMessage>(this.#channel, {
      speak,
      encode: encodeSync,
      decode: (frame) => this.#decode(frame),
      hear: async (messages) => {
        try {
          await this.#hear(messages);
        } catch (error) {
          this.#fail(error);
          throw error;
        }
      },
    });
  }

  end(): void {
    this.#idle.cancel();
    this.#total.cancel();
    this.#fail(new Error('The exchange is over.'));
  }

  /** What waits to be said need wait no longer. */
  #fail(error: unknown): void {
    this.#buckets.reject(error);
    this.#heads.reject(error);
  }

  async *#initiate(): AsyncGenerator<SyncMessage> {
    const { store } = this.#parts;
    yield { type: 'buckets', digests: store.bucketDigests() };
    const { buckets, authors } = await this.#heads.promise;
    this.differed = buckets.size > 0;
    if (this.differed) {
      yield { type: 'heads', buckets, authors: store.summary(buckets) };
      yield* this.#missing(authors, buckets);
    }
    yield { type: 'end' };
  }

  async *#respond(): AsyncGenerator<SyncMessage> {
    const { store } = this.#parts;
    const buckets = new Set(differingBuckets(await this.#buckets.promise, store.bucketDigests()));
    this.differed = buckets.size > 0;
    yield { type: 'heads', buckets, authors: store.summary(buckets) };
    if (this.differed) {
      const { authors } = await this.#heads.promise;
      yield* this.#missing(authors, buckets);
    }
    yield { type: 'end' };
  }

  *#missing(theirs: readonly RemoteAuthor[], buckets: ReadonlySet<number>): Generator<SyncMessage> {
    let bytesSent = 0;
    for (const bytes of this.#parts.store.missing(theirs, buckets)) {
      if (bytesSent > this.#parts.limits.maxSentBytes) return;
      bytesSent += bytes.length;
      this.sent += 1;
      this.#parts.onSent(bytes.length);
      yield { type: 'envelope', bytes };
    }
  }

  #decode(frame: Uint8Array): SyncMessage {
    this.#idle.cancel();
    this.#idle = this.#startIdle();
    this.#bytesReceived += frame.length;
    if (this.#bytesReceived > this.#parts.limits.maxReceivedBytes) throw new SyncViolation('sent too much');
    const message = decodeSync(frame);
    if (typeof message === 'string') throw new SyncViolation(message);
    return message;
  }

  #startIdle(): Timer {
    const { clock, limits } = this.#parts;
    return clock.after(limits.idleMs, () => this.#channel.abort(new Error('The peer went silent in an exchange.')));
  }

  async #hear(messages: AsyncIterable<SyncMessage>): Promise<void> {
    for await (const message of messages) {
      switch (message.type) {
        case 'buckets':
          this.#onBuckets(message.digests);
          break;
        case 'heads':
          this.#onHeads(message);
          break;
        case 'envelope':
          await this.#onEnvelope(message.bytes);
          break;
        case 'end':
          if (this.#role === 'initiator' ? !this.#heardHeads : !this.#heardBuckets)
            throw new SyncViolation('early end');
          // The peer may be silent from here on, while this side still sends.
          this.#idle.cancel();
          return;
      }
    }
    throw new Error('The peer closed the channel in an exchange.');
  }

  #onBuckets(digests: Uint8Array): void {
    if (this.#role === 'initiator' || this.#heardBuckets) throw new SyncViolation('unexpected buckets');
    this.#heardBuckets = true;
    this.#buckets.resolve(digests);
  }

  #onHeads(heads: Extract<SyncMessage, { type: 'heads' }>): void {
    const tooEarly = this.#role === 'responder' && !this.#heardBuckets;
    if (tooEarly || this.#heardHeads) throw new SyncViolation('unexpected heads');
    this.#heardHeads = true;
    this.#heads.resolve(heads);
  }

  async #onEnvelope(bytes: Uint8Array): Promise<void> {
    if (!this.#heardHeads) throw new SyncViolation('envelope before heads');
    const { store, clock } = this.#parts;
    const received = store.receive(bytes, clock.now(), { paced: false });
    this.received += 1;
    if (received.outcome === 'applied' || received.outcome === 'proof') this.applied += 1;
    this.#parts.onReceived(received, bytes);
    if (received.verdict === 'reject') throw new SyncViolation(`invalid envelope: ${received.reason}`);
    if (this.received % envelopesPerTurn === 0) {
      await new Promise<void>((resolve) => void clock.after(0, resolve));
    }
  }
}

/** The failure is told to those who await the promise, and the exchange itself rejects with its cause. */
function ignoreHere(): void {}
