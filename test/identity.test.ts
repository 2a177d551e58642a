import { verify } from 'node:crypto';
import { publicKeyFromRaw } from '@libp2p/crypto/keys';
import { peerIdFromPublicKey } from '@libp2p/peer-id';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { createIdentity } from '../src/identity.ts';
import { isNodeId, nodeIdFromPublicKey, publicKeyFromNodeId, verifyKeyFromPublicKey } from '../src/node-id.ts';

describe('identity', () => {
  it('has the same id as libp2p gives its key', () => {
    const identity = createIdentity();
    expect(identity.id).toBe(peerIdFromPublicKey(publicKeyFromRaw(identity.publicKey)).toString());
  });

  it('is the same for the same seed, and refuses seeds of another length', () => {
    const seed = new Uint8Array(32).fill(7);
    expect(createIdentity(seed).id).toBe(createIdentity(seed).id);
    expect(createIdentity(createIdentity(seed).seed).id).toBe(createIdentity(seed).id);
    expect(() => createIdentity(new Uint8Array(31))).toThrowError(expect.objectContaining({ code: 'KEY_INVALID' }));
  });

  it('signs what its own public key verifies', () => {
    const identity = createIdentity();
    const bytes = new TextEncoder().encode('promise');
    const key = verifyKeyFromPublicKey(identity.publicKey);
    expect(verify(null, bytes, key, identity.sign(bytes))).toBe(true);
    expect(verify(null, new TextEncoder().encode('another'), key, identity.sign(bytes))).toBe(false);
  });
});

describe('node ids', () => {
  it('give their key back', () => {
    fc.assert(
      fc.property(fc.uint8Array({ minLength: 32, maxLength: 32 }), (key) => {
        const id = nodeIdFromPublicKey(key);
        expect(publicKeyFromNodeId(id)).toEqual(new Uint8Array(key));
        expect(isNodeId(id)).toBe(true);
      }),
    );
  });

  it('are nothing else than that', () => {
    const id = createIdentity().id;
    for (const other of ['', 'x', `${id}1`, id.slice(1), id.replace('1', '0'), `Qm${id.slice(2)}`]) {
      expect(isNodeId(other)).toBe(false);
    }
    fc.assert(
      fc.property(fc.string({ minLength: 40, maxLength: 60 }), (text) => {
        expect(isNodeId(text)).toBe(false);
      }),
    );
  });
});
