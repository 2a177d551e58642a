/** Orders one batch for half of the others and another for the rest, each signed, and votes for both. */
import { makeBatch, proposalBytes } from '../../../../src/protocols/pbft/messages.ts';
import type { Adversary, Corruption } from '../node.ts';

export function equivocator({ sign, state, peers, world }: Corruption): Adversary {
  const offset = world.rng.below(2);
  return {
    name: 'equivocator',
    outgoing(to, message) {
      const groupId = state()?.context.groupId;
      const other = (peers.indexOf(to) + offset) % 2 === 0;
      if (groupId === undefined || !other) return [message];
      if (message.type === 'prePrepare' && message.batch !== undefined) {
        const { epoch, view, seq } = message;
        const batch = makeBatch(message.batch.time + 1, [...message.batch.requests].reverse());
        const signature = sign(proposalBytes(groupId, 'prePrepare', epoch, view, seq, batch.digest));
        return [{ ...message, batch, digest: batch.digest, signature }];
      }
      return [message];
    },
  };
}
