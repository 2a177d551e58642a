/** Keeps what it hears and sends it again, later, to anybody, under its own connection. */
import type { Adversary, Corruption } from '../node.ts';

export function replayer({ world, peers, sendBytes }: Corruption): Adversary {
  const heard: Uint8Array[] = [];
  return {
    name: 'replayer',
    incoming(_from, bytes) {
      if (heard.length < 400) heard.push(bytes);
      else heard[world.rng.below(heard.length)] = bytes;
      return true;
    },
    tick() {
      for (let count = 0; count < 4; count++) {
        const bytes = heard[world.rng.below(heard.length || 1)];
        const to = peers[world.rng.below(peers.length)];
        if (bytes !== undefined && to !== undefined) sendBytes(to, bytes);
      }
    },
  };
}
