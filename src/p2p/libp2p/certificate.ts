/**
 * The certificate of libp2p's TLS handshake (libp2p specs, tls/tls.md): self-signed by a throw-away key,
 * with an extension in which the node's Ed25519 key signs that throw-away key.
 *
 * libp2p's own module makes a new one for every connection, in JavaScript, and checks the peer's likewise;
 * that is most of the cost of a connection. Here it is made once per process, and OpenSSL checks.
 */
import { generateKeyPairSync, type KeyObject, randomBytes, sign, verify, type X509Certificate } from 'node:crypto';
import type { Identity } from '../../identity.ts';
import { type NodeId, nodeIdFromPublicKey, verifyKeyFromPublicKey } from '../../node-id.ts';

const signedPrefix = Buffer.from('libp2p-tls-handshake:');
/** 1.3.6.1.4.1.53594.1.1 */
const extensionOid = Buffer.from('060a2b0601040183a25a0101', 'hex');
/** ecdsa-with-SHA256 */
const signatureAlgorithm = Buffer.from('300a06082a8648ce3d040302', 'hex');
/** Protobuf of an Ed25519 public key: its type, then 32 bytes. */
const publicKeyPrefix = Buffer.from('08011220', 'hex');
/** Wide enough for any clock: what is signed is the key, and it lives as long as the process. */
const validity = sequence(der(0x17, Buffer.from('200101000000Z')), der(0x18, Buffer.from('21260101000000Z')));

const tag = { boolean: 0x01, integer: 0x02, bitString: 0x03, octetString: 0x04, sequence: 0x30, extensions: 0xa3 };

export interface NodeCertificate {
  /** PEM. */
  readonly certificate: string;
  readonly privateKey: KeyObject;
}

export function createCertificate(identity: Identity): NodeCertificate {
  const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'prime256v1' });
  const spki = publicKey.export({ format: 'der', type: 'spki' });
  const signedKey = sequence(
    der(tag.octetString, Buffer.concat([publicKeyPrefix, identity.publicKey])),
    der(tag.octetString, Buffer.from(identity.sign(Buffer.concat([signedPrefix, spki])))),
  );
  const extension = sequence(extensionOid, der(tag.boolean, Buffer.of(0xff)), der(tag.octetString, signedKey));
  // A positive serial number of full length: the first bit clear, the second set.
  const serial = randomBytes(8);
  serial[0] = ((serial[0] as number) & 0x3f) | 0x40;
  const body = sequence(
    der(0xa0, der(tag.integer, Buffer.of(2))),
    der(tag.integer, serial),
    signatureAlgorithm,
    sequence(),
    validity,
    sequence(),
    spki,
    der(tag.extensions, sequence(extension)),
  );
  const signature = Buffer.concat([Buffer.of(0), sign('sha256', body, privateKey)]);
  const whole = sequence(body, signatureAlgorithm, der(tag.bitString, signature)).toString('base64');
  return { certificate: `-----BEGIN CERTIFICATE-----\n${whole}\n-----END CERTIFICATE-----\n`, privateKey };
}

/** The node that a certificate belongs to, or undefined when it does not prove any. Never throws. */
export function nodeOfCertificate(certificate: X509Certificate, now: number): NodeId | undefined {
  try {
    if (Date.parse(certificate.validFrom) > now || Date.parse(certificate.validTo) < now) return undefined;
    if (!certificate.verify(certificate.publicKey)) return undefined;
    const signedKey = readExtension(certificate.raw);
    if (signedKey === undefined) return undefined;
    const spki = certificate.publicKey.export({ format: 'der', type: 'spki' });
    const key = verifyKeyFromPublicKey(signedKey.publicKey);
    if (!verify(null, Buffer.concat([signedPrefix, spki]), key, signedKey.signature)) return undefined;
    return nodeIdFromPublicKey(signedKey.publicKey);
  } catch {
    return undefined; // OpenSSL could not make sense of what the peer sent.
  }
}

interface SignedKey {
  readonly publicKey: Uint8Array;
  readonly signature: Uint8Array;
}

function readExtension(certificate: Uint8Array): SignedKey | undefined {
  const body = children(children(certificate)[0]?.content ?? new Uint8Array(0))[0];
  const list = children(body?.content ?? new Uint8Array(0)).find((part) => part.tag === tag.extensions);
  for (const extension of children(children(list?.content ?? new Uint8Array(0))[0]?.content ?? new Uint8Array(0))) {
    const parts = children(extension.content);
    const [oid] = parts;
    const value = parts.at(-1);
    if (oid === undefined || value?.tag !== tag.octetString || !extensionOid.subarray(2).equals(oid.content)) continue;
    const [key, signature] = children(children(value.content)[0]?.content ?? new Uint8Array(0));
    if (key?.tag !== tag.octetString || signature?.tag !== tag.octetString) return undefined;
    const prefixed =
      key.content.length === publicKeyPrefix.length + 32 && publicKeyPrefix.equals(key.content.subarray(0, 4));
    return prefixed ? { publicKey: key.content.subarray(4), signature: signature.content } : undefined;
  }
  return undefined;
}

// DER, as much of it as certificates need.

interface Element {
  readonly tag: number;
  readonly content: Uint8Array;
}

function der(elementTag: number, content: Uint8Array): Buffer {
  const { length } = content;
  const size = length < 0x80 ? [length] : length < 0x100 ? [0x81, length] : [0x82, length >> 8, length & 0xff];
  return Buffer.concat([Buffer.of(elementTag, ...size), content]);
}

function sequence(...parts: readonly Uint8Array[]): Buffer {
  return der(0x30, Buffer.concat(parts));
}

/** The elements that stand one after the other in `bytes`, up to the first that is cut off or malformed. */
function children(bytes: Uint8Array): readonly Element[] {
  const found: Element[] = [];
  let at = 0;
  while (at + 2 <= bytes.length) {
    const elementTag = bytes[at] as number;
    let length = bytes[at + 1] as number;
    at += 2;
    if (length >= 0x80) {
      const width = length & 0x7f;
      if (width === 0 || width > 2 || at + width > bytes.length) break;
      length = 0;
      for (let i = 0; i < width; i++) length = length * 256 + (bytes[at + i] as number);
      at += width;
    }
    if (at + length > bytes.length) break;
    found.push({ tag: elementTag, content: bytes.subarray(at, at + length) });
    at += length;
  }
  return found;
}
