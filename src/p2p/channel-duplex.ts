/**
 * A `Channel` as an it-pipe duplex of frames, with backpressure both ways: reading pauses the channel when
 * the reader falls behind, writing waits for `drained` when the peer does.
 *
 * A channel has no half close, so the end of what is written does not close it: the protocol on top says
 * when both sides are done, and its driver closes the channel.
 */
import { pipe } from 'it-pipe';
import type { Channel } from './network.ts';

/** Frames read ahead of the reader, above which the channel is paused. Guess: a few round trips' worth. */
const readAheadBytes = 262_144;

export interface FrameDuplex {
  /** The frames of the peer, once; throws when the channel ends with an error. */
  readonly source: AsyncGenerator<Uint8Array, void, undefined>;
  /** Sends all frames; rejects when the channel closes before that. */
  sink(frames: AsyncIterable<Uint8Array>): Promise<void>;
}

/** Listens to the channel from now on. */
export function channelDuplex(channel: Channel): FrameDuplex {
  const inbox = new Inbox(channel);
  channel.listen({ onFrame: (frame) => inbox.push(frame), onClose: (error) => inbox.end(error) });
  return {
    source: inbox.frames(),
    async sink(frames) {
      for await (const frame of frames) {
        if (!channel.send(frame)) await channel.drained();
      }
    },
  };
}

class Inbox {
  readonly #channel: Channel;
  readonly #frames: Uint8Array[] = [];
  #bytes = 0;
  #paused = false;
  #abandoned = false;
  #ended: { readonly error: Error | undefined } | undefined;
  #wake: (() => void) | undefined;

  constructor(channel: Channel) {
    this.#channel = channel;
  }

  push(frame: Uint8Array): void {
    if (this.#abandoned) return;
    this.#frames.push(frame);
    this.#bytes += frame.length;
    if (this.#bytes > readAheadBytes && !this.#paused) {
      this.#paused = true;
      this.#channel.pause();
    }
    this.#wake?.();
  }

  end(error: Error | undefined): void {
    this.#ended = { error };
    this.#wake?.();
  }

  async *frames(): AsyncGenerator<Uint8Array, void, undefined> {
    try {
      for (;;) {
        const frame = this.#frames.shift();
        if (frame !== undefined) {
          this.#took(frame);
          yield frame;
        } else if (this.#ended !== undefined) {
          if (this.#ended.error !== undefined) throw this.#ended.error;
          return;
        } else {
          await new Promise<void>((resolve) => {
            this.#wake = resolve;
          });
        }
      }
    } finally {
      // Nobody reads any more: what still comes is dropped, and the channel must not stay paused for it.
      this.#abandoned = true;
      this.#frames.length = 0;
      this.#resume();
    }
  }

  #took(frame: Uint8Array): void {
    this.#bytes -= frame.length;
    if (this.#bytes <= readAheadBytes) this.#resume();
  }

  #resume(): void {
    if (!this.#paused) return;
    this.#paused = false;
    this.#channel.resume();
  }
}

export interface Conversation<Said, Heard> {
  /** What this side says; may wait for what it hears. */
  readonly speak: AsyncIterable<Said>;
  encode(message: Said): Uint8Array;
  /** Throws for a frame that is no message. */
  decode(frame: Uint8Array): Heard;
  /** Returns when the peer has said all; what comes later is dropped. */
  hear(messages: AsyncIterable<Heard>): Promise<void>;
}

/**
 * Talks over a channel until both sides have said all. Rejects when either part fails or the channel ends
 * before; closing or aborting the channel is the caller's.
 */
export async function converse<Said, Heard>(channel: Channel, parts: Conversation<Said, Heard>): Promise<void> {
  const duplex = channelDuplex(channel);
  let spoken: Promise<void> = Promise.resolve();
  const tracked = {
    source: duplex.source,
    sink: (frames: AsyncIterable<Uint8Array>): Promise<void> => {
      spoken = duplex.sink(frames);
      return spoken;
    },
  };
  await pipe(
    parts.speak,
    (messages: AsyncIterable<Said>) => mapped(messages, parts.encode),
    tracked,
    (frames: AsyncIterable<Uint8Array>) => mapped(frames, parts.decode),
    (messages: AsyncIterable<Heard>) => parts.hear(messages),
  );
  await spoken;
}

async function* mapped<A, B>(source: AsyncIterable<A>, map: (item: A) => B): AsyncGenerator<B, void, undefined> {
  for await (const item of source) yield map(item);
}
