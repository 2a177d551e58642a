import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { storeNames } from '../../../src/crdt/envelope.ts';
import { decodeSync, encodeSync, type SyncMessage } from '../../../src/protocols/replication/sync-wire.ts';

const bytes = (length: number) => fc.uint8Array({ minLength: length, maxLength: length });
const heads = fc.uniqueArray(
  fc.record({
    store: fc.constantFrom(...storeNames),
    epoch: fc.nat({ max: Number.MAX_SAFE_INTEGER }),
    seq: fc.nat({ max: Number.MAX_SAFE_INTEGER }),
    hash: fc.oneof(bytes(8), bytes(0)),
  }),
  { maxLength: 4, selector: ({ store }) => store },
);
const messages: fc.Arbitrary<SyncMessage> = fc.oneof(
  bytes(512).map((digests) => ({ type: 'buckets' as const, digests })),
  fc.uint8Array({ maxLength: 100 }).map((envelope) => ({ type: 'envelope' as const, bytes: envelope })),
  fc.constant({ type: 'end' as const }),
  fc
    .tuple(
      fc.uniqueArray(fc.nat({ max: 63 })),
      fc.array(fc.record({ key: bytes(32), quarantined: fc.boolean(), heads }), { maxLength: 5 }),
    )
    .map(([buckets, authors]) => ({
      type: 'heads' as const,
      buckets: new Set(buckets.sort((a, b) => a - b)),
      authors,
    })),
);

/** Byte arrays as plain ones, so that views and copies compare. */
function plain(message: SyncMessage | string): unknown {
  return JSON.parse(
    JSON.stringify(message, (_key, value) => {
      if (value instanceof Uint8Array) return [...value];
      if (value instanceof Set) return [...value];
      if (value?.type === 'Buffer') return value.data;
      return value;
    }),
  );
}

describe('sync messages', () => {
  it('read back as they were written', () => {
    fc.assert(
      fc.property(messages, (message) => {
        expect(plain(decodeSync(new Uint8Array(encodeSync(message))))).toEqual(plain(message));
      }),
    );
  });

  it('never throw for other bytes, and what is read writes the same bytes', () => {
    fc.assert(
      fc.property(
        fc.oneof(
          fc.uint8Array({ maxLength: 200 }),
          fc
            .tuple(fc.constant(2), fc.uint8Array({ minLength: 8, maxLength: 300 }))
            .map(([type, rest]) => Uint8Array.of(type, ...rest)),
        ),
        (frame) => {
          const message = decodeSync(frame);
          if (typeof message === 'string') return;
          expect([...encodeSync(message)]).toEqual([...frame]);
        },
      ),
      { numRuns: 1_000 },
    );
  });

  it.each([
    ['nothing', []],
    ['an unknown number', [7]],
    ['buckets of another length', [1, 0, 0]],
    ['an end with more', [4, 0]],
    ['heads without a mask', [2, 0]],
    ['an author cut short', [2, 0, 0, 0, 0, 0, 0, 0, 0, 1, 2, 3]],
  ])('are refused: %s', (_name, frame) => {
    expect(typeof decodeSync(Uint8Array.from(frame))).toBe('string');
  });
});
