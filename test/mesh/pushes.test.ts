/** The fast lane of broadcasts over real libp2p connections: what arrives, how often, and what a peer can do with it. */
import { afterEach, beforeAll, describe, expect, it } from 'vitest';
import { createIdentity } from '../../src/identity.ts';
import { pushProtocol } from '../../src/p2p/libp2p/gossip.ts';
import { Libp2pNetwork } from '../../src/p2p/libp2p/network.ts';
import type { Channel, NetworkEvents, Verdict } from '../../src/p2p/network.ts';
import { pollUntil } from './poll.ts';

const topic = 'test/topic';
const maxBytes = 1_000;
const networks: Libp2pNetwork[] = [];
const timeoutMs = 20_000;

afterEach(async () => {
  await Promise.all(networks.splice(0).map((network) => network.stop()));
});

interface Node {
  readonly network: Libp2pNetwork;
  readonly received: string[];
  readonly refused: NetworkEvents['refused'][];
  verdict: Verdict;
}

async function start(lane = true): Promise<Node> {
  const network = new Libp2pNetwork({
    identity: createIdentity(),
    meshName: 'pushes',
    version: '0.0.0',
    epoch: 1,
    listen: ['/ip4/127.0.0.1/tcp/0'],
    onError: (error) => {
      throw error;
    },
  });
  networks.push(network);
  const node: Node = { network, received: [], refused: [], verdict: 'accept' };
  network.on('refused', (event) => node.refused.push(event));
  // Who has no such topic still takes part in the mesh, and can open streams of any protocol.
  if (lane) {
    network.subscribe(topic, maxBytes, (data) => {
      node.received.push(Buffer.from(data).toString());
      return node.verdict;
    });
  }
  await network.start();
  return node;
}

const connect = (from: Node, to: Node) =>
  from.network.connect(to.network.addresses()[0] as string, { timeoutMs: 20_000 });

const publish = (node: Node, text: string) => node.network.publish(topic, Buffer.from(text));

/** Publishes until both ends have had enough messages for streams to be open, and one more arrived. */
async function warmUp(from: Node, ...to: readonly Node[]): Promise<void> {
  let n = 0;
  const done = to.map(() => false);
  while (!done.every(Boolean)) {
    await publish(from, `warm up ${n++} of ${from.network.self}`);
    await new Promise((resolve) => setTimeout(resolve, 20));
    for (const [at, node] of to.entries())
      done[at] = node.received.includes(`warm up ${n - 1} of ${from.network.self}`) && n > 5;
    if (n > 500) throw new Error('no message arrived');
  }
}

describe('the fast lane', { timeout: 60_000 }, () => {
  it('brings each message once, to neighbours and to those behind them', async () => {
    const nodes = [await start(), await start(), await start(), await start()];
    const [writer, near, , far] = nodes as [Node, Node, Node, Node];
    await connect(writer, near);
    await connect(writer, nodes[2] as Node);
    await connect(near, far);
    await warmUp(writer, near, nodes[2] as Node, far);
    for (let n = 0; n < 100; n++) await publish(writer, `message ${n}`);
    const wanted = Array.from({ length: 100 }, (_, n) => `message ${n}`);
    const seen = (node: Node) => node.received.filter((text) => text.startsWith('message')).sort();
    await pollUntil(() => [near, nodes[2] as Node, far].every((node) => seen(node).length >= 100));
    // What could still come twice has come when one more message has gone all the way.
    await publish(writer, 'the last');
    await pollUntil(() => far.received.includes('the last'));
    for (const node of [near, nodes[2] as Node, far]) expect(seen(node)).toEqual([...wanted].sort());
    expect(seen(writer)).toEqual([]);
  });

  it('reaches a peer whose gossip is not there yet', async () => {
    const [writer, reader] = [await start(), await start()];
    await connect(writer, reader);
    const channel = await reader.network.open(writer.network.self, pushProtocol(topic));
    const frames: string[] = [];
    channel.listen({ onFrame: (frame) => frames.push(Buffer.from(frame).toString()), onClose: () => undefined });
    await pollUntil(() => {
      void publish(writer, `try ${frames.length}`);
      return frames.length > 2;
    });
    // A stream that the other side opened is used at once, whatever gossip knows by then.
    expect(frames[0]).toMatch(/^try/);
  });

  it('does not carry a message further that its validator refuses or ignores', async () => {
    const [writer, middle, far] = [await start(), await start(), await start()];
    await connect(writer, middle);
    await connect(middle, far);
    await warmUp(writer, middle, far);
    middle.verdict = 'ignore';
    await publish(writer, 'ignored');
    await pollUntil(() => middle.received.includes('ignored'));
    middle.verdict = 'accept';
    await warmUp(writer, far);
    expect(far.received).not.toContain('ignored');
    expect(writer.network.isConnected(middle.network.self)).toBe(true);
  });

  it('bans a peer that pushes what is refused, again and again', async () => {
    const [victim, hostile] = [await start(), await start(false)];
    victim.verdict = 'reject';
    await connect(hostile, victim);
    const channel = await hostile.network.open(victim.network.self, pushProtocol(topic));
    let ended = false;
    channel.listen({ onFrame: () => undefined, onClose: () => (ended = true) });
    for (let n = 0; n < 100; n++) channel.send(Buffer.from(`garbage ${n}`));
    await pollUntil(() => ended);
    expect(victim.received.length).toBeGreaterThanOrEqual(20);
    expect(victim.received.length).toBeLessThan(30);
    expect(victim.refused.some(({ reason }) => reason.includes('banned'))).toBe(true);
    await expect(connect(hostile, victim)).rejects.toMatchObject({
      code: expect.stringMatching(/NOT_ALLOWED|PEER_UNREACHABLE/),
    });
  });

  it('ends a stream whose frames are too long, and counts it, and others go on', async () => {
    const [victim, hostile, honest] = [await start(), await start(false), await start()];
    await connect(hostile, victim);
    await connect(honest, victim);
    const channel = await hostile.network.open(victim.network.self, pushProtocol(topic));
    let ended = false;
    channel.listen({ onFrame: () => undefined, onClose: () => (ended = true) });
    channel.send(new Uint8Array(maxBytes + 1));
    await pollUntil(() => ended);
    expect(victim.received).toEqual([]);
    expect(victim.refused.some(({ reason }) => reason.includes('too long'))).toBe(true);
    await warmUp(honest, victim);
  });

  it('refuses more streams of one peer than there is a use for', async () => {
    const [victim, hostile] = [await start(), await start(false)];
    await connect(hostile, victim);
    const open: Channel[] = [];
    let ended = 0;
    for (let n = 0; n < 6; n++) {
      const channel = await hostile.network.open(victim.network.self, pushProtocol(topic));
      channel.listen({ onFrame: () => undefined, onClose: () => (ended += 1) });
      open.push(channel);
    }
    await pollUntil(() => ended === 3);
    expect(victim.refused.filter(({ reason }) => reason.includes('channels of'))).toHaveLength(3);
  });

  it('reads a flood no faster than its allowance, and the others’ messages beside it', async () => {
    const [victim, hostile, honest] = [await start(), await start(false), await start()];
    await connect(hostile, victim);
    await connect(honest, victim);
    await warmUp(honest, victim);
    const channel = await hostile.network.open(victim.network.self, pushProtocol(topic));
    channel.listen({ onFrame: () => undefined, onClose: () => undefined });
    const before = victim.received.length;
    const started = performance.now();
    for (let n = 0; n < 20_000; n++) channel.send(Buffer.from(`flood ${n}`));
    await pollUntil(() => victim.received.length - before > 2_000);
    await publish(honest, 'a word beside it');
    await pollUntil(() => victim.received.includes('a word beside it'));
    const seconds = (performance.now() - started) / 1000;
    const flood = victim.received.filter((text) => text.startsWith('flood')).length;
    expect(flood).toBeLessThanOrEqual(2_000 + Math.ceil((seconds + 1) * 1_000));
  });
});

describe('streams', { timeout: 60_000 }, () => {
  const echo = '/test/echo/1';
  let bytes: Uint8Array;
  beforeAll(() => {
    bytes = crypto.getRandomValues(new Uint8Array(65_536));
  });

  it('carry every frame whole and in order, by the short way and by libp2p’s, whoever pauses', async () => {
    const limits = { maxFrameBytes: 1_048_576, maxInboundPerPeer: 8 };
    const [client, server] = [0, 1].map(() => {
      const network = new Libp2pNetwork({
        identity: createIdentity(),
        meshName: 'streams',
        version: '0.0.0',
        epoch: 1,
        listen: ['/ip4/127.0.0.1/tcp/0'],
        onError: (error) => {
          throw error;
        },
      });
      networks.push(network);
      network.handle(echo, limits, (channel) => {
        let n = 0;
        channel.listen({
          onFrame: (frame) => {
            channel.send(new Uint8Array(frame));
            n += 1;
            if (n % 50 !== 0) return;
            channel.pause();
            setImmediate(() => channel.resume());
          },
          onClose: () => undefined,
        });
      });
      return network;
    }) as [Libp2pNetwork, Libp2pNetwork];
    await Promise.all([client.start(), server.start()]);
    await client.connect(server.addresses()[0] as string, { timeoutMs });
    const sizes = [1, 60, 300, 8_191, 8_193, 16_384, 16_385, 70_000, 300_000];
    const runs = Array.from({ length: 4 }, async (_, run) => {
      const channel = await client.open(server.self, echo);
      const expected: number[] = [];
      let next = 0;
      const all = Promise.withResolvers<void>();
      channel.listen({
        onFrame: (frame) => {
          const size = expected[next] as number;
          const start = next % 251;
          if (frame.length !== size) all.reject(new Error(`frame ${next} has ${frame.length} bytes, not ${size}`));
          const wanted = bytes.subarray(start, start + Math.min(size, 60_000));
          if (Buffer.compare(frame.subarray(0, wanted.length), wanted) !== 0) all.reject(new Error(`frame ${next}`));
          next += 1;
          if (next === 400) all.resolve();
        },
        onClose: (error) => all.reject(error ?? new Error('closed')),
      });
      for (let n = 0; n < 400; n++) {
        const size = sizes[(n * (run + 1)) % (n % 7 === 0 ? sizes.length : 5)] as number;
        expected.push(size);
        const frame = new Uint8Array(size);
        const start = n % 251;
        frame.set(bytes.subarray(start, start + Math.min(size, 60_000)));
        if (!channel.send(frame)) await channel.drained();
        if (n % 3 === 0) await new Promise((resolve) => setImmediate(resolve));
      }
      await all.promise;
    });
    await Promise.all(runs);
  });
});
