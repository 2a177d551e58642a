/**
 * Proofs of misbehaviour: bytes that convince a third party without a word of trust in who sends them.
 *
 *     at  size  field
 *      0     1  mark, 0xf1 (an envelope starts with its version)
 *      1     1  kind: 1 equivocation, 2 malformed
 *      2     -  equivocation: two signed headers of 195 bytes (envelope.ts);
 *               malformed: one or more of { length: 4 bytes big-endian, envelope }
 *
 * *Equivocation*: both headers have the same author, store and epoch and valid signatures, and either the
 * same seq and different content hashes (lower hash first), or seq n and n + 1 where the second's
 * `previous` is not the first's content hash. The order is fixed, so equal evidence gives equal bytes.
 *
 * *Malformed*: a chain of signed envelopes of one feed and epoch, from a snapshot on, each continuing the
 * one before, of which exactly the last has a payload that no honest author writes. When that shows
 * without the ones before, the chain is that one envelope.
 */
import type { AuthorKey, AuthorKeys } from './author-keys.ts';
import { FeedDocument } from './document.ts';
import {
  type Envelope,
  envelopeOverheadBytes,
  headerBytes,
  readEnvelope,
  readSignedHeader,
  type SignedHeader,
  sameBytes,
  snapshotKind,
  toSignedHeader,
  verifyEnvelope,
  verifySignedHeader,
} from './envelope.ts';
import type { FeedLimits } from './limits.ts';
import { checkUpdate } from './update-check.ts';

const mark = 0xf1;
const equivocation = 1;
const malformedChain = 2;
const signedHeaderBytes = headerBytes + 32 + 64;

export type Misbehaviour = 'equivocation' | 'malformed';

export interface Proof {
  readonly author: AuthorKey;
  readonly misbehaviour: Misbehaviour;
}

export function isProof(bytes: Uint8Array): boolean {
  return bytes[0] === mark;
}

/** Largest proof that is passed on: a snapshot and its deltas may be more than anybody should carry. */
export function maxProofBytes(limits: FeedLimits): number {
  return limits.maxSnapshotBytes + 2 * limits.maxDeltaBytes;
}

/** `a` and `b` must contradict each other in one of the two ways, in any order. */
export function equivocationProof(a: Envelope, b: Envelope): Uint8Array {
  const inOrder = a.seq === b.seq ? Buffer.compare(a.hash, b.hash) < 0 : a.seq < b.seq;
  const [first, second] = inOrder ? [a, b] : [b, a];
  return new Uint8Array(
    Buffer.concat([Uint8Array.of(mark, equivocation), toSignedHeader(first), toSignedHeader(second)]),
  );
}

/** The evidence that the last of `chain` is malformed, or undefined when it would be too long to pass on. */
export function malformedProof(chain: readonly Uint8Array[], limits: FeedLimits): Uint8Array | undefined {
  const last = chain[chain.length - 1] as Uint8Array;
  const alone = encodeChain([last]);
  if (alone.length <= maxProofBytes(limits) && isMalformedChain([last], limits)) return alone;
  const size = chain.reduce((sum, envelope) => sum + 4 + envelope.length, 2);
  return size <= maxProofBytes(limits) ? encodeChain(chain) : undefined;
}

function encodeChain(chain: readonly Uint8Array[]): Uint8Array {
  const parts: Uint8Array[] = [Uint8Array.of(mark, malformedChain)];
  for (const envelope of chain) {
    const length = Buffer.alloc(4);
    length.writeUInt32BE(envelope.length);
    parts.push(length, envelope);
  }
  return new Uint8Array(Buffer.concat(parts));
}

/** What `bytes` prove, or the reason why they prove nothing. */
export function verifyProof(bytes: Uint8Array, mesh: Uint8Array, keys: AuthorKeys, limits: FeedLimits): Proof | string {
  if (bytes.length > maxProofBytes(limits)) return 'size';
  if (bytes[1] === equivocation) return verifyEquivocation(bytes, mesh, keys);
  if (bytes[1] === malformedChain) return verifyMalformed(bytes, mesh, keys, limits);
  return 'kind';
}

function verifyEquivocation(bytes: Uint8Array, mesh: Uint8Array, keys: AuthorKeys): Proof | string {
  const first = readSignedHeader(bytes.subarray(2, 2 + signedHeaderBytes), mesh);
  const second = readSignedHeader(bytes.subarray(2 + signedHeaderBytes), mesh);
  if (typeof first === 'string') return first;
  if (typeof second === 'string') return second;
  if (!sameBytes(first.authorKey, second.authorKey)) return 'authors differ';
  if (first.store !== second.store || first.epoch !== second.epoch) return 'feeds differ';
  if (!contradict(first, second)) return 'no contradiction';
  const author = keys.get(first.authorKey);
  if (!verifySignedHeader(first, author.key) || !verifySignedHeader(second, author.key)) return 'signature';
  return { author, misbehaviour: 'equivocation' };
}

function contradict(first: SignedHeader, second: SignedHeader): boolean {
  if (first.seq === second.seq) return Buffer.compare(first.hash, second.hash) < 0;
  return second.seq === first.seq + 1 && !sameBytes(second.previous, first.hash);
}

function verifyMalformed(bytes: Uint8Array, mesh: Uint8Array, keys: AuthorKeys, limits: FeedLimits): Proof | string {
  const chain: Envelope[] = [];
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  for (let at = 2; at < bytes.length; ) {
    if (at + 4 > bytes.length) return 'length';
    const end = at + 4 + view.getUint32(at);
    if (end > bytes.length) return 'length';
    const envelope = readEnvelope(bytes.subarray(at + 4, end), mesh);
    if (typeof envelope === 'string') return envelope;
    const before = chain[chain.length - 1];
    if (before !== undefined && !continues(before, envelope)) return 'no chain';
    chain.push(envelope);
    at = end;
  }
  const last = chain[chain.length - 1];
  if (last === undefined) return 'length';
  // The replay is cheap beside the signatures, and an honest author's chain ends here.
  const replay = chain.map((envelope) => envelope.bytes);
  if (!isMalformedChain(replay, limits)) return 'nothing malformed';
  const author = keys.get(last.authorKey);
  for (const envelope of chain.reverse()) if (!verifyEnvelope(envelope, author.key)) return 'signature';
  return { author, misbehaviour: 'malformed' };
}

/** Whether exactly the last payload is one that no honest author writes after the ones before. */
function isMalformedChain(chain: readonly Uint8Array[], limits: FeedLimits): boolean {
  const [first, ...rest] = chain as [Uint8Array, ...Uint8Array[]];
  const payload = first.subarray(envelopeOverheadBytes);
  if (first[1] !== snapshotKind) return rest.length === 0 && typeof checkUpdate(payload) === 'string';
  const document = FeedDocument.fromSnapshot(payload, limits);
  if ('fault' in document) return rest.length === 0 && document.fault === 'malformed';
  for (const [index, envelope] of rest.entries()) {
    const result = document.apply(envelope.subarray(envelopeOverheadBytes), limits);
    if ('fault' in result) return index === rest.length - 1 && result.fault === 'malformed';
  }
  return false;
}

function continues(before: Envelope, next: Envelope): boolean {
  return (
    next.kind === 'delta' &&
    next.store === before.store &&
    next.epoch === before.epoch &&
    next.seq === before.seq + 1 &&
    sameBytes(next.authorKey, before.authorKey) &&
    sameBytes(next.previous, before.hash)
  );
}
