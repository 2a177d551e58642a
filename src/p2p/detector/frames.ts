/**
 * The frames of `/quorate/control/1`: fixed binary layouts, big-endian, 6 to 15 bytes.
 *
 * | byte 0 | name       | then                                                            | bytes |
 * |--------|------------|-----------------------------------------------------------------|-------|
 * | 1      | probe      | seq u32, lag u16 (sender's event-loop lag, ms)                   | 7     |
 * | 2      | ack        | seq u32 (of the probe), lag u16, digest (8 bytes)               | 15    |
 * | 3      | ping-req   | seq u32, target (8 bytes: `targetKey` of its node id)           | 13    |
 * | 4      | ping-reply | seq u32 (of the ping-req), ok u8 (1: the target answered me now) | 6     |
 *
 * A frame of another length or number is refused; numbers are append only.
 */
import { createHash } from 'node:crypto';
import type { NodeId } from '../../node-id.ts';

export const controlProtocol = '/quorate/control/1';
/** No control frame is longer. Bytes. */
export const maxControlFrameBytes = 64;
export const digestLength = 8;
export const maxLagMs = 0xffff;

export type ControlFrame =
  | { readonly type: 'probe'; readonly seq: number; readonly lagMs: number }
  | { readonly type: 'ack'; readonly seq: number; readonly lagMs: number; readonly digest: Uint8Array }
  | { readonly type: 'ping-req'; readonly seq: number; readonly target: string }
  | { readonly type: 'ping-reply'; readonly seq: number; readonly ok: boolean };

/** The short name of a node in a ping-req: the first 8 bytes of SHA-256 of its id, in hexadecimal. */
export function targetKey(id: NodeId): string {
  return createHash('sha256').update(id).digest('hex').slice(0, 16);
}

export function encodeControlFrame(frame: ControlFrame): Uint8Array {
  switch (frame.type) {
    case 'probe':
      return withSeq(1, 7, frame.seq, (view) => view.setUint16(5, clampLag(frame.lagMs)));
    case 'ack':
      return withSeq(2, 15, frame.seq, (view, bytes) => {
        view.setUint16(5, clampLag(frame.lagMs));
        bytes.set(frame.digest.subarray(0, digestLength), 7);
      });
    case 'ping-req':
      return withSeq(3, 13, frame.seq, (_view, bytes) => bytes.set(Buffer.from(frame.target, 'hex').subarray(0, 8), 5));
    case 'ping-reply':
      return withSeq(4, 6, frame.seq, (view) => view.setUint8(5, frame.ok ? 1 : 0));
  }
}

/** The frame in `bytes`, or undefined for anything else. */
export function decodeControlFrame(bytes: Uint8Array): ControlFrame | undefined {
  if (bytes.length < 6) return undefined;
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const seq = view.getUint32(1);
  switch (bytes[0]) {
    case 1:
      return bytes.length === 7 ? { type: 'probe', seq, lagMs: view.getUint16(5) } : undefined;
    case 2:
      return bytes.length === 15
        ? { type: 'ack', seq, lagMs: view.getUint16(5), digest: bytes.slice(7, 15) }
        : undefined;
    case 3:
      return bytes.length === 13
        ? { type: 'ping-req', seq, target: Buffer.from(bytes.subarray(5, 13)).toString('hex') }
        : undefined;
    case 4: {
      const ok = bytes[5] as number;
      return bytes.length === 6 && ok <= 1 ? { type: 'ping-reply', seq, ok: ok === 1 } : undefined;
    }
    default:
      return undefined;
  }
}

function withSeq(
  type: number,
  length: number,
  seq: number,
  fill: (view: DataView, bytes: Uint8Array) => void,
): Uint8Array {
  const bytes = new Uint8Array(length);
  const view = new DataView(bytes.buffer);
  view.setUint8(0, type);
  view.setUint32(1, seq);
  fill(view, bytes);
  return bytes;
}

function clampLag(lagMs: number): number {
  return Math.max(0, Math.min(maxLagMs, Math.round(lagMs)));
}
