/** Nodes that replicate in a simulated world. */

import { seededRng } from '../../../src/clock.ts';
import { FeedStore } from '../../../src/crdt/feed-store.ts';
import type { FeedLimits } from '../../../src/crdt/limits.ts';
import { createIdentity, type Identity } from '../../../src/identity.ts';
import type { SimulatedNetwork } from '../../../src/p2p/simulated/network.ts';
import { SimulatedWorld, type SimulatedWorldOptions } from '../../../src/p2p/simulated/world.ts';
import { Replication } from '../../../src/protocols/replication/replication.ts';
import type { ReplicationOptions } from '../../../src/protocols/replication/replication-options.ts';
import { viewOf } from '../../crdt/feed-harness.ts';

export interface SimNode {
  readonly store: FeedStore;
  readonly network: SimulatedNetwork;
  readonly replication: Replication;
}

export interface NodeSetup {
  readonly epoch?: number;
  readonly limits?: Partial<FeedLimits>;
  readonly options?: Partial<ReplicationOptions>;
}

export class ReplicationWorld {
  readonly world: SimulatedWorld;
  readonly nodes: SimNode[] = [];
  readonly warnings: string[] = [];

  constructor(options: SimulatedWorldOptions) {
    this.world = new SimulatedWorld(options);
  }

  identity(n: number): Identity {
    return createIdentity(seededRng(5_000 + n).bytes(32));
  }

  async node(n: number, setup: NodeSetup = {}): Promise<SimNode> {
    const identity = this.identity(n);
    const network = this.world.network(identity);
    const store = new FeedStore({
      mesh: 'sim',
      identity,
      epoch: setup.epoch ?? 1,
      ...(setup.limits === undefined ? {} : { limits: setup.limits }),
      onListenerError: (error) => {
        throw error;
      },
    });
    const replication = new Replication({
      meshName: 'sim',
      store,
      network,
      clock: network.clock,
      rng: network.rng,
      log: (level, message, data) => {
        if (level === 'warn') this.warnings.push(`${message} ${JSON.stringify(data)}`);
      },
      ...(setup.options === undefined ? {} : { options: setup.options }),
    });
    await network.start();
    replication.start();
    const node = { store, network, replication };
    this.nodes.push(node);
    return node;
  }

  async connect(a: SimNode, b: SimNode): Promise<void> {
    const address = b.network.addresses()[0] as string;
    await this.world.settled(a.network.connect(address, { timeoutMs: 5_000 }));
  }

  /** `count` nodes in a ring with chords: each has about four neighbours. */
  async ring(count: number, setup: NodeSetup = {}): Promise<SimNode[]> {
    const nodes: SimNode[] = [];
    for (let n = 0; n < count; n++) nodes.push(await this.node(n, setup));
    for (let n = 0; n < count; n++) {
      await this.connect(nodes[n] as SimNode, nodes[(n + 1) % count] as SimNode);
      if (count > 4) await this.connect(nodes[n] as SimNode, nodes[(n + 2) % count] as SimNode);
    }
    return nodes;
  }

  /** What membership does: each neighbour's digest arrives with its probe acks. */
  probe(everyMs: number): void {
    const round = (): void => {
      for (const { network, replication } of this.nodes) {
        if (!network.listening) continue;
        for (const peer of network.peers()) {
          const digest = this.nodes
            .find((node) => node.store.self === peer && node.network.listening)
            ?.replication.digest();
          if (digest !== undefined) replication.onPeerDigest(peer, digest);
        }
      }
      this.world.clock.after(everyMs, round);
    };
    this.world.clock.after(everyMs, round);
  }

  converged(nodes: readonly SimNode[] = this.nodes): boolean {
    const root = Buffer.from((nodes[0] as SimNode).replication.digest());
    return nodes.every(({ replication }) => root.equals(replication.digest()));
  }

  views(nodes: readonly SimNode[] = this.nodes): string[] {
    return nodes.map(({ store }) => JSON.stringify(viewOf(store)));
  }
}
