/** Writes one file of the log, front to back. One call at a time. */
import { randomBytes } from 'node:crypto';
import type { LogFile, LogFiles } from './log-files.ts';
import { type Entry, encodeHeader, frameBytes, frameParts, granuleBytes, headerBytes, whiten } from './log-frames.ts';

/** Also how much is copied at once while a large record is written. A multiple of the granule. */
const chunkBytes = 1 << 20;

export class LogWriter {
  readonly #file: LogFile;
  readonly #groupId: Uint8Array;
  readonly #pad: Uint8Array = randomBytes(granuleBytes);
  readonly #chunk: Uint8Array = Buffer.allocUnsafeSlow(chunkBytes);
  #ordinal = 0;
  #end = headerBytes;
  #sealedAt = headerBytes;
  #reservedEnd = 0;
  #closed: Promise<void> | undefined;

  private constructor(file: LogFile, groupId: Uint8Array) {
    this.#file = file;
    this.#groupId = groupId;
  }

  /** A new file, unreadable until `seal`. */
  static async create(files: LogFiles, name: string, groupId: Uint8Array): Promise<LogWriter> {
    return new LogWriter(await files.create(name), groupId);
  }

  /** Of the file as it is on disk. */
  get bytes(): number {
    return Math.max(this.#end, this.#reservedEnd);
  }

  /** Written since `seal`. */
  get grownBytes(): number {
    return this.#end - this.#sealedAt;
  }

  /** Resolves when all of them are on disk. */
  async append(entries: readonly Entry[]): Promise<void> {
    const settled = this.#ordinal;
    let filled = 0;
    let offset = this.#end;
    for (const entry of entries) {
      for (const part of frameParts(entry, { ordinal: this.#ordinal, settled }, this.#pad)) {
        for (let at = 0; at < part.length; ) {
          const piece = part.subarray(at, at + chunkBytes - filled);
          this.#chunk.set(piece, filled);
          at += piece.length;
          filled += piece.length;
          if (filled < chunkBytes) continue;
          await this.#flush(filled, offset);
          offset += filled;
          filled = 0;
        }
      }
      this.#ordinal++;
      this.#end += frameBytes(entry);
    }
    if (filled > 0) await this.#flush(filled, offset);
  }

  async #flush(length: number, offset: number): Promise<void> {
    const bytes = this.#chunk.subarray(0, length);
    whiten(bytes, this.#pad);
    await this.#write(bytes, offset);
  }

  async #write(bytes: Uint8Array, offset: number): Promise<void> {
    for (let at = 0; at < bytes.length; ) {
      const written = await this.#file.write(bytes.subarray(at), offset + at);
      if (written <= 0) throw new Error('the system wrote nothing and gave no reason');
      at += written;
    }
  }

  /** Writes zeros behind the end: syncing frames in their place need not change the file's length or blocks. */
  async reserve(bytes: number): Promise<void> {
    const zeros = new Uint8Array(Math.min(bytes, chunkBytes));
    const end = this.#end + bytes;
    for (let at = this.#end; at < end; at += zeros.length) {
      await this.#write(zeros.subarray(0, Math.min(zeros.length, end - at)), at);
    }
    this.#reservedEnd = end;
  }

  /** Makes the file readable. Everything appended so far counts as promised. */
  async seal(): Promise<void> {
    await this.#write(encodeHeader({ groupId: this.#groupId, pad: this.#pad, carried: this.#ordinal }), 0);
    this.#sealedAt = this.#end;
  }

  /** Idempotent. */
  close(): Promise<void> {
    this.#closed ??= this.#file.close();
    return this.#closed;
  }
}
