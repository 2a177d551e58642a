/** Signs checkpoints of a state that nobody has, sometimes a different one for each peer. */
import { checkpointBytes, digestOf } from '../../../../src/protocols/pbft/messages.ts';
import type { Adversary, Corruption } from '../node.ts';

export function lyingCheckpoint({ sign, state, peers, world }: Corruption): Adversary {
  const twoFaced = world.rng.float() < 0.5;
  return {
    name: 'lyingCheckpoint',
    outgoing(to, message) {
      const groupId = state()?.context.groupId;
      if (message.type !== 'checkpoint' || groupId === undefined) return [message];
      if (twoFaced && peers.indexOf(to) % 2 === 0) return [message];
      const digest = digestOf(Uint8Array.of(message.seq % 256));
      const signature = sign(checkpointBytes(groupId, message.epoch, message.seq, digest));
      return [{ ...message, digest, signature }];
    },
  };
}
