/** Prepares and commits everything twice: what was proposed, and something else. */
import { digestOf, type Message, proposalBytes } from '../../../../src/protocols/pbft/messages.ts';
import type { Adversary, Corruption } from '../node.ts';

export function doubleVoter({ sign, state, world }: Corruption): Adversary {
  return {
    name: 'doubleVoter',
    outgoing(_to, message) {
      const groupId = state()?.context.groupId;
      if (groupId === undefined) return [message];
      let second: Message | undefined;
      if (message.type === 'prepare') {
        const digest = digestOf(Uint8Array.of(message.seq % 256, 1));
        const signature = sign(proposalBytes(groupId, 'prepare', message.epoch, message.view, message.seq, digest));
        second = { ...message, digest, signature };
      } else if (message.type === 'commit')
        second = { ...message, digest: digestOf(Uint8Array.of(message.seq % 256, 1)) };
      if (second === undefined) return [message];
      return world.rng.float() < 0.5 ? [message, second] : [second, message];
    },
  };
}
