import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { DDSketch } from '../../../../src/protocols/infrastructure/monitor/ddsketch.ts';
import {
  decodeSketch,
  encodeSketch,
  maxSketchBytes,
} from '../../../../src/protocols/infrastructure/monitor/sketch-bytes.ts';

const anySketch = fc.array(fc.double({ noNaN: true, noDefaultInfinity: true }), { maxLength: 200 }).map((values) => {
  const sketch = new DDSketch();
  for (const value of values) sketch.add(value);
  return sketch;
});

describe('sketches as bytes', () => {
  test('come back as they were', () => {
    fc.assert(
      fc.property(anySketch, (sketch) => {
        const bytes = encodeSketch(sketch);
        const back = decodeSketch(bytes) as DDSketch;
        expect(back.count).toBe(sketch.count);
        expect(encodeSketch(back)).toEqual(bytes);
        [back.min, back.max] = [sketch.min, sketch.max];
        for (const share of [0, 0.3, 0.5, 0.99]) expect(back.quantile(share)).toBe(sketch.quantile(share));
      }),
    );
  });

  test('any bytes are a sketch written the one way, or nothing', () => {
    const noise = fc.oneof(
      fc.uint8Array({ maxLength: 100 }),
      fc.uint8Array({ maxLength: 60 }).map((bytes) => Uint8Array.from([1, ...bytes])),
      fc.tuple(anySketch, fc.nat(), fc.nat(255)).map(([sketch, at, byte]) => {
        const bytes = encodeSketch(sketch);
        bytes[at % bytes.length] = byte;
        return bytes;
      }),
      fc.tuple(anySketch, fc.nat()).map(([sketch, at]) => {
        const bytes = encodeSketch(sketch);
        return bytes.subarray(0, at % bytes.length);
      }),
    );
    fc.assert(
      fc.property(noise, (bytes) => {
        const sketch = decodeSketch(bytes);
        if (sketch !== undefined) expect(encodeSketch(sketch)).toEqual(Uint8Array.from(bytes));
      }),
      { numRuns: 2_000 },
    );
  });

  test('what no honest node writes is refused', () => {
    const wrong: readonly (readonly number[])[] = [
      [],
      [2, 0, 0, 0],
      [1, 0, 0],
      [1, 0, 0, 0, 0],
      [1, 0x80, 0, 0, 0], // zero in two bytes
      [1, 0, 0, 1, 0, 1, 1], // the first bucket has no distance
      [1, 0, 0, 1, 0, 0, 0], // a bucket without a count
      [1, 0, 0, 2, 0, 0, 1, 0, 1], // the same bucket twice
      [1, 0, 0, 2, 0, 0, 1, 0x80, 8, 1], // 1,024 buckets apart
      [1, 0, 0, 1, 0xff, 0xff, 0x7f, 0, 1], // a bucket below the smallest number
      [1, 0, 0, 1, 0xfe, 0xff, 0x7f, 0, 1], // and one above the greatest
      [1, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1, 0, 0],
      [1, 0, 0, 1, 0, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f], // more than 2^40 in a bucket
    ];
    for (const bytes of wrong) expect(decodeSketch(Uint8Array.from(bytes)), String(bytes)).toBeUndefined();
    expect(decodeSketch(Uint8Array.from([1, 0, 0, 2, 0, 0, 1, 0xff, 7, 1]))?.count).toBe(2);
    expect(decodeSketch(new Uint8Array(maxSketchBytes + 1).fill(1))).toBeUndefined();
  });

  test('the largest sketch fits', () => {
    const sketch = new DDSketch();
    for (let n = 0; n < 3_000; n++) {
      sketch.positive.add(n, 2 ** 40);
      sketch.negative.add(n, 2 ** 50);
    }
    sketch.zeros = 2 ** 40;
    const bytes = encodeSketch(sketch);
    expect(bytes.length).toBeLessThanOrEqual(maxSketchBytes);
    expect(decodeSketch(bytes)).toBeDefined();
  });
});
