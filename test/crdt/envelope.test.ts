import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  envelopeOverheadBytes,
  meshTag,
  readEnvelope,
  readSignedHeader,
  sealEnvelope,
  storeNames,
  toSignedHeader,
  verifyEnvelope,
  verifySignedHeader,
} from '../../src/crdt/envelope.ts';
import { verifyKeyFromPublicKey } from '../../src/node-id.ts';
import { identityOf, mesh } from './feed-harness.ts';

const identity = identityOf('author');
const key = verifyKeyFromPublicKey(identity.publicKey);
const tag = meshTag(mesh);

const drafts = fc.record({
  mesh: fc.constant(tag),
  kind: fc.constantFrom('delta' as const, 'snapshot' as const),
  store: fc.constantFrom(...storeNames),
  epoch: fc.integer({ min: 1, max: Number.MAX_SAFE_INTEGER }),
  seq: fc.integer({ min: 2, max: Number.MAX_SAFE_INTEGER }),
  previous: fc.uint8Array({ minLength: 32, maxLength: 32 }),
  payload: fc.uint8Array({ maxLength: 300 }),
});

describe('envelope', () => {
  it('reads back what was sealed, and the signature holds', () => {
    fc.assert(
      fc.property(drafts, (draft) => {
        const sealed = sealEnvelope(draft, identity);
        const read = readEnvelope(sealed.bytes, tag);
        if (typeof read === 'string') throw new Error(read);
        expect({ ...read, previous: [...read.previous], payload: [...read.payload] }).toMatchObject({
          kind: draft.kind,
          store: draft.store,
          epoch: draft.epoch,
          seq: draft.seq,
          previous: [...draft.previous],
          payload: [...draft.payload],
        });
        expect(Buffer.compare(read.hash, sealed.hash)).toBe(0);
        expect(verifyEnvelope(read, key)).toBe(true);
      }),
      { numRuns: 30 },
    );
  });

  it('fails on every single flipped bit, by shape or by signature', () => {
    const sealed = sealEnvelope(
      {
        mesh: tag,
        kind: 'delta',
        store: 'registry',
        epoch: 5,
        seq: 9,
        previous: new Uint8Array(32).fill(7),
        payload: Uint8Array.of(1, 2),
      },
      identity,
    );
    for (let bit = 0; bit < sealed.bytes.length * 8; bit++) {
      const flipped = sealed.bytes.slice();
      flipped[bit >> 3] = (flipped[bit >> 3] as number) ^ (1 << (bit & 7));
      const read = readEnvelope(flipped, tag);
      if (typeof read !== 'string') expect(verifyEnvelope(read, key)).toBe(false);
    }
  });

  it('never throws for random bytes', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 400 }), (bytes) => {
        const read = readEnvelope(bytes, tag);
        expect(typeof read === 'string' || read.bytes.length >= envelopeOverheadBytes).toBe(true);
        expect(typeof readSignedHeader(bytes, tag)).toBe('string');
      }),
    );
  });

  it('gives one content one hash, whatever the signature bytes are', () => {
    const sealed = sealEnvelope(
      {
        mesh: tag,
        kind: 'snapshot',
        store: 'members',
        epoch: 1,
        seq: 1,
        previous: new Uint8Array(32),
        payload: Uint8Array.of(0, 0),
      },
      identity,
    );
    const other = sealed.bytes.slice();
    other.fill(0, 99, 163);
    const read = readEnvelope(other, tag);
    if (typeof read === 'string') throw new Error(read);
    expect(Buffer.compare(read.hash, sealed.hash)).toBe(0);
    expect(verifyEnvelope(read, key)).toBe(false);
  });

  it.each([
    ['mesh', { mesh: meshTag('another') }],
    ['first', { seq: 1, kind: 'delta' as const }],
    ['first', { seq: 1, previous: new Uint8Array(32).fill(1) }],
    ['number', { epoch: 0 }],
    ['number', { seq: 2 ** 53 }],
  ])('refuses a wrong %s', (reason, change) => {
    const good = {
      mesh: tag,
      kind: 'snapshot' as const,
      store: 'members' as const,
      epoch: 1,
      seq: 2,
      previous: new Uint8Array(32),
      payload: Uint8Array.of(0, 0),
    };
    expect(readEnvelope(sealEnvelope({ ...good, ...change }, identity).bytes, tag)).toBe(reason);
  });

  it('has signed headers that can be verified without the payload', () => {
    fc.assert(
      fc.property(drafts, (draft) => {
        const sealed = sealEnvelope(draft, identity);
        const signed = readSignedHeader(toSignedHeader(sealed), tag);
        if (typeof signed === 'string') throw new Error(signed);
        expect(Buffer.compare(signed.hash, sealed.hash)).toBe(0);
        expect(verifySignedHeader(signed, key)).toBe(true);
        const forged = signed.bytes.slice();
        forged[120] = (forged[120] as number) ^ 1;
        const read = readSignedHeader(forged, tag);
        expect(typeof read !== 'string' && verifySignedHeader(read, key)).toBe(false);
      }),
      { numRuns: 30 },
    );
  });
});
