/**
 * Stand-in for Ed25519: a signature is a SHA-256 over a secret of the signer and the bytes. Only the world
 * knows the secrets and checks with them; an adversary is given its own `sign` and can forge nobody else's.
 */
import { hash } from 'node:crypto';
import { type NodeId, nodeIdFromPublicKey } from '../../../src/node-id.ts';
import type { Verify } from '../../../src/protocols/pbft/validate.ts';

/** The node id number `index` of every simulation. */
export function nodeNumber(index: number): NodeId {
  return nodeIdFromPublicKey(new Uint8Array(32).fill(index + 1));
}

export class Keys {
  readonly #secrets = new Map<NodeId, Uint8Array>();

  #secret(id: NodeId): Uint8Array {
    let secret = this.#secrets.get(id);
    if (secret === undefined) {
      secret = new Uint8Array(hash('sha256', `secret of ${id}`, 'buffer'));
      this.#secrets.set(id, secret);
    }
    return secret;
  }

  signer(id: NodeId): (bytes: Uint8Array) => Uint8Array {
    const secret = this.#secret(id);
    return (bytes) => new Uint8Array(hash('sha256', Buffer.concat([secret, bytes]), 'buffer'));
  }

  readonly verify: Verify = (signer, bytes, signature) => {
    const expected = hash('sha256', Buffer.concat([this.#secret(signer), bytes]), 'buffer');
    return Buffer.compare(expected, signature) === 0;
  };
}
