import { describe, test } from 'vitest';
import { realClock } from '../../src/clock.ts';
import { conformanceMachines, stateMachinesConformance } from '../../src/conformance/coordination-machines.ts';
import { createIdentity } from '../../src/identity.ts';
import { LocalOrdering } from '../../src/protocols/coordination/local-ordering.ts';
import { CoordinationMachine } from '../../src/protocols/coordination/machine/machine.ts';
import {
  declareMachines,
  OrderedStateMachines,
} from '../../src/protocols/coordination/state-machines/machine-handle.ts';
import { StateMachinesReducer } from '../../src/protocols/coordination/state-machines/reducer.ts';
import { rethrow, toolsOver } from '../protocols/coordination/local-tools.ts';

describe('state machines in one process', () => {
  stateMachinesConformance({
    test,
    create: async () => {
      const identity = createIdentity();
      const machine = new CoordinationMachine([new StateMachinesReducer(conformanceMachines)]);
      const ordering = new LocalOrdering({ identity, machine, clock: realClock, onListenerError: rethrow });
      const tools = toolsOver(ordering, identity, realClock);
      await declareMachines(tools, conformanceMachines);
      return { nodes: [new OrderedStateMachines(tools)], stop: async () => ordering.stop() };
    },
  });
});
