import { describe, expect, it } from 'vitest';
import type { NodeId } from '../../src/node-id.ts';
import { channelDuplex, converse } from '../../src/p2p/channel-duplex.ts';
import type { Channel } from '../../src/p2p/network.ts';

type Receiver = Parameters<Channel['listen']>[0];

/** One end of a channel in memory that shows what backpressure does. */
class TestChannel implements Channel {
  readonly peer = 'peer' as NodeId;
  readonly protocol = '/test/1';
  closed = false;
  paused = false;
  pauses = 0;
  readonly sent: Uint8Array[] = [];
  /** Frames taken before `send` answers false. */
  room = Number.POSITIVE_INFINITY;
  receiver: Receiver | undefined;
  #drained: { resolve(): void; reject(error: Error): void }[] = [];

  send(frame: Uint8Array): boolean {
    if (this.closed) return false;
    this.sent.push(frame);
    this.room -= 1;
    return this.room > 0;
  }

  drained(): Promise<void> {
    if (this.closed) return Promise.reject(new Error('closed'));
    return new Promise((resolve, reject) => this.#drained.push({ resolve, reject }));
  }

  drain(room: number): void {
    this.room = room;
    for (const { resolve } of this.#drained.splice(0)) resolve();
  }

  listen(receiver: Receiver): void {
    this.receiver = receiver;
  }

  pause(): void {
    this.paused = true;
    this.pauses += 1;
  }

  resume(): void {
    this.paused = false;
  }

  async close(): Promise<void> {
    this.end(undefined);
  }

  abort(reason: Error): void {
    this.end(reason);
  }

  end(error: Error | undefined): void {
    this.closed = true;
    for (const { reject } of this.#drained.splice(0)) reject(error ?? new Error('closed'));
    this.receiver?.onClose(error);
  }
}

async function* frames(count: number): AsyncGenerator<Uint8Array> {
  for (let i = 0; i < count; i++) yield Uint8Array.of(i);
}

describe('channelDuplex', () => {
  it('gives the frames in order and ends when the channel does', async () => {
    const channel = new TestChannel();
    const { source } = channelDuplex(channel);
    channel.receiver?.onFrame(Uint8Array.of(1));
    channel.receiver?.onFrame(Uint8Array.of(2));
    channel.end(undefined);
    const got: number[] = [];
    for await (const frame of source) got.push(frame[0] as number);
    expect(got).toEqual([1, 2]);
  });

  it('throws what ended the channel, after the frames before it', async () => {
    const channel = new TestChannel();
    const { source } = channelDuplex(channel);
    channel.receiver?.onFrame(Uint8Array.of(1));
    channel.abort(new Error('lost'));
    const got: number[] = [];
    const read = async (): Promise<void> => {
      for await (const frame of source) got.push(frame[0] as number);
    };
    await expect(read()).rejects.toThrow('lost');
    expect(got).toEqual([1]);
  });

  it('pauses the channel while the reader is behind, and resumes it', async () => {
    const channel = new TestChannel();
    const { source } = channelDuplex(channel);
    for (let i = 0; i < 4; i++) channel.receiver?.onFrame(new Uint8Array(100_000));
    expect(channel.paused).toBe(true);
    await source.next();
    expect(channel.paused).toBe(true);
    await source.next();
    expect(channel.paused).toBe(false);
    expect(channel.pauses).toBe(1);
  });

  it('leaves a channel that nobody reads any more unpaused, and keeps nothing of it', async () => {
    const channel = new TestChannel();
    const { source } = channelDuplex(channel);
    for (let i = 0; i < 4; i++) channel.receiver?.onFrame(new Uint8Array(100_000));
    await source.next();
    await source.return();
    expect(channel.paused).toBe(false);
    channel.receiver?.onFrame(new Uint8Array(1_000_000));
    expect(channel.paused).toBe(false);
    expect((await source.next()).done).toBe(true);
  });

  it('waits for the channel to drain before it sends more', async () => {
    const channel = new TestChannel();
    channel.room = 2;
    const { sink } = channelDuplex(channel);
    const done = sink(frames(5));
    await new Promise(setImmediate);
    expect(channel.sent).toHaveLength(2);
    channel.drain(10);
    await done;
    expect(channel.sent.map(([byte]) => byte)).toEqual([0, 1, 2, 3, 4]);
    expect(channel.closed).toBe(false);
  });

  it('rejects when the channel closes while it sends', async () => {
    const channel = new TestChannel();
    channel.room = 1;
    const { sink } = channelDuplex(channel);
    const done = sink(frames(5));
    await new Promise(setImmediate);
    channel.abort(new Error('gone'));
    await expect(done).rejects.toThrow('gone');
  });
});

describe('converse', () => {
  const text = new TextEncoder();
  const parts = (channel: TestChannel, heard: string[]) => ({
    encode: (message: string) => text.encode(message),
    decode: (frame: Uint8Array) => {
      const message = new TextDecoder().decode(frame);
      if (message === 'bad') throw new Error('undecodable');
      return message;
    },
    hear: async (messages: AsyncIterable<string>) => {
      for await (const message of messages) {
        heard.push(message);
        if (message === 'end') return;
      }
      throw new Error(`ended early on ${channel.protocol}`);
    },
  });

  it('finishes when both sides have said all, whichever is first', async () => {
    const channel = new TestChannel();
    const heard: string[] = [];
    let goOn = (): void => undefined;
    const wait = new Promise<void>((resolve) => {
      goOn = resolve;
    });
    async function* speak(): AsyncGenerator<string> {
      yield 'one';
      await wait;
      yield 'two';
    }
    let finished = false;
    const talk = converse(channel, { speak: speak(), ...parts(channel, heard) }).then(() => {
      finished = true;
    });
    for (const message of ['a', 'end']) channel.receiver?.onFrame(text.encode(message));
    await new Promise(setImmediate);
    expect(heard).toEqual(['a', 'end']);
    expect(finished).toBe(false);
    goOn();
    await talk;
    expect(channel.sent.map((frame) => new TextDecoder().decode(frame))).toEqual(['one', 'two']);
  });

  it.each([
    [
      'a frame that is no message',
      (channel: TestChannel) => channel.receiver?.onFrame(text.encode('bad')),
      'undecodable',
    ],
    ['an early close', (channel: TestChannel) => channel.end(undefined), 'ended early'],
    ['a lost channel', (channel: TestChannel) => channel.abort(new Error('lost')), 'lost'],
  ])('rejects on %s', async (_name, act, message) => {
    const channel = new TestChannel();
    async function* speak(): AsyncGenerator<string> {
      yield 'one';
    }
    const talk = converse(channel, { speak: speak(), ...parts(channel, []) });
    act(channel);
    await expect(talk).rejects.toThrow(message);
  });
});
