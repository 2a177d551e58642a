import { describe, test } from 'vitest';
import { realClock } from '../../src/clock.ts';
import { barrierConformance } from '../../src/conformance/coordination-barrier.ts';
import { createIdentity } from '../../src/identity.ts';
import { OrderedBarriers } from '../../src/protocols/coordination/barrier/ordered-barriers.ts';
import { BarrierReducer } from '../../src/protocols/coordination/barrier/reducer.ts';
import { SelfZoneLink } from '../../src/protocols/coordination/barrier/zone-link.ts';
import { LocalOrdering } from '../../src/protocols/coordination/local-ordering.ts';
import { CoordinationMachine } from '../../src/protocols/coordination/machine/machine.ts';
import { verify } from '../protocols/coordination/barrier/table.ts';
import { rethrow, toolsOver } from '../protocols/coordination/local-tools.ts';

describe('barriers in one process', () => {
  barrierConformance({
    test,
    create: async () => {
      const identity = createIdentity();
      const machine = new CoordinationMachine([new BarrierReducer(verify)]);
      const ordering = new LocalOrdering({ identity, machine, clock: realClock, onListenerError: rethrow });
      const tools = toolsOver(ordering, identity, realClock);
      const barriers = new OrderedBarriers(tools, { link: new SelfZoneLink(identity.id) });
      return {
        nodes: [{ barriers, zone: tools.zone }],
        stop: async () => {
          barriers.stop();
          ordering.stop();
        },
      };
    },
  });
});
