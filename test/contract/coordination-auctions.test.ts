/** The conformance suite of auctions: in one process, and for a validator with two clients over real connections. */
import { type AuctionParty, auctionConformance } from '../../src/conformance/coordination-auctions.ts';
import type { Mesh } from '../../src/mesh.ts';
import { pollUntil } from '../mesh/poll.ts';
import { declare, forThreeParties, stopAll } from './meshes.ts';

forThreeParties((create) => {
  auctionConformance({
    test: declare,
    create: async () => {
      const nodes = await create();
      const party = (mesh: Mesh): AuctionParty => ({
        coordination: mesh.coordination,
        node: mesh.id,
        register: async (agent) => {
          await mesh.registry.register(agent, () => undefined, { capabilities: [] });
          await pollUntil(() => nodes.every(({ registry }) => registry.lookup(agent) !== undefined));
        },
      });
      return { parties: [party(nodes[0]), party(nodes[1]), party(nodes[2])], stop: () => stopAll(nodes) };
    },
  });
});
