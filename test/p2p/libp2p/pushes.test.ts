import { describe, expect, it } from 'vitest';
import type { Clock } from '../../../src/clock.ts';
import { QuorateError } from '../../../src/errors.ts';
import { createIdentity } from '../../../src/identity.ts';
import type { NodeId } from '../../../src/node-id.ts';
import { Pushes } from '../../../src/p2p/libp2p/pushes.ts';
import type { Channel } from '../../../src/p2p/network.ts';

const a = createIdentity().id;
const b = createIdentity().id;
const frame = Uint8Array.of(1, 2, 3);

/** A channel that keeps what is sent, and can be told to back up or to end. */
class FakeChannel implements Channel {
  readonly protocol = '/quorate/push/1';
  readonly sent: Uint8Array[] = [];
  readonly peer: NodeId;
  closed = false;
  full = false;
  paused = false;
  receiver: Parameters<Channel['listen']>[0] | undefined;
  #drained = Promise.withResolvers<void>();

  constructor(peer: NodeId) {
    this.peer = peer;
  }

  send(bytes: Uint8Array): boolean {
    this.sent.push(bytes);
    return !this.full;
  }

  drained(): Promise<void> {
    return this.#drained.promise;
  }

  async drain(): Promise<void> {
    this.full = false;
    this.#drained.resolve();
    await Promise.resolve();
  }

  listen(receiver: NonNullable<typeof this.receiver>): void {
    this.receiver = receiver;
  }

  pause(): void {
    this.paused = true;
  }

  resume(): void {
    this.paused = false;
  }

  async close(): Promise<void> {
    this.closed = true;
  }

  abort(reason: Error): void {
    this.closed = true;
    this.receiver?.onClose(reason);
  }
}

function setup(peers: readonly NodeId[] = [a]) {
  let now = 0;
  const timers: { at: number; fire: () => void }[] = [];
  const clock: Clock = {
    now: () => now,
    wallNow: () => now,
    after: (delay, fire) => {
      timers.push({ at: now + delay, fire });
      return { cancel: () => undefined };
    },
  };
  const opened: FakeChannel[] = [];
  const received: [NodeId, Uint8Array][] = [];
  const state = { peers: [...peers], refuses: false };
  const pushes = new Pushes({
    clock,
    peers: () => state.peers,
    open: async (peer) => {
      const channel = new FakeChannel(peer);
      opened.push(channel);
      if (state.refuses) throw new QuorateError('PEER_UNREACHABLE', 'it does not speak it');
      return channel;
    },
    receive: (data, from) => received.push([from, data]),
  });
  const advance = (ms: number): void => {
    now += ms;
    for (const timer of timers.splice(0)) {
      if (timer.at <= now) timer.fire();
      else timers.push(timer);
    }
  };
  return { pushes, opened, received, state, advance };
}

/** Lets what was started finish: nothing here waits for more than promises. */
const settled = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

describe('Pushes', () => {
  it('opens streams for who publishes often, and sends each message once to each peer', async () => {
    const { pushes, opened } = setup([a, b]);
    expect(pushes.push(frame)).toEqual(new Set());
    expect(opened).toEqual([]);
    expect(pushes.push(frame)).toEqual(new Set());
    await settled();
    expect(opened.map(({ peer }) => peer)).toEqual([a, b]);
    expect(pushes.push(frame)).toEqual(new Set([a, b]));
    expect(opened.map(({ sent }) => sent)).toEqual([[frame], [frame]]);
  });

  it('opens none for who publishes seldom', async () => {
    const { pushes, opened, advance } = setup();
    for (let n = 0; n < 5; n++) {
      pushes.push(frame);
      advance(10_000);
    }
    await settled();
    expect(opened).toEqual([]);
  });

  it('opens streams to many peers no sooner than after fifty messages in ten seconds', async () => {
    const many = Array.from({ length: 10 }, () => createIdentity().id);
    const { pushes, opened, advance } = setup(many);
    for (let n = 0; n < 49; n++) pushes.push(frame);
    advance(10_000);
    for (let n = 0; n < 49; n++) pushes.push(frame);
    await settled();
    expect(opened).toEqual([]);
    pushes.push(frame);
    await settled();
    expect(opened).toHaveLength(10);
    expect(pushes.push(frame).size).toBe(10);
  });

  it('sends on a stream that the peer opened', () => {
    const { pushes, opened, received } = setup();
    const channel = new FakeChannel(a);
    pushes.accept(channel);
    expect(pushes.push(frame)).toEqual(new Set([a]));
    expect(channel.sent).toEqual([frame]);
    channel.receiver?.onFrame(frame);
    expect(received).toEqual([[a, frame]]);
    expect(opened).toEqual([]);
  });

  it('asks a peer that does not speak it again only after a minute', async () => {
    const { pushes, opened, state, advance } = setup();
    state.refuses = true;
    for (let n = 0; n < 60; n++) {
      pushes.push(frame);
      await settled();
      advance(1_000);
    }
    expect(opened).toHaveLength(1);
    state.refuses = false;
    advance(1_000);
    for (let n = 0; n < 2; n++) pushes.push(frame);
    await settled();
    expect(pushes.push(frame)).toEqual(new Set([a]));
  });

  it('spares a peer that does not keep up, until it has', async () => {
    const { pushes } = setup([a, b]);
    const [slow, quick] = [new FakeChannel(a), new FakeChannel(b)];
    pushes.accept(slow);
    pushes.accept(quick);
    slow.full = true;
    expect(pushes.push(frame)).toEqual(new Set([a, b])); // Queued all the same.
    for (let n = 0; n < 100; n++) expect(pushes.push(frame)).toEqual(new Set([b]));
    expect(slow.sent).toHaveLength(1);
    await slow.drain();
    await settled();
    expect(pushes.push(frame)).toEqual(new Set([a, b]));
  });

  it('goes on after a stream has ended, over the next one', async () => {
    const { pushes, opened, advance } = setup();
    const first = new FakeChannel(a);
    pushes.accept(first);
    pushes.push(frame);
    first.abort(new Error('lost'));
    expect(pushes.push(frame)).toEqual(new Set());
    await settled();
    expect(opened).toHaveLength(1);
    advance(1);
    expect(pushes.push(frame)).toEqual(new Set([a]));
    pushes.forget(a);
    pushes.push(frame);
    await settled();
    expect(opened).toHaveLength(2);
  });

  it('reads no further from a peer over its allowance, until it has earned more', () => {
    const { pushes, received, advance } = setup();
    const channel = new FakeChannel(a);
    pushes.accept(channel);
    let pauses = 0;
    for (let second = 0; second < 10; second++) {
      // The peer sends without end; a paused channel hands out nothing.
      for (let n = 0; n < 10_000 && !channel.paused; n++) channel.receiver?.onFrame(frame);
      if (channel.paused) pauses += 1;
      advance(1_000);
    }
    expect(pauses).toBe(10);
    expect(received.length).toBeGreaterThan(2_000);
    expect(received.length).toBeLessThan(2_000 + 10 * 1_000 + 10);
  });

  it('counts the allowance over all streams of a peer', () => {
    const { pushes, received } = setup();
    const channels = [new FakeChannel(a), new FakeChannel(a), new FakeChannel(a)];
    for (const channel of channels) pushes.accept(channel);
    for (let n = 0; n < 10_000; n++) {
      for (const channel of channels) if (!channel.paused) channel.receiver?.onFrame(frame);
    }
    expect(received.length).toBeLessThanOrEqual(2_004);
  });
});
