/**
 * The bytes of a validator's log, and what of them may be believed after a crash. Pure.
 *
 * A file is a header of 512 bytes and then frames, each a head of 64 bytes and a body, padded to a multiple of
 * 64: a granule, so no head ever lies in two sectors. Frames are written in batches; a batch is written when
 * the one before it is on disk, and its records are acknowledged when it is on disk itself. So at a crash
 * exactly one batch, the last, may be on disk in part: any of its sectors missing, in any order (a disk does not keep
 * the order of sectors in one write). Where a sector is missing the file has zeros or ends, since frames go
 * where zeros or nothing stood before.
 *
 * What was promised must not be cut, and what can be cut safely must not stop a validator. Hence:
 *
 * 1. Granules written are never zero. Everything is combined (xor) with 64 random bytes of the file,
 *    so zeros mean "never reached the disk", whatever the record holds; no one outside can make it otherwise.
 * 2. The first frame that cannot be read ends the log only when a granule of it is zero or beyond the end. If
 *    all of it is there and its checksum is wrong, it was changed after it was written: refused.
 * 3. Every head says how many frames were on disk before its batch was written (`settled`), the header how
 *    many were before the file got its name (`carried`), and a closed file ends with a frame that says so. When any of
 *    them, wherever it is found behind the gap, counts the unreadable frame among those, it was acknowledged: refused.
 * 4. Checksums of heads begin from the file's random bytes and heads carry their number, so neither a block of an older file nor
 *    one in a wrong place passes for a frame.
 *
 * This asks of a disk that a sector, or the 64 bytes of a granule, is written whole or not at all, and of the file system
 * that space newly given to a file reads as zeros (as ext4, XFS and others do by default). Where that does not hold,
 * a torn batch is refused, not cut: the error is on the safe side.
 *
 * What is left undecidable: a disk that loses sectors of the very last batch after it said they were safe,
 * and no frame after it. That looks like a crash before the acknowledgement, and is cut.
 *
 * Sources: torn and lost writes in Pillai et al., "All File Systems Are Not Created Equal" (OSDI '14); the
 * difference between a torn and a damaged log in Alagappan et al., "Protocol-Aware Recovery" (FAST '18).
 */
import { crc32 } from 'node:zlib';
import type { LogRecord } from '../effects.ts';

export const headerBytes = 512;
export const granuleBytes = 64;
/** A checkpoint holds the whole state of the application; nothing honest is larger. */
export const maxRecordBytes = 1 << 30;

const version = 1;
const magic = Buffer.from('quorate-pbft-wal');
const headMagic = 0x314c4157;
const maxGroupIdBytes = 64;
/** Numbers in the file: never give one away again. */
const kindCodes: Readonly<Record<Entry['kind'], number>> = {
  closed: 0,
  proposal: 1,
  prepared: 2,
  viewChange: 3,
  newView: 4,
  checkpoint: 5,
  executed: 6,
};
const kindsByCode = new Map(Object.entries(kindCodes).map(([kind, code]) => [code, kind as Entry['kind']]));

/** A record, or the mark behind the last one of a file that was closed. */
export type Entry = LogRecord | { readonly kind: 'closed' };

export interface Header {
  readonly groupId: Uint8Array;
  /** 64 random bytes of this file, see (1) above. */
  readonly pad: Uint8Array;
  /** So many frames were on disk before the file got its name. */
  readonly carried: number;
}

export function encodeHeader({ groupId, pad, carried }: Header): Buffer {
  const header = Buffer.alloc(headerBytes);
  header.set(magic);
  header.writeUInt32LE(version, 16);
  header.writeUInt32LE(carried, 20);
  header.writeUInt32LE(groupId.length, 24);
  header.set(groupId.subarray(0, maxGroupIdBytes), 28);
  header.set(pad, 92);
  header.writeUInt32LE(crc32(header.subarray(0, 508)), 508);
  return header;
}

/** Of a whole frame, in the file. */
export function frameBytes(entry: Entry): number {
  return granuleBytes + roundUp(entry.kind === 'closed' ? 0 : entry.bytes.length);
}

const roundUp = (length: number): number => Math.ceil(length / granuleBytes) * granuleBytes;

/** Number of the frame in its file, and how many were on disk before its batch. */
export interface Place {
  readonly ordinal: number;
  readonly settled: number;
}

/** The parts of a frame in order, before `whiten`. */
export function frameParts(entry: Entry, { ordinal, settled }: Place, pad: Uint8Array): Uint8Array[] {
  const head = Buffer.alloc(granuleBytes);
  const body = entry.kind === 'closed' ? new Uint8Array(0) : entry.bytes;
  const padding = new Uint8Array(roundUp(body.length) - body.length);
  head.writeUInt32LE(headMagic, 0);
  head.writeUInt32LE(body.length, 4);
  head.writeUInt32LE(ordinal, 8);
  head.writeUInt32LE(settled, 12);
  head.writeUInt32LE(kindCodes[entry.kind], 16);
  head.writeUInt32LE(crc32(padding, crc32(body)), 20);
  if (entry.kind !== 'closed') {
    writeUint(head, entry.epoch, 24);
    writeUint(head, entry.seq, 32);
    writeUint(head, entry.view, 40);
  }
  head.writeUInt32LE(crc32(head.subarray(0, 60), crc32(pad)), 60);
  return [head, body, padding];
}

/** Whitens whole granules in place; done twice it restores them. `bytes` must begin at a multiple of four. */
export function whiten(bytes: Uint8Array, pad: Uint8Array): void {
  const words = new Uint32Array(bytes.buffer, bytes.byteOffset, bytes.length / 4);
  const mask = new Uint32Array(Uint8Array.from(pad).buffer);
  for (let at = 0; at < words.length; at++) words[at] = (words[at] as number) ^ (mask[at & 15] as number);
}

function writeUint(target: Buffer, value: number, at: number): void {
  target.writeUInt32LE(value % 0x1_0000_0000, at);
  target.writeUInt32LE(Math.floor(value / 0x1_0000_0000), at + 4);
}

const readUint = (source: Buffer, at: number): number =>
  source.readUInt32LE(at) + source.readUInt32LE(at + 4) * 0x1_0000_0000;

/** What a file holds: its records; or where it is damaged, and how. */
export type Found =
  | { readonly ok: true; readonly records: LogRecord[] }
  | { readonly ok: false; readonly offset: number; readonly why: string };

/**
 * Reads a file by the rules above. The records are views of `content`, which is changed in place. Never
 * throws, whatever the bytes are.
 */
export function readLog(content: Uint8Array, groupId: Uint8Array): Found {
  const aligned = content.byteOffset % 4 === 0 ? content : Uint8Array.from(content);
  const file = Buffer.from(aligned.buffer, aligned.byteOffset, aligned.length);
  const header = readHeader(file, groupId);
  return 'why' in header ? damaged(0, header.why) : readFrames(file, header);
}

const damaged = (offset: number, why: string): Found => ({ ok: false, offset, why });

function readHeader(file: Buffer, groupId: Uint8Array): Header | { readonly why: string } {
  if (file.length < headerBytes || !file.subarray(0, magic.length).equals(magic)) {
    return { why: 'it does not begin like the log of a validator' };
  }
  const found = file.readUInt32LE(16);
  if (found !== version) return { why: `it says format ${found}, and this program reads format ${version} only` };
  if (crc32(file.subarray(0, 508)) !== file.readUInt32LE(508)) return { why: 'the checksum of its header is wrong' };
  const length = file.readUInt32LE(24);
  const written = file.subarray(28, 28 + Math.min(length, maxGroupIdBytes));
  if (!written.equals(groupId)) return { why: `it is the log of another group, ${written.toString('hex')}` };
  // A copy: the file's bytes live as long as a record of them does, and this is read all the time.
  return { groupId, pad: Uint8Array.from(file.subarray(92, 156)), carried: file.readUInt32LE(20) };
}

interface Head extends Place {
  readonly kind: Entry['kind'];
  readonly length: number;
  readonly bodyCrc: number;
  readonly epoch: number;
  readonly seq: number;
  readonly view: number;
}

function readHead(file: Buffer, at: number, pad: Buffer): Head | undefined {
  if (at + granuleBytes > file.length) return undefined;
  if ((file.readUInt32LE(at) ^ pad.readUInt32LE(0)) >>> 0 !== headMagic) return undefined;
  const head = Buffer.from(file.subarray(at, at + granuleBytes));
  for (let index = 0; index < granuleBytes; index++) head[index] = (head[index] as number) ^ (pad[index] as number);
  if (crc32(head.subarray(0, 60), crc32(pad)) !== head.readUInt32LE(60)) return undefined;
  const kind = kindsByCode.get(head.readUInt32LE(16));
  if (kind === undefined) return undefined;
  return {
    kind,
    length: head.readUInt32LE(4),
    ordinal: head.readUInt32LE(8),
    settled: head.readUInt32LE(12),
    bodyCrc: head.readUInt32LE(20),
    epoch: readUint(head, 24),
    seq: readUint(head, 32),
    view: readUint(head, 40),
  };
}

function readFrames(file: Buffer, header: Header): Found {
  const pad = Buffer.from(header.pad);
  const records: LogRecord[] = [];
  let at = headerBytes;
  let ordinal = 0;
  for (;;) {
    const head = readHead(file, at, pad);
    if (head === undefined) {
      if (!isMissing(file, at, at + granuleBytes))
        return damaged(at, `record ${ordinal} was changed after it was written`);
      break;
    }
    if (head.ordinal !== ordinal || head.settled > ordinal) {
      return damaged(at, `record ${head.ordinal} stands where record ${ordinal} belongs`);
    }
    const start = at + granuleBytes;
    const end = start + roundUp(head.length);
    if (!unwhitenBody(file, start, end, head, pad)) {
      if (!isMissing(file, start, end)) return damaged(at, `record ${ordinal} was changed after it was written`);
      break;
    }
    if (head.kind !== 'closed') {
      const { kind, epoch, seq, view } = head;
      records.push({ kind, epoch, seq, view, bytes: file.subarray(start, start + head.length) });
    }
    at = end;
    ordinal++;
  }
  const witness = findWitness(file, at, ordinal, header);
  return witness === undefined ? { ok: true, records } : damaged(at, witness);
}

/** Restores a body in place, and says whether it is the one that was written; if not, it is as it was. */
function unwhitenBody(file: Buffer, start: number, end: number, head: Head, pad: Buffer): boolean {
  if (end > file.length) return false;
  const body = file.subarray(start, end);
  whiten(body, pad);
  if (crc32(body) === head.bodyCrc) return true;
  whiten(body, pad);
  return false;
}

/** Part of this range never reached the disk: rule 2. */
function isMissing(file: Buffer, start: number, end: number): boolean {
  if (end > file.length) return true;
  for (let at = start; at < end; at += granuleBytes) {
    if (isZero(file.subarray(at, at + granuleBytes))) return true;
  }
  return false;
}

const isZero = (bytes: Uint8Array): boolean => bytes.every((byte) => byte === 0);

/** What shows that the frame `missing`, which cannot be read, was acknowledged: rule 3. */
function findWitness(file: Buffer, from: number, missing: number, { carried, pad }: Header): string | undefined {
  if (missing < carried) return `record ${missing} is missing, and ${carried} were on disk when the file was made`;
  const padBuffer = Buffer.from(pad);
  for (let at = from; at + granuleBytes <= file.length; at += granuleBytes) {
    const head = readHead(file, at, padBuffer);
    // One that does not come after the missing frame has no business behind it.
    if (head !== undefined && (head.settled > missing || head.ordinal < missing)) {
      return `record ${missing} is missing or cut, and record ${head.ordinal} at byte ${at} shows that it was on disk`;
    }
  }
  return undefined;
}
