import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import * as Y from 'yjs';
import { encodeValue } from '../../src/codec.ts';
import { createFeedDoc, FeedDocument, writeEntries } from '../../src/crdt/document.ts';
import { defaultFeedLimits } from '../../src/crdt/limits.ts';
import type { Value } from '../../src/value.ts';
import { snapshotPayload } from './feed-harness.ts';

const limits = defaultFeedLimits;
const keys = fc.constantFrom('a', 'b', 'c', 'd', '__proto__', 'ключ');
const batches = fc.array(
  fc.uniqueArray(fc.tuple(keys, fc.option(fc.integer(), { nil: undefined })), { selector: ([key]) => key }),
  {
    maxLength: 30,
  },
);

function load(payload: Uint8Array): FeedDocument {
  const document = FeedDocument.fromSnapshot(payload, limits);
  if ('fault' in document) throw new Error(document.reason);
  return document;
}

function faultOf(payload: Uint8Array, before: Record<string, unknown> = { a: 1, b: 2 }): unknown {
  const result = load(snapshotPayload(before)).apply(payload, limits);
  return 'fault' in result ? result.fault : undefined;
}

/** An update by a document that has those entries, made by `edit`. */
function updateBy(edit: (doc: Y.Doc, root: Y.Map<Uint8Array>) => void, client = 1): Uint8Array {
  const doc = new Y.Doc();
  Y.applyUpdate(doc, snapshotPayload({ a: 1, b: 2 }));
  doc.clientID = client;
  let update = new Uint8Array();
  doc.on('update', (bytes: Uint8Array) => {
    update = new Uint8Array(bytes);
  });
  doc.transact(() => edit(doc, doc.getMap('e')));
  return update;
}

const one = encodeValue(1);

describe('FeedDocument', () => {
  it('accepts every history an author can write, and reports exactly what changes', () => {
    fc.assert(
      fc.property(batches, (history) => {
        const author = createFeedDoc(1);
        const reader = load(Uint8Array.of(0, 0));
        const model = new Map<string, Value>();
        for (const batch of history) {
          const update = writeEntries(
            author,
            batch.map(([key, number]) => [key, number === undefined ? undefined : encodeValue(number)] as const),
          );
          const changes = reader.apply(update, limits);
          if ('fault' in changes) throw new Error(changes.reason);
          for (const { key, value, previous } of changes) {
            expect(previous).toEqual(model.get(key));
            if (value === undefined) model.delete(key);
            else model.set(key, value);
          }
          for (const [key, number] of batch) expect(reader.values.get(key)).toEqual(number);
          expect(new Map(reader.values)).toEqual(model);
        }
      }),
    );
  });

  it('gives equal values from a snapshot of the author and from its deltas', () => {
    fc.assert(
      fc.property(batches, (history) => {
        const author = createFeedDoc(1);
        const byDeltas = load(Uint8Array.of(0, 0));
        const live = new Map<string, Uint8Array>();
        for (const batch of history) {
          const entries = batch.map(([key, n]) => [key, n === undefined ? undefined : encodeValue(n)] as const);
          for (const [key, bytes] of entries) bytes === undefined ? live.delete(key) : live.set(key, bytes);
          expect('fault' in byDeltas.apply(writeEntries(author, entries), limits)).toBe(false);
        }
        const fresh = createFeedDoc(1);
        writeEntries(fresh, live);
        const compacted = load(Y.encodeStateAsUpdate(fresh));
        expect(new Map(compacted.values)).toEqual(new Map(byDeltas.values));
        expect(FeedDocument.difference(byDeltas, compacted)).toEqual([]);
      }),
    );
  });

  it.each<[string, () => Uint8Array]>([
    ['another client', () => updateBy((_doc, root) => root.set('c', one), 2)],
    ['another root type', () => updateBy((doc) => doc.getMap('other').set('c', one))],
    ['a nested type', () => updateBy((_doc, root) => root.set('c', new Y.Map() as unknown as Uint8Array))],
    ['text content', () => updateBy((_doc, root) => root.set('c', 'text' as unknown as Uint8Array))],
    ['a value that is no CBOR', () => updateBy((_doc, root) => root.set('c', Uint8Array.of(0xff)))],
    ['a value nested too deep', () => updateBy((_doc, root) => root.set('c', new Uint8Array(70).fill(0x81)))],
    ['an empty key', () => updateBy((_doc, root) => root.set('', one))],
    ['one key twice in one update', () => updateBy((_doc, root) => [1, 2].map((n) => root.set('c', encodeValue(n))))],
    [
      'a garbage-collection struct of length 2^40',
      () => Uint8Array.of(1, 1, 1, 2, 0, 0x80, 0x80, 0x80, 0x80, 0x80, 0x20, 0),
    ],
    [
      'a struct in the far future',
      () => Uint8Array.of(1, 1, 1, 0x80, 0x80, 0x80, 0x80, 0x10, 0x23, 1, 1, 0x65, 1, 0x63, 1, 1, 0),
    ],
    ['a declared count of 2^40', () => Uint8Array.of(1, 0x80, 0x80, 0x80, 0x80, 0x80, 0x20, 1, 2, 0)],
    ['a new key that is there already', () => Uint8Array.of(1, 1, 1, 2, 0x23, 1, 1, 0x65, 1, 0x61, 1, 1, 0)],
    ['a deletion of what is not there', () => Uint8Array.of(0, 1, 1, 1, 2, 5)],
    ['a deletion of length 2^50', () => Uint8Array.of(0, 1, 1, 1, 0, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 4)],
    ['bytes after the end', () => Uint8Array.of(0, 0, 0)],
    ['the 27-byte V2 update that hangs mergeUpdatesV2, or any other V2', () => Y.encodeStateAsUpdateV2(docWith())],
  ])('refuses %s as malformed', (_name, update) => {
    expect(faultOf(update())).toBe('malformed');
  });

  it('refuses a snapshot that carries history', () => {
    const doc = new Y.Doc();
    doc.clientID = 1;
    doc.getMap('e').set('a', one);
    doc.getMap('e').set('a', encodeValue(2));
    expect(FeedDocument.fromSnapshot(Y.encodeStateAsUpdate(doc), limits)).toMatchObject({ fault: 'malformed' });
  });

  it('keeps to its limits without punishing, and without having changed', () => {
    const small = { ...limits, maxKeys: 2, maxValueBytes: 4, maxKeyBytes: 3 };
    const reader = load(snapshotPayload({ a: 1, b: 2 }));
    for (const edit of [
      (root: Y.Map<Uint8Array>) => root.set('c', one),
      (root: Y.Map<Uint8Array>) => root.set('a', encodeValue('long text')),
      (root: Y.Map<Uint8Array>) => root.set('abcd', one),
    ]) {
      expect(
        reader.apply(
          updateBy((_doc, root) => edit(root)),
          small,
        ),
      ).toMatchObject({ fault: 'limit' });
      expect([...reader.values]).toEqual([
        ['a', 1],
        ['b', 2],
      ]);
    }
    const swap = updateBy((_doc, root) => {
      root.delete('a');
      root.set('c', one);
    });
    expect(reader.apply(swap, small)).toHaveLength(2);
  });

  it('takes random and damaged updates without throwing, and stays equal to what it reports', () => {
    const author = createFeedDoc(1);
    writeEntries(author, [
      ['a', one],
      ['b', one],
    ]);
    const base = Y.encodeStateAsUpdate(author);
    const delta = writeEntries(author, [
      ['a', encodeValue({ load: 0.5 })],
      ['b', undefined],
      ['c', encodeValue('x')],
    ]);
    fc.assert(
      fc.property(fc.array(fc.nat({ max: delta.length * 8 - 1 }), { minLength: 1, maxLength: 3 }), (bits) => {
        const damaged = delta.slice();
        for (const bit of bits) damaged[bit >> 3] = (damaged[bit >> 3] as number) ^ (1 << (bit & 7));
        const reader = load(base);
        const result = reader.apply(damaged, limits);
        if ('fault' in result) return;
        // Accepted: then it is an update of that feed, and the next honest one either fits or is refused.
        for (const { key, value } of result) expect(reader.values.get(key)).toEqual(value);
      }),
      { numRuns: 500 },
    );
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => {
        const reader = load(base);
        const result = reader.apply(bytes, limits);
        if ('fault' in result) expect(reader.values.size).toBe(2);
      }),
      { numRuns: 500 },
    );
  });
});

function docWith(): Y.Doc {
  const doc = new Y.Doc();
  doc.clientID = 1;
  doc.getMap('e').set('c', one);
  return doc;
}
