/** Serves some of the others perfectly and is dead for the rest. */
import type { Adversary, Corruption } from '../node.ts';

export function selectiveSender({ world, peers }: Corruption): Adversary {
  const served = new Set(peers.filter(() => world.rng.float() < 0.6));
  const wholly = world.rng.float() < 0.5;
  return {
    name: 'selectiveSender',
    outgoing(to, message) {
      const matters = wholly || message.type === 'prePrepare' || message.type === 'newView';
      return matters && peers.includes(to) && !served.has(to) ? [] : [message];
    },
  };
}
