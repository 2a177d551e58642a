/**
 * A node id is the libp2p peer id of its Ed25519 key: base58btc of the identity multihash of the
 * protobuf-encoded public key (libp2p peer-ids specification). The key can be read back from the id,
 * so a signature can be checked with nothing but the author's name.
 */
import { createPublicKey, type KeyObject } from 'node:crypto';
import { base58btc } from 'multiformats/bases/base58';

declare const nodeIdBrand: unique symbol;
/** What makes a checked id out of a string; declarations name it. */
export interface NodeIdBrand {
  readonly [nodeIdBrand]: true;
}
/** The name of a node: `12D3KooW…`, derived from its public key. */
export type NodeId = string & NodeIdBrand;

/** Identity multihash, 36 bytes long; protobuf: key type 1 (Ed25519), then 32 bytes of key. */
const prefix = Uint8Array.of(0x00, 0x24, 0x08, 0x01, 0x12, 0x20);
const publicKeyLength = 32;
/** SubjectPublicKeyInfo header of an Ed25519 key (RFC 8410). */
const spkiHeader = Uint8Array.of(0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00);

/** The node id of a raw 32-byte Ed25519 public key. */
export function nodeIdFromPublicKey(publicKey: Uint8Array): NodeId {
  const bytes = new Uint8Array(prefix.length + publicKeyLength);
  bytes.set(prefix);
  bytes.set(publicKey, prefix.length);
  return base58btc.baseEncode(bytes) as NodeId;
}

/** The raw public key in a node id, or undefined when the text is not the id of an Ed25519 key. */
export function publicKeyFromNodeId(id: string): Uint8Array | undefined {
  if (id.length < 48 || id.length > 56) return undefined;
  let bytes: Uint8Array;
  try {
    bytes = base58btc.baseDecode(id);
  } catch {
    return undefined; // Not base58: the caller asked whether it is an id, and it is not.
  }
  if (bytes.length !== prefix.length + publicKeyLength) return undefined;
  if (!prefix.every((byte, index) => bytes[index] === byte)) return undefined;
  return bytes.subarray(prefix.length);
}

export function isNodeId(id: string): id is NodeId {
  return publicKeyFromNodeId(id) !== undefined;
}

/** The key as `node:crypto` wants it; importing costs about 25 µs, so callers keep it. */
export function verifyKeyFromPublicKey(publicKey: Uint8Array): KeyObject {
  const der = new Uint8Array(spkiHeader.length + publicKeyLength);
  der.set(spkiHeader);
  der.set(publicKey, spkiHeader.length);
  return createPublicKey({ key: Buffer.from(der), format: 'der', type: 'spki' });
}
