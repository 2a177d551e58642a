/** Sends everything late, just below the patience of the others: a primary like this must not stop the group. */
import type { Adversary, Corruption } from '../node.ts';

export function slow({ world, send }: Corruption): Adversary {
  return {
    name: 'slow',
    outgoing(to, message) {
      world.after(120 + world.rng.float() * 100, () => send(to, message));
      return [];
    },
  };
}
