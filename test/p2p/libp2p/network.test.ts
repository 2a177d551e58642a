import { seededRng } from '../../../src/clock.ts';
import { createIdentity } from '../../../src/identity.ts';
import { Libp2pNetwork } from '../../../src/p2p/libp2p/network.ts';
import type { Network } from '../../../src/p2p/network.ts';
import { type NetworkHarness, networkContract } from '../../contract/network.ts';
import { pollUntil } from '../../mesh/poll.ts';

const numbered = (n: number) => createIdentity(seededRng(2_000 + n).bytes(32));

networkContract('libp2p', (): NetworkHarness => {
  const networks: Libp2pNetwork[] = [];
  return {
    make: ({ identity, meshName, ...settings } = {}) => {
      const network = new Libp2pNetwork({
        identity: identity === undefined ? createIdentity() : numbered(identity),
        meshName: meshName ?? 'contract',
        version: '0.0.0',
        epoch: 1,
        listen: ['/ip4/127.0.0.1/tcp/0'],
        onError: () => undefined,
        ...settings,
      });
      networks.push(network);
      return network;
    },
    idOf: (identity) => numbered(identity).id,
    settled: (promise) => promise,
    until: pollUntil,
    breathe: () => new Promise((resolve) => setTimeout(resolve, 10)),
    crash: (network: Network) => void (network as Libp2pNetwork).abort(),
    close: async () => {
      await Promise.all(networks.map((network) => network.stop()));
    },
  };
});
