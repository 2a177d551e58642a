/**
 * The application of the simulations: an append-only list of commands under a running hash. A result names
 * the position and the hash, so that a client's result pins the whole history before it.
 */
import { hash } from 'node:crypto';
import type { Application, CommandContext } from '../../../src/protocols/pbft/application.ts';
import { Reader, Writer } from '../../../src/protocols/pbft/wire.ts';

export interface LedgerResult {
  readonly position: number;
  readonly chain: string;
}

export interface Applied {
  readonly seq: number;
  readonly position: number;
  readonly command: string;
  readonly chain: string;
}

export class Ledger implements Application {
  length = 0;
  chain = '00'.repeat(32);
  /** Filler that makes the state span several chunks. */
  #recent: string[] = [];
  readonly #onApply: (entry: Applied) => void;

  constructor(onApply: (entry: Applied) => void = () => undefined) {
    this.#onApply = onApply;
  }

  apply(command: Uint8Array, { seq }: Pick<CommandContext, 'seq'>): Uint8Array {
    const text = Buffer.from(command).toString('latin1');
    if (text === 'throw') throw new Error('as asked');
    if (text === 'length') return this.query();
    this.length++;
    this.chain = hash('sha256', `${this.chain}${text}`, 'hex');
    this.#recent = [...this.#recent.slice(-9), text];
    this.#onApply({ seq, position: this.length, command: text, chain: this.chain });
    return new Writer().uint(this.length).digest(this.chain).finish();
  }

  query(): Uint8Array {
    return new Writer().uint(this.length).finish();
  }

  snapshot(): Uint8Array {
    const w = new Writer().uint(this.length).digest(this.chain);
    return w.list(this.#recent, (one, text) => one.text(text)).finish();
  }

  restore(snapshot: Uint8Array): void {
    const r = new Reader(snapshot);
    this.length = r.uint();
    this.chain = r.digest();
    this.#recent = r.list(10, (one) => one.text(4096));
    if (!r.complete) throw new Error('not a snapshot of a ledger');
  }
}

export function readLedgerResult(bytes: Uint8Array): LedgerResult {
  const r = new Reader(bytes);
  return { position: r.uint(), chain: r.digest() };
}

export function readLength(bytes: Uint8Array): number {
  return new Reader(bytes).uint();
}
