/**
 * As the primary of a new view, does not do what the view changes say: leaves proposals out, replaces them,
 * shows different quorums to different replicas, or orders fresh batches below the checkpoint the view
 * starts from.
 */
import { newViewBody } from '../../../../src/protocols/pbft/encoding.ts';
import {
  bodyBytes,
  type Message,
  makeBatch,
  type NewView,
  nullBatch,
  proposalBytes,
} from '../../../../src/protocols/pbft/messages.ts';
import type { Adversary, Corruption } from '../node.ts';

export function newViewLiar({ world, sign, state, send, peers }: Corruption): Adversary {
  const { rng } = world;
  const style = rng.below(4);
  const lie = (message: NewView, groupId: Uint8Array): Message[] => {
    const { epoch, view } = message;
    let { proposals } = message;
    if (style === 0) proposals = proposals.slice(0, -1);
    if (style === 1) {
      // Everybody holds the null batch, so nothing but the check of the proposals stands in its way.
      const other = nullBatch.digest;
      proposals = proposals.map(({ seq }) => {
        return { seq, digest: other, signature: sign(proposalBytes(groupId, 'prePrepare', epoch, view, seq, other)) };
      });
    }
    const content = { ...message, proposals };
    const body = newViewBody(content);
    return [{ ...content, body, signature: sign(bodyBytes(groupId, 'newView', body)) }];
  };
  return {
    name: 'newViewLiar',
    outgoing(_to, message) {
      const current = state();
      if (message.type !== 'newView' || current === undefined || message.replica !== current.self) return [message];
      return style < 2 ? lie(message, current.context.groupId) : [message];
    },
    tick() {
      const current = state();
      if (current === undefined || style < 2) return;
      if (rng.float() < 0.2) current.suspecting = true;
      // Orders something new in every low slot of a view it leads.
      const { group, view, log, context } = current;
      if (group.validators[view % group.validators.length] !== current.self || !current.active) return;
      const seq = Math.max(1, log.low - 6 + rng.below(10));
      const batch = makeBatch(1_700_000_000_000 + Math.floor(world.now), []);
      const signature = sign(proposalBytes(context.groupId, 'prePrepare', group.epoch, view, seq, batch.digest));
      const proposal = { epoch: group.epoch, view, seq, digest: batch.digest, replica: current.self, signature };
      for (const to of peers) send(to, { ...proposal, type: 'prePrepare', batch });
    },
  };
}
