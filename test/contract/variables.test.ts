/** Variables keep the published rules in one process, over simulated entries of several nodes, and over real meshes. */
import { describe, test } from 'vitest';
import { realClock } from '../../src/clock.ts';
import { type VariablesSubject, variablesConformance } from '../../src/conformance/variables.ts';
import { agreedVariablesConformance } from '../../src/conformance/variables-agreed.ts';
import { HybridClock } from '../../src/hlc.ts';
import { createIdentity } from '../../src/identity.ts';
import { createMesh } from '../../src/mesh.ts';
import { LocalEntries } from '../../src/protocols/sharing/local-entries.ts';
import { MeshVariables } from '../../src/protocols/variables/mesh-variables.ts';
import { quiet } from '../mesh/mesh-nodes.ts';
import { declare, stopAll, validatorWithClients } from './meshes.ts';

const rethrow = (error: unknown): never => {
  throw error;
};

describe('over the entries of one process', () => {
  variablesConformance({
    test,
    create: async () => {
      const { id: self } = createIdentity();
      const variables = new MeshVariables({
        entries: new LocalEntries({ self, zone: 'test', onError: rethrow }),
        hlc: new HybridClock(realClock.wallNow),
        clock: realClock,
        zone: 'test',
        audience: undefined,
        agreements: undefined,
        onError: rethrow,
      });
      return { nodes: [{ variables, self }], stop: async () => variables.stop() };
    },
  });
});

describe('of a mesh of one process', () => {
  const create = async (): Promise<VariablesSubject> => {
    const mesh = await createMesh({ logger: quiet });
    return { nodes: [{ variables: mesh.variables, self: mesh.id }], stop: () => mesh.stop() };
  };
  variablesConformance({ test, create });
  agreedVariablesConformance({ test, create });
});

describe('of two nodes', () => {
  const create = async (): Promise<VariablesSubject> => {
    const [first, second] = await validatorWithClients(1);
    const nodes = [first, second as typeof first] as const;
    const [one, two] = nodes.map((mesh) => ({ variables: mesh.variables, self: mesh.id }));
    return { nodes: [one!, two!], stop: () => stopAll(nodes) };
  };
  variablesConformance({ test: declare, create });
  agreedVariablesConformance({ test: declare, create });
});
