/** The conformance suite of locks, semaphores and elections: in one process, and for a validator with two clients over real connections. */
import { describe, test } from 'vitest';
import { type GrantSubject, grantConformance } from '../../src/conformance/coordination-grants.ts';
import { createMesh, type Mesh } from '../../src/mesh.ts';
import { quiet } from '../mesh/mesh-nodes.ts';

const limitMs = 120_000;

function subjectOf(nodes: readonly [Mesh, Mesh, Mesh]): GrantSubject {
  const party = ({ coordination, id }: Mesh) => ({ coordination, node: id });
  return {
    parties: [party(nodes[0]), party(nodes[1]), party(nodes[2])],
    stop: async () => {
      await Promise.all([...new Set(nodes)].map((mesh) => mesh.stop()));
    },
  };
}

describe('in one process', () => {
  grantConformance({
    test: (name, body) => test(name, body, limitMs),
    create: async () => {
      const mesh = await createMesh({ logger: quiet });
      return subjectOf([mesh, mesh, mesh]);
    },
  });
});

describe('ordered by a validator, with clients on other nodes', () => {
  grantConformance({
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
