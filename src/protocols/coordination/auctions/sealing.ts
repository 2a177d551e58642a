/**
 * A sealed bid: a commitment that hides the amount and binds the bidder, and the opening that reveals it, locked away for its own node.
 *
 * The commitment is SHA-256 over a domain, the auction, the bidder, the amount and 32 random bytes: without those nobody can try amounts, and
 * nobody can present another amount, or another's commitment as its own. The opening travels with it, encrypted (AES-256-GCM) under a key
 * that only the node can derive, by signing what it signs for nothing else (Ed25519 signatures are deterministic, RFC 8032). So the
 * log itself keeps the secret through a restart, and a handle in any process that has the node's key can reveal.
 */
import { createCipheriv, createDecipheriv, createHash } from 'node:crypto';
import type { Rng } from '../../../clock.ts';
import type { NodeId } from '../../../node-id.ts';
import { Writer } from '../../pbft/wire.ts';
import { sealedBytes } from './commands.ts';

const text = new TextEncoder();
const commitDomain = text.encode('quorate/auction/commit/1');
const keyDomain = text.encode('quorate/auction/key/1');

/** What a bid is bound to. */
export interface BidBinding {
  readonly id: string;
  readonly opening: number;
  readonly agent: string;
  readonly node: NodeId;
}

export interface Opening {
  readonly amount: number;
  /** 32 random bytes. */
  readonly nonce: Uint8Array;
}

export type Sign = (bytes: Uint8Array) => Uint8Array;

const bindingBytes = (domain: Uint8Array, { id, opening, agent, node }: BidBinding): Writer =>
  new Writer().bytes(domain).bytes(text.encode(id)).uint(opening).bytes(text.encode(agent)).bytes(text.encode(node));

export function commitmentOf(binding: BidBinding, { amount, nonce }: Opening): Uint8Array {
  const bytes = bindingBytes(commitDomain, binding).uint(amount).bytes(nonce).finish();
  return new Uint8Array(createHash('sha256').update(bytes).digest());
}

/** Locks an opening up for the node that `sign` speaks for. Always of one length, so it tells nothing of the amount. */
export function sealBid(sign: Sign, rng: Rng, binding: BidBinding, opening: Opening): Uint8Array {
  const iv = rng.bytes(12);
  const cipher = createCipheriv('aes-256-gcm', keyOf(sign, binding), iv);
  const plain = Buffer.alloc(8);
  plain.writeBigUInt64BE(BigInt(opening.amount));
  const parts = [iv, cipher.update(plain), cipher.update(opening.nonce), cipher.final(), cipher.getAuthTag()];
  return new Uint8Array(Buffer.concat(parts));
}

/** The opening again, if this node sealed it for this binding and it belongs to the commitment. */
export function unsealBid(
  sign: Sign,
  binding: BidBinding,
  sealed: Uint8Array,
  commitment: Uint8Array,
): Opening | undefined {
  if (sealed.length !== sealedBytes) return undefined;
  const decipher = createDecipheriv('aes-256-gcm', keyOf(sign, binding), sealed.subarray(0, 12));
  decipher.setAuthTag(sealed.subarray(-16));
  let plain: Buffer;
  try {
    plain = Buffer.concat([decipher.update(sealed.subarray(12, -16)), decipher.final()]);
  } catch {
    return undefined; // The tag does not fit: sealed by another key, or for another auction.
  }
  const amount = Number(plain.readBigUInt64BE());
  const opening = { amount, nonce: new Uint8Array(plain.subarray(8)) };
  if (!Number.isSafeInteger(amount)) return undefined;
  return sameBytes(commitmentOf(binding, opening), commitment) ? opening : undefined;
}

export function sameBytes(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && Buffer.compare(a, b) === 0;
}

function keyOf(sign: Sign, binding: BidBinding): Buffer {
  return createHash('sha256')
    .update(keyDomain)
    .update(sign(bindingBytes(keyDomain, binding).finish()))
    .digest();
}
