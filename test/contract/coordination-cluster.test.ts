/** The conformance suites of coordination for a validator and a client on another node, over real connections. */
import { describe } from 'vitest';
import { atomsConformance } from '../../src/conformance/coordination-atoms.ts';
import { barrierConformance } from '../../src/conformance/coordination-barrier.ts';
import { conformanceMachines, stateMachinesConformance } from '../../src/conformance/coordination-machines.ts';
import { proposalConformance } from '../../src/conformance/coordination-proposals.ts';
import type { Mesh } from '../../src/mesh.ts';
import { pollUntil } from '../mesh/poll.ts';
import { declare, stopAll, validatorWithClients } from './meshes.ts';

async function pair(): Promise<{ nodes: readonly [Mesh, Mesh]; stop: () => Promise<void> }> {
  const nodes = (await validatorWithClients(1, { machines: conformanceMachines })) as readonly [Mesh, Mesh];
  return { nodes, stop: () => stopAll(nodes) };
}

describe('numbers and maps', () => {
  atomsConformance({
    test: declare,
    create: async () => {
      const { nodes, stop } = await pair();
      return { nodes: [nodes[0].coordination, nodes[1].coordination], stop };
    },
  });
});

describe('state machines', () => {
  stateMachinesConformance({
    test: declare,
    create: async () => {
      const { nodes, stop } = await pair();
      return { nodes: [nodes[0].coordination, nodes[1].coordination], stop };
    },
  });
});

describe('barriers', () => {
  barrierConformance({
    test: declare,
    create: async () => {
      const { nodes, stop } = await pair();
      const node = ({ coordination }: Mesh) => ({ barriers: coordination, zone: 'default' });
      return { nodes: [node(nodes[0]), node(nodes[1])], stop };
    },
  });
});

describe('decisions', () => {
  proposalConformance({
    test: declare,
    create: async () => {
      const { nodes, stop } = await pair();
      const [validator, client] = nodes;
      const node = (mesh: Mesh) => ({
        proposals: mesh.coordination,
        self: mesh.id,
        register: async (agent: string) => {
          await mesh.registry.register(agent, { where: async () => mesh.id }, { capabilities: [] });
          await pollUntil(() => nodes.every(({ registry }) => registry.lookup(agent) !== undefined));
        },
      });
      return {
        nodes: [node(validator), node(client)],
        trust: () => ({ name: 'contract', validators: [validator.id], f: 0 }),
        stop,
      };
    },
  });
});
