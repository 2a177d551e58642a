/** Forgets its log, or the end of it, whenever it restarts, and restarts often. */
import type { Adversary, Corruption } from '../node.ts';

export function amnesiac({ world }: Corruption, restart: () => void): Adversary {
  return {
    name: 'amnesiac',
    afterCrash: (records) => (world.rng.float() < 0.5 ? [] : records.slice(0, world.rng.below(records.length + 1))),
    tick() {
      if (world.rng.float() < 0.04) restart();
    },
  };
}
