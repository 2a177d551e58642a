/** A disk that survives its process and never fails. */
import type { LogFile, LogFiles } from '../../../../src/protocols/pbft/driver/log-files.ts';

export class MemoryFiles implements LogFiles {
  readonly #files = new Map<string, { bytes: Uint8Array }>();

  async read(name: string): Promise<Uint8Array | undefined> {
    return this.#files.get(name)?.bytes.slice();
  }

  async create(name: string): Promise<LogFile> {
    const file = { bytes: new Uint8Array(0) };
    this.#files.set(name, file);
    return {
      write: async (bytes, offset) => {
        if (file.bytes.length < offset + bytes.length) {
          const longer = new Uint8Array(offset + bytes.length);
          longer.set(file.bytes);
          file.bytes = longer;
        }
        file.bytes.set(bytes, offset);
        return bytes.length;
      },
      close: async () => undefined,
    };
  }

  async rename(from: string, to: string): Promise<void> {
    const file = this.#files.get(from);
    if (file === undefined) throw new Error(`no file ${from}`);
    this.#files.delete(from);
    this.#files.set(to, file);
  }

  async sync(): Promise<void> {
    return undefined;
  }
}
