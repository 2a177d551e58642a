import { describe, test } from 'vitest';
import { type BreakerNode, breakerConformance } from '../../src/conformance/infrastructure-breaker.ts';
import { createMesh, type Mesh } from '../../src/mesh.ts';
import type { CallContext } from '../../src/protocols/messaging/messaging.ts';
import { quiet } from '../mesh/mesh-nodes.ts';
import { pollUntil } from '../mesh/poll.ts';

function breakerNode(mesh: Mesh, all: () => readonly Mesh[]): BreakerNode {
  return {
    infrastructure: mesh.infrastructure,
    messaging: mesh,
    register: async (agent, handler) => {
      const answer = (_message: unknown, { method }: CallContext): unknown => handler(method);
      // Methods are told apart by the handler itself.
      const methods = { work: answer, fine: answer, default: answer };
      await mesh.registry.register(agent, agent === 'worker' ? methods : answer, { capabilities: [] });
      await pollUntil(() => all().every((other) => other.registry.lookup(agent) !== undefined));
    },
  };
}

describe('in one process', () => {
  breakerConformance({
    test,
    create: async () => {
      const mesh = await createMesh({ logger: quiet });
      return { nodes: [breakerNode(mesh, () => [mesh])], stop: () => mesh.stop() };
    },
  });
});

describe('on three nodes', () => {
  breakerConformance({
    test: (name, body) => test(name, body, 120_000),
    create: async () => {
      const common = { mode: 'cluster', name: 'breakers', logger: quiet } as const;
      const first = await createMesh(common);
      const bootstrap = first.status().addresses;
      const others = await Promise.all([1, 2].map(() => createMesh({ ...common, bootstrap })));
      const meshes = [first, ...others];
      const [one, ...more] = meshes.map((mesh) => breakerNode(mesh, () => meshes));
      return {
        nodes: [one as BreakerNode, ...more],
        stop: async () => void (await Promise.all(meshes.map((mesh) => mesh.stop()))),
      };
    },
  });
});
