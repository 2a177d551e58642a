/** Replication over real libp2p connections on loopback. */
import { afterEach, describe, expect, it } from 'vitest';
import { realClock, realRng } from '../../src/clock.ts';
import { FeedStore } from '../../src/crdt/feed-store.ts';
import { createIdentity } from '../../src/identity.ts';
import { Libp2pNetwork } from '../../src/p2p/libp2p/network.ts';
import { Replication } from '../../src/protocols/replication/replication.ts';
import { pollUntil } from './poll.ts';

interface RealNode {
  readonly store: FeedStore;
  readonly network: Libp2pNetwork;
  readonly replication: Replication;
}

const nodes: RealNode[] = [];

async function node(): Promise<RealNode> {
  const identity = createIdentity();
  const onError = (error: unknown): void => {
    throw error;
  };
  const network = new Libp2pNetwork({
    identity,
    meshName: 'real',
    version: '0.0.0',
    epoch: 1,
    listen: ['/ip4/127.0.0.1/tcp/0'],
    onError,
  });
  const store = new FeedStore({ mesh: 'real', identity, epoch: 1, onListenerError: onError });
  const replication = new Replication({
    meshName: 'real',
    store,
    network,
    clock: realClock,
    rng: realRng,
    log: () => undefined,
  });
  await network.start();
  replication.start();
  const made = { store, network, replication };
  nodes.push(made);
  return made;
}

async function connect(from: RealNode, to: RealNode): Promise<void> {
  await from.network.connect(to.network.addresses()[0] as string, { timeoutMs: 20_000 });
}

afterEach(async () => {
  for (const { replication, network } of nodes.splice(0)) {
    await replication.stop();
    await network.stop();
  }
});

describe('Replication on libp2p', () => {
  it('brings every node’s entries to all, over one hop or several', { timeout: 60_000 }, async () => {
    for (let n = 0; n < 4; n++) {
      const made = await node();
      made.store.set('members', 'self', { n });
      if (n > 0) await connect(made, nodes[n - 1] as RealNode);
    }
    const all = (store: 'members' | 'registry'): boolean =>
      nodes.every((reader) => nodes.every((author) => reader.store.entries(author.store.self, store).size > 0));
    await pollUntil(() => all('members'));
    for (const { store } of nodes) for (let i = 0; i < 20; i++) store.set('registry', `agent ${i}`, { i });
    await pollUntil(() => all('registry'));
    const roots = (): Set<string> => new Set(nodes.map(({ replication }) => replication.digest().join()));
    // Membership hands over digests with its probes; here the test does.
    for (const { replication } of nodes) {
      for (const other of nodes) replication.onPeerDigest(other.store.self, other.replication.digest());
    }
    await pollUntil(() => roots().size === 1);
    expect(nodes[3]?.store.get(nodes[0]?.store.self as never, 'registry', 'agent 7')).toEqual({ i: 7 });
  });

  it('carries a large state to a joiner by a stream', { timeout: 60_000 }, async () => {
    const [a, b] = [await node(), await node()];
    for (let i = 0; i < 3000; i++) a.store.set('registry', `agent ${i}`, 'x'.repeat(100));
    await a.replication.flush();
    await connect(b, a);
    await pollUntil(() => b.store.entries(a.store.self, 'registry').size === 3000);
    const head = a.store.head(a.store.self, 'registry');
    if (head === undefined) throw new Error('no head');
    expect(b.replication.has(a.store.self, 'registry', head)).toBe(true);
  });

  it('gives the last value to the others when a node writes and leaves at once', { timeout: 60_000 }, async () => {
    const [a, b] = [await node(), await node()];
    await connect(a, b);
    a.store.set('registry', 'x', 'last');
    await a.replication.stop();
    await a.network.stop();
    await pollUntil(() => b.store.get(a.store.self, 'registry', 'x') === 'last');
  });
});
