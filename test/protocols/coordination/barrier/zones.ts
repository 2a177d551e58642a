/** Nodes of several zones on the simulated network, in front of one machine that puts commands in order at once. */

import { seededRng } from '../../../../src/clock.ts';
import { decodeValue } from '../../../../src/codec.ts';
import { QuorateError } from '../../../../src/errors.ts';
import type { NodeId } from '../../../../src/node-id.ts';
import type { SimulatedNetwork } from '../../../../src/p2p/simulated/network.ts';
import { SimulatedWorld } from '../../../../src/p2p/simulated/world.ts';
import { decodePayload } from '../../../../src/payload.ts';
import type { Barrier, BarrierOptions } from '../../../../src/protocols/coordination/barrier/barrier.ts';
import { NetworkZoneLink } from '../../../../src/protocols/coordination/barrier/network-zone-link.ts';
import { OrderedBarriers } from '../../../../src/protocols/coordination/barrier/ordered-barriers.ts';
import { BarrierReducer } from '../../../../src/protocols/coordination/barrier/reducer.ts';
import type { CheckCertificate } from '../../../../src/protocols/coordination/barrier/zone-participant.ts';
import { statementBytes } from '../../../../src/protocols/coordination/certificates/statement.ts';
import type { CoordinationTools } from '../../../../src/protocols/coordination/tools.ts';
import { ManualClock, SharedOrder } from '../local-tools.ts';
import { identityOf, verify } from './table.ts';

/** Agreed time is the world's. */
class WorldClock extends ManualClock {
  readonly #world: SimulatedWorld;

  constructor(world: SimulatedWorld) {
    super();
    this.#world = world;
  }

  override wallNow(): number {
    return this.#world.clock.wallNow();
  }
}

/** The group of the tests is one signature of whoever asked it. */
export const check: CheckCertificate = ({ group, epoch, query, statement, signatures }) => {
  const [first] = signatures;
  const good =
    first !== undefined && verify(first.validator, statementBytes(group, epoch, query, statement), first.signature);
  const asked = decodePayload(query);
  const said = decodeValue(statement);
  if (!good || !asked.ok || !said.ok) throw new QuorateError('CERTIFICATE_INVALID', 'Not signed.');
  return { query: asked.value, statement: said.value };
};

export interface ZoneNode {
  readonly id: NodeId;
  readonly zone: string;
  readonly tools: CoordinationTools;
  readonly network: SimulatedNetwork;
  readonly link: NetworkZoneLink;
  readonly barriers: OrderedBarriers;
}

export class Zones {
  readonly world = new SimulatedWorld({ seed: 11 });
  readonly order = new SharedOrder([new BarrierReducer(verify)], new WorldClock(this.world));
  /** Sorted by id, so the first of each zone is its aggregator. */
  readonly nodes: ZoneNode[] = [];
  readonly dead = new Set<NodeId>();

  /** How many nodes in which zone, all connected. `checks`: they can check certificates. */
  static async make(zones: Readonly<Record<string, number>>, { checks = true } = {}): Promise<Zones> {
    const made = new Zones();
    let n = 100;
    for (const [zone, size] of Object.entries(zones)) {
      const identities = Array.from({ length: size }, () => identityOf(n++)).sort((a, b) => (a.id < b.id ? -1 : 1));
      for (const identity of identities) {
        const network = made.world.network(identity, { onError: () => undefined, rng: seededRng(n++) });
        const { clock } = network;
        const tools = { ...made.order.node(identity), clock, zone };
        const link = new NetworkZoneLink(network, clock, () => made.#zonePeers(zone));
        const parts = { link, ...(checks ? { check } : {}) };
        const barriers = new OrderedBarriers(tools, parts);
        await network.start();
        made.nodes.push({ id: identity.id, zone, tools, network, link, barriers });
      }
    }
    for (const from of made.nodes) {
      for (const to of made.nodes) {
        if (from.id >= to.id) continue;
        await made.world.settled(from.network.connect(to.network.addresses()[0] as string, { timeoutMs: 1_000 }));
      }
    }
    return made;
  }

  async open(options: Omit<BarrierOptions, 'id'>): Promise<Barrier[]> {
    const all = this.nodes.map(({ barriers }) => barriers.barrier({ id: 'b', ...options }));
    return this.world.settled(Promise.all(all));
  }

  total(counter: 'toGroup' | 'toZone' | 'arrivedDirectly' | 'relayed' | 'relayCommands' | 'refused'): number {
    return this.nodes.reduce((sum, { barriers }) => sum + barriers.counters[counter], 0);
  }

  #zonePeers(zone: string): readonly NodeId[] {
    return this.nodes.filter((node) => node.zone === zone && !this.dead.has(node.id)).map(({ id }) => id);
  }
}
