/**
 * Messages of `/quorate/sync/1`: two nodes compare what they hold and send each other what is missing.
 * One channel carries one exchange; each frame is one message. Numbers are big-endian.
 *
 *     first byte  message    rest of the frame
 *     1           buckets    64 digests of 8 bytes (digest.ts)
 *     2           heads      mask: 8 bytes, bit b of byte b / 8 (low bit first) for bucket b;
 *                            then per author: key 32 bytes, flags 1 byte, heads
 *     3           envelope   one envelope or proof as received (envelope.ts, proof.ts)
 *     4           end        nothing: this side has said all
 *
 * Flags of an author: bit 0, quarantined; bits 1 to 3, the number of heads, at most 4. A head is: store 1 byte
 * (number as in envelope.ts, plus 128 when the feed is not kept and only its place is known), epoch 8
 * bytes, seq 8 bytes, and for a kept feed the first 8 bytes of its content hash.
 *
 * The exchange. I opens the channel to R:
 *
 *     I → R  buckets
 *     R → I  heads of the buckets that differ (the mask may be empty)
 *     I → R  heads of the same buckets
 *     both   envelopes that the other lacks, oldest first in each feed, then end
 *
 * With an empty mask both say `end` at once. Each side stops sending after a number of bytes; what is left
 * is for the next exchange. A side that hears anything out of this order ends the channel and counts it
 * against the peer. I closes the channel when both have said `end`.
 */
import { bucketCount, digestBytes } from '../../crdt/digest.ts';
import { storeNames } from '../../crdt/envelope.ts';
import { type RemoteAuthor, type RemoteHead, summaryHashBytes } from '../../crdt/feed-sync.ts';
import type { StoreName } from '../../crdt/feeds.ts';

export const syncProtocol = '/quorate/sync/1';

export type SyncMessage =
  | { readonly type: 'buckets'; readonly digests: Uint8Array }
  | { readonly type: 'heads'; readonly buckets: ReadonlySet<number>; readonly authors: readonly RemoteAuthor[] }
  | { readonly type: 'envelope'; readonly bytes: Uint8Array }
  | { readonly type: 'end' };

const numbers = { buckets: 1, heads: 2, envelope: 3, end: 4 } as const;
const keyBytes = 32;
const maskBytes = bucketCount / 8;
const notKept = 0x80;

export function encodeSync(message: SyncMessage): Uint8Array {
  switch (message.type) {
    case 'buckets':
      return prefixed(numbers.buckets, message.digests);
    case 'envelope':
      return prefixed(numbers.envelope, message.bytes);
    case 'end':
      return Uint8Array.of(numbers.end);
    case 'heads':
      return encodeHeads(message.buckets, message.authors);
  }
}

function prefixed(number: number, rest: Uint8Array): Uint8Array {
  const frame = new Uint8Array(1 + rest.length);
  frame[0] = number;
  frame.set(rest, 1);
  return frame;
}

function encodeHeads(buckets: ReadonlySet<number>, authors: readonly RemoteAuthor[]): Uint8Array {
  const mask = new Uint8Array(maskBytes);
  for (const bucket of buckets) mask[bucket >> 3] = (mask[bucket >> 3] as number) | (1 << (bucket & 7));
  const parts: Uint8Array[] = [Uint8Array.of(numbers.heads), mask];
  for (const { key, quarantined, heads } of authors) {
    parts.push(key, Uint8Array.of((quarantined ? 1 : 0) | (heads.length << 1)));
    for (const head of heads) parts.push(encodeHead(head));
  }
  return Buffer.concat(parts);
}

function encodeHead({ store, epoch, seq, hash }: RemoteHead): Uint8Array {
  const bytes = new Uint8Array(17 + hash.length);
  const view = new DataView(bytes.buffer);
  bytes[0] = storeNames.indexOf(store) + 1 + (hash.length === 0 ? notKept : 0);
  view.setBigUint64(1, BigInt(epoch));
  view.setBigUint64(9, BigInt(seq));
  bytes.set(hash, 17);
  return bytes;
}

/** The message in a frame, or the reason why there is none. Keeps views of the frame. */
export function decodeSync(frame: Uint8Array): SyncMessage | string {
  const rest = frame.subarray(1);
  switch (frame[0]) {
    case numbers.buckets:
      return rest.length === bucketCount * digestBytes
        ? { type: 'buckets', digests: rest }
        : 'buckets of another length';
    case numbers.heads:
      return decodeHeads(rest);
    case numbers.envelope:
      return { type: 'envelope', bytes: rest };
    case numbers.end:
      return rest.length === 0 ? { type: 'end' } : 'end with more';
    default:
      return 'unknown message';
  }
}

function decodeHeads(bytes: Uint8Array): SyncMessage | string {
  if (bytes.length < maskBytes) return 'heads cut short';
  const buckets = new Set<number>();
  for (let bucket = 0; bucket < bucketCount; bucket++) {
    if (((bytes[bucket >> 3] as number) >> (bucket & 7)) & 1) buckets.add(bucket);
  }
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  const authors: RemoteAuthor[] = [];
  let at = maskBytes;
  while (at < bytes.length) {
    if (at + keyBytes + 1 > bytes.length) return 'heads cut short';
    const key = bytes.subarray(at, at + keyBytes);
    const flags = bytes[at + keyBytes] as number;
    const count = flags >> 1;
    if (count > storeNames.length) return 'too many heads';
    at += keyBytes + 1;
    const heads: RemoteHead[] = [];
    for (let i = 0; i < count; i++) {
      const head = decodeHead(bytes, view, at);
      if (head === undefined) return 'head';
      heads.push(head);
      at += 17 + head.hash.length;
    }
    authors.push({ key, quarantined: (flags & 1) === 1, heads });
  }
  return { type: 'heads', buckets, authors };
}

function decodeHead(bytes: Uint8Array, view: DataView, at: number): RemoteHead | undefined {
  if (at + 17 > bytes.length) return undefined;
  const first = bytes[at] as number;
  const store: StoreName | undefined = storeNames[(first & ~notKept) - 1];
  const epoch = Number(view.getBigUint64(at + 1));
  const seq = Number(view.getBigUint64(at + 9));
  if (store === undefined || !Number.isSafeInteger(epoch) || !Number.isSafeInteger(seq)) return undefined;
  const end = at + 17 + (first & notKept ? 0 : summaryHashBytes);
  if (end > bytes.length) return undefined;
  return { store, epoch, seq, hash: bytes.subarray(at + 17, end) };
}
