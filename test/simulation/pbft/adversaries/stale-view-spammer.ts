/** Votes in views that are over or far away, and for sequences far outside the window. */
import { type Commit, digestOf, proposalBytes } from '../../../../src/protocols/pbft/messages.ts';
import type { Adversary, Corruption } from '../node.ts';

export function staleViewSpammer({ world, peers, sign, state, self, send }: Corruption): Adversary {
  const { rng } = world;
  const far = [0, 1, 2 ** 20, 2 ** 52];
  return {
    name: 'staleViewSpammer',
    tick() {
      const current = state();
      if (current === undefined) return;
      const view =
        rng.float() < 0.5 ? Math.max(0, current.view - 1 + rng.below(3)) : (far[rng.below(far.length)] as number);
      const seq = rng.float() < 0.6 ? current.log.low + 1 + rng.below(8) : (far[rng.below(far.length)] as number);
      const digest = digestOf(Uint8Array.of(rng.below(4)));
      const vote = { epoch: current.group.epoch, view, seq, digest, replica: self };
      const signature = sign(proposalBytes(current.context.groupId, 'prepare', vote.epoch, view, seq, digest));
      const commit: Commit = { type: 'commit', ...vote };
      for (const to of peers) {
        send(to, { type: 'prepare', ...vote, signature });
        send(to, commit);
      }
    },
  };
}
