import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { createIdentity } from '../../../src/identity.ts';
import {
  type ControlFrame,
  decodeControlFrame,
  encodeControlFrame,
  maxControlFrameBytes,
  maxLagMs,
  targetKey,
} from '../../../src/p2p/detector/frames.ts';

const seq = fc.integer({ min: 0, max: 2 ** 32 - 1 });
const lagMs = fc.integer({ min: 0, max: maxLagMs });
const frames: fc.Arbitrary<ControlFrame> = fc.oneof(
  fc.record({ type: fc.constant('probe' as const), seq, lagMs }),
  fc.record({ type: fc.constant('ack' as const), seq, lagMs, digest: fc.uint8Array({ minLength: 8, maxLength: 8 }) }),
  fc.record({
    type: fc.constant('ping-req' as const),
    seq,
    target: fc.uint8Array({ minLength: 8, maxLength: 8 }).map((bytes) => Buffer.from(bytes).toString('hex')),
  }),
  fc.record({ type: fc.constant('ping-reply' as const), seq, ok: fc.boolean() }),
);

describe('control frames', () => {
  test('what is encoded is decoded, in at most 15 bytes', () => {
    fc.assert(
      fc.property(frames, (frame) => {
        const bytes = encodeControlFrame(frame);
        expect(bytes.length).toBeLessThanOrEqual(15);
        expect(decodeControlFrame(bytes)).toEqual(frame);
      }),
    );
  });

  test('any bytes are a frame that encodes to them again, or nothing', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: maxControlFrameBytes }), (bytes) => {
        const frame = decodeControlFrame(bytes);
        if (frame !== undefined) expect(encodeControlFrame(frame)).toEqual(bytes);
      }),
    );
  });

  test('a frame cut short or made longer is nothing', () => {
    fc.assert(
      fc.property(frames, (frame) => {
        const bytes = encodeControlFrame(frame);
        expect(decodeControlFrame(bytes.subarray(0, -1))).toBeUndefined();
        expect(decodeControlFrame(Uint8Array.of(...bytes, 0))).toBeUndefined();
      }),
    );
  });

  test('a lag beyond the field is capped', () => {
    expect(decodeControlFrame(encodeControlFrame({ type: 'probe', seq: 1, lagMs: 1e9 }))).toEqual({
      type: 'probe',
      seq: 1,
      lagMs: maxLagMs,
    });
  });

  test('bytes are as documented', () => {
    expect([...encodeControlFrame({ type: 'probe', seq: 0x01020304, lagMs: 0x0506 })]).toEqual([1, 1, 2, 3, 4, 5, 6]);
    expect([...encodeControlFrame({ type: 'ping-reply', seq: 7, ok: true })]).toEqual([4, 0, 0, 0, 7, 1]);
    expect(targetKey(createIdentity(new Uint8Array(32)).id)).toMatch(/^[0-9a-f]{16}$/);
  });
});
