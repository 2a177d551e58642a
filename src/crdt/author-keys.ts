/** Imported public keys by their raw bytes, least recently used out first: importing one costs about 25 µs. */
import type { KeyObject } from 'node:crypto';
import { type NodeId, nodeIdFromPublicKey, verifyKeyFromPublicKey } from '../node-id.ts';

export interface AuthorKey {
  readonly id: NodeId;
  readonly raw: Uint8Array;
  readonly key: KeyObject;
}

export class AuthorKeys {
  readonly #known = new Map<string, AuthorKey>();
  readonly #capacity: number;

  constructor(capacity: number) {
    this.#capacity = capacity;
  }

  get(raw: Uint8Array): AuthorKey {
    const text = Buffer.from(raw.buffer, raw.byteOffset, raw.length).toString('latin1');
    let known = this.#known.get(text);
    if (known === undefined) {
      const own = new Uint8Array(raw);
      known = { id: nodeIdFromPublicKey(own), raw: own, key: verifyKeyFromPublicKey(own) };
      if (this.#known.size >= this.#capacity) {
        for (const oldest of this.#known.keys()) {
          this.#known.delete(oldest);
          break;
        }
      }
    } else this.#known.delete(text);
    this.#known.set(text, known);
    return known;
  }
}
