/** Every implementation of `Registry` keeps the published rules. */
import { describe, test } from 'vitest';
import { realClock, seededRng } from '../../src/clock.ts';
import { registryConformance } from '../../src/conformance.ts';
import { HybridClock } from '../../src/hlc.ts';
import { createIdentity } from '../../src/identity.ts';
import { ClusterRegistry } from '../../src/protocols/registry/cluster-registry.ts';
import { LocalRegistry } from '../../src/protocols/registry/local-registry.ts';
import { createClusterDependencies, rethrow } from '../protocols/registry/harness.ts';

describe('LocalRegistry', () => {
  registryConformance({
    test,
    create: async () => {
      const { id: self } = createIdentity();
      const registry = new LocalRegistry({
        self,
        zone: 'test',
        hlc: new HybridClock(realClock.wallNow),
        rng: seededRng(1),
        maxAgents: 20_000,
        onListenerError: rethrow,
      });
      return { registry, self, zone: 'test', stop: () => registry.stop() };
    },
  });
});

describe('ClusterRegistry', () => {
  registryConformance({
    test,
    create: async () => {
      const dependencies = createClusterDependencies({ zone: 'test', clock: realClock, maxAgents: 20_000 });
      const registry = new ClusterRegistry(dependencies);
      return { registry, self: dependencies.self, zone: 'test', stop: () => registry.stop() };
    },
  });
});
