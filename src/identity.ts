/** A node's Ed25519 key pair in memory, and the two things it does: name the node, and sign for it. */
import { createPrivateKey, createPublicKey, generateKeyPairSync, type KeyObject, sign } from 'node:crypto';
import { QuorateError } from './errors.ts';
import { type NodeId, nodeIdFromPublicKey } from './node-id.ts';

/** PKCS #8 header of an Ed25519 private key (RFC 8410). */
const pkcs8Header = Uint8Array.of(
  0x30,
  0x2e,
  0x02,
  0x01,
  0x00,
  0x30,
  0x05,
  0x06,
  0x03,
  0x2b,
  0x65,
  0x70,
  0x04,
  0x22,
  0x04,
  0x20,
);

export interface Identity {
  readonly id: NodeId;
  /** Raw 32-byte public key. */
  readonly publicKey: Uint8Array;
  /** Raw 32-byte private seed. Whoever has it is this node. */
  readonly seed: Uint8Array;
  /** Ed25519 signature (64 bytes) over `bytes`; about 30 µs. */
  sign(bytes: Uint8Array): Uint8Array;
}

/** A fresh random identity, or the one of a 32-byte seed. Throws `KEY_INVALID` for a seed of another length. */
export function createIdentity(seed?: Uint8Array): Identity {
  if (seed !== undefined && seed.length !== 32) {
    throw new QuorateError('KEY_INVALID', `An Ed25519 seed has 32 bytes; this one has ${seed.length}.`, {
      length: seed.length,
    });
  }
  const privateKey = seed === undefined ? generateKeyPairSync('ed25519').privateKey : privateKeyFromSeed(seed);
  const publicKey = rawKey(createPublicKey(privateKey), 'spki');
  return {
    id: nodeIdFromPublicKey(publicKey),
    publicKey,
    seed: rawKey(privateKey, 'pkcs8'),
    sign: (bytes) => new Uint8Array(sign(null, bytes, privateKey)),
  };
}

function privateKeyFromSeed(seed: Uint8Array): KeyObject {
  return createPrivateKey({ key: Buffer.concat([pkcs8Header, seed]), format: 'der', type: 'pkcs8' });
}

/** Both encodings end with the 32 bytes of the key itself. */
function rawKey(key: KeyObject, type: 'spki' | 'pkcs8'): Uint8Array {
  const der =
    type === 'spki' ? key.export({ format: 'der', type: 'spki' }) : key.export({ format: 'der', type: 'pkcs8' });
  return new Uint8Array(der.subarray(der.length - 32));
}
