/** What every `Network` must do; run on the simulated and on the libp2p implementation. */
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { isQuorateError, QuorateError } from '../../src/errors.ts';
import type { NodeId } from '../../src/node-id.ts';
import type { Channel, Network, NetworkEvents, Verdict } from '../../src/p2p/network.ts';

export interface NodeSettings {
  /** Nodes with equal `identity` numbers have the same key. Default: a key of its own. */
  readonly identity?: number;
  readonly meshName?: string;
  readonly networkKey?: string;
  readonly allow?: readonly NodeId[];
  readonly wireVersions?: { readonly min: number; readonly max: number };
}

export interface NetworkHarness {
  /** A network that is not started yet. */
  make(settings?: NodeSettings): Network;
  /** The id that `make({ identity })` gives. */
  idOf(identity: number): NodeId;
  /** Lets time pass until the promise settles. */
  settled<T>(promise: Promise<T>): Promise<T>;
  /** Lets time pass until the predicate holds; fails after a generous deadline. */
  until(predicate: () => boolean): Promise<void>;
  /** A moment between two attempts of a loop that tries again. */
  breathe(): Promise<void>;
  /** Ends a node as kill -9 would. */
  crash(network: Network): void;
  close(): Promise<void>;
}

const timeoutMs = 10_000;
const echo = '/test/echo/1';
const topic = 'test/topic';
const limits = { maxFrameBytes: 100_000, maxInboundPerPeer: 2 };

interface Node {
  readonly network: Network;
  readonly connected: NetworkEvents['peer:connected'][];
  readonly disconnected: NetworkEvents['peer:disconnected'][];
  readonly refused: NetworkEvents['refused'][];
  readonly inbound: Channel[];
  readonly received: string[];
  verdict: Verdict | Promise<Verdict>;
}

export function networkContract(name: string, makeHarness: () => NetworkHarness): void {
  describe(`Network contract: ${name}`, () => {
    let harness: NetworkHarness;
    beforeEach(() => {
      harness = makeHarness();
    });
    afterEach(async () => {
      await harness.close();
    });

    async function start(settings: NodeSettings = {}, onChannel?: (channel: Channel) => void): Promise<Node> {
      const network = harness.make(settings);
      const node: Node = {
        network,
        connected: [],
        disconnected: [],
        refused: [],
        inbound: [],
        received: [],
        verdict: 'accept',
      };
      network.on('peer:connected', (event) => node.connected.push(event));
      network.on('peer:disconnected', (event) => node.disconnected.push(event));
      network.on('refused', (event) => node.refused.push(event));
      network.handle(echo, limits, (channel) => {
        node.inbound.push(channel);
        if (onChannel !== undefined) onChannel(channel);
        else channel.listen({ onFrame: (frame) => void channel.send(frame), onClose: () => undefined });
      });
      network.subscribe(topic, 1_000, (data) => {
        node.received.push(text(data));
        return node.verdict;
      });
      await harness.settled(network.start());
      return node;
    }

    async function connect(from: Node, to: Node): Promise<void> {
      await harness.settled(from.network.connect(addressOf(to), { timeoutMs }));
      await harness.until(() => to.network.isConnected(from.network.self));
    }

    async function failure(promise: Promise<unknown>): Promise<QuorateError> {
      const outcome = await harness.settled(
        promise.then(
          () => undefined,
          (error: unknown) => error,
        ),
      );
      expect(outcome).toBeInstanceOf(QuorateError);
      return outcome as QuorateError;
    }

    it('connects, tells both sides, and knows its peers', async () => {
      const [a, b] = [await start(), await start()];
      expect(await harness.settled(a.network.connect(addressOf(b), { timeoutMs }))).toBe(b.network.self);
      await harness.until(() => b.connected.length === 1);
      expect(a.connected).toMatchObject([{ peer: b.network.self, outbound: true }]);
      expect(b.connected).toMatchObject([{ peer: a.network.self, outbound: false }]);
      expect(a.network.peers()).toEqual([b.network.self]);
      expect(b.network.isConnected(a.network.self)).toBe(true);
      expect(await harness.settled(a.network.connect(addressOf(b), { timeoutMs }))).toBe(b.network.self);
      expect(a.connected).toHaveLength(1);
    });

    it('keeps one peer when both dial at once', async () => {
      const [a, b] = [await start(), await start()];
      await harness.settled(
        Promise.all([a.network.connect(addressOf(b), { timeoutMs }), b.network.connect(addressOf(a), { timeoutMs })]),
      );
      await harness.until(() => a.connected.length === 1 && b.connected.length === 1);
      expect(a.network.peers()).toEqual([b.network.self]);
      const channel = await harness.settled(a.network.open(b.network.self, echo));
      expect(await roundTrip(harness, channel, 'still one')).toBe('still one');
      expect([a.connected.length, b.connected.length]).toEqual([1, 1]);
      expect([a.disconnected.length, b.disconnected.length]).toEqual([0, 0]);
    });

    it('delivers frames whole, in order, both ways', async () => {
      const [a, b] = [await start(), await start()];
      await connect(a, b);
      const channel = await harness.settled(a.network.open(b.network.self, echo));
      expect(channel).toMatchObject({ peer: b.network.self, protocol: echo, closed: false });
      const frames = Array.from({ length: 500 }, (_, index) => new Uint8Array((index * 37) % 3_000).fill(index & 255));
      const echoed: Uint8Array[] = [];
      channel.listen({ onFrame: (frame) => void echoed.push(frame.slice()), onClose: () => undefined });
      for (const frame of frames) channel.send(frame);
      await harness.until(() => echoed.length === frames.length);
      expect(echoed.map((frame) => [frame.length, frame[0]])).toEqual(frames.map((frame) => [frame.length, frame[0]]));
    });

    it('keeps frames that came before listen', async () => {
      const [a, b] = [await start(), await start({}, () => undefined)];
      await connect(a, b);
      const channel = await harness.settled(a.network.open(b.network.self, echo));
      channel.send(bytes('one'));
      channel.send(bytes('two'));
      await harness.settled(channel.close());
      await harness.until(() => b.inbound[0]?.closed === true);
      const seen: string[] = [];
      b.inbound[0]?.listen({
        onFrame: (frame) => void seen.push(text(frame)),
        onClose: (error) => void seen.push(`closed ${error?.message}`),
      });
      await harness.until(() => seen.length === 3);
      expect(seen).toEqual(['one', 'two', 'closed undefined']);
    });

    it('tells a graceful close from an abort, once, on both sides', async () => {
      const ends: string[] = [];
      const watch = (who: string) => (channel: Channel) =>
        channel.listen({
          onFrame: () => undefined,
          onClose: (error) => void ends.push(`${who} ${error === undefined ? 'gracefully' : 'broken'}`),
        });
      const [a, b] = [await start(), await start({}, watch('b'))];
      await connect(a, b);
      const first = await harness.settled(a.network.open(b.network.self, echo));
      watch('a')(first);
      await harness.settled(first.close());
      await harness.until(() => ends.length === 2);
      expect(ends.sort()).toEqual(['a gracefully', 'b gracefully']);
      expect(first.closed).toBe(true);
      expect(first.send(bytes('late'))).toBe(false);
      ends.length = 0;
      const second = await harness.settled(a.network.open(b.network.self, echo));
      watch('a')(second);
      second.abort(new Error('enough'));
      await harness.until(() => ends.length === 2);
      expect(ends.sort()).toEqual(['a broken', 'b broken']);
    });

    it('gives backpressure while the reader pauses, and drains after it', async () => {
      const [a, b] = [await start(), await start({}, (channel) => channel.pause())];
      await connect(a, b);
      const channel = await harness.settled(a.network.open(b.network.self, echo));
      await harness.until(() => b.inbound.length === 1);
      const frame = new Uint8Array(64_000);
      let sent = 0;
      while (channel.send(frame)) {
        sent += 1;
        expect(sent).toBeLessThan(10_000);
      }
      sent += 1;
      let drained = false;
      const draining = channel.drained().then(() => {
        drained = true;
      });
      let received = 0;
      b.inbound[0]?.listen({
        onFrame: () => {
          received += 1;
        },
        onClose: () => undefined,
      });
      expect([drained, received]).toEqual([false, 0]);
      b.inbound[0]?.resume();
      await harness.settled(draining);
      await harness.until(() => received === sent);
    });

    it('rejects drained when the signal aborts or the channel closes', async () => {
      const [a, b] = [await start(), await start({}, (channel) => channel.pause())];
      await connect(a, b);
      const channel = await harness.settled(a.network.open(b.network.self, echo));
      channel.listen({ onFrame: () => undefined, onClose: () => undefined });
      while (channel.send(new Uint8Array(64_000)));
      const abort = new AbortController();
      const byAbort = channel.drained(abort.signal).catch((error: unknown) => error);
      abort.abort(new Error('no patience'));
      expect(await harness.settled(byAbort)).toMatchObject({ message: 'no patience' });
      const byClose = channel.drained().catch((error: unknown) => error);
      channel.abort(new Error('closed meanwhile'));
      expect(await harness.settled(byClose)).toBeInstanceOf(Error);
    });

    it('closes a channel whose frame is too long', async () => {
      const [a, b] = [await start(), await start()];
      await connect(a, b);
      const channel = await harness.settled(a.network.open(b.network.self, echo));
      let ended: Error | undefined;
      channel.listen({
        onFrame: () => undefined,
        onClose: (error) => {
          ended = error;
        },
      });
      channel.send(new Uint8Array(limits.maxFrameBytes + 1));
      await harness.until(() => ended !== undefined);
      expect(isQuorateError(ended, 'PAYLOAD_TOO_LARGE')).toBe(true);
      await harness.until(() => b.inbound[0]?.closed === true);
      expect(a.network.isConnected(b.network.self)).toBe(true);
    });

    it('refuses one inbound channel more than a peer may have, and takes one again after a close', async () => {
      const [a, b] = [await start(), await start()];
      await connect(a, b);
      const first = await harness.settled(a.network.open(b.network.self, echo));
      const second = await harness.settled(a.network.open(b.network.self, echo));
      // The opener may learn of the refusal while it still opens, or right after.
      const over = await harness.settled(a.network.open(b.network.self, echo).catch(() => undefined));
      await harness.until(() => b.refused.length > 0 && over?.closed !== false);
      await harness.settled(first.close());
      await harness.until(() => b.inbound[0]?.closed === true);
      const third = await harness.settled(a.network.open(b.network.self, echo));
      expect(await roundTrip(harness, third, 'room again')).toBe('room again');
      expect(await roundTrip(harness, second, 'undisturbed')).toBe('undisturbed');
    });

    it('closes only the channel whose handler throws', async () => {
      let calls = 0;
      const b = await start({}, (channel) => {
        calls += 1;
        if (calls === 1) throw new Error('handler broke');
        channel.listen({ onFrame: (frame) => void channel.send(frame), onClose: () => undefined });
      });
      const a = await start();
      await connect(a, b);
      // The opener may learn of the failure while it still opens, or right after.
      const broken = await harness.settled(a.network.open(b.network.self, echo).catch(() => undefined));
      await harness.until(() => calls === 1 && broken?.closed !== false);
      const good = await harness.settled(a.network.open(b.network.self, echo));
      expect(await roundTrip(harness, good, 'fine')).toBe('fine');
    });

    it('closes only the channel whose receiver throws', async () => {
      const b = await start({}, (channel) =>
        channel.listen({
          onFrame: (frame) => {
            if (text(frame) === 'poison') throw new Error('receiver broke');
            channel.send(frame);
          },
          onClose: () => undefined,
        }),
      );
      const a = await start();
      await connect(a, b);
      const broken = await harness.settled(a.network.open(b.network.self, echo));
      const good = await harness.settled(a.network.open(b.network.self, echo));
      broken.send(bytes('poison'));
      await harness.until(() => broken.closed);
      expect(await roundTrip(harness, good, 'fine')).toBe('fine');
    });

    it('does not open a protocol the peer lacks, nor a channel with a stranger', async () => {
      const [a, b] = [await start(), await start()];
      await connect(a, b);
      expect((await failure(a.network.open(b.network.self, '/test/unknown/1'))).code).toBe('PEER_UNREACHABLE');
      const stranger = harness.idOf(99);
      expect((await failure(a.network.open(stranger, echo))).code).toBe('PEER_UNREACHABLE');
    });

    it('tells a peer that stopped from one that was killed', async () => {
      const [a, b, c] = [await start(), await start(), await start()];
      await connect(a, b);
      await connect(a, c);
      await harness.settled(b.network.stop());
      await harness.until(() => a.disconnected.length === 1);
      harness.crash(c.network);
      await harness.until(() => a.disconnected.length === 2);
      expect(a.disconnected).toEqual([
        { peer: b.network.self, graceful: true },
        { peer: c.network.self, graceful: false },
      ]);
    });

    it('ends channels with an error when the peer is killed', async () => {
      const [a, b] = [await start(), await start()];
      await connect(a, b);
      const channel = await harness.settled(a.network.open(b.network.self, echo));
      let ended: Error | undefined;
      channel.listen({
        onFrame: () => undefined,
        onClose: (error) => {
          ended = error;
        },
      });
      harness.crash(b.network);
      await harness.until(() => ended !== undefined);
      expect(channel.closed).toBe(true);
    });

    it('disconnects gracefully and connects again', async () => {
      const [a, b] = [await start(), await start()];
      await connect(a, b);
      await harness.settled(a.network.disconnect(b.network.self));
      await harness.until(() => b.disconnected.length === 1 && a.disconnected.length === 1);
      expect([a.disconnected[0]?.graceful, b.disconnected[0]?.graceful]).toEqual([true, true]);
      await connect(b, a);
      expect(a.connected).toHaveLength(2);
    });

    it('bans: closes, and refuses in both directions while the ban lasts', async () => {
      const [a, b] = [await start(), await start()];
      await connect(a, b);
      a.network.ban(b.network.self, 3_600_000, 'test');
      await harness.until(() => b.disconnected.length === 1);
      expect(isQuorateError(await failure(b.network.connect(addressOf(a), { timeoutMs })))).toBe(true);
      expect((await failure(a.network.connect(addressOf(b), { timeoutMs }))).code).toBe('NOT_ALLOWED');
      expect(a.network.isConnected(b.network.self)).toBe(false);
    });

    it('names each reason for not being let in, on both sides', async () => {
      const a = await start({ meshName: 'red', allow: [harness.idOf(1), harness.idOf(2), harness.idOf(4)] });
      const otherMesh = await start({ identity: 1, meshName: 'blue' });
      const otherVersion = await start({ identity: 2, meshName: 'red', wireVersions: { min: 7, max: 9 } });
      const notListed = await start({ identity: 3, meshName: 'red' });
      const listed = await start({ identity: 4, meshName: 'red' });
      for (const [from, code] of [
        [otherMesh, 'WRONG_MESH'],
        [otherVersion, 'WRONG_VERSION'],
        [notListed, 'NOT_ALLOWED'],
      ] as const) {
        expect((await failure(from.network.connect(addressOf(a), { timeoutMs }))).code).toBe(code);
        await harness.until(() => a.refused.some((event) => event.peer === from.network.self));
        expect(a.refused.find((event) => event.peer === from.network.self)?.reason).toContain(code);
        expect((await failure(a.network.connect(addressOf(from), { timeoutMs }))).code).toBe(code);
      }
      await connect(listed, a);
      expect(a.connected.map((event) => event.peer)).toEqual([listed.network.self]);
    });

    it('names a wrong, a missing and a superfluous network key', async () => {
      const [k1, k2] = ['11'.repeat(32), '22'.repeat(32)];
      const keyed = await start({ networkKey: k1 });
      const others = [await start({ networkKey: k2 }), await start()];
      for (const other of others) {
        expect((await failure(other.network.connect(addressOf(keyed), { timeoutMs }))).code).toBe('WRONG_NETWORK_KEY');
        expect((await failure(keyed.network.connect(addressOf(other), { timeoutMs }))).code).toBe('WRONG_NETWORK_KEY');
      }
      const same = await start({ networkKey: k1 });
      await connect(same, keyed);
    });

    it('says that nobody listens', async () => {
      const [a, b] = [await start(), await start()];
      const address = addressOf(b);
      await harness.settled(b.network.stop());
      expect((await failure(a.network.connect(address, { timeoutMs }))).code).toBe('PEER_UNREACHABLE');
    });

    it('does not take another node for the one in the address', async () => {
      const [a, b] = [await start(), await start()];
      const address = addressOf(b).replace(b.network.self, harness.idOf(98));
      expect((await failure(a.network.connect(address, { timeoutMs }))).code).toBe('PEER_UNREACHABLE');
      expect(a.network.peers()).toEqual([]);
    });

    it('knows its own address, and another process with its own identity', async () => {
      const [a, twin] = [await start({ identity: 5 }), await start({ identity: 5 })];
      expect((await failure(a.network.connect(addressOf(a), { timeoutMs }))).code).toBe('INVALID_ARGUMENT');
      expect((await failure(twin.network.connect(addressOf(a), { timeoutMs }))).code).toBe('IDENTITY_IN_USE');
    });

    it('refuses the later of two processes with one identity, and lets it in once the first is dead', async () => {
      const third = await start();
      const [first, second] = [await start({ identity: 6 }), await start({ identity: 6 })];
      await connect(first, third);
      expect((await failure(second.network.connect(addressOf(third), { timeoutMs }))).code).toBe('IDENTITY_IN_USE');
      expect(third.network.isConnected(first.network.self)).toBe(true);
      const channel = await harness.settled(first.network.open(third.network.self, echo));
      expect(await roundTrip(harness, channel, 'still here')).toBe('still here');
      harness.crash(first.network);
      await harness.until(() => third.disconnected.length === 1);
      await connect(second, third);
    });

    it('rejects with the reason of an aborted signal', async () => {
      const [a, b] = [await start(), await start()];
      const reason = new Error('changed my mind');
      const aborted = AbortSignal.abort(reason);
      await expect(a.network.connect(addressOf(b), { timeoutMs, signal: aborted })).rejects.toBe(reason);
    });

    it('broadcasts over neighbours to everybody, once each', async () => {
      const nodes = [await start(), await start(), await start(), await start()];
      for (let i = 1; i < nodes.length; i++) await connect(nodes[i] as Node, nodes[i - 1] as Node);
      const [first, ...rest] = nodes as [Node, ...Node[]];
      let n = 0;
      // The first messages may be sent before the topic's mesh has formed: broadcast is best effort.
      while (!rest.every((node) => node.received.length > 0)) {
        await harness.settled(first.network.publish(topic, bytes(`probe ${n++}`)));
        await harness.settled(first.network.connect(addressOf(nodes[1] as Node), { timeoutMs }));
        expect(n).toBeLessThan(100_000);
        await harness.breathe();
      }
      await harness.settled(first.network.publish(topic, bytes('to all')));
      await harness.until(() => rest.every((node) => node.received.includes('to all')));
      await harness.settled(first.network.publish(topic, bytes('the end')));
      await harness.until(() => rest.every((node) => node.received.includes('the end')));
      for (const node of rest) expect(new Set(node.received).size).toBe(node.received.length);
      expect(first.received).toEqual([]);
    });

    it('passes on accepted messages only', async () => {
      const [a, b, c] = [await start(), await start(), await start()];
      await connect(a, b);
      await connect(b, c);
      let n = 0;
      while (c.received.length === 0) {
        await harness.settled(a.network.publish(topic, bytes(`probe ${n++}`)));
        await harness.breathe();
      }
      b.verdict = Promise.resolve<Verdict>('ignore');
      await harness.settled(a.network.publish(topic, bytes('ignored')));
      await harness.until(() => b.received.includes('ignored'));
      b.verdict = Promise.resolve<Verdict>('accept');
      await harness.settled(a.network.publish(topic, bytes('accepted')));
      await harness.until(() => c.received.includes('accepted'));
      expect(c.received).not.toContain('ignored');
    });

    it('cuts off a neighbour whose messages keep being rejected', async () => {
      const [bad, b] = [await start(), await start()];
      b.verdict = 'reject';
      await connect(bad, b);
      let n = 0;
      while (b.disconnected.length === 0) {
        await harness.settled(bad.network.publish(topic, bytes(`nonsense ${n++}`)));
        await harness.breathe();
      }
      expect(b.refused.at(-1)?.reason).toContain('banned');
      expect(isQuorateError(await failure(bad.network.connect(addressOf(b), { timeoutMs })))).toBe(true);
    });

    it('refuses to publish what is over the limit of the topic', async () => {
      const a = await start();
      expect((await failure(a.network.publish(topic, new Uint8Array(1_001)))).code).toBe('PAYLOAD_TOO_LARGE');
    });

    it('stops twice without complaint and does nothing after', async () => {
      const a = await start();
      await harness.settled(a.network.stop());
      await harness.settled(a.network.stop());
      expect(a.network.peers()).toEqual([]);
      expect((await failure(a.network.connect('/memory/x', { timeoutMs }))).code).toBe('STOPPED');
    });
  });
}

async function roundTrip(harness: NetworkHarness, channel: Channel, message: string): Promise<string> {
  let reply: string | undefined;
  channel.listen({
    onFrame: (frame) => {
      reply = text(frame);
    },
    onClose: () => undefined,
  });
  channel.send(bytes(message));
  await harness.until(() => reply !== undefined || channel.closed);
  return reply ?? 'closed';
}

function addressOf(node: Node): string {
  const [address] = node.network.addresses();
  if (address === undefined) throw new Error('The node has no address.');
  return address;
}

const text = (data: Uint8Array): string => Buffer.from(data).toString();
const bytes = (message: string): Uint8Array => new TextEncoder().encode(message);
