/** One libp2p stream in an attacker's hands: frames as Quorate cuts them, or any bytes at all. */
import type { Stream } from '@libp2p/interface';
import { FrameParser, maxFrameLength, maxHeaderBytes, writeHeader } from '../../src/p2p/libp2p/frames.ts';
import { pollUntil } from '../mesh/poll.ts';

/** A frame with its length before it. */
export function framed(frame: Uint8Array): Uint8Array {
  const header = new Uint8Array(maxHeaderBytes);
  return Buffer.concat([header.subarray(0, writeHeader(header, 0, frame.length)), frame]);
}

export class RawStream {
  readonly stream: Stream;
  /** What the other side sent so far. */
  readonly frames: Uint8Array[] = [];
  onFrame: ((frame: Uint8Array) => void) | undefined;
  #over = false;

  constructor(stream: Stream) {
    this.stream = stream;
    const parser = new FrameParser(maxFrameLength, (frame) => {
      const copy = frame.slice();
      this.frames.push(copy);
      this.onFrame?.(copy);
    });
    stream.addEventListener('message', ({ data }) => {
      for (const chunk of data instanceof Uint8Array ? [data] : data) parser.push(chunk);
    });
    stream.addEventListener('remoteCloseWrite', () => {
      this.#over = true;
    });
    stream.addEventListener('close', () => {
      this.#over = true;
    });
  }

  /** The other side ended it, or reset it. */
  get over(): boolean {
    return this.#over || this.stream.status !== 'open';
  }

  /** Sends bytes as they are. Quietly nothing when it was cut off: an attacker tries again, it does not complain. */
  raw(bytes: Uint8Array): boolean {
    if (this.stream.status !== 'open') return false;
    try {
      this.stream.send(bytes);
      return true;
    } catch {
      return false;
    }
  }

  frame(frame: Uint8Array): boolean {
    return this.raw(framed(frame));
  }

  /** Reads nothing from now on, so that what is sent to it piles up. */
  stall(): void {
    if (this.stream.status === 'open') this.stream.pause();
  }

  async whenOver(): Promise<void> {
    await pollUntil(() => this.over);
  }

  abort(): void {
    this.stream.abort(new Error('enough'));
  }
}
