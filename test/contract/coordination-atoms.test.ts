import { describe, test } from 'vitest';
import { atomsConformance } from '../../src/conformance/coordination-atoms.ts';
import { namesConformance } from '../../src/conformance/coordination-names.ts';
import { MachineAtoms } from '../../src/protocols/coordination/atoms/machine-atoms.ts';
import { MapReducer } from '../../src/protocols/coordination/atoms/map-reducer.ts';
import { CounterReducer, SequenceReducer } from '../../src/protocols/coordination/atoms/number-reducers.ts';
import { NameClaims } from '../../src/protocols/coordination/names/name-claims.ts';
import { NamesReducer } from '../../src/protocols/coordination/names/reducer.ts';
import { localNode, SharedOrder } from '../protocols/coordination/local-tools.ts';

const atomReducers = () => [new SequenceReducer(), new CounterReducer(), new MapReducer()];
const nothing = async (): Promise<void> => undefined;

describe('in one process', () => {
  atomsConformance({
    test,
    create: async () => ({ nodes: [new MachineAtoms(localNode(atomReducers()).tools)], stop: nothing }),
  });
  namesConformance({
    test,
    create: async () => {
      const { tools } = localNode([new NamesReducer()]);
      const names = new NameClaims(tools);
      return { nodes: [{ names, self: tools.self }], stop: () => names.stop() };
    },
  });
});

describe('for several nodes that share an order', () => {
  atomsConformance({
    test,
    create: async () => {
      const shared = new SharedOrder(atomReducers());
      return { nodes: [new MachineAtoms(shared.node()), new MachineAtoms(shared.node())], stop: nothing };
    },
  });
  namesConformance({
    test,
    create: async () => {
      const shared = new SharedOrder([new NamesReducer()]);
      const node = () => {
        const tools = shared.node();
        return { names: new NameClaims(tools), self: tools.self };
      };
      const nodes = [node(), node()] as const;
      return { nodes, stop: async () => void (await Promise.all(nodes.map(({ names }) => names.stop()))) };
    },
  });
});
