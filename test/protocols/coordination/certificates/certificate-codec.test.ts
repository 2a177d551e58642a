import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { isQuorateError } from '../../../../src/errors.ts';
import type { NodeId } from '../../../../src/node-id.ts';
import type { Certificate } from '../../../../src/protocols/coordination/certificates/certificate.ts';
import {
  certificateFromJson,
  certificateToJson,
  decodeCertificate,
  encodeCertificate,
  maxCertificateBytes,
  maxProofBytes,
} from '../../../../src/protocols/coordination/certificates/certificate-codec.ts';
import { verifyCertificate } from '../../../../src/protocols/coordination/certificates/verify.ts';
import { maxValidators } from '../../../../src/protocols/pbft/quorum.ts';
import { certificate, encodeProof, founders, ids, succession, trust } from './certified.ts';

const bytes = (maxLength: number) => fc.uint8Array({ maxLength });
const certificates: fc.Arbitrary<Certificate> = fc.record({
  group: bytes(32),
  epoch: fc.maxSafeNat(),
  query: bytes(300),
  statement: bytes(300),
  signatures: fc.array(
    fc.record({
      validator: fc.string({ unit: 'grapheme-ascii', maxLength: 64 }) as fc.Arbitrary<string> as fc.Arbitrary<NodeId>,
      signature: bytes(64),
    }),
    { maxLength: 5 },
  ),
  succession: fc.array(bytes(300), { maxLength: 5 }),
});

/** The certificate, or undefined where it is refused; any other error fails. */
function attempt(decode: () => Certificate): Certificate | undefined {
  try {
    return decode();
  } catch (error) {
    if (isQuorateError(error, 'CERTIFICATE_INVALID') && error.data['reason'] === 'malformed') return undefined;
    throw error;
  }
}

describe('certificates as bytes', () => {
  it('come back as they were', () => {
    fc.assert(
      fc.property(certificates, (one) => {
        expect(decodeCertificate(encodeCertificate(one))).toEqual(one);
      }),
    );
  });

  it('any bytes give a certificate with exactly this encoding, or are refused', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 400 }), (raw) => {
        expect(attempt(() => decodeCertificate(raw))).toBeUndefined(); // Nobody guesses the first 22 bytes.
      }),
    );
    const good = encodeCertificate(certificate({ succession: [Uint8Array.of(1, 2, 3)] }));
    fc.assert(
      fc.property(fc.nat(good.length - 1), fc.integer({ min: 1, max: 255 }), fc.nat(good.length), (at, flip, cut) => {
        const changed = good.map((byte, index) => (index === at ? byte ^ flip : byte));
        for (const raw of [changed, good.subarray(0, cut), changed.subarray(0, cut)]) {
          const decoded = attempt(() => decodeCertificate(raw));
          if (decoded !== undefined) expect(encodeCertificate(decoded)).toEqual(new Uint8Array(raw));
        }
      }),
      { numRuns: 1_000 },
    );
  });

  it('no change of a byte leaves a valid certificate', () => {
    const first = succession(founders, { validators: ids(0, 1, 2, 4), f: 1 }, [0, 1, 2]);
    const good = encodeCertificate(certificate({ epoch: 1, signers: [4, 0], succession: [first.bytes] }));
    expect(verifyCertificate(decodeCertificate(good), trust).epoch).toBe(1);
    fc.assert(
      fc.property(fc.nat(good.length - 1), fc.integer({ min: 1, max: 255 }), (at, flip) => {
        const changed = good.map((byte, index) => (index === at ? byte ^ flip : byte));
        expect(() => verifyCertificate(decodeCertificate(changed), trust)).toThrow(
          expect.objectContaining({ code: 'CERTIFICATE_INVALID' }),
        );
      }),
      { numRuns: 300 },
    );
  });

  it('are refused over their limits', () => {
    const too = (fields: Partial<Certificate>): unknown =>
      attempt(() => decodeCertificate(encodeCertificate({ ...certificate(), ...fields })));
    expect(too({})).toBeDefined();
    expect(too({ group: new Uint8Array(33) })).toBeUndefined();
    expect(too({ query: new Uint8Array(65_537) })).toBeUndefined();
    expect(too({ statement: new Uint8Array(131_073) })).toBeUndefined();
    const [one] = certificate().signatures;
    expect(too({ signatures: Array(maxValidators + 1).fill(one) })).toBeUndefined();
    expect(too({ succession: Array(1_025).fill(Uint8Array.of(1)) })).toBeUndefined();
    expect(too({ succession: [new Uint8Array(maxProofBytes + 1)] })).toBeUndefined();
    expect(attempt(() => decodeCertificate(new Uint8Array(maxCertificateBytes + 1)))).toBeUndefined();
  });

  it('have room for a proof with the most validators there can be', () => {
    const votes = Array.from({ length: maxValidators }, () => ({
      replica: 'x'.repeat(64) as NodeId,
      signature: new Uint8Array(64),
    }));
    const many = { epoch: 1, since: 1, f: 1, validators: votes.map(({ replica }) => replica) };
    const head = { seq: 2 ** 50, root: '00'.repeat(32), bytes: 2 ** 50, group: many };
    expect(encodeProof({ epoch: 1_023, head, votes }).length).toBeLessThan(maxProofBytes);
  });
});

describe('certificates as JSON', () => {
  it('come back as they were, through text', () => {
    fc.assert(
      fc.property(certificates, (one) => {
        expect(certificateFromJson(JSON.parse(JSON.stringify(certificateToJson(one))))).toEqual(one);
      }),
    );
  });

  it('anything else is refused', () => {
    fc.assert(
      fc.property(fc.jsonValue(), (json) => {
        expect(attempt(() => certificateFromJson(json))).toBeUndefined();
      }),
    );
    const good = certificateToJson(certificate());
    const too = (fields: object): unknown => attempt(() => certificateFromJson({ ...good, ...fields }));
    expect(too({})).toBeDefined();
    expect(too({ format: 'quorate/certificate/2' })).toBeUndefined();
    expect(too({ more: 1 })).toBeUndefined();
    expect(too({ epoch: 0.5 })).toBeUndefined();
    expect(too({ query: `${good.query}\n` })).toBeUndefined();
    expect(too({ query: 'no base64!' })).toBeUndefined();
    expect(too({ group: `${good.group}AAAA` })).toBeUndefined();
    expect(too({ signatures: [{ validator: 'é', signature: '' }] })).toBeUndefined();
    expect(too({ signatures: Array(maxValidators + 1).fill(good.signatures[0]) })).toBeUndefined();
  });
});
