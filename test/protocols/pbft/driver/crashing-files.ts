/**
 * A file system that stops, fails and crashes where a test says. Every operation waits until `step` lets it
 * happen. What is written but not synced is in the cache: a killed process leaves it there, a crash of the
 * machine keeps any of its sectors.
 */
import type { Rng } from '../../../../src/clock.ts';
import type { LogFile, LogFiles } from '../../../../src/protocols/pbft/driver/log-files.ts';

export const sectorBytes = 512;

interface CachedWrite {
  readonly bytes: Uint8Array;
  readonly offset: number;
}

interface Inode {
  disk: Buffer;
  cache: CachedWrite[];
}

type Names = ReadonlyMap<string, Inode>;

export interface Operation {
  readonly type: 'read' | 'create' | 'write' | 'close' | 'rename' | 'sync';
  /** Of a write. */
  readonly length: number;
  readonly offset: number;
  readonly succeed: () => void;
  /** Writes no more than this. */
  readonly shorten: (length: number) => void;
  readonly fail: (error: Error) => void;
}

export const systemError = (code: string): Error => Object.assign(new Error(`${code}: injected`), { code });

export class CrashingFiles implements LogFiles {
  /** Begun and not finished, in order. */
  pending: Operation[] = [];
  /** The names after each change since the last sync of the directory, the synced ones first. */
  #names: Names[];

  constructor(names: Names = new Map()) {
    this.#names = [names];
  }

  get #now(): Names {
    return this.#names.at(-1) as Names;
  }

  /** As a process sees the file. */
  content(name: string): Buffer | undefined {
    const inode = this.#now.get(name);
    return inode === undefined ? undefined : inode.cache.reduce(applied, Buffer.from(inode.disk));
  }

  /** Finishes the pending operation at `index` (of as many as there are), and lets what waited for it run. */
  async step(index = 0): Promise<void> {
    if (this.pending.length > 0) this.take(index).succeed();
    await idle();
  }

  take(index: number): Operation {
    return this.pending.splice(index % this.pending.length, 1)[0] as Operation;
  }

  /** Finishes everything, and what comes of it. */
  async settle(): Promise<void> {
    await idle();
    while (this.pending.length > 0) await this.step();
  }

  /** What another process finds when this one is killed: everything that was written. */
  killed(): CrashingFiles {
    return new CrashingFiles(this.#now);
  }

  /** What is on the disk when the machine stops: of the cache, any sectors; of the names, any state since their sync. */
  crashed(rng: Rng): CrashingFiles {
    const names = this.#names[rng.below(this.#names.length)] as Names;
    const after = new Map<string, Inode>();
    for (const [name, { disk, cache }] of names) {
      after.set(name, { disk: cache.reduce((content, write) => tornWrite(content, write, rng), disk), cache: [] });
    }
    return new CrashingFiles(after);
  }

  read(name: string): Promise<Uint8Array | undefined> {
    return this.#later('read', () => this.content(name));
  }

  create(name: string): Promise<LogFile> {
    return this.#later('create', () => {
      const inode: Inode = { disk: Buffer.alloc(0), cache: [] };
      this.#names.push(new Map(this.#now).set(name, inode));
      return {
        write: (bytes, offset) => this.#write(inode, bytes, offset),
        close: () => this.#later('close', () => undefined),
      };
    });
  }

  rename(from: string, to: string): Promise<void> {
    return this.#later('rename', () => {
      const names = new Map(this.#now);
      names.set(to, names.get(from) as Inode);
      names.delete(from);
      this.#names.push(names);
    });
  }

  sync(): Promise<void> {
    return this.#later('sync', () => {
      this.#names = [this.#now];
    });
  }

  #later<T>(type: Operation['type'], act: () => T): Promise<T> {
    return new Promise((resolve, reject) => {
      const succeed = (): void => resolve(act());
      this.pending.push({ type, length: 0, offset: 0, succeed, shorten: succeed, fail: reject });
    });
  }

  #write(inode: Inode, bytes: Uint8Array, offset: number): Promise<number> {
    const write = { bytes: Uint8Array.from(bytes), offset };
    inode.cache.push(write);
    return new Promise((resolve, reject) => {
      const succeed = (length: number): void => {
        inode.cache = inode.cache.filter((cached) => cached !== write);
        inode.disk = applied(inode.disk, { bytes: write.bytes.subarray(0, length), offset });
        resolve(length);
      };
      this.pending.push({
        type: 'write',
        length: bytes.length,
        offset,
        succeed: () => succeed(bytes.length),
        shorten: succeed,
        // It stays in the cache, and nobody will ever write it out: what a failed fsync leaves behind.
        fail: reject,
      });
    });
  }
}

function applied(content: Buffer, { bytes, offset }: CachedWrite): Buffer {
  const after = Buffer.alloc(Math.max(content.length, offset + bytes.length));
  after.set(content);
  after.set(bytes, offset);
  return after;
}

function tornWrite(content: Buffer, { bytes, offset }: CachedWrite, rng: Rng): Buffer {
  const after = Buffer.alloc(Math.max(content.length, offset + bytes.length));
  after.set(content);
  const share = rng.float();
  for (let at = offset; at < offset + bytes.length; ) {
    const end = Math.min((Math.floor(at / sectorBytes) + 1) * sectorBytes, offset + bytes.length);
    if (rng.float() < share) after.set(bytes.subarray(at - offset, end - offset), at);
    at = end;
  }
  // The new length may be on disk or not, or any on the way.
  const grown = after.length - content.length;
  return rng.below(2) === 0 ? after : after.subarray(0, content.length + rng.below(grown + 1));
}

/** Everything that can run without an operation has run. */
export function idle(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}
