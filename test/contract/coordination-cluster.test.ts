/** The conformance suites of coordination for a validator and a client on another node, over real connections. */
import { describe, test } from 'vitest';
import { atomsConformance } from '../../src/conformance/coordination-atoms.ts';
import { barrierConformance } from '../../src/conformance/coordination-barrier.ts';
import { conformanceMachines, stateMachinesConformance } from '../../src/conformance/coordination-machines.ts';
import { proposalConformance } from '../../src/conformance/coordination-proposals.ts';
import { createMesh, type Mesh } from '../../src/mesh.ts';
import { quiet } from '../mesh/mesh-nodes.ts';
import { pollUntil } from '../mesh/poll.ts';

const limitMs = 120_000;
const declare = (name: string, body: () => Promise<void>): void => test(name, body, limitMs);

async function pair(): Promise<{ nodes: readonly [Mesh, Mesh]; stop: () => Promise<void> }> {
  const common = { mode: 'cluster', name: 'contract', logger: quiet } as const;
  const validator = await createMesh({
    ...common,
    coordination: { validators: ['self'], durable: false, machines: conformanceMachines },
  });
  const client = await createMesh({ ...common, bootstrap: validator.status().addresses });
  return {
    nodes: [validator, client],
    stop: async () => {
      await client.stop();
      await validator.stop();
    },
  };
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
