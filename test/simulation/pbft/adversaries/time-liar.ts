/** Proposes batches with times far in the future or the past, to end or to prolong what is leased. */
import { makeBatch, proposalBytes } from '../../../../src/protocols/pbft/messages.ts';
import type { Adversary, Corruption } from '../node.ts';

export function timeLiar({ sign, state, world }: Corruption): Adversary {
  const shift = world.rng.float() < 0.5 ? 1e9 : -1e9;
  return {
    name: 'timeLiar',
    outgoing(_to, message) {
      const groupId = state()?.context.groupId;
      if (message.type !== 'prePrepare' || message.batch === undefined || groupId === undefined) return [message];
      if (message.batch.requests.length === 0 || message.replica !== state()?.self) return [message];
      const { epoch, view, seq } = message;
      const batch = makeBatch(message.batch.time + shift, message.batch.requests);
      const signature = sign(proposalBytes(groupId, 'prePrepare', epoch, view, seq, batch.digest));
      return [{ ...message, batch, digest: batch.digest, signature }];
    },
  };
}
