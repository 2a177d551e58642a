import { seededRng } from '../../../src/clock.ts';
import { createIdentity } from '../../../src/identity.ts';
import type { Network } from '../../../src/p2p/network.ts';
import type { SimulatedNetwork } from '../../../src/p2p/simulated/network.ts';
import { SimulatedWorld } from '../../../src/p2p/simulated/world.ts';
import { type NetworkHarness, networkContract } from '../../contract/network.ts';

const numbered = (n: number) => createIdentity(seededRng(1_000 + n).bytes(32));

networkContract('simulated', (): NetworkHarness => {
  const world = new SimulatedWorld({ seed: 7 });
  let made = 0;
  return {
    make: ({ identity, ...settings } = {}) => {
      made += 1;
      return world.network(numbered(identity ?? 1_000 + made), {
        ...settings,
        host: `host${made}`,
        onError: () => undefined,
      });
    },
    idOf: (identity) => numbered(identity).id,
    settled: (promise) => world.settled(promise),
    until: (predicate) => world.until(predicate, 60_000),
    breathe: () => world.run(20),
    crash: (network: Network) => world.crash(network as SimulatedNetwork),
    close: async () => undefined,
  };
});
