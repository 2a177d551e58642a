/**
 * The one encoding of structured values: CBOR (RFC 8949) with length-first sorted keys, so that equal
 * values give equal bytes. Date is tag 1, bigint tags 2 and 3, Map tag 259; plain objects are CBOR maps
 * with text keys. Decoding accepts shortest-form lengths only, no indefinite ones, no repeated keys.
 */
import { decode, encode } from 'cborg';
import {
  bigIntDecoder,
  bigNegIntDecoder,
  dateEncoder,
  mapDecoder,
  mapEncoder,
  structBigIntEncoder,
  TAG_BIGINT_NEG,
  TAG_BIGINT_POS,
  TAG_DATE_EPOCH,
  TAG_MAP,
} from 'cborg/taglib';
import { QuorateError } from './errors.ts';
import type { Value } from './value.ts';

/** Deeper nesting is refused in both directions; no honest message needs it, and recursion must end. */
export const maxDepth = 64;

const encodeOptions = {
  typeEncoders: { Date: dateEncoder, bigint: structBigIntEncoder, Map: mapEncoder },
};
const decodeOptions = {
  strict: true,
  allowIndefinite: false,
  rejectDuplicateMapKeys: true,
  tags: {
    [TAG_DATE_EPOCH]: (decodeContent: () => unknown) => {
      const seconds = decodeContent();
      if (typeof seconds === 'number' || typeof seconds === 'bigint') return dateOfSeconds(seconds);
      throw new Error('a date that is no number');
    },
    [TAG_BIGINT_POS]: bigIntDecoder,
    [TAG_BIGINT_NEG]: bigNegIntDecoder,
    [TAG_MAP]: plainKeyedMap,
  },
};

/** Keys that are no single item have no order, so that equal maps would not give equal bytes. */
function plainKeyedMap(decodeContent: Parameters<typeof mapDecoder>[0]): Map<unknown, unknown> {
  const map = mapDecoder(decodeContent);
  for (const key of map.keys()) {
    const isPlain = typeof key !== 'bigint' && (typeof key !== 'object' || key === null || key instanceof Uint8Array);
    if (!isPlain) throw new Error('a map whose keys are bigints, dates, lists or maps');
  }
  return map;
}

/**
 * Tag 1 holds seconds as a double. Times 1,000 that is not always the millisecond it came from, so the one
 * is taken whose seconds are exactly these. It matters for years far from ours, which may travel as well.
 */
export function dateOfSeconds(seconds: number | bigint): Date {
  const near = Math.round(Number(seconds) * 1000);
  return new Date([near, near - 1, near + 1].find((ms) => ms / 1000 === seconds) ?? near);
}

/** Throws `UNSUPPORTED_VALUE` for what cannot travel: functions, symbols, cycles, deep
 * nesting. An instance of a class travels as the plain object of its own fields. */
export function encodeValue(value: unknown): Uint8Array {
  let bytes: Uint8Array;
  try {
    bytes = encode(value, encodeOptions);
  } catch (cause) {
    const why = cause instanceof Error ? cause.message : String(cause);
    throw new QuorateError(
      'UNSUPPORTED_VALUE',
      `This value cannot be sent or stored: ${why}. Use plain objects, arrays, strings, numbers, booleans, null, undefined, bigint, Date, Map and Uint8Array.`,
      {},
      { cause },
    );
  }
  if (nestingDepth(bytes) > maxDepth) {
    throw new QuorateError('UNSUPPORTED_VALUE', `This value nests deeper than ${maxDepth} levels; flatten it.`, {
      maxDepth,
    });
  }
  return bytes;
}

/** The value in `bytes`, or undefined wrapped as a failure: bytes from outside never throw. */
export function decodeValue(
  bytes: Uint8Array,
): { readonly ok: true; readonly value: Value } | { readonly ok: false; readonly reason: string } {
  if (nestingDepth(bytes) > maxDepth) return { ok: false, reason: 'too deep' };
  try {
    return { ok: true, value: decode(bytes, decodeOptions) as Value };
  } catch (error) {
    return { ok: false, reason: error instanceof Error ? error.message : 'not CBOR' };
  }
}

/**
 * How deep arrays, maps and tags nest, in one pass without recursion or allocation per item. Stops early
 * above the limit. For bytes that are no CBOR the answer means nothing; the decoder refuses them.
 */
function nestingDepth(bytes: Uint8Array): number {
  const open: number[] = []; // items still missing in each container being read
  let deepest = 0;
  let at = 0;
  while (at < bytes.length) {
    const initial = bytes[at] as number;
    at += 1;
    const major = initial >> 5;
    const minor = initial & 31;
    let argument = minor;
    if (minor >= 24 && minor <= 27) {
      const width = 1 << (minor - 24);
      argument = 0;
      for (let i = 0; i < width; i++) argument = argument * 256 + (bytes[at + i] ?? 0);
      at += width;
    } else if (minor > 27) return deepest; // indefinite or reserved: refused by the decoder
    if (major === 2 || major === 3) at += argument;
    const inside = major === 4 ? argument : major === 5 ? argument * 2 : major === 6 ? 1 : 0;
    if (inside > 0) {
      open.push(inside);
      if (open.length > deepest) deepest = open.length;
      if (deepest > maxDepth) return deepest;
      continue;
    }
    while (open.length > 0) {
      const left = (open[open.length - 1] as number) - 1;
      if (left > 0) {
        open[open.length - 1] = left;
        break;
      }
      open.pop();
    }
  }
  return deepest;
}
