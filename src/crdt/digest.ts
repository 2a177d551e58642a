/**
 * A summary of all feed heads that two nodes can compare: 64 buckets of 8 bytes, and their combination,
 * the root, of 8 bytes. Equal sets of heads give equal digests whatever the order in which they came.
 *
 * Each feed contributes the first 8 bytes of its newest envelope's content hash (which covers author,
 * store, epoch and seq) to its author's bucket, by exclusive or, so a head is taken out the way it was put
 * in. An author could search for two heads of its own that collide; it would only hide itself.
 */
export const bucketCount = 64;
export const digestBytes = 8;

/** The bucket of an author: the low six bits of the first byte of its public key. */
export function bucketOf(authorKey: Uint8Array): number {
  return (authorKey[0] as number) % bucketCount;
}

export class FeedDigest {
  readonly #buckets = new Uint8Array(bucketCount * digestBytes);
  readonly #root = new Uint8Array(digestBytes);

  /** Puts a head in, or takes it out again. */
  toggle(authorKey: Uint8Array, hash: Uint8Array): void {
    const start = bucketOf(authorKey) * digestBytes;
    for (let i = 0; i < digestBytes; i++) {
      const byte = hash[i] as number;
      this.#buckets[start + i] = (this.#buckets[start + i] as number) ^ byte;
      this.#root[i] = (this.#root[i] as number) ^ byte;
    }
  }

  root(): Uint8Array {
    return this.#root.slice();
  }

  buckets(): Uint8Array {
    return this.#buckets.slice();
  }
}

/** The numbers of the buckets in which two bucket digests of 512 bytes differ. */
export function differingBuckets(a: Uint8Array, b: Uint8Array): number[] {
  const differing: number[] = [];
  for (let bucket = 0; bucket < bucketCount; bucket++) {
    const start = bucket * digestBytes;
    const end = start + digestBytes;
    if (Buffer.compare(a.subarray(start, end), b.subarray(start, end)) !== 0) differing.push(bucket);
  }
  return differing;
}
