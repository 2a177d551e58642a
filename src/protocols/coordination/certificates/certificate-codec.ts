/**
 * Certificates as bytes (canonical: one certificate has one encoding) and as JSON for files. Both ways back are total: what is no
 * certificate is refused with `CERTIFICATE_INVALID`, reason `malformed`, in time and memory linear in what was given. Being
 * well-formed proves nothing; `verify.ts` does.
 */
import * as v from 'valibot';
import { QuorateError } from '../../../errors.ts';
import type { NodeId } from '../../../node-id.ts';
import { maxEpochs } from '../../pbft/encoding.ts';
import { maxValidators } from '../../pbft/quorum.ts';
import { Reader, Writer } from '../../pbft/wire.ts';
import { maxAnswerBytes, maxCommandBytes } from '../machine/limits.ts';
import type { Certificate } from './certificate.ts';

const format = 'quorate/certificate/1';
const groupLength = 32;
const signatureLength = 64;
const idLength = 64;
/** A checkpoint proof with the most validators and signatures there can be, and some room. */
export const maxProofBytes = 16_384;
/** No certificate is longer: all that is bounded above, at its bound. */
export const maxCertificateBytes = maxCommandBytes + maxAnswerBytes + maxEpochs * maxProofBytes + 16_384;

/** The bytes of a certificate; `decodeCertificate` is the inverse. */
export function encodeCertificate(certificate: Certificate): Uint8Array {
  const { group, epoch, query, statement, signatures, succession } = certificate;
  return new Writer()
    .text(format)
    .bytes(group)
    .uint(epoch)
    .bytes(query)
    .bytes(statement)
    .list(signatures, (w, { validator, signature }) => w.text(validator).bytes(signature))
    .list(succession, (w, proof) => w.bytes(proof))
    .finish();
}

/** The certificate in `bytes`. Throws `CERTIFICATE_INVALID` (reason `malformed`) for anything else; checks no signature. */
export function decodeCertificate(bytes: Uint8Array): Certificate {
  if (bytes.length > maxCertificateBytes) throw malformed('it is too large');
  const r = new Reader(bytes);
  if (r.text(format.length) !== format) throw malformed('it is of another kind or version');
  const certificate: Certificate = {
    group: own(r.bytes(groupLength)),
    epoch: r.uint(),
    query: own(r.bytes(maxCommandBytes)),
    statement: own(r.bytes(maxAnswerBytes)),
    signatures: r.list(maxValidators, (inner) => ({
      validator: inner.text(idLength) as NodeId,
      signature: own(inner.bytes(signatureLength)),
    })),
    succession: r.list(maxEpochs, (inner) => own(inner.bytes(maxProofBytes))),
  };
  if (!r.complete) throw malformed('its bytes do not fit together');
  return certificate;
}

/** A certificate for a file that people may open: bytes in base64. */
export interface CertificateJson {
  readonly format: 'quorate/certificate/1';
  readonly group: string;
  readonly epoch: number;
  readonly query: string;
  readonly statement: string;
  readonly signatures: readonly { readonly validator: string; readonly signature: string }[];
  readonly succession: readonly string[];
}

export function certificateToJson(certificate: Certificate): CertificateJson {
  return {
    format,
    group: toBase64(certificate.group),
    epoch: certificate.epoch,
    query: toBase64(certificate.query),
    statement: toBase64(certificate.statement),
    signatures: certificate.signatures.map(({ validator, signature }) => ({
      validator,
      signature: toBase64(signature),
    })),
    succession: certificate.succession.map(toBase64),
  };
}

/**
 * The certificate in what `JSON.parse` gave. Throws `CERTIFICATE_INVALID` (reason `malformed`); checks no signature.
 *
 * @example
 * const certificate = certificateFromJson(JSON.parse(await readFile('decision.json', 'utf8')));
 */
export function certificateFromJson(json: unknown): Certificate {
  const parsed = v.safeParse(jsonSchema, json, { abortEarly: true });
  if (!parsed.success) throw malformed(`${v.getDotPath(parsed.issues[0]) ?? 'it'} is not as it should be`);
  const { format: _, signatures, ...rest } = parsed.output;
  return {
    ...rest,
    signatures: signatures.map(({ validator, signature }) => ({ validator: validator as NodeId, signature })),
  };
}

const base64 = (maxBytes: number) =>
  v.pipe(
    v.string(),
    v.maxLength(Math.ceil(maxBytes / 3) * 4),
    v.transform((text) => ({ text, bytes: new Uint8Array(Buffer.from(text, 'base64')) })),
    // Node reads base64 leniently; only the one text that it would write for these bytes is taken.
    v.check(({ text, bytes }) => bytes.length <= maxBytes && toBase64(bytes) === text),
    v.transform(({ bytes }) => bytes),
  );
const jsonSchema = v.strictObject({
  format: v.literal(format),
  group: base64(groupLength),
  epoch: v.pipe(v.number(), v.safeInteger(), v.minValue(0)),
  query: base64(maxCommandBytes),
  statement: base64(maxAnswerBytes),
  signatures: v.pipe(
    v.array(
      v.strictObject({
        validator: v.pipe(v.string(), v.maxLength(idLength), v.regex(/^[\x20-\x7e]*$/)),
        signature: base64(signatureLength),
      }),
    ),
    v.maxLength(maxValidators),
  ),
  succession: v.pipe(v.array(base64(maxProofBytes)), v.maxLength(maxEpochs)),
});

/** A copy: a certificate must not keep the frame it came in alive, nor change with it. */
const own = (bytes: Uint8Array): Uint8Array => new Uint8Array(bytes);
const toBase64 = (bytes: Uint8Array): string =>
  Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('base64');

function malformed(why: string): QuorateError {
  return new QuorateError('CERTIFICATE_INVALID', `This is no certificate: ${why}. Ask for another.`, {
    reason: 'malformed',
  });
}
