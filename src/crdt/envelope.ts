/**
 * The envelope: what one author says of one of its feeds, signed once and passed on as received.
 *
 * Layout, version 1. Numbers are big-endian. 163 bytes precede the payload:
 *
 *     at   size  field
 *      0      1  version, 1
 *      1      1  kind: 0 delta, 1 snapshot
 *      2      1  store: 1 members, 2 registry, 3 variables, 4 counters
 *      3     16  mesh tag: first 16 bytes of SHA-256("quorate mesh\0" + mesh name)
 *     19     32  author: raw Ed25519 public key
 *     51      8  epoch, 1 to 2^53-1: rises with each start of the author, never used twice
 *     59      8  seq, 1 to 2^53-1: counts the envelopes of this author, store and epoch
 *     67     32  previous: content hash of seq - 1 of the same epoch; zeros at seq 1
 *     99     64  signature
 *    163      -  payload: one Yjs update in V1 encoding (document.ts says which updates are accepted)
 *
 * The *header* is bytes 0 to 99. The *content hash* is SHA-256(header + SHA-256(payload)). The signature
 * is the author's Ed25519 signature over "quorate/feed/1\0" + header + SHA-256(payload). Signing the
 * payload's hash instead of the payload keeps a proof of equivocation small: header, payload hash and
 * signature (195 bytes, a *signed header*) show what was signed without the payload. Leaving the signature
 * out of the content hash keeps one content from having two hashes.
 *
 * A `delta` continues seq - 1; a `snapshot` holds the whole state and replaces all that came before it in
 * its feed. The envelope with seq 1 is always a snapshot. An envelope of a higher epoch, in any store,
 * makes all feeds of that author with lower epochs void.
 *
 * Receivers check in this order, and decode nothing deeper before the signature holds: size, shape, mesh,
 * author allowed, duplicate or stale by header and hash, signature, payload.
 */
import { hash, verify } from 'node:crypto';
import type { Identity } from '../identity.ts';
import type { StoreName } from './feeds.ts';

/** Number on the wire is the index plus one. Append only. */
export const storeNames: readonly StoreName[] = ['members', 'registry', 'variables', 'counters'];

export type EnvelopeKind = 'delta' | 'snapshot';

export const headerBytes = 99;
const signatureBytes = 64;
export const envelopeOverheadBytes = headerBytes + signatureBytes;
const hashBytes = 32;
const signedHeaderBytes = headerBytes + hashBytes + signatureBytes;
const version = 1;
/** The second byte of a snapshot; that of a delta is 0. */
export const snapshotKind = 1;
const zeros = new Uint8Array(32);
const domain = Buffer.from('quorate/feed/1\0', 'latin1');

export interface Header {
  readonly kind: EnvelopeKind;
  readonly store: StoreName;
  /** Raw Ed25519 public key; a view into the received bytes. */
  readonly authorKey: Uint8Array;
  readonly epoch: number;
  readonly seq: number;
  readonly previous: Uint8Array;
}

/** A well-shaped envelope of this mesh. Its signature has not been checked by having this type. */
export interface Envelope extends Header {
  readonly hash: Uint8Array;
  readonly payloadHash: Uint8Array;
  readonly bytes: Uint8Array;
  readonly payload: Uint8Array;
}

export function meshTag(mesh: string): Uint8Array {
  return sha256(Buffer.from(`quorate mesh\0${mesh}`, 'utf8')).subarray(0, 16);
}

export function sha256(bytes: Uint8Array): Uint8Array {
  const digest = hash('sha256', bytes, 'buffer');
  return new Uint8Array(digest.buffer, digest.byteOffset, digest.length);
}

/** One comparison for hashes and keys; equal length is part of being equal. */
export function sameBytes(a: Uint8Array, b: Uint8Array): boolean {
  return Buffer.compare(a, b) === 0;
}

/** The envelope in `bytes`, or the reason why it is none. Keeps views of `bytes`; the caller owns a copy. */
export function readEnvelope(bytes: Uint8Array, mesh: Uint8Array): Envelope | string {
  if (bytes.length < envelopeOverheadBytes) return 'short';
  const header = readHeader(bytes, mesh);
  if (typeof header === 'string') return header;
  const payload = bytes.subarray(envelopeOverheadBytes);
  const payloadHash = sha256(payload);
  return { ...header, bytes, payload, payloadHash, hash: contentHash(bytes, payloadHash) };
}

/** The same envelope on a copy of its bytes, for who keeps it: what arrives is mostly a view into a larger buffer. */
export function copyEnvelope(envelope: Envelope): Envelope {
  const bytes = new Uint8Array(envelope.bytes);
  return {
    ...envelope,
    bytes,
    authorKey: bytes.subarray(19, 51),
    previous: bytes.subarray(67, headerBytes),
    payload: bytes.subarray(envelopeOverheadBytes),
  };
}

function readHeader(bytes: Uint8Array, mesh: Uint8Array): Header | string {
  if (bytes[0] !== version) return 'version';
  const kind = bytes[1];
  if (kind !== 0 && kind !== snapshotKind) return 'kind';
  const store = storeNames[(bytes[2] as number) - 1];
  if (store === undefined) return 'store';
  if (!sameBytes(bytes.subarray(3, 19), mesh)) return 'mesh';
  const view = new DataView(bytes.buffer, bytes.byteOffset, headerBytes);
  const epoch = readSafe(view, 51);
  const seq = readSafe(view, 59);
  if (epoch === undefined || seq === undefined) return 'number';
  const previous = bytes.subarray(67, 99);
  if (seq === 1 && (kind === 0 || !sameBytes(previous, zeros))) return 'first';
  return { kind: kind === 0 ? 'delta' : 'snapshot', store, authorKey: bytes.subarray(19, 51), epoch, seq, previous };
}

/** A positive safe integer from 8 bytes. */
function readSafe(view: DataView, at: number): number | undefined {
  const number = view.getUint32(at) * 0x1_0000_0000 + view.getUint32(at + 4);
  return number >= 1 && Number.isSafeInteger(number) ? number : undefined;
}

function writeSafe(view: DataView, at: number, number: number): void {
  view.setUint32(at, Math.floor(number / 0x1_0000_0000));
  view.setUint32(at + 4, number % 0x1_0000_0000);
}

/** What is signed, and, without the domain, hashed: written here anew for each envelope, and read at once. */
const signed = new Uint8Array(domain.length + headerBytes + hashBytes);
signed.set(domain);
const content = signed.subarray(domain.length);

/** `bytes` start with the header. */
function signedContent(bytes: Uint8Array, payloadHash: Uint8Array): Uint8Array {
  content.set(bytes.subarray(0, headerBytes));
  content.set(payloadHash, headerBytes);
  return signed;
}

function contentHash(bytes: Uint8Array, payloadHash: Uint8Array): Uint8Array {
  signedContent(bytes, payloadHash);
  return sha256(content);
}

export interface Draft {
  readonly mesh: Uint8Array;
  readonly kind: EnvelopeKind;
  readonly store: StoreName;
  readonly epoch: number;
  readonly seq: number;
  readonly previous: Uint8Array;
  readonly payload: Uint8Array;
}

/** Encodes and signs. */
export function sealEnvelope(draft: Draft, identity: Pick<Identity, 'publicKey' | 'sign'>): Envelope {
  const bytes = new Uint8Array(envelopeOverheadBytes + draft.payload.length);
  bytes[0] = version;
  bytes[1] = draft.kind === 'delta' ? 0 : snapshotKind;
  bytes[2] = storeNames.indexOf(draft.store) + 1;
  bytes.set(draft.mesh, 3);
  bytes.set(identity.publicKey, 19);
  const view = new DataView(bytes.buffer);
  writeSafe(view, 51, draft.epoch);
  writeSafe(view, 59, draft.seq);
  bytes.set(draft.previous, 67);
  bytes.set(draft.payload, envelopeOverheadBytes);
  const payloadHash = sha256(draft.payload);
  bytes.set(identity.sign(signedContent(bytes, payloadHash)), headerBytes);
  return {
    kind: draft.kind,
    store: draft.store,
    epoch: draft.epoch,
    seq: draft.seq,
    authorKey: bytes.subarray(19, 51),
    previous: bytes.subarray(67, 99),
    payload: bytes.subarray(envelopeOverheadBytes),
    bytes,
    payloadHash,
    hash: contentHash(bytes, payloadHash),
  };
}

/** Verifies the author's signature; about 95 µs. `key` must be the key of `envelope.authorKey`. */
export function verifyEnvelope(envelope: Envelope, key: Parameters<typeof verify>[2]): boolean {
  const signature = envelope.bytes.subarray(headerBytes, envelopeOverheadBytes);
  return verify(null, signedContent(envelope.bytes, envelope.payloadHash), key, signature);
}

/** What was signed, without the payload: header, payload hash, signature. 195 bytes. */
export interface SignedHeader extends Header {
  readonly hash: Uint8Array;
  readonly bytes: Uint8Array;
}

export function toSignedHeader(envelope: Envelope): Uint8Array {
  return Buffer.concat([
    envelope.bytes.subarray(0, headerBytes),
    envelope.payloadHash,
    envelope.bytes.subarray(headerBytes, envelopeOverheadBytes),
  ]);
}

export function readSignedHeader(bytes: Uint8Array, mesh: Uint8Array): SignedHeader | string {
  if (bytes.length !== signedHeaderBytes) return 'length';
  const header = readHeader(bytes, mesh);
  if (typeof header === 'string') return header;
  const payloadHash = bytes.subarray(headerBytes, headerBytes + hashBytes);
  return { ...header, bytes, hash: contentHash(bytes, payloadHash) };
}

export function verifySignedHeader(header: SignedHeader, key: Parameters<typeof verify>[2]): boolean {
  const { bytes } = header;
  const payloadHash = bytes.subarray(headerBytes, headerBytes + hashBytes);
  return verify(null, signedContent(bytes, payloadHash), key, bytes.subarray(headerBytes + hashBytes));
}
