/**
 * A sketch as bytes, and back from bytes that may be anything.
 *
 * `1 | zeros | negative bins | positive bins`; bins are `number of buckets with a count | the lowest bucket, zigzag | then for each: distance from the one before it,
 * count`. All numbers are LEB128, in their shortest form. Sum, least and greatest travel beside them as numbers.
 */
import { bucketRange, DDSketch } from './ddsketch.ts';
import { maxBins, type SketchBins } from './sketch-bins.ts';

const version = 1;
/** Enough for full bins with counts in the billions; the entry's own limit is 32 KiB. */
export const maxSketchBytes = 16_384;
/** Of one bucket: more than anybody measures in a window, and sums of a thousand nodes stay exact. */
const maxCount = 2 ** 40;

export function encodeSketch(sketch: DDSketch): Uint8Array {
  const out: number[] = [version];
  writeNumber(out, sketch.zeros);
  writeBins(out, sketch.negative);
  writeBins(out, sketch.positive);
  return Uint8Array.from(out);
}

function writeBins(out: number[], bins: SketchBins): void {
  const buckets: number[] = [];
  if (bins.total > 0)
    for (let bucket = bins.low; bucket <= bins.high; bucket++) if (bins.at(bucket) > 0) buckets.push(bucket);
  writeNumber(out, buckets.length);
  const [lowest] = buckets;
  if (lowest === undefined) return;
  writeNumber(out, lowest < 0 ? -2 * lowest - 1 : 2 * lowest);
  let before = lowest;
  for (const bucket of buckets) {
    writeNumber(out, bucket - before);
    writeNumber(out, Math.min(maxCount, bins.at(bucket)));
    before = bucket;
  }
}

function writeNumber(out: number[], value: number): void {
  let rest = value;
  while (rest >= 0x80) {
    out.push((rest % 0x80) | 0x80);
    rest = Math.floor(rest / 0x80);
  }
  out.push(rest);
}

/** Without sum, least and greatest, which the caller has; undefined for what `encodeSketch` does not write. */
export function decodeSketch(bytes: Uint8Array): DDSketch | undefined {
  if (bytes.length > maxSketchBytes || bytes[0] !== version) return undefined;
  const input = new Input(bytes);
  const sketch = new DDSketch();
  const zeros = input.number();
  if (zeros === undefined || zeros > maxCount) return undefined;
  sketch.zeros = zeros;
  if (!readBins(input, sketch.negative) || !readBins(input, sketch.positive)) return undefined;
  return input.atEnd ? sketch : undefined;
}

function readBins(input: Input, bins: SketchBins): boolean {
  const length = input.number();
  if (length === undefined || length > maxBins) return false;
  if (length === 0) return true;
  const zigzag = input.number();
  if (zigzag === undefined) return false;
  let bucket = zigzag % 2 === 1 ? -(zigzag + 1) / 2 : zigzag / 2;
  const lowest = bucket;
  if (lowest < bucketRange.low) return false;
  const read: (readonly [bucket: number, count: number])[] = [];
  for (let n = 0; n < length; n++) {
    const distance = input.number();
    const count = input.number();
    if (distance === undefined || count === undefined || distance > 0 !== n > 0) return false;
    bucket += distance;
    if (bucket > bucketRange.high || bucket - lowest >= maxBins) return false;
    if (count < 1 || count > maxCount) return false;
    read.push([bucket, count]);
  }
  // The highest first, so that the bins have room for all but once.
  const highest = read.pop();
  if (highest !== undefined) bins.add(...highest);
  for (const [at, count] of read) bins.add(at, count);
  return true;
}

class Input {
  readonly #bytes: Uint8Array;
  #at = 1;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
  }

  get atEnd(): boolean {
    return this.#at === this.#bytes.length;
  }

  /** Undefined at the end, beyond 2^49, and for a form that is not the shortest. */
  number(): number | undefined {
    let value = 0;
    for (let n = 0, scale = 1; n < 7; n++, scale *= 0x80) {
      const byte = this.#bytes[this.#at];
      if (byte === undefined) return undefined;
      this.#at += 1;
      value += (byte & 0x7f) * scale;
      if (byte < 0x80) return byte === 0 && n > 0 ? undefined : value;
    }
    return undefined;
  }
}
