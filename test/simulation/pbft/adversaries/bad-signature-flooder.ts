/** Votes in the names of others, with signatures that are not theirs. */
import { digestOf, type Proposal } from '../../../../src/protocols/pbft/messages.ts';
import type { Adversary, Corruption } from '../node.ts';

export function badSignatureFlooder({ world, peers, sign, state, send }: Corruption): Adversary {
  const { rng } = world;
  return {
    name: 'badSignatureFlooder',
    tick() {
      const current = state();
      if (current === undefined) return;
      const { epoch } = current.group;
      for (const victim of peers) {
        const seq = current.log.low + 1 + rng.below(8);
        const digest = digestOf(Uint8Array.of(rng.below(3)));
        const vote: Proposal = {
          epoch,
          view: current.view,
          seq,
          digest,
          replica: victim,
          signature: sign(Uint8Array.of(seq)),
        };
        for (const to of peers) {
          send(to, { type: 'prepare', ...vote });
          send(to, { type: 'prePrepare', ...vote, batch: undefined });
          send(to, { type: 'commit', epoch, view: vote.view, seq, digest, replica: victim });
          send(to, {
            type: 'checkpoint',
            epoch,
            seq: current.log.low + 4,
            digest,
            replica: victim,
            signature: vote.signature,
          });
        }
      }
    },
  };
}
