import { describe, test } from 'vitest';
import { type LimitedNode, limiterConformance } from '../../src/conformance/infrastructure-limiter.ts';
import { createMesh, type Mesh } from '../../src/mesh.ts';
import { quiet } from '../mesh/mesh-nodes.ts';
import { declare, stopAll, validatorWithClients } from './meshes.ts';

const limitedNode = (mesh: Mesh): LimitedNode => ({
  infrastructure: mesh.infrastructure,
  register: (agent, handler) => mesh.registry.register(agent, handler, { capabilities: [] }),
  call: (agent) => mesh.call(agent, 'now'),
});

describe('in one process', () => {
  limiterConformance({
    test,
    create: async () => {
      const mesh = await createMesh({ logger: quiet });
      return { nodes: [limitedNode(mesh)], stop: () => mesh.stop() };
    },
  });
});

describe('on three nodes, one of them a validator', () => {
  limiterConformance({
    test: declare,
    create: async () => {
      const meshes = await validatorWithClients(2);
      const [one, ...more] = meshes.map(limitedNode);
      return { nodes: [one as LimitedNode, ...more], stop: () => stopAll(meshes) };
    },
  });
});
