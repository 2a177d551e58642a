/**
 * The durable memory of a validator: what it promised is here before anybody hears of it.
 *
 * Group commit (DeWitt et al., SIGMOD '84): one batch is on its way to the disk; everything appended meanwhile is the next. A
 * lone record waits for nobody: its write starts in the microtask after `append`, so that the records of one
 * turn go together.
 *
 * Compaction: when the file has grown enough and a checkpoint made most of it obsolete, what `recordsToKeep` keeps is
 * written to a second file, beside the appends. Then, between two batches, the second file gets what came meanwhile
 * and its header, takes the name of the first, and the directory is synced; only then the next batch is
 * written, into it. So whichever of the two a crash leaves under the name holds everything acknowledged. A
 * half-written second file has another name and is never read.
 *
 * Opening does the same with what it found. Recovered records may be in the page cache only, and after a failed
 * sync the kernel counts pages as clean that are not on disk (Rebello et al., USENIX ATC '20), so they are
 * written anew before anything is built on them. For the same reason nothing is tried again after an error: the log has failed, and what is
 * true of the disk is found out at the next opening, by the rules in log-frames.ts.
 */
import { join } from 'node:path';
import { QuorateError } from '../../../errors.ts';
import { codeOf } from '../../../p2p/whole-file.ts';
import type { LogRecord } from '../effects.ts';
import { recordsToKeep } from '../recovery.ts';
import { type LogFiles, openLogFiles } from './log-files.ts';
import { frameBytes, maxRecordBytes, readLog } from './log-frames.ts';
import { LogWriter } from './log-writer.ts';

export interface LogListener {
  /** Everything up to this position is on disk. In order; several positions may be told at once. */
  onDurable(position: number): void;
  /** Once, and last: nothing appended after `durable` is or will be promised. `DATA_DIR_UNUSABLE`. */
  onFailed(error: QuorateError): void;
}

export interface WriteAheadLog {
  /** What was found at opening, in order: for `restore`. */
  readonly recovered: readonly LogRecord[];
  /**
   * Queues a record; gives its position: 1 for the first, rising by one. Never blocks and never throws. After a failure or
   * `close` the record is dropped and its position never durable. The record must not change afterwards.
   */
  append(record: LogRecord): number;
  /** Everything up to this position is on disk; 0 at first. */
  readonly durable: number;
  /** A listener must not throw: what it throws is thrown again where nobody catches it. */
  listen(listener: LogListener): void;
  /** Syncs what is queued, closes the file. Idempotent. */
  close(): Promise<void>;
  /** On disk now. */
  readonly bytes: number;
}

export interface FileLogOptions {
  /** Zeros written ahead, so that syncs are cheap; the file is compacted when three quarters are used. Default 4 MiB. */
  readonly reserveBytes?: number;
  /** A disk that lags this far behind counts as failed. Default 1 GiB, what the largest record may have. */
  readonly maxQueuedBytes?: number;
}

export const logName = 'pbft.log';
const nextName = 'pbft.log.next';

/** Records gathered during a compaction are copied while appends go on until fewer than this are left. */
const switchBelowBytes = 64 << 10;

/**
 * The log of the group `groupId` in `<directory>/pbft.log` (0600; the directory is made with 0700). The caller has
 * locked the data directory. Throws `DATA_DIR_UNUSABLE` when the log is damaged, belongs to another group,
 * or cannot be read or written.
 */
export async function openFileLog(
  directory: string,
  groupId: Uint8Array,
  options: FileLogOptions = {},
): Promise<WriteAheadLog> {
  const file = join(directory, logName);
  try {
    return await openLog(await openLogFiles(directory), file, groupId, options);
  } catch (error) {
    throw failure(file, error);
  }
}

/** The same over any file system; `file` is for messages. */
export async function openLog(
  files: LogFiles,
  file: string,
  groupId: Uint8Array,
  { reserveBytes = 4 << 20, maxQueuedBytes = maxRecordBytes }: FileLogOptions = {},
): Promise<WriteAheadLog> {
  const content = await files.read(logName);
  const recovered = content === undefined ? [] : recordsOf(content, file, groupId);
  const kept = recordsToKeep(recovered);
  const begin = async (records: readonly LogRecord[]): Promise<LogWriter> => {
    const writer = await LogWriter.create(files, nextName, groupId);
    try {
      await writer.append(records);
      await writer.reserve(reserveBytes);
    } catch (error) {
      await writer.close();
      throw error;
    }
    return writer;
  };
  const install = async (writer: LogWriter): Promise<void> => {
    await writer.seal();
    await files.rename(nextName, logName);
    await files.sync();
  };
  const writer = await begin(kept);
  try {
    await install(writer);
  } catch (error) {
    await writer.close();
    throw error;
  }
  return new FileLog({ recovered, kept, writer, begin, install, file, maxQueuedBytes, reserveBytes });
}

function recordsOf(content: Uint8Array, file: string, groupId: Uint8Array): LogRecord[] {
  const found = readLog(content, groupId);
  if (found.ok) return found.records;
  const { offset, why } = found;
  throw new QuorateError(
    'DATA_DIR_UNUSABLE',
    `The log of this validator, ${file}, cannot be used: at byte ${offset} ${why}. Starting without what it held could break a promise made to the other validators. Replace this validator by one with a new identity; or restore the file exactly as it was when this validator last ran, for an older copy has forgotten promises too.`,
    { file, offset, reason: why },
  );
}

const reasons: Readonly<Record<string, string>> = {
  ENOSPC: 'the disk is full. Free some space',
  EDQUOT: "the user's disk quota is used up. Free some space",
  EFBIG: 'the system does not let the file grow further. Raise the limit (ulimit -f)',
  EIO: 'the disk reported an error. Replace the disk when it does so again',
  EACCES: 'this user may not read and write it. Change its owner or mode',
  EPERM: 'this user may not read and write it. Change its owner or mode',
  EROFS: 'the file system is read-only. Make it writable',
};

/** `DATA_DIR_UNUSABLE` with the code of the system; coded errors pass unchanged. */
function failure(file: string, error: unknown): QuorateError {
  if (error instanceof QuorateError) return error;
  const code = codeOf(error);
  const said = error instanceof Error ? error.message : String(error);
  const why = (code === undefined ? undefined : reasons[code]) ?? said;
  const message = `The log of this validator, ${file}, cannot be written: ${why}, then start again. What was acknowledged is in the file; this validator promises nothing more until then.`;
  return new QuorateError('DATA_DIR_UNUSABLE', message, { file, code }, { cause: error });
}

interface FileLogParts {
  readonly recovered: readonly LogRecord[];
  /** Those of them that are in the file. */
  readonly kept: readonly LogRecord[];
  readonly writer: LogWriter;
  /** Writes these to a second file. */
  readonly begin: (records: readonly LogRecord[]) => Promise<LogWriter>;
  /** Makes the second file the log. */
  readonly install: (writer: LogWriter) => Promise<void>;
  readonly file: string;
  readonly maxQueuedBytes: number;
  readonly reserveBytes: number;
}

/** A second file that is being written. `missing` is what it still lacks of the first. */
interface Compaction {
  missing: LogRecord[];
  /** Set when the two can change places. */
  writer: LogWriter | undefined;
  readonly finished: Promise<void>;
}

class FileLog implements WriteAheadLog {
  readonly recovered: readonly LogRecord[];
  durable = 0;
  readonly #parts: FileLogParts;
  readonly #listeners: LogListener[] = [];
  #writer: LogWriter;
  /** Durable records that are still needed, in the order they have to be kept in. */
  #live: LogRecord[];
  #queue: LogRecord[] = [];
  #queuedBytes = 0;
  #appended = 0;
  /** Defined while something is written to the log. Never rejects. */
  #draining: Promise<void> | undefined;
  #compaction: Compaction | undefined;
  #failure: QuorateError | undefined;
  #closed: Promise<void> | undefined;

  constructor(parts: FileLogParts) {
    this.#parts = parts;
    this.recovered = parts.recovered;
    this.#writer = parts.writer;
    this.#live = [...parts.kept];
  }

  get bytes(): number {
    return this.#writer.bytes;
  }

  append(record: LogRecord): number {
    this.#appended++;
    if (this.#failure !== undefined || this.#closed !== undefined) return this.#appended;
    this.#queue.push(record);
    this.#queuedBytes += record.bytes.length;
    if (this.#queuedBytes > this.#parts.maxQueuedBytes) this.#failLater();
    else this.#drain();
    return this.#appended;
  }

  /** Not from within `append`: its caller does not know the position yet. */
  #failLater(): void {
    const text = `more than ${this.#parts.maxQueuedBytes} bytes wait to be written. Use a faster disk, or keep less state`;
    queueMicrotask(() => this.#fail(new Error(text)));
  }

  listen(listener: LogListener): void {
    this.#listeners.push(listener);
    const error = this.#failure;
    if (error !== undefined) queueMicrotask(() => tell(() => listener.onFailed(error)));
  }

  #drain(): void {
    if (this.#failure !== undefined) return;
    this.#draining ??= Promise.resolve()
      .then(() => this.#writeAll())
      .catch((error: unknown) => {
        this.#draining = undefined;
        this.#fail(error);
      });
  }

  async #writeAll(): Promise<void> {
    let writing = this.#writeNext();
    while (writing !== undefined) {
      const batch = await writing;
      if (this.#failure !== undefined) break;
      this.#settle(batch);
      const position = this.durable;
      // The next write is under way while listeners act on this one.
      writing = this.#writeNext();
      if (batch.length > 0) for (const listener of this.#listeners) tell(() => listener.onDurable(position));
      writing ??= this.#writeNext();
    }
    this.#draining = undefined;
  }

  /** Undefined when there is nothing to do. */
  #writeNext(): Promise<readonly LogRecord[]> | undefined {
    if (this.#compaction?.writer !== undefined) return this.#switchTo(this.#compaction.writer, this.#compaction);
    const batch = this.#queue;
    if (batch.length === 0) return undefined;
    this.#queue = [];
    this.#queuedBytes = 0;
    return this.#writer.append(batch).then(() => batch);
  }

  #settle(batch: readonly LogRecord[]): void {
    this.durable += batch.length;
    this.#compaction?.missing.push(...batch);
    this.#live.push(...batch);
    if (!batch.some(({ kind }) => kind === 'checkpoint')) return;
    this.#live = recordsToKeep(this.#live);
    const due = Math.max((this.#parts.reserveBytes * 3) / 4, sizeOf(this.#live));
    if (this.#compaction === undefined && this.#writer.grownBytes > due) this.#startCompaction();
  }

  #startCompaction(): void {
    const finished = this.#parts
      .begin([...this.#live]) // What settles from now on goes to `missing`, and must not be copied twice.
      .then((writer) => this.#catchUp(writer))
      .catch((error: unknown) => this.#fail(error));
    this.#compaction = { missing: [], writer: undefined, finished };
  }

  async #catchUp(writer: LogWriter): Promise<void> {
    const compaction = this.#compaction as Compaction;
    while (sizeOf(compaction.missing) > switchBelowBytes && this.#failure === undefined) {
      const batch = compaction.missing;
      compaction.missing = [];
      await writer.append(batch);
    }
    compaction.writer = writer;
    this.#drain();
  }

  /** Between two batches, so nothing is acknowledged meanwhile. */
  async #switchTo(writer: LogWriter, { missing }: Compaction): Promise<readonly LogRecord[]> {
    if (missing.length > 0) await writer.append(missing);
    await this.#writer.close();
    this.#writer = writer;
    this.#compaction = undefined;
    await this.#parts.install(writer);
    return [];
  }

  #fail(cause: unknown): void {
    if (this.#failure !== undefined) return;
    const error = failure(this.#parts.file, cause);
    this.#failure = error;
    this.#queue = [];
    for (const listener of this.#listeners) tell(() => listener.onFailed(error));
  }

  close(): Promise<void> {
    this.#closed ??= this.#shut();
    return this.#closed;
  }

  async #shut(): Promise<void> {
    await this.#idle();
    await this.#compaction?.finished;
    await this.#idle();
    try {
      // Behind this mark nothing is ever cut: see log-frames.ts.
      if (this.#failure === undefined) await this.#writer.append([{ kind: 'closed' }]);
      await this.#compaction?.writer?.close();
      await this.#writer.close();
    } catch (error) {
      this.#fail(error);
    }
  }

  async #idle(): Promise<void> {
    while (this.#draining !== undefined) await this.#draining;
  }
}

const sizeOf = (records: readonly LogRecord[]): number => records.reduce((sum, record) => sum + frameBytes(record), 0);

function tell(call: () => void): void {
  try {
    call();
  } catch (error) {
    queueMicrotask(() => {
      throw error;
    });
  }
}

/**
 * A log that forgets everything with the process: for tests and for groups that say explicitly that a restarted
 * validator is a new one. A record is durable, and listeners have been told, when `append` returns.
 */
export function createMemoryLog(): WriteAheadLog {
  const listeners: LogListener[] = [];
  let durable = 0;
  let appended = 0;
  let closed = false;
  return {
    recovered: [],
    bytes: 0,
    get durable() {
      return durable;
    },
    append() {
      appended++;
      if (closed) return appended;
      durable = appended;
      for (const listener of listeners) tell(() => listener.onDurable(durable));
      return appended;
    },
    listen(listener) {
      listeners.push(listener);
    },
    async close() {
      closed = true;
    },
  };
}
