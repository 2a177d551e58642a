/** Certificates as files: JSON, as this program writes them, or the bytes of `encodeCertificate`. */
import { readFileSync, statSync, writeFileSync } from 'node:fs';
import { QuorateError } from '../errors.ts';
import { type Certificate, certificateFromJson, certificateToJson, decodeCertificate, type Value } from '../index.ts';

/** No certificate is longer, whatever its form. */
const maxFileBytes = 64 * 1024 * 1024;

/** Writes what a node sent as a certificate. Throws `INVALID_ARGUMENT` when the file cannot be written. */
export function writeCertificate(file: string, certificate: Value): void {
  try {
    writeFileSync(file, `${JSON.stringify(certificateToJson(certificate as unknown as Certificate), undefined, 2)}\n`);
  } catch (cause) {
    throw new QuorateError(
      'INVALID_ARGUMENT',
      `The certificate was not written: ${messageOf(cause)}.`,
      { file },
      { cause },
    );
  }
}

/** Throws `INVALID_ARGUMENT` when the file cannot be read, `CERTIFICATE_INVALID` when it holds no certificate. */
export function readCertificate(file: string): Certificate {
  let bytes: Buffer;
  try {
    const { size } = statSync(file);
    if (size > maxFileBytes) throw new Error(`it has ${size} bytes, too many for a certificate`);
    bytes = readFileSync(file);
  } catch (cause) {
    throw new QuorateError('INVALID_ARGUMENT', `${file} cannot be read: ${messageOf(cause)}.`, { file }, { cause });
  }
  if (!/^\s*\{/.test(bytes.subarray(0, 64).toString('latin1'))) return decodeCertificate(bytes);
  return certificateFromJson(parsed(bytes.toString('utf8')));
}

/** Undefined for what is no JSON, and so no certificate. */
function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

function messageOf(cause: unknown): string {
  return cause instanceof Error ? cause.message : String(cause);
}
