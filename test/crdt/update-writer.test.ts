import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import * as Y from 'yjs';
import { encodeValue } from '../../src/codec.ts';
import { createFeedDoc, FeedDocument, writeEntries } from '../../src/crdt/document.ts';
import { defaultFeedLimits } from '../../src/crdt/limits.ts';
import { checkUpdate } from '../../src/crdt/update-check.ts';
import { UpdateWriter } from '../../src/crdt/update-writer.ts';

const keys = fc.oneof(
  fc.constantFrom('a', 'b', 'c', 'd', '__proto__', 'ключ', '😀'),
  fc.string({ unit: 'grapheme', minLength: 1 }),
);
const values = fc.oneof(fc.uint8Array({ maxLength: 300 }), fc.integer().map(encodeValue));
const batches = (bytes: fc.Arbitrary<Uint8Array>) =>
  fc.array(
    fc.uniqueArray(
      fc.tuple(
        keys,
        fc.option(
          bytes.map((each) => new Uint8Array(each)),
          { nil: undefined },
        ),
      ),
      { minLength: 1, selector: ([key]) => key },
    ),
    { maxLength: 30 },
  );

describe('UpdateWriter', () => {
  it('writes the very bytes that Yjs writes, whatever the history', () => {
    fc.assert(
      fc.property(batches(values), (history) => {
        const doc = createFeedDoc(1);
        const writer = new UpdateWriter();
        for (const batch of history) {
          expect(Buffer.from(writer.write(batch)).toString('hex')).toBe(
            Buffer.from(writeEntries(doc, batch)).toString('hex'),
          );
          for (const [key, bytes] of batch) expect(writer.written(key)).toEqual(bytes);
        }
      }),
    );
  });

  it('goes on from a snapshot as the document does that wrote it', () => {
    fc.assert(
      fc.property(fc.dictionary(keys, values), batches(values), (state, history) => {
        const entries = Object.entries(state).map(([key, bytes]) => [key, new Uint8Array(bytes)] as const);
        const doc = createFeedDoc(1);
        writeEntries(doc, entries);
        const writer = new UpdateWriter();
        writer.write([['before', Uint8Array.of(1)]]);
        writer.restart(entries);
        for (const batch of history) expect(writer.write(batch)).toEqual(writeEntries(doc, batch));
      }),
    );
  });

  it('writes clocks and lengths over one and two bytes as Yjs does', () => {
    const doc = createFeedDoc(1);
    const writer = new UpdateWriter();
    for (let n = 0; n < 20_000; n += 100) {
      const batch = Array.from({ length: 100 }, (_, i) => [`key ${(n + i) % 130}`, encodeValue(n + i)] as const);
      const ours = writer.write(batch);
      const theirs = writeEntries(doc, batch);
      if (Buffer.compare(ours, theirs) !== 0) expect(ours).toEqual(theirs);
    }
    expect(checkUpdate(writer.write([['key 1', undefined]]))).toMatchObject({ items: [] });
  });
});

describe('FeedDocument beside Yjs', () => {
  const base = () => {
    const author = createFeedDoc(1);
    writeEntries(
      author,
      ['a', 'b', 'c', 'd', 'e', 'f'].map((key, n) => [key, encodeValue(n)] as const),
    );
    return author;
  };
  const shown = (doc: Y.Doc) => [...doc.getMap<Uint8Array>('e').entries()].map(([key, bytes]) => [key, [...bytes]]);

  it('holds what a Y.Doc holds after the same updates: all that Yjs writes, and damaged ones that are accepted', () => {
    const small = fc.array(
      fc.uniqueArray(
        fc.tuple(fc.constantFrom('a', 'b', 'c', 'd', 'e', 'f', 'g'), fc.option(fc.nat(99), { nil: undefined })),
        {
          minLength: 1,
          selector: ([key]) => key,
        },
      ),
      { minLength: 1, maxLength: 6 },
    );
    let accepted = 0;
    fc.assert(
      fc.property(small, fc.array(fc.nat({ max: 400 }), { maxLength: 2 }), (history, flips) => {
        const author = base();
        const updates = history.map((batch) =>
          writeEntries(
            author,
            batch.map(([key, n]) => [key, n === undefined ? undefined : encodeValue(n)] as const),
          ),
        );
        const last = updates[updates.length - 1] as Uint8Array;
        for (const bit of flips) {
          const at = (bit >> 3) % last.length;
          last[at] = (last[at] as number) ^ (1 << (bit & 7));
        }
        const snapshot = Y.encodeStateAsUpdate(base());
        const ours = FeedDocument.fromSnapshot(snapshot, defaultFeedLimits);
        if ('fault' in ours) throw new Error(ours.reason);
        const theirs = createFeedDoc(0);
        Y.applyUpdate(theirs, snapshot);
        for (const update of updates) {
          const result = ours.apply(update, defaultFeedLimits);
          if ('fault' in result) {
            expect(flips).not.toEqual([]);
            return;
          }
          Y.applyUpdate(theirs, update);
          expect(theirs.store.pendingStructs).toBeNull();
          expect(theirs.store.pendingDs).toBeNull();
        }
        if (flips.length > 0) accepted += 1;
        const held = [...ours.values].map(([key, value]) => [key, [...encodeValue(value)]]);
        expect(new Map(held as [string, number[]][])).toEqual(new Map(shown(theirs) as [string, number[]][]));
      }),
      { numRuns: 2_000 },
    );
    expect(accepted).toBeGreaterThan(0);
  });

  it('takes many wide ranges of deletions at the cost of the keys there are', () => {
    const author = createFeedDoc(1);
    const all = Array.from({ length: 300 }, (_, n) => [`k${n}`, encodeValue(n)] as const);
    writeEntries(author, all);
    const document = FeedDocument.fromSnapshot(Y.encodeStateAsUpdate(author), defaultFeedLimits);
    if ('fault' in document) throw new Error(document.reason);
    for (let round = 0; round < 3; round++) {
      const again = all.map(([key], n) => [key, encodeValue(1000 * round + 1000 + n)] as const);
      expect(document.apply(writeEntries(author, again), defaultFeedLimits)).toHaveLength(300);
    }
    const update = writeEntries(
      author,
      all.filter((_, n) => n % 3 === 0).map(([key]) => [key, undefined] as const),
    );
    // The same with every older item named as well: one range from the start, and what was asked for after it.
    const wide = Uint8Array.of(0, 1, 1, 1, 0, 0xb0, 0x09); // [0, 1200), all there is
    expect(document.apply(update, defaultFeedLimits)).toHaveLength(100);
    expect(document.values.size).toBe(200);
    expect(document.apply(wide, defaultFeedLimits)).toHaveLength(200);
    expect(document.values.size).toBe(0);
  });
});
