/**
 * Tries to take the group over: votes for validators of its own choice, claims they rule already, and shows
 * proofs of epochs that only itself has signed.
 */
import { headDigest, requestBody, requestBytes } from '../../../../src/protocols/pbft/encoding.ts';
import { bodyBytes, checkpointBytes, type Request } from '../../../../src/protocols/pbft/messages.ts';
import { nodeNumber } from '../keys.ts';
import type { Adversary, Corruption } from '../node.ts';

export function reconfigurationAttacker({ world, peers, sign, state, self, send }: Corruption): Adversary {
  const own = [self, nodeNumber(50), nodeNumber(51), nodeNumber(52)];
  let number = 1;
  const ask = (groupId: Uint8Array, open: boolean, session: number): Request => {
    const operation = open ? ({ kind: 'open' } as const) : ({ kind: 'reconfigure', validators: own, f: 1 } as const);
    const content = { client: self, session, number: open ? 1 : number++, acknowledged: 0, operation };
    const body = requestBody(content);
    const signature = sign(bodyBytes(groupId, 'request', body));
    return { type: 'request', ...content, signature, bytes: requestBytes(body, signature) };
  };
  return {
    name: 'reconfigurationAttacker',
    tick() {
      const current = state();
      if (current === undefined || world.rng.float() < 0.7) return;
      const { groupId } = current.context;
      const session = current.replicated.sessions.sessions.get(self)?.id;
      const request = ask(groupId, session === undefined, session ?? 0);
      const { epoch } = current.group;
      const seq = current.log.low + 4;
      const group = { epoch: epoch + 1, since: seq, validators: own, f: 1 };
      const head = { ...current.stable.proof.head, seq, group };
      const signature = sign(checkpointBytes(groupId, epoch, seq, headDigest(head)));
      const votes = [self, ...peers].map((replica) => ({ replica, signature }));
      const step = { epoch, head, votes };
      for (const to of peers) {
        send(to, request);
        send(to, { type: 'catchUp', epochs: [step], checkpoint: step });
        send(to, { type: 'catchUp', epochs: [], checkpoint: { ...step, votes: votes.slice(0, 1) } });
      }
    },
  };
}
