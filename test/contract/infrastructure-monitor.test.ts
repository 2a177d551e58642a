/** The conformance suite of monitors: in one process, and for three nodes over real connections. */
import { describe } from 'vitest';
import { type MonitorParty, monitorConformance } from '../../src/conformance/infrastructure-monitor.ts';
import { createMesh, type Mesh } from '../../src/mesh.ts';
import { quiet } from '../mesh/mesh-nodes.ts';
import { pollUntil } from '../mesh/poll.ts';
import { declare } from './meshes.ts';

async function three(): Promise<readonly [Mesh, Mesh, Mesh]> {
  const common = { mode: 'cluster', name: 'contract', logger: quiet } as const;
  const first = await createMesh(common);
  const bootstrap = first.status().addresses;
  const rest = await Promise.all([createMesh({ ...common, bootstrap }), createMesh({ ...common, bootstrap })]);
  const nodes = [first, ...rest] as const;
  await pollUntil(() => nodes.every((mesh) => mesh.status().members.alive === 3));
  return nodes;
}

async function one(): Promise<readonly [Mesh, Mesh, Mesh]> {
  const mesh = await createMesh({ logger: quiet });
  return [mesh, mesh, mesh];
}

for (const [what, create] of [
  ['in one process', one],
  ['on three nodes', three],
] as const) {
  describe(what, () => {
    monitorConformance({
      test: declare,
      create: async () => {
        const nodes = await create();
        const party = (mesh: Mesh): MonitorParty => ({
          infrastructure: mesh.infrastructure,
          register: async (agent, handler) => {
            await mesh.registry.register(agent, handler, { capabilities: [] });
            await pollUntil(() => nodes.every(({ registry }) => registry.lookup(agent) !== undefined));
          },
          call: (agent, message, options) => mesh.call(agent, message, options),
        });
        return {
          parties: [party(nodes[0]), party(nodes[1]), party(nodes[2])],
          stop: async () => void (await Promise.all([...new Set(nodes)].map((mesh) => mesh.stop()))),
        };
      },
    });
  });
}
