import { describe, expect, it } from 'vitest';
import { encodeValue } from '../../../../src/codec.ts';
import { isQuorateError } from '../../../../src/errors.ts';
import type { NodeId } from '../../../../src/node-id.ts';
import type { Certificate } from '../../../../src/protocols/coordination/certificates/certificate.ts';
import { localGroupId } from '../../../../src/protocols/coordination/certificates/local-group.ts';
import {
  type CertificateTrust,
  verifyCertificate,
} from '../../../../src/protocols/coordination/certificates/verify.ts';
import { defineGroup } from '../../../../src/protocols/coordination/group/definition.ts';
import { headDigest } from '../../../../src/protocols/pbft/encoding.ts';
import { checkpointBytes } from '../../../../src/protocols/pbft/messages.ts';
import { certificate, encodeProof, founders, identity, ids, signatureOf, succession, trust } from './certified.ts';

/** `valid`, or the reason why not. */
function judge(it: Certificate, whom: CertificateTrust = trust): string {
  try {
    verifyCertificate(it, whom);
    return 'valid';
  } catch (error) {
    if (isQuorateError(error, 'CERTIFICATE_INVALID')) return String(error.data['reason']);
    throw error;
  }
}

/** Changes the validators from 0 1 2 3 to 0 1 2 4, then to 4 5 6 7 8 9 10 with f = 2. */
const first = succession(founders, { validators: ids(0, 1, 2, 4), f: 1 }, [0, 1, 2]);
const second = succession(first.group, { validators: ids(4, 5, 6, 7, 8, 9, 10), f: 2 }, [4, 2, 1, 0]);
const chain = [first.bytes, second.bytes];

describe('a certificate of the founders', () => {
  it('says what was asked, what is so, and who stands for it', () => {
    const proved = verifyCertificate(certificate({ signers: [3, 1] }), trust);
    expect(proved).toEqual({ query: { kind: 'x.y' }, statement: { it: 'is' }, epoch: 0, signers: ids(3, 1) });
    expect(judge(certificate({ signers: [0, 1, 2, 3] }))).toBe('valid');
    // Founders are one group in whatever order somebody wrote them down.
    expect(judge(certificate(), { ...trust, validators: ids(2, 0, 3, 1) })).toBe('valid');
  });

  it('needs f + 1 signatures', () => {
    expect(judge(certificate({ signers: [0] }))).toBe('too-few-signatures');
    expect(judge(certificate({ signers: [] }))).toBe('too-few-signatures');
    const crashesOnly = { ...trust, f: 0 };
    const { id } = defineGroup('demo', trust.validators, 0);
    expect(
      judge(certificate({ signers: [2], group: id }), { ...crashesOnly, validators: trust.validators.toReversed() }),
    ).toBe('valid');
    expect(judge(certificate({ signers: [2], group: id }), crashesOnly)).toBe('valid');
  });

  it('is refused with a signature dropped, duplicated, foreign or forged', () => {
    const good = certificate();
    const [a, b] = good.signatures as [Certificate['signatures'][0], Certificate['signatures'][0]];
    expect(judge({ ...good, signatures: [a] })).toBe('too-few-signatures');
    expect(judge({ ...good, signatures: [a, a] })).toBe('repeated-signature');
    expect(judge({ ...good, signatures: [a, signatureOf(9, good)] })).toBe('foreign-signature');
    expect(judge({ ...good, signatures: [a, { ...b, signature: a.signature }] })).toBe('forged-signature');
    expect(judge({ ...good, signatures: [a, { ...b, signature: b.signature.subarray(0, 63) }] })).toBe(
      'forged-signature',
    );
    const flipped = b.signature.map((byte, at) => (at === 40 ? byte ^ 1 : byte));
    expect(judge({ ...good, signatures: [a, { ...b, signature: flipped }] })).toBe('forged-signature');
    // Two good ones do not make up for a bad third.
    expect(judge({ ...good, signatures: [a, b, { ...a, validator: identity(2).id }] })).toBe('forged-signature');
    expect(judge({ ...good, signatures: [a, { ...b, validator: 'nobody' as NodeId }] })).toBe('foreign-signature');
  });

  it('is refused with query, statement, epoch or group altered', () => {
    const good = certificate();
    expect(judge({ ...good, statement: encodeValue({ it: 'is not' }) })).toBe('forged-signature');
    expect(judge({ ...good, query: certificate({ query: { kind: 'x.z' } }).query })).toBe('forged-signature');
    expect(judge({ ...good, epoch: 1 })).toBe('other-epoch');
    expect(judge({ ...good, group: new Uint8Array(32) })).toBe('other-group');
    // Bytes moved from one field to the next are not the same bytes to sign.
    const moved = {
      ...good,
      query: good.query.subarray(0, good.query.length - 1),
      statement: Uint8Array.of(good.query.at(-1) as number, ...good.statement),
    };
    expect(judge(moved)).toBe('forged-signature');
  });

  it('means nothing to whoever trusts another group', () => {
    const good = certificate();
    expect(judge(good, { ...trust, name: 'other' })).toBe('other-group');
    expect(judge(good, { ...trust, f: 0 })).toBe('other-group');
    expect(judge(good, { ...trust, validators: ids(0, 1, 2, 4) })).toBe('other-group');
    expect(judge(good, { ...trust, parameters: { window: 512 } })).toBe('other-group');
    expect(judge(good, { local: identity(0).id })).toBe('other-group');
  });

  it('needs readable bytes under the signatures', () => {
    const good = certificate();
    const signAnew = (it: Certificate): Certificate => ({
      ...it,
      signatures: [0, 1].map((index) => signatureOf(index, it)),
    });
    expect(judge(signAnew({ ...good, statement: Uint8Array.of(0xff) }))).toBe('malformed');
    expect(judge(signAnew({ ...good, query: Uint8Array.of() }))).toBe('malformed');
    expect(judge(signAnew({ ...good, statement: encodeValue('x'.repeat(200_000)) }))).toBe('malformed');
  });

  it('refuses a trust that is no group', () => {
    expect(() => verifyCertificate(certificate(), { ...trust, f: 2 })).toThrow(/7 validators/);
    expect(() => verifyCertificate(certificate(), { ...trust, parameters: { window: 3 } })).toThrow(/multiple/);
    expect(() => verifyCertificate(certificate(), { local: 'nobody' as NodeId })).toThrow(/not a node id/);
  });
});

describe('a certificate after changes of validators', () => {
  it('is proved step by step from the founders', () => {
    expect(judge(certificate({ epoch: 1, signers: [4, 0], succession: [first.bytes] }))).toBe('valid');
    const later = certificate({ epoch: 2, signers: [8, 9, 10], succession: chain });
    expect(verifyCertificate(later, trust)).toMatchObject({ epoch: 2, signers: ids(8, 9, 10) });
  });

  it('counts by the validators and the f of its own epoch', () => {
    expect(judge(certificate({ epoch: 1, signers: [3, 0], succession: [first.bytes] }))).toBe('foreign-signature');
    expect(judge(certificate({ epoch: 2, signers: [0, 1, 2], succession: chain }))).toBe('foreign-signature');
    expect(judge(certificate({ epoch: 2, signers: [8, 9], succession: chain }))).toBe('too-few-signatures');
  });

  it('is refused with a gap, another order, too short or too long a chain', () => {
    const it = (epoch: number, steps: readonly Uint8Array[]) =>
      judge(certificate({ epoch, signers: [4, 0], succession: steps }));
    expect(it(2, [second.bytes])).toBe('broken-succession');
    expect(it(2, [second.bytes, first.bytes])).toBe('broken-succession');
    expect(it(2, [first.bytes, first.bytes])).toBe('broken-succession');
    expect(it(2, [first.bytes])).toBe('other-epoch');
    expect(it(1, chain)).toBe('other-epoch');
    expect(it(1, [])).toBe('other-epoch');
    expect(it(1, [first.bytes.subarray(1)])).toMatch(/malformed|broken-succession/);
    expect(it(1, [Uint8Array.of(...first.bytes, 0)])).toBe('malformed');
  });

  it('is refused with a step that no quorum of those before stands for', () => {
    const step = (bytes: Uint8Array) => judge(certificate({ epoch: 1, signers: [4, 0], succession: [bytes] }));
    const next = { validators: ids(0, 1, 2, 4), f: 1 };
    expect(step(succession(founders, next, [0, 1]).bytes)).toBe('broken-succession');
    expect(step(succession(founders, next, [0, 1, 1]).bytes)).toBe('broken-succession');
    expect(step(succession(founders, next, [0, 1, 4]).bytes)).toBe('broken-succession'); // The newcomer votes itself in.
    expect(step(succession(founders, next, [0, 1, 2, 3]).bytes)).toBe('valid');
    const { proof } = first;
    const forged = proof.votes.map((vote) => ({ ...vote, signature: new Uint8Array(64) }));
    expect(step(encodeProof({ ...proof, votes: forged }))).toBe('broken-succession');
    // The signatures are on another set of validators.
    const usurped = { ...proof.head, group: { ...proof.head.group, validators: ids(4, 5, 6, 7) } };
    expect(step(encodeProof({ ...proof, head: usurped }))).toBe('broken-succession');
    // A quorum of liars cannot make a group that could not work.
    expect(step(succession(founders, { validators: ids(4, 0), f: 1 }, [0, 1, 2]).bytes)).toBe('broken-succession');
    // A checkpoint of the same seq signed in another group's name.
    expect(step(succession(founders, next, [0, 1, 2], new Uint8Array(32)).bytes)).toBe('broken-succession');
  });

  it('takes an ordinary checkpoint for no change of validators', () => {
    const head = { seq: 128, root: '22'.repeat(32), bytes: 1, group: founders };
    const votes = [0, 1, 2].map((index) => {
      const bytes = checkpointBytes(certificate().group, 0, 128, headDigest(head));
      return { replica: identity(index).id, signature: identity(index).sign(bytes) };
    });
    const ordinary = encodeProof({ epoch: 0, head, votes });
    expect(judge(certificate({ epoch: 1, signers: [0, 1], succession: [ordinary] }))).toBe('broken-succession');
  });
});

describe('a certificate of one process', () => {
  const self = identity(5).id;
  const local = certificate({ signers: [5], group: localGroupId(self) });

  it('is its word', () => {
    expect(verifyCertificate(local, { local: self })).toMatchObject({ epoch: 0, signers: [self] });
  });

  it('is nobody else’s, and has no epochs', () => {
    expect(judge(local, { local: identity(6).id })).toBe('other-group');
    expect(judge(local, { name: 'demo', validators: [self], f: 0 })).toBe('other-group');
    expect(judge(certificate({ signers: [6], group: localGroupId(self) }), { local: self })).toBe('foreign-signature');
    const epoch = certificate({ signers: [5], group: localGroupId(self), epoch: 1 });
    expect(judge(epoch, { local: self })).toBe('other-epoch');
    const chained = certificate({ signers: [5], group: localGroupId(self), succession: [first.bytes] });
    expect(judge(chained, { local: self })).toBe('other-epoch');
  });
});
