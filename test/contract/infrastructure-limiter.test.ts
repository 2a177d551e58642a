import { describe, test } from 'vitest';
import { type LimitedNode, limiterConformance } from '../../src/conformance/infrastructure-limiter.ts';
import { createMesh, type Mesh } from '../../src/mesh.ts';
import { quiet } from '../mesh/mesh-nodes.ts';

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

describe('on three nodes', () => {
  limiterConformance({
    test: (name, body) => test(name, body, 120_000),
    create: async () => {
      const common = { mode: 'cluster', name: 'limits', logger: quiet } as const;
      const first = await createMesh(common);
      const bootstrap = first.status().addresses;
      const others = await Promise.all([1, 2].map(() => createMesh({ ...common, bootstrap })));
      const meshes = [first, ...others];
      const [one, ...more] = meshes.map(limitedNode);
      return {
        nodes: [one as LimitedNode, ...more],
        stop: async () => void (await Promise.all(meshes.map((mesh) => mesh.stop()))),
      };
    },
  });
});
