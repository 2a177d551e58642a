/** The conformance suite of locks, semaphores and elections: in one process, and for a validator with two clients over real connections. */
import { type GrantParty, grantConformance } from '../../src/conformance/coordination-grants.ts';
import type { Mesh } from '../../src/mesh.ts';
import { declare, forThreeParties, stopAll } from './meshes.ts';

forThreeParties((create) => {
  grantConformance({
    test: declare,
    create: async () => {
      const nodes = await create();
      const party = ({ coordination, id }: Mesh): GrantParty => ({ coordination, node: id });
      return { parties: [party(nodes[0]), party(nodes[1]), party(nodes[2])], stop: () => stopAll(nodes) };
    },
  });
});
