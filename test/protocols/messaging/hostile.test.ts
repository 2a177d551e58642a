/** A peer that sends what it likes: counted, cut off, and of no effect on others. */
import { afterEach, describe, expect, test } from 'vitest';
import { seededRng } from '../../../src/clock.ts';
import type { NodeId } from '../../../src/node-id.ts';
import type { Channel } from '../../../src/p2p/network.ts';
import type { ClusterMessagingStatus } from '../../../src/protocols/messaging/cluster.ts';
import {
  decodeFrame,
  encodeCancel,
  encodeCredit,
  encodeItem,
  encodeOpen,
  encodeReply,
  encodeRequest,
} from '../../../src/protocols/messaging/frames.ts';
import type { CallContext } from '../../../src/protocols/messaging/messaging.ts';
import { MemoryCluster, type MemoryNode } from './harness.ts';

const limit = 1_000_000;
const plain = { method: '', callerAgent: undefined, idempotencyKey: undefined, trace: undefined };
const turns = async (count = 20): Promise<void> => {
  for (let i = 0; i < count; i++) await new Promise((resolve) => setImmediate(resolve));
};

let cluster: MemoryCluster;
afterEach(() => cluster.stop());

function victimAndAttacker(limits = {}): { victim: MemoryNode; attacker: MemoryNode } {
  cluster = new MemoryCluster();
  return { victim: cluster.node('victim', { limits }), attacker: cluster.node('attacker') };
}

const status = (node: MemoryNode): ClusterMessagingStatus => node.messaging.status() as ClusterMessagingStatus;

async function open(from: MemoryNode, protocol: string) {
  const channel = await cluster.open(from, 'victim' as NodeId, protocol);
  const received: Uint8Array[] = [];
  let closed = false;
  channel.listen({
    onFrame: (frame) => received.push(frame),
    onClose: () => {
      closed = true;
    },
  });
  return { channel, received, closed: () => closed };
}

describe('a hostile peer', () => {
  test.each(['/quorate/call/1', '/quorate/bulk/1', '/quorate/stream/1'])(
    'garbage on %s ends that channel and is counted',
    async (protocol) => {
      const { victim, attacker } = victimAndAttacker();
      const rng = seededRng(7);
      for (let round = 1; round <= 50; round++) {
        const { channel, closed } = await open(attacker, protocol);
        const garbage = rng.bytes(1 + rng.below(100));
        garbage[0] = 200; // no frame begins so
        channel.send(garbage);
        await turns(5);
        expect(closed()).toBe(true);
        expect(status(victim).malformed).toBe(round);
      }
      expect(victim.misbehaviour.length).toBe(50);
      expect(victim.errors).toEqual([]);
    },
  );

  test.each(['/quorate/call/1', '/quorate/bulk/1', '/quorate/stream/1'])(
    'a channel of %s that was reset before it was handed over leaves nothing behind',
    (protocol) => {
      const { victim, attacker } = victimAndAttacker();
      const dead: Channel = {
        peer: attacker.self,
        protocol,
        closed: true,
        send: () => false,
        drained: () => Promise.reject(new Error('closed')),
        listen: (receiver) => receiver.onClose(new Error('reset')),
        pause: () => undefined,
        resume: () => undefined,
        close: () => Promise.resolve(),
        abort: () => undefined,
      };
      expect(() => victim.protocols.get(protocol)?.onChannel(dead)).not.toThrow();
    },
  );

  test('frames that decode but have no place end the channel', async () => {
    const { victim, attacker } = victimAndAttacker();
    victim.register('agent', () => new Promise(() => undefined));
    const request = encodeRequest(1, 5, 'agent', plain, 60_000, 1, limit);
    for (const [protocol, ...frames] of [
      ['/quorate/call/1', encodeItem(1, limit)],
      ['/quorate/call/1', Uint8Array.of(7)],
      ['/quorate/call/1', request, request], // one id twice
      ['/quorate/stream/1', encodeCredit(20, 1)], // before it opens
      ['/quorate/stream/1', encodeOpen('agent', plain, 1_000, 0xffff_ffff, 1, limit)], // absurd credit
    ] as const) {
      const { channel, closed } = await open(attacker, protocol);
      for (const frame of frames) channel.send(frame);
      await turns();
      expect(closed(), protocol).toBe(true);
    }
    expect(status(victim).malformed).toBe(5);
  });

  test('a channel that was cut off gives its calls up', async () => {
    const { victim, attacker } = victimAndAttacker();
    const signals: AbortSignal[] = [];
    victim.register('agent', (_message: unknown, { signal }: CallContext) => {
      signals.push(signal);
      return new Promise(() => undefined);
    });
    const { channel } = await open(attacker, '/quorate/call/1');
    for (let id = 0; id < 10; id++) channel.send(encodeRequest(1, id, 'agent', plain, 60_000, id, limit));
    channel.send(Uint8Array.of(99));
    await turns();
    expect(signals.length).toBe(10);
    expect(signals.every((signal) => signal.aborted)).toBe(true);
  });

  test('answers nobody asked for are counted and nothing else', async () => {
    const { victim, attacker } = victimAndAttacker();
    const other = cluster.node('other');
    const release = Promise.withResolvers<string>();
    other.register('agent', () => release.promise);
    const call = victim.messaging.call('agent', 1, { timeoutMs: 60_000 });
    await turns();
    const { channel } = await open(attacker, '/quorate/bulk/1');
    // The attacker guesses the id of a call that was made to somebody else.
    for (let slot = 0; slot < 4; slot++) {
      for (let generation = 0; generation < 50; generation++) {
        channel.send(encodeReply(generation * 65_536 + slot, undefined, 'forged', limit));
      }
    }
    await turns();
    expect(status(victim).stray).toBe(200);
    release.resolve('true');
    expect(await call).toBe('true');
  });

  test('a storm of cancels is nothing', async () => {
    const { victim, attacker } = victimAndAttacker();
    victim.register('agent', () => 'fine');
    const { channel, received } = await open(attacker, '/quorate/call/1');
    for (let id = 0; id < 10_000; id++) channel.send(encodeCancel(id));
    channel.send(encodeRequest(1, 3, 'agent', plain, 60_000, 1, limit));
    await turns();
    expect(received.map((frame) => decodeFrame(frame))).toEqual([{ type: 4, id: 3, head: undefined, value: 'fine' }]);
  });

  test('a flood of requests is refused above the limits, and memory of it is freed', async () => {
    const { victim, attacker } = victimAndAttacker({ maxInboundCallsPerPeer: 50, maxConcurrent: 10, mailbox: 1_000 });
    let runs = 0;
    victim.register('agent', () => {
      runs += 1;
      return new Promise(() => undefined);
    });
    const { channel, received } = await open(attacker, '/quorate/call/1');
    for (let id = 0; id < 2_000; id++) channel.send(encodeRequest(1, id, 'agent', plain, 60_000, id, limit));
    await turns();
    expect(runs).toBe(10);
    expect(received.length).toBe(1_950);
    expect(status(victim).mailboxes).toEqual([{ agent: 'agent', running: 10, queued: 40 }]);
    channel.abort(new Error('gone'));
    await turns();
    expect(status(victim).mailboxes).toEqual([{ agent: 'agent', running: 10, queued: 0 }]);
  });

  test('a request with a byte limit in flight is refused by size', async () => {
    const { victim, attacker } = victimAndAttacker({ maxInboundBytesPerPeer: 100_000 });
    victim.register('agent', () => new Promise(() => undefined));
    const { channel, received } = await open(attacker, '/quorate/bulk/1');
    for (let id = 0; id < 5; id++) {
      channel.send(encodeRequest(1, id, 'agent', plain, 60_000, new Uint8Array(40_000), limit));
    }
    await turns();
    const refused = received.map((frame) => decodeFrame(frame));
    expect(refused.length).toBe(3);
    expect(refused.every((frame) => frame?.type === 5 && frame.error.data['reason'] === 'overloaded')).toBe(true);
  });

  test('items beyond the credit end the stream', async () => {
    const { victim, attacker } = victimAndAttacker({ streamWindowBytes: 1_000 });
    victim.register('agent', () => new Promise(() => undefined));
    const { channel, closed } = await open(attacker, '/quorate/stream/1');
    channel.send(encodeOpen('agent', plain, Number.POSITIVE_INFINITY, 1_000, 1, limit));
    for (let item = 0; item < 20; item++) channel.send(encodeItem('x'.repeat(100), limit));
    await turns();
    expect(closed()).toBe(true);
    expect(status(victim).malformed).toBe(1);
  });

  test('a reader of a stream that grants nothing gets nothing, and holds no more than its window', async () => {
    const { victim, attacker } = victimAndAttacker();
    let made = 0;
    victim.register('agent', async function* () {
      for (;;) {
        made += 1;
        yield 'x'.repeat(1_000);
      }
    });
    const { channel, received } = await open(attacker, '/quorate/stream/1');
    channel.send(encodeOpen('agent', plain, Number.POSITIVE_INFINITY, 10_000, 1, limit));
    await turns();
    expect(made).toBeLessThanOrEqual(11);
    expect(received.filter((frame) => frame[0] === 17).length).toBeLessThanOrEqual(10);
    channel.abort(new Error('gone'));
    await turns();
    expect(status(victim).active).toBe(0);
  });

  test('a caller is believed about its agent, never about its node', async () => {
    const { victim, attacker } = victimAndAttacker();
    const seen: unknown[] = [];
    victim.register('agent', (_message: unknown, { callerNode, callerAgent }: CallContext) => {
      seen.push([callerNode, callerAgent]);
    });
    await attacker.messaging.call('agent', 1, { from: 'president' });
    expect(seen).toEqual([['attacker', 'president']]);
  });
});
