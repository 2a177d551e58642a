/**
 * Checks Ed25519 signatures, each only once: a request that came from its client comes again inside a batch, and a certificate is shown
 * in one view change after the other. A check costs about 90 µs, more than everything else a message costs.
 */
import { hash, type KeyObject, verify } from 'node:crypto';
import { promisify } from 'node:util';
import { LRUCache } from 'lru-cache';
import { type NodeId, publicKeyFromNodeId, verifyKeyFromPublicKey } from '../../../node-id.ts';
import type { SignatureClaim } from '../validate.ts';

/** Signatures remembered as good: several windows of batches at n = 7. About 250 bytes each. */
const maxRemembered = 20_000;
/** Keys kept ready: more than there are validators and busy clients. */
const maxKeys = 1_024;

const verifyInPool = promisify(
  (bytes: Uint8Array, key: KeyObject, signature: Uint8Array, done: (error: Error | null, good: boolean) => void) =>
    verify(null, bytes, key, signature, done),
);

export class SignatureVerifier {
  /** Checks that were made, and those that were spared, for status. */
  readonly counters = { verified: 0, remembered: 0 };
  /** Signature → signer and digest of what it signs. */
  readonly #good = new LRUCache<string, string>({ max: maxRemembered });
  readonly #keys = new LRUCache<NodeId, KeyObject>({ max: maxKeys });
  readonly #pool: boolean;

  /** Without the pool everything happens on this thread: what a simulation wants, whose time does not pass meanwhile. */
  constructor({ pool = true }: { readonly pool?: boolean } = {}) {
    this.#pool = pool;
  }

  /** On this thread; for the few signatures of ordinary messages. */
  verify(claim: SignatureClaim): boolean {
    const known = this.#known(claim);
    if (known.good) return true;
    const key = this.#key(claim.signer);
    if (key === undefined) return false;
    this.counters.verified += 1;
    const good = verify(null, claim.bytes, key, claim.signature);
    if (good) this.#good.set(known.signature, known.what);
    return good;
  }

  /** In the thread pool, so that the proofs of a view change, hundreds of signatures, do not hold up everything else. */
  async verifyAll(claims: readonly SignatureClaim[]): Promise<boolean> {
    if (!this.#pool) return claims.every((claim) => this.verify(claim));
    for (let at = 0; at < claims.length; at += inPoolAtOnce) {
      const results = await Promise.all(claims.slice(at, at + inPoolAtOnce).map((claim) => this.#verifyInPool(claim)));
      if (results.includes(false)) return false;
    }
    return true;
  }

  /** This node has just signed it. */
  remember(claim: SignatureClaim): void {
    const { signature, what } = this.#known(claim);
    this.#good.set(signature, what);
  }

  async #verifyInPool(claim: SignatureClaim): Promise<boolean> {
    const known = this.#known(claim);
    if (known.good) return true;
    const key = this.#key(claim.signer);
    if (key === undefined) return false;
    this.counters.verified += 1;
    const good = await verifyInPool(claim.bytes, key, claim.signature);
    if (good) this.#good.set(known.signature, known.what);
    return good;
  }

  #known({ signer, bytes, signature }: SignatureClaim): { good: boolean; signature: string; what: string } {
    const key = Buffer.from(signature.buffer, signature.byteOffset, signature.byteLength).toString('latin1');
    const what = signer + hash('sha256', bytes, 'base64');
    const good = this.#good.get(key) === what;
    if (good) this.counters.remembered += 1;
    return { good, signature: key, what };
  }

  #key(signer: NodeId): KeyObject | undefined {
    const known = this.#keys.get(signer);
    if (known !== undefined) return known;
    const raw = publicKeyFromNodeId(signer);
    if (raw === undefined) return undefined;
    const key = verifyKeyFromPublicKey(raw);
    this.#keys.set(signer, key);
    return key;
  }
}

/** Enough to keep the four threads of the pool busy, few enough to stop early at a bad one. */
const inPoolAtOnce = 32;
