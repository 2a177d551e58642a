import { describe, expect, it } from 'vitest';
import { isQuorateError } from '../../../src/errors.ts';
import type { Channel } from '../../../src/p2p/network.ts';
import { encodeSync, syncProtocol } from '../../../src/protocols/replication/sync-wire.ts';
import { ReplicationWorld, type SimNode } from './replication-harness.ts';

const maxMs = 60_000;

async function pair(seed = 1): Promise<{ sim: ReplicationWorld; a: SimNode; b: SimNode }> {
  const sim = new ReplicationWorld({ seed });
  const a = await sim.node(1);
  const b = await sim.node(2);
  await sim.connect(a, b);
  return { sim, a, b };
}

describe('Replication by broadcast', () => {
  it('shows a change after silence elsewhere after one hop, and gathers what follows within milliseconds', async () => {
    const { sim, a, b } = await pair();
    await sim.world.run(1_000);
    const before = a.replication.counters.published;
    const start = sim.world.now;
    a.store.set('registry', 'one', 1);
    a.store.set('registry', 'two', 2);
    await sim.world.until(() => b.store.get(a.store.self, 'registry', 'two') === 2, maxMs);
    expect(sim.world.now - start).toBeLessThanOrEqual(2);
    expect(b.store.get(a.store.self, 'registry', 'one')).toBe(1);
    expect(a.replication.counters.published - before).toBe(1);
    for (let i = 0; i < 10; i++) a.store.set('registry', 'one', 10 + i);
    await sim.world.until(() => b.store.get(a.store.self, 'registry', 'one') === 19, maxMs);
    expect(a.replication.counters.published - before).toBe(2);
  });

  it('sends what was written before anybody was there when the first neighbour comes', async () => {
    const sim = new ReplicationWorld({ seed: 3 });
    const a = await sim.node(1);
    a.store.set('members', 'self', { zone: 'x' });
    await sim.world.run(1_000);
    const b = await sim.node(2);
    b.store.set('members', 'self', { zone: 'y' });
    await sim.connect(b, a);
    await sim.world.until(() => sim.converged(), maxMs);
    expect(a.store.get(b.store.self, 'members', 'self')).toEqual({ zone: 'y' });
    expect(b.store.get(a.store.self, 'members', 'self')).toEqual({ zone: 'x' });
  });

  it('tells the whole mesh of a newcomer that only one node was told of', async () => {
    const sim = new ReplicationWorld({ seed: 4 });
    const nodes = await sim.ring(8);
    const joiner = await sim.node(100);
    joiner.store.set('members', 'self', 'here');
    await sim.world.run(100);
    await sim.connect(joiner, nodes[0] as SimNode);
    await sim.world.until(
      () => nodes.every(({ store }) => store.get(joiner.store.self, 'members', 'self') === 'here'),
      1_000,
    );
  });

  it('repairs reordered and lost broadcasts without waiting for a digest', async () => {
    const sim = new ReplicationWorld({ seed: 5, broadcastReordering: 0.5, broadcastDuplication: 0.3 });
    const [a, b] = (await sim.ring(3)) as [SimNode, SimNode, SimNode];
    for (let i = 1; i <= 100; i++) {
      a.store.set('registry', 'x', i);
      await sim.world.run(7);
    }
    await sim.world.until(() => b.store.get(a.store.self, 'registry', 'x') === 100, 2_000);
    expect(sim.warnings).toEqual([]);
  });
});

describe('Replication by anti-entropy', () => {
  it('converges with a third of all broadcasts lost, from the digests of neighbours', async () => {
    for (const seed of [11, 12, 13]) {
      const sim = new ReplicationWorld({
        seed,
        broadcastLoss: 0.35,
        broadcastReordering: 0.2,
        broadcastDuplication: 0.1,
      });
      const nodes = await sim.ring(7);
      sim.probe(1_000);
      for (let i = 0; i < 60; i++) {
        const node = nodes[sim.world.rng.below(nodes.length)] as SimNode;
        const key = `k${sim.world.rng.below(4)}`;
        if (sim.world.rng.float() < 0.2) node.store.delete('registry', key);
        else node.store.set(sim.world.rng.float() < 0.5 ? 'registry' : 'variables', key, i);
        await sim.world.run(sim.world.rng.below(40));
      }
      await sim.world.until(() => sim.converged(), 20_000);
      expect(new Set(sim.views()).size).toBe(1);
      expect(sim.warnings).toEqual([]);
    }
  });

  it('heals a partition with adds and deletes on both sides; deletes stay deleted (behaviour 12)', async () => {
    const sim = new ReplicationWorld({ seed: 21, partitionBreaksMs: 100 });
    const nodes = await sim.ring(6);
    sim.probe(500);
    for (const { store } of nodes) {
      store.set('registry', 'keep', 1);
      store.set('registry', 'drop', 1);
    }
    await sim.world.until(() => sim.converged(), maxMs);
    sim.world.partition(nodes.slice(0, 3).map(({ network }) => network));
    await sim.world.run(1_000);
    for (const { store } of nodes) {
      store.delete('registry', 'drop');
      store.set('registry', 'new', 1);
    }
    await sim.world.run(2_000);
    sim.world.heal();
    await sim.connect(nodes[0] as SimNode, nodes[5] as SimNode);
    await sim.world.until(() => sim.converged(), 20_000);
    for (const { store } of nodes) {
      for (const other of nodes) {
        expect([...store.entries(other.store.self, 'registry').keys()].sort()).toEqual(['keep', 'new']);
      }
    }
  });

  it('carries what is too large for broadcast from neighbour to neighbour', async () => {
    const limits = { maxDeltaBytes: 4096, maxValueBytes: 2048, compactFactor: 1 };
    const sim = new ReplicationWorld({ seed: 31 });
    const nodes = await sim.ring(6, { limits });
    const [a] = nodes as [SimNode];
    for (let round = 0; round < 4; round++) {
      for (let i = 0; i < 100; i++) a.store.set('registry', `agent ${i}`, `${round}`.repeat(200));
      await a.replication.flush();
      await sim.world.run(200);
    }
    await sim.world.until(() => sim.converged(), 10_000);
    expect(nodes[3]?.store.entries(a.store.self, 'registry').size).toBe(100);
    const lengths = a.store.envelopesAfter(a.store.self, 'registry', undefined).map(({ length }) => length);
    expect(Math.max(...lengths)).toBeGreaterThan(4096);
  });

  it('sends nothing when nothing changes and everybody agrees', async () => {
    const sim = new ReplicationWorld({ seed: 32 });
    const nodes = await sim.ring(5);
    sim.probe(1_000);
    for (const { store } of nodes) store.set('members', 'self', 1);
    await sim.world.until(() => sim.converged(), maxMs);
    await sim.world.run(5_000);
    const sent = (): number => nodes.reduce((sum, { network }) => sum + network.counters.bytesSent, 0);
    const before = sent();
    await sim.world.run(60_000);
    expect(sent()).toBe(before);
  });

  it('asks less and less often when two nodes cannot agree', async () => {
    const { sim, a, b } = await pair(33);
    a.store.set('registry', 'x', 1);
    await sim.world.until(() => sim.converged(), maxMs);
    b.store.forget(a.store.self);
    sim.probe(500);
    const started = (): number => a.replication.counters.exchangesStarted + b.replication.counters.exchangesStarted;
    const before = started();
    await sim.world.run(120_000);
    expect(started() - before).toBeGreaterThan(2);
    expect(started() - before).toBeLessThan(30);
    expect(b.store.get(a.store.self, 'registry', 'x')).toBeUndefined();
  });

  it('brings the old state of a restarted node to nobody (behaviour 14)', async () => {
    const { sim, a, b } = await pair(34);
    const c = await sim.node(3);
    await sim.connect(c, b);
    sim.probe(500);
    a.store.set('registry', 'old', 1);
    await sim.world.until(() => c.store.get(a.store.self, 'registry', 'old') === 1, maxMs);
    sim.world.crash(a.network);
    sim.nodes.shift();
    await sim.world.run(1_000);
    const again = await sim.node(1, { epoch: 2 });
    again.store.set('registry', 'new', 1);
    await sim.connect(again, b);
    await sim.world.until(() => sim.converged([again, b, c]), maxMs);
    for (const { store } of [b, c]) expect([...store.entries(again.store.self, 'registry').keys()]).toEqual(['new']);
  });

  it('quarantines an equivocating author everywhere', async () => {
    const sim = new ReplicationWorld({ seed: 35 });
    const nodes = await sim.ring(7);
    sim.probe(500);
    // Two processes with one identity and one epoch, each with a neighbour of its own.
    const twins = [await sim.node(50), await sim.node(50)] as const;
    await sim.connect(twins[0], nodes[0] as SimNode);
    twins[0].store.set('registry', 'x', 'this');
    twins[1].store.set('registry', 'x', 'that');
    await sim.world.until(
      () => nodes.every(({ store }) => store.get(twins[0].store.self, 'registry', 'x') === 'this'),
      maxMs,
    );
    await twins[0].network.stop();
    await sim.connect(twins[1], nodes[3] as SimNode);
    await sim.world.until(() => nodes.every(({ store }) => store.isQuarantined(twins[0].store.self)), maxMs);
    await sim.world.until(() => sim.converged(nodes), maxMs);
    expect(nodes.every(({ store }) => store.entries(twins[0].store.self, 'registry').size === 0)).toBe(true);
    const late = await sim.node(60);
    await sim.connect(late, nodes[5] as SimNode);
    await sim.world.until(() => late.store.isQuarantined(twins[0].store.self), maxMs);
  });
});

describe('Replication for its callers', () => {
  it('lets a caller wait for a place in a feed, and fetches it when the broadcast was lost', async () => {
    const sim = new ReplicationWorld({ seed: 41, broadcastLoss: 1 });
    const a = await sim.node(1);
    const b = await sim.node(2);
    await sim.connect(a, b);
    await sim.world.run(1_000);
    a.store.set('registry', 'x', 1);
    await sim.world.settled(a.replication.flush());
    const head = a.store.head(a.store.self, 'registry');
    if (head === undefined) throw new Error('no head');
    const waiting = b.replication.waitFor(a.store.self, 'registry', head, new AbortController().signal);
    expect(b.replication.lag().waiting).toBe(1);
    await sim.world.settled(waiting, 1_000);
    expect(b.store.get(a.store.self, 'registry', 'x')).toBe(1);
    await b.replication.waitFor(a.store.self, 'registry', head, new AbortController().signal);
    await sim.world.until(() => b.replication.lag().exchanges === 0, 1_000);
    expect(b.replication.lag()).toEqual({ unsent: false, held: 0, exchanges: 0, waiting: 0, differingPeers: 0 });
  });

  it('stops waiting when the caller gives up or the node stops', async () => {
    const { sim, a, b } = await pair(42);
    const patience = new AbortController();
    const never = { epoch: 9, seq: 9 };
    const waiting = b.replication.waitFor(a.store.self, 'registry', never, patience.signal);
    waiting.catch(() => undefined);
    await sim.world.run(1_000);
    patience.abort(new Error('enough'));
    await expect(waiting).rejects.toThrow('enough');
    const other = b.replication.waitFor(a.store.self, 'registry', never, new AbortController().signal);
    other.catch(() => undefined);
    await sim.world.settled(b.replication.stop());
    await expect(other).rejects.toSatisfy((error) => isQuorateError(error, 'STOPPED'));
    expect(b.replication.lag().waiting).toBe(0);
  });

  it('brings the last value to the others when a node writes and leaves at once (behaviour 15)', async () => {
    for (const broadcastLoss of [0, 1]) {
      const sim = new ReplicationWorld({ seed: 43, broadcastLoss });
      const a = await sim.node(1);
      const b = await sim.node(2);
      await sim.connect(a, b);
      await sim.world.run(1_000);
      a.store.set('registry', 'x', 'first');
      a.store.set('registry', 'x', 'last');
      await sim.world.settled(a.replication.stop());
      await sim.world.settled(a.network.stop());
      await sim.world.run(100);
      expect(b.store.get(a.store.self, 'registry', 'x')).toBe('last');
    }
  });
});

describe('Replication against hostile peers', () => {
  /** Talks the protocol by hand from a node without replication. */
  async function attack(
    seed: number,
    act: (channel: Channel) => void,
  ): Promise<{ victim: SimNode; sim: ReplicationWorld; open: () => Promise<Channel> }> {
    const sim = new ReplicationWorld({ seed });
    const victim = await sim.node(1);
    victim.store.set('registry', 'x', 1);
    const mallory = sim.world.network(sim.identity(666));
    await mallory.start();
    await sim.world.settled(mallory.connect(victim.network.addresses()[0] as string, { timeoutMs: 5_000 }));
    const open = async (): Promise<Channel> => {
      const channel = await sim.world.settled(mallory.open(victim.store.self, syncProtocol));
      act(channel);
      return channel;
    };
    return { victim, sim, open };
  }

  it.each<[string, (channel: Channel) => void]>([
    ['garbage', (channel) => channel.send(Uint8Array.of(9, 9, 9))],
    [
      'an envelope before anything',
      (channel) => channel.send(encodeSync({ type: 'envelope', bytes: new Uint8Array(200) })),
    ],
    ['an early end', (channel) => channel.send(encodeSync({ type: 'end' }))],
    [
      'buckets twice',
      (channel) => {
        for (let i = 0; i < 2; i++) channel.send(encodeSync({ type: 'buckets', digests: new Uint8Array(512) }));
      },
    ],
    [
      'an invalid envelope',
      (channel) => {
        channel.send(encodeSync({ type: 'buckets', digests: new Uint8Array(512) }));
        channel.send(encodeSync({ type: 'heads', buckets: new Set(), authors: [] }));
        channel.send(encodeSync({ type: 'envelope', bytes: new Uint8Array(200).fill(1) }));
      },
    ],
  ])('ends an exchange with %s, and bans a peer that goes on', async (_name, act) => {
    const { victim, sim, open } = await attack(51, (channel) => {
      channel.listen({ onFrame: () => undefined, onClose: () => undefined });
      act(channel);
    });
    let attempts = 0;
    while (victim.network.peers().length > 0 && attempts < 40) {
      attempts += 1;
      await open().catch(() => undefined);
      await sim.world.run(200);
    }
    expect(attempts).toBeLessThan(40);
    expect(victim.replication.counters.violations).toBeGreaterThan(10);
    expect(victim.replication.lag().exchanges).toBe(0);
    expect(victim.store.usage()).toEqual({ bytes: 0, authors: 0 });
  });

  it('gives up on a silent peer, and serves only so many exchanges', async () => {
    const closed: string[] = [];
    const { victim, sim, open } = await attack(52, (channel) => {
      channel.listen({ onFrame: () => undefined, onClose: () => closed.push('closed') });
    });
    await open();
    await sim.world.until(() => closed.length === 1, 10_000);
    for (let i = 0; i < 60; i++) {
      const channel = await open().catch(() => undefined);
      channel?.abort(new Error('next'));
      await sim.world.run(1);
    }
    expect(victim.replication.counters.exchangesRefused).toBeGreaterThan(20);
    expect(victim.replication.counters.exchangesServed).toBeLessThan(40);
  });

  it('stops sending to a peer that asks for everything again and again', async () => {
    const request = encodeSync({ type: 'buckets', digests: new Uint8Array(512) });
    const all = encodeSync({ type: 'heads', buckets: new Set(), authors: [] });
    const sim = new ReplicationWorld({ seed: 53 });
    const victim = await sim.node(1, { options: { servedBytesBurst: 50_000, servedBytesPerSecond: 1 } });
    for (let i = 0; i < 10; i++) victim.store.set('registry', `k${i}`, 'x'.repeat(1_000));
    const mallory = sim.world.network(sim.identity(666));
    await mallory.start();
    await sim.world.settled(mallory.connect(victim.network.addresses()[0] as string, { timeoutMs: 5_000 }));
    let got = 0;
    for (let i = 0; i < 30; i++) {
      const channel = await sim.world.settled(mallory.open(victim.store.self, syncProtocol)).catch(() => undefined);
      channel?.listen({
        onFrame: (frame) => {
          got += frame.length;
        },
        onClose: () => undefined,
      });
      channel?.send(request);
      channel?.send(all);
      channel?.send(encodeSync({ type: 'end' }));
      await sim.world.run(500);
    }
    expect(got).toBeGreaterThan(50_000);
    expect(got).toBeLessThan(75_000);
    expect(victim.replication.counters.exchangesRefused).toBeGreaterThan(0);
  });

  it('is not moved by random broadcasts', async () => {
    const { sim, a, b } = await pair(54);
    for (let i = 0; i < 10; i++) {
      await a.network.publish(
        a.replication.topic,
        sim.world.rng.float() < 0.5 ? new Uint8Array([i]) : new Uint8Array(200).fill(i),
      );
    }
    await sim.world.run(1_000);
    expect(b.store.usage()).toEqual({ bytes: 0, authors: 0 });
    expect(b.store.counters.get('invalid')).toBeGreaterThan(0);
  });
});
