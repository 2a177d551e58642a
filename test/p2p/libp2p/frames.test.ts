import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { FrameParser, maxFrameLength, maxHeaderBytes, writeHeader } from '../../../src/p2p/libp2p/frames.ts';

const maxFrameBytes = 1_000;
const frames = fc.array(fc.uint8Array({ maxLength: maxFrameBytes }), { maxLength: 12 });

function encode(list: readonly Uint8Array[]): Uint8Array {
  return Buffer.concat(
    list.map((frame) => {
      const header = new Uint8Array(maxHeaderBytes);
      return Buffer.concat([header.subarray(0, writeHeader(header, 0, frame.length)), frame]);
    }),
  );
}

/** Feeds the bytes cut at the given places, and collects what comes out. */
function parse(bytes: Uint8Array, cuts: readonly number[] = []) {
  const out: Uint8Array[] = [];
  const parser = new FrameParser(maxFrameBytes, (frame) => out.push(frame.slice()));
  const places = [...new Set([0, ...cuts.map((cut) => cut % (bytes.length + 1)), bytes.length])].sort((a, b) => a - b);
  let violation: string | undefined;
  for (let i = 1; i < places.length; i++) violation = parser.push(bytes.subarray(places[i - 1], places[i]));
  return { out, violation, unfinished: parser.unfinished };
}

describe('FrameParser', () => {
  it('gives back what was written, however it is cut', () => {
    fc.assert(
      fc.property(frames, fc.array(fc.nat(), { maxLength: 30 }), (list, cuts) => {
        const parsed = parse(encode(list), cuts);
        expect(parsed).toEqual({
          out: list.map((frame) => new Uint8Array(frame)),
          violation: undefined,
          unfinished: false,
        });
      }),
    );
  });

  it('works byte by byte', () => {
    const list = [new Uint8Array(0), new Uint8Array(300).fill(1), new Uint8Array(1).fill(2)];
    const bytes = encode(list);
    const parsed = parse(
      bytes,
      Array.from({ length: bytes.length }, (_, index) => index),
    );
    expect(parsed.out).toEqual(list);
  });

  it('knows that a stream ended within a frame', () => {
    fc.assert(
      fc.property(frames, fc.nat(), (list, cut) => {
        const bytes = encode(list);
        const ends = new Set<number>([0]);
        let at = 0;
        for (const frame of list) {
          at += encode([frame]).length;
          ends.add(at);
        }
        const length = cut % (bytes.length + 1);
        expect(parse(bytes.subarray(0, length)).unfinished).toBe(!ends.has(length));
      }),
    );
  });

  it('does not depend on how random bytes are cut, and never throws', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 4_000 }), fc.array(fc.nat(), { maxLength: 20 }), (bytes, cuts) => {
        expect(parse(bytes, cuts)).toEqual(parse(bytes));
        for (const frame of parse(bytes).out) expect(frame.length).toBeLessThanOrEqual(maxFrameBytes);
      }),
    );
  });

  it('refuses a length over the cap at its header, and takes nothing more', () => {
    const header = new Uint8Array(maxHeaderBytes);
    const length = writeHeader(header, 0, maxFrameBytes + 1);
    const seen: Uint8Array[] = [];
    const parser = new FrameParser(maxFrameBytes, (frame) => seen.push(frame));
    expect(parser.push(header.subarray(0, length))).toBe('too long');
    expect(parser.push(encode([new Uint8Array(1)]))).toBe('too long');
    expect(seen).toEqual([]);
  });

  it.each([
    ['five bytes', [0xff, 0xff, 0xff, 0xff, 0x01]],
    ['a longer form than needed', [0x81, 0x00]],
  ])('refuses a length of %s', (_, bytes) => {
    expect(new FrameParser(maxFrameLength, () => undefined).push(Uint8Array.from(bytes))).toBe('malformed length');
  });

  it('hands out a frame that lies in one chunk without copying it', () => {
    const bytes = encode([new Uint8Array(10).fill(5)]);
    let frame: Uint8Array | undefined;
    new FrameParser(maxFrameBytes, (each) => {
      frame = each;
    }).push(bytes);
    expect(frame?.buffer).toBe(bytes.buffer);
  });
});
