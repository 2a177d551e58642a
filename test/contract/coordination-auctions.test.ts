/** The conformance suite of auctions: in one process, and for a validator with two clients over real connections. */
import { describe, test } from 'vitest';
import {
  type AuctionParty,
  type AuctionSubject,
  auctionConformance,
} from '../../src/conformance/coordination-auctions.ts';
import { createMesh, type Mesh } from '../../src/mesh.ts';
import { quiet } from '../mesh/mesh-nodes.ts';
import { pollUntil } from '../mesh/poll.ts';

const limitMs = 120_000;

function subjectOf(nodes: readonly [Mesh, Mesh, Mesh]): AuctionSubject {
  const all = [...new Set(nodes)];
  const party = (mesh: Mesh): AuctionParty => ({
    coordination: mesh.coordination,
    node: mesh.id,
    register: async (agent) => {
      await mesh.registry.register(agent, () => undefined, { capabilities: [] });
      await pollUntil(() => all.every(({ registry }) => registry.lookup(agent) !== undefined));
    },
  });
  return {
    parties: [party(nodes[0]), party(nodes[1]), party(nodes[2])],
    stop: async () => {
      await Promise.all(all.map((mesh) => mesh.stop()));
    },
  };
}

describe('in one process', () => {
  auctionConformance({
    test: (name, body) => test(name, body, limitMs),
    create: async () => {
      const mesh = await createMesh({ logger: quiet });
      return subjectOf([mesh, mesh, mesh]);
    },
  });
});

describe('ordered by a validator, with clients on other nodes', () => {
  auctionConformance({
    test: (name, body) => test(name, body, limitMs),
    create: async () => {
      const common = { mode: 'cluster', logger: quiet } as const;
      const first = await createMesh({ ...common, coordination: { validators: ['self'], durable: false } });
      const bootstrap = first.status().addresses;
      const [second, third] = await Promise.all([
        createMesh({ ...common, bootstrap }),
        createMesh({ ...common, bootstrap }),
      ]);
      return subjectOf([first, second, third]);
    },
  });
});
