/** Answers state transfers with damaged parts, and requests for batches with other batches. */
import { makeBatch } from '../../../../src/protocols/pbft/messages.ts';
import type { Adversary, Corruption } from '../node.ts';

export function stateCorrupter({ world }: Corruption): Adversary {
  return {
    name: 'stateCorrupter',
    outgoing(_to, message) {
      if (message.type === 'batch') return [{ ...message, batch: makeBatch(1, []) }];
      if (message.type !== 'statePart') return [message];
      const bytes = Uint8Array.from(message.bytes);
      const at = world.rng.below(bytes.length || 1);
      if (world.rng.float() < 0.3) return [{ ...message, bytes: bytes.subarray(0, at) }];
      if (bytes.length > 0) bytes[at] = (bytes[at] as number) ^ 1;
      return [{ ...message, bytes }];
    },
  };
}
