/** Suspects every primary, claims that anything was committed, and says it has executed what nobody has. */
import { digestOf } from '../../../../src/protocols/pbft/messages.ts';
import type { Adversary, Corruption } from '../node.ts';

export function slanderer({ world, peers, state, send }: Corruption): Adversary {
  const { rng } = world;
  return {
    name: 'slanderer',
    outgoing(_to, message) {
      if (message.type !== 'status') return [message];
      return [{ ...message, suspects: true, view: message.view + rng.below(2), stable: 0, executed: rng.below(5) * 7 }];
    },
    tick() {
      const current = state();
      if (current === undefined) return;
      const { epoch } = current.group;
      const seq = current.replicated.executed + rng.below(4);
      const digest = digestOf(Uint8Array.of(seq % 256, 9));
      for (const to of peers) send(to, { type: 'committed', epoch, seq, digest });
    },
  };
}
