/** A hierarchical barrier whose zones talk over libp2p on loopback; the order of commands is one machine in this process. */
import { afterEach, expect, it } from 'vitest';
import { realClock } from '../../src/clock.ts';
import { Libp2pNetwork } from '../../src/p2p/libp2p/network.ts';
import { NetworkZoneLink } from '../../src/protocols/coordination/barrier/network-zone-link.ts';
import { OrderedBarriers } from '../../src/protocols/coordination/barrier/ordered-barriers.ts';
import { BarrierReducer } from '../../src/protocols/coordination/barrier/reducer.ts';
import { identityOf, verify } from '../protocols/coordination/barrier/table.ts';
import { check } from '../protocols/coordination/barrier/zones.ts';
import { SharedOrder } from '../protocols/coordination/local-tools.ts';
import { pollUntil } from './poll.ts';

const networks: Libp2pNetwork[] = [];

afterEach(async () => {
  await Promise.all(networks.splice(0).map((network) => network.stop()));
});

it('eight participants in two zones pass together, generation after generation', async () => {
  const order = new SharedOrder([new BarrierReducer(verify)]);
  const zones = ['north', 'south'];
  const nodes = Array.from({ length: 8 }, (_, n) => ({ identity: identityOf(n), zone: zones[n % 2] as string }));
  const barriers: OrderedBarriers[] = [];
  for (const { identity, zone } of nodes) {
    const network = new Libp2pNetwork({
      identity,
      meshName: 'mesh',
      version: '0.0.0',
      epoch: 1,
      listen: ['/ip4/127.0.0.1/tcp/0'],
      onError: () => undefined,
    });
    networks.push(network);
    const peers = nodes.filter((other) => other.zone === zone).map((other) => other.identity.id);
    const link = new NetworkZoneLink(network, realClock, () => peers);
    // Nobody here waits for a real deadline; a slow machine only makes a participant go its own way.
    barriers.push(
      new OrderedBarriers({ ...order.node(identity), zone, clock: realClock, timeoutMs: 30_000 }, { link, check }),
    );
    await network.start();
  }
  for (const [n, network] of networks.entries()) {
    for (const other of networks.slice(n + 1))
      await network.connect(other.addresses()[0] as string, { timeoutMs: 10_000 });
  }
  await pollUntil(() => networks.every((network) => network.peers().length === 7));
  const options = { id: 'b', perZone: { north: 4, south: 4 }, strategy: 'hierarchical' } as const;
  const handles = await Promise.all(barriers.map((each) => each.barrier(options)));
  for (let generation = 1; generation <= 20; generation++) {
    const passages = await Promise.all(handles.map((handle) => handle.arrive()));
    for (const passage of passages) expect(passage).toEqual(passages[0]);
    expect(passages[0]).toMatchObject({ generation, arrived: 8 });
  }
  const sum = (counter: 'relayed' | 'arrivedDirectly' | 'refused') =>
    barriers.reduce((total, { counters }) => total + counters[counter], 0);
  expect(sum('relayed') + sum('arrivedDirectly')).toBeGreaterThanOrEqual(8 * 20);
  expect(sum('relayed')).toBeGreaterThan(0);
  expect(sum('refused')).toBe(0);
});
