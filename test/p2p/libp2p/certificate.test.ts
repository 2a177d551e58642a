import { X509Certificate } from 'node:crypto';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { createIdentity } from '../../../src/identity.ts';
import { createCertificate, nodeOfCertificate } from '../../../src/p2p/libp2p/certificate.ts';

const identity = createIdentity();
const certificate = new X509Certificate(createCertificate(identity).certificate);

describe('the node certificate', () => {
  it('proves the node it was made for, at any reasonable time', () => {
    for (const year of [2021, 2026, 2100]) expect(nodeOfCertificate(certificate, Date.UTC(year, 0))).toBe(identity.id);
    for (const year of [1990, 2200]) expect(nodeOfCertificate(certificate, Date.UTC(year, 0))).toBeUndefined();
  });

  it('is made anew for each process, for the same node', () => {
    const again = new X509Certificate(createCertificate(identity).certificate);
    expect(again.fingerprint256).not.toBe(certificate.fingerprint256);
    expect(nodeOfCertificate(again, Date.UTC(2026, 0))).toBe(identity.id);
  });

  it('proves nothing once a bit of it is flipped', () => {
    fc.assert(
      fc.property(fc.nat({ max: certificate.raw.length * 8 - 1 }), (bit) => {
        const bytes = Buffer.from(certificate.raw);
        bytes[bit >> 3] = (bytes[bit >> 3] as number) ^ (1 << (bit & 7));
        let parsed: X509Certificate;
        try {
          parsed = new X509Certificate(bytes);
        } catch {
          return; // OpenSSL refuses it by itself.
        }
        expect(nodeOfCertificate(parsed, Date.UTC(2026, 0))).toBeUndefined();
      }),
      { numRuns: 300 },
    );
  });

  it('does not prove the node of another certificate whose extension was copied', () => {
    // The extension signs the key of its own certificate: put into another one it signs nothing.
    const other = createCertificate(createIdentity()).certificate;
    const raw = Buffer.from(new X509Certificate(other).raw);
    const extension = Buffer.from('060a2b0601040183a25a0101', 'hex');
    const [from, to] = [certificate.raw.indexOf(extension), raw.indexOf(extension)];
    certificate.raw.copy(raw, to, from, from + extension.length + 3 + 2 + 2 + 2 + 36 + 2 + 64);
    expect(nodeOfCertificate(new X509Certificate(raw), Date.UTC(2026, 0))).toBeUndefined();
  });
});
