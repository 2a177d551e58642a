/**
 * Lies in view changes: invents prepared certificates with forged votes, reuses the votes of one slot for
 * another digest, hides what it has prepared, or claims a checkpoint nobody signed.
 */
import { viewChangeBody } from '../../../../src/protocols/pbft/encoding.ts';
import {
  bodyBytes,
  digestOf,
  type PreparedCertificate,
  type ViewChange,
} from '../../../../src/protocols/pbft/messages.ts';
import type { Adversary, Corruption } from '../node.ts';

export function certificateForger({ world, sign, state, peers, self }: Corruption): Adversary {
  const { rng } = world;
  const fake = digestOf(Uint8Array.of(rng.below(256)));
  const forgeries: ((change: ViewChange) => Pick<ViewChange, 'prepared' | 'checkpoint'>)[] = [
    ({ checkpoint }) => ({ checkpoint, prepared: [] }),
    ({ checkpoint, prepared }) => ({ checkpoint, prepared: prepared.slice(0, -1) }),
    ({ checkpoint, prepared }) => ({ checkpoint, prepared: prepared.map((one) => ({ ...one, digest: fake })) }),
    ({ checkpoint, prepared }) => ({ checkpoint, prepared: prepared.map((one) => ({ ...one, prepares: [] })) }),
    ({ checkpoint, prepared, view }) => ({
      checkpoint,
      prepared: prepared.map((one) => ({ ...one, view: view - 1, digest: fake })),
    }),
    ({ checkpoint, view }) => ({ checkpoint, prepared: [invented(checkpoint.head.seq + 1, view - 1)] }),
    ({ checkpoint, prepared }) => ({
      checkpoint: { ...checkpoint, head: { ...checkpoint.head, seq: checkpoint.head.seq + 4, root: fake } },
      prepared: prepared.filter(({ seq }) => seq > checkpoint.head.seq + 4),
    }),
  ];
  const invented = (seq: number, view: number): PreparedCertificate => {
    const prepares = [self, ...peers].slice(0, 3).map((replica) => ({ replica, signature: sign(Uint8Array.of(1)) }));
    return { view, seq, digest: fake, signature: sign(Uint8Array.of(2)), prepares };
  };
  return {
    name: 'certificateForger',
    outgoing(_to, message) {
      const groupId = state()?.context.groupId;
      if (message.type !== 'viewChange' || groupId === undefined || message.replica !== self) return [message];
      const forge = forgeries[rng.below(forgeries.length)] as (typeof forgeries)[number];
      const content = { ...message, ...forge(message) };
      const body = viewChangeBody(content);
      return [{ ...content, body, signature: sign(bodyBytes(groupId, 'viewChange', body)) }];
    },
    // Asks for view changes again and again, so that its lies are needed.
    tick() {
      const current = state();
      if (current !== undefined && rng.float() < 0.2) current.suspecting = true;
    },
  };
}
