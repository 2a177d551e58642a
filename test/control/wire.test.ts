import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  asClientFrame,
  asGreeting,
  asServerFrame,
  type ClientFrame,
  encodeFrame,
  FrameReader,
  maxRequestBytes,
  type ServerFrame,
} from '../../src/control/wire.ts';
import { isQuorateError } from '../../src/errors.ts';

const requests = fc.record({
  type: fc.constant('request' as const),
  id: fc.nat(),
  op: fc.string(),
  args: fc.dictionary(fc.string(), fc.oneof(fc.string(), fc.integer(), fc.boolean(), fc.constant(null)), {
    noNullPrototype: true,
  }),
});
const cancels = fc.record({ type: fc.constant('cancel' as const), id: fc.nat() });
const clientFrames: fc.Arbitrary<ClientFrame> = fc.oneof(requests, cancels);

/** Cuts bytes at these places. */
function cut(bytes: Buffer, places: readonly number[]): Buffer[] {
  const at = [...new Set(places.map((place) => place % (bytes.length + 1)))].sort((a, b) => a - b);
  return [0, ...at].map((start, i) => bytes.subarray(start, at[i] ?? bytes.length));
}

describe('control frames', () => {
  it('come out as they went in, however the bytes are cut', () => {
    fc.assert(
      fc.property(fc.array(clientFrames, { maxLength: 8 }), fc.array(fc.nat(), { maxLength: 20 }), (frames, places) => {
        const bytes = Buffer.concat(frames.map((frame) => encodeFrame(frame, maxRequestBytes)));
        const reader = new FrameReader(maxRequestBytes);
        const read = cut(bytes, places).flatMap((chunk) => {
          const { values, refused } = reader.push(chunk);
          expect(refused).toBeUndefined();
          return values.map(asClientFrame);
        });
        expect(read).toEqual(frames);
        expect(reader.unfinished).toBe(false);
      }),
    );
  });

  it('carry bytes that later frames do not overwrite', () => {
    const reader = new FrameReader(1_000);
    const frame = (fill: number) =>
      encodeFrame({ type: 'item', id: 1, value: new Uint8Array(20).fill(fill) } satisfies ServerFrame, 1_000);
    const [first] = reader.push(frame(1)).values.map(asServerFrame);
    reader.push(frame(2));
    expect(first).toEqual({ type: 'item', id: 1, value: new Uint8Array(20).fill(1) });
  });

  it('are refused over the limit before their bytes are taken', () => {
    const header = Buffer.alloc(4);
    header.writeUInt32BE(1_001);
    expect(new FrameReader(1_000).push(header).refused).toContain('1001 bytes');
  });

  it('are not sent over the limit', () => {
    const frame: ServerFrame = { type: 'end', id: 1, value: 'x'.repeat(2_000) };
    expect(() => encodeFrame(frame, 1_000)).toThrow(
      expect.toSatisfy((error) => isQuorateError(error, 'PAYLOAD_TOO_LARGE')),
    );
  });

  it('never make garbage throw or be kept beyond one frame', () => {
    fc.assert(
      fc.property(fc.array(fc.uint8Array({ maxLength: 400 }), { maxLength: 20 }), (chunks) => {
        const reader = new FrameReader(300);
        for (const chunk of chunks) {
          const { values, refused } = reader.push(chunk);
          for (const value of values) {
            asClientFrame(value);
            asServerFrame(value);
            asGreeting(value);
          }
          if (refused !== undefined) return;
        }
      }),
    );
  });

  it.each([
    [{ type: 'request', id: -1, op: 'status', args: {} }],
    [{ type: 'request', id: 1.5, op: 'status', args: {} }],
    [{ type: 'request', id: 1, op: 7, args: {} }],
    [{ type: 'request', id: 1, op: 'status', args: [] }],
    [{ type: 'request', id: 1, op: 'status', args: new Map() }],
    [{ type: 'request', id: 1, op: 'status' }],
    [{ type: 'order', id: 1, op: 'status', args: {} }],
    [[1, 2]],
    ['request'],
    [null],
  ])('does not take %j for a request', (value) => {
    expect(asClientFrame(value as never)).toBeUndefined();
  });
});
