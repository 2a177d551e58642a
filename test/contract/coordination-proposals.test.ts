import { describe, test } from 'vitest';
import { realClock } from '../../src/clock.ts';
import { proposalConformance } from '../../src/conformance/coordination-proposals.ts';
import { createIdentity } from '../../src/identity.ts';
import { LocalOrdering } from '../../src/protocols/coordination/local-ordering.ts';
import { CoordinationMachine } from '../../src/protocols/coordination/machine/machine.ts';
import { OrderedProposals } from '../../src/protocols/coordination/proposals/ordered-proposals.ts';
import { ProposalsReducer } from '../../src/protocols/coordination/proposals/reducer.ts';
import { rethrow, toolsOver } from '../protocols/coordination/local-tools.ts';

describe('proposals in one process', () => {
  proposalConformance({
    test,
    create: async () => {
      const identity = createIdentity();
      const { id: self } = identity;
      const machine = new CoordinationMachine([new ProposalsReducer()]);
      const ordering = new LocalOrdering({ identity, machine, clock: realClock, onListenerError: rethrow });
      const known = new Set<string>();
      const tools = toolsOver(ordering, identity, realClock);
      const proposals = new OrderedProposals({
        ...tools,
        locate: (agent) => (known.has(agent) ? { node: self, zone: 'test' } : undefined),
      });
      return {
        nodes: [{ proposals, self, register: async (agent) => void known.add(agent) }],
        trust: () => ({ local: self }),
        stop: async () => {
          proposals.stop();
          ordering.stop();
        },
      };
    },
  });
});
