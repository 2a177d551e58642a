import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { encodeValue } from '../../src/codec.ts';
import type { FeedStore, FeedStoreEvents, Received } from '../../src/crdt/feed-store.ts';
import type { FeedChange, StoreName } from '../../src/crdt/feeds.ts';
import { exchange, HostileAuthor, identityOf, snapshotPayload, storeOf, viewOf } from './feed-harness.ts';

const stores = fc.constantFrom<StoreName>('registry', 'variables');
const names = ['alice', 'bob', 'carol'];

type Step =
  | {
      readonly do: 'write';
      readonly author: number;
      readonly store: StoreName;
      readonly key: string;
      readonly value: number | undefined;
    }
  | { readonly do: 'flush'; readonly author: number }
  | { readonly do: 'deliver'; readonly pick: number; readonly to: number; readonly keep: boolean }
  | { readonly do: 'lose'; readonly pick: number }
  | { readonly do: 'exchange'; readonly a: number; readonly b: number };

const author = fc.nat({ max: names.length - 1 });
const steps = fc.array(
  fc.oneof(
    {
      weight: 4,
      arbitrary: fc.record({
        do: fc.constant('write' as const),
        author,
        store: stores,
        key: fc.constantFrom('a', 'b', 'c'),
        value: fc.option(fc.nat({ max: 5 }), { nil: undefined }),
      }),
    },
    { weight: 3, arbitrary: fc.record({ do: fc.constant('flush' as const), author }) },
    {
      weight: 6,
      arbitrary: fc.record({ do: fc.constant('deliver' as const), pick: fc.nat(), to: author, keep: fc.boolean() }),
    },
    { weight: 1, arbitrary: fc.record({ do: fc.constant('lose' as const), pick: fc.nat() }) },
    { weight: 1, arbitrary: fc.record({ do: fc.constant('exchange' as const), a: author, b: author }) },
  ),
  { maxLength: 80 },
);

function run(history: readonly Step[], replicas: readonly FeedStore[]): void {
  const inFlight: Uint8Array[] = [];
  for (const step of history) {
    if (step.do === 'write') {
      const store = replicas[step.author] as FeedStore;
      if (step.value === undefined) store.delete(step.store, step.key);
      else store.set(step.store, step.key, step.value);
    } else if (step.do === 'flush') inFlight.push(...(replicas[step.author] as FeedStore).flush());
    else if (step.do === 'exchange') exchange(replicas[step.a] as FeedStore, replicas[step.b] as FeedStore);
    else if (inFlight.length > 0) {
      const index = step.pick % inFlight.length;
      const bytes = inFlight[index] as Uint8Array;
      if (step.do === 'deliver') {
        const received = (replicas[step.to] as FeedStore).receive(bytes, 0);
        expect(['applied', 'duplicate', 'stale', 'gap']).toContain(received.outcome);
      }
      if (step.do === 'lose' || !step.keep) inFlight.splice(index, 1);
    }
  }
  for (const replica of replicas) replica.flush();
  for (let round = 0; round < 2; round++) {
    for (const a of replicas) for (const b of replicas) if (a !== b) exchange(a, b);
  }
}

describe('FeedStore', () => {
  it('converges: any interleaving, loss, duplication and order of repair gives one view and one digest', () => {
    fc.assert(
      fc.property(steps, (history) => {
        const limits = { compactFloorBytes: 600 };
        const replicas = names.map((name) => storeOf(name, { limits }));
        // A view kept from changes alone must equal the one that is read.
        const byChanges = new Map<string, unknown>();
        (replicas[0] as FeedStore).onChange((changes) => {
          for (const change of changes) {
            const at = `${change.author}/${change.store}/${change.key}`;
            expect(change.previous).toEqual(byChanges.get(at));
            if (change.value === undefined) byChanges.delete(at);
            else byChanges.set(at, change.value);
          }
        });
        run(history, replicas);
        const [first, ...others] = replicas as [FeedStore, ...FeedStore[]];
        for (const other of others) {
          expect(viewOf(other)).toEqual(viewOf(first));
          expect(other.rootDigest()).toEqual(first.rootDigest());
          expect(other.bucketDigests()).toEqual(first.bucketDigests());
        }
        let entries = 0;
        for (const store of ['registry', 'variables'] as const) {
          for (const id of first.authors(store)) {
            for (const [key, value] of first.entries(id, store)) {
              entries += 1;
              expect(byChanges.get(`${id}/${store}/${key}`)).toEqual(value);
            }
          }
        }
        expect(byChanges.size).toBe(entries);
      }),
      { numRuns: 60 },
    );
  });

  it('shows a local write at once, and to others after the flush', () => {
    const alice = storeOf('alice');
    const bob = storeOf('bob');
    const seen: (readonly FeedChange[])[] = [];
    alice.onChange((changes) => seen.push(changes));
    alice.set('registry', 'planner', { load: 1 });
    expect(alice.get(alice.self, 'registry', 'planner')).toEqual({ load: 1 });
    expect(seen).toEqual([
      [{ author: alice.self, store: 'registry', key: 'planner', value: { load: 1 }, previous: undefined }],
    ]);
    const envelopes = alice.flush();
    expect(envelopes).toHaveLength(1);
    expect(bob.receive(envelopes[0] as Uint8Array, 0)).toMatchObject({
      outcome: 'applied',
      verdict: 'accept',
      author: alice.self,
      seq: 1,
    });
    expect(bob.get(alice.self, 'registry', 'planner')).toEqual({ load: 1 });
    expect([...bob.authors('registry')]).toEqual([alice.self]);
    expect(bob.head(alice.self, 'registry')).toEqual(alice.head(alice.self, 'registry'));
  });

  it('keeps the caller from changing what was stored', () => {
    const alice = storeOf('alice');
    const metadata = { tags: ['a'] };
    alice.set('registry', 'x', metadata);
    metadata.tags.push('b');
    expect(alice.get(alice.self, 'registry', 'x')).toEqual({ tags: ['a'] });
  });

  it('does not grow by 10,000 writes of what is already there, nor by 10,000 duplicates (behaviour 17)', () => {
    const alice = storeOf('alice');
    const bob = storeOf('bob');
    alice.set('registry', 'a', 1);
    const [first] = alice.flush() as [Uint8Array];
    bob.receive(first, 0);
    const [before, held] = [alice.rootDigest(), bob.usage()];
    for (let i = 0; i < 10_000; i++) {
      alice.set('registry', 'a', 1);
      alice.set('variables', 'b', i);
      alice.delete('variables', 'b');
      alice.delete('registry', 'missing');
      expect(alice.flush()).toEqual([]);
      expect(bob.receive(first, 0).outcome).toBe('duplicate');
    }
    expect(alice.rootDigest()).toEqual(before);
    expect(bob.usage()).toEqual(held);
  });

  it('keeps a newer delta when a stale full transfer comes after it (behaviour 16)', () => {
    const alice = storeOf('alice');
    const bob = storeOf('bob');
    alice.set('registry', 'a', 'old');
    const [snapshot] = alice.flush() as [Uint8Array];
    alice.set('registry', 'a', 'new');
    const [delta] = alice.flush() as [Uint8Array];
    bob.receive(snapshot, 0);
    bob.receive(delta, 0);
    expect(bob.receive(snapshot, 0).outcome).toBe('duplicate');
    expect(bob.get(alice.self, 'registry', 'a')).toBe('new');
    for (let i = 0; i < 200; i++) {
      alice.set('registry', 'a', `value ${i}`);
      for (const bytes of alice.flush()) bob.receive(bytes, 0);
    }
    expect(bob.receive(snapshot, 0)).toMatchObject({ outcome: 'stale', verdict: 'ignore' });
    expect(bob.receive(delta, 0).outcome).toBe('stale');
    expect(bob.get(alice.self, 'registry', 'a')).toBe('value 199');
  });

  it('asks for what is missing, and repairs from any holder', () => {
    const [alice, bob, carol] = names.map((name) => storeOf(name)) as [FeedStore, FeedStore, FeedStore];
    alice.set('registry', 'a', 1);
    const [one] = alice.flush() as [Uint8Array];
    alice.set('registry', 'a', 2);
    const [two] = alice.flush() as [Uint8Array];
    expect(carol.receive(two, 0)).toMatchObject({
      outcome: 'gap',
      verdict: 'accept',
      author: alice.self,
      store: 'registry',
    });
    expect(carol.get(alice.self, 'registry', 'a')).toBeUndefined();
    bob.receive(one, 0);
    bob.receive(two, 0);
    const repair = bob.envelopesAfter(alice.self, 'registry', carol.head(alice.self, 'registry'));
    expect(repair.map((bytes) => carol.receive(bytes, 0).outcome)).toEqual(['applied', 'applied']);
    expect(carol.get(alice.self, 'registry', 'a')).toBe(2);
    expect(bob.envelopesAfter(alice.self, 'registry', { epoch: 1, seq: 1 })).toEqual([two]);
    expect(bob.envelopesAfter(alice.self, 'registry', { epoch: 1, seq: 2 })).toEqual([]);
  });

  it('drops what an author wrote before its restart, in every store (behaviour 14)', () => {
    const bob = storeOf('bob');
    const before = storeOf('alice', { epoch: 1 });
    before.set('registry', 'a', 1);
    before.set('members', 'self', 1);
    const old = before.flush();
    for (const bytes of old) bob.receive(bytes, 0);
    const after = storeOf('alice', { epoch: 2 });
    after.set('members', 'self', 2);
    const changes: FeedChange[] = [];
    bob.onChange((all) => changes.push(...all));
    for (const bytes of after.flush()) bob.receive(bytes, 0);
    expect(bob.get(after.self, 'members', 'self')).toBe(2);
    expect([...bob.authors('registry')]).toEqual([]);
    expect(changes.map(({ store, key, value, previous }) => ({ store, key, value, previous }))).toEqual([
      { store: 'registry', key: 'a', value: undefined, previous: 1 },
      { store: 'members', key: 'self', value: 2, previous: 1 },
    ]);
    for (const bytes of old) expect(bob.receive(bytes, 0)).toMatchObject({ outcome: 'stale', verdict: 'ignore' });
    exchange(bob, after);
    expect(bob.rootDigest()).toEqual(after.rootDigest());
  });

  it('reports another process with its own identity, and ignores its own past', () => {
    const alice = storeOf('alice', { epoch: 5 });
    const conflicts: FeedStoreEvents['ownFeedConflict'][] = [];
    alice.on('ownFeedConflict', (conflict) => conflicts.push(conflict));
    const envelopeOf = (epoch: number): Uint8Array => {
      const twin = storeOf('alice', { epoch });
      twin.set('registry', 'a', epoch);
      return twin.flush()[0] as Uint8Array;
    };
    alice.set('registry', 'a', 'mine');
    const [mine] = alice.flush() as [Uint8Array];
    expect(alice.receive(mine, 0).outcome).toBe('duplicate');
    expect(alice.receive(envelopeOf(4), 0).outcome).toBe('stale');
    expect(conflicts).toEqual([]);
    expect(alice.receive(envelopeOf(5), 0)).toMatchObject({ outcome: 'ownFeedConflict', verdict: 'accept' });
    expect(alice.receive(envelopeOf(6), 0).outcome).toBe('ownFeedConflict');
    expect(conflicts).toEqual([
      { store: 'registry', epoch: 5, seq: 1 },
      { store: 'registry', epoch: 6, seq: 1 },
    ]);
    expect(alice.get(alice.self, 'registry', 'a')).toBe('mine');
  });

  it('hears only authors that are allowed', () => {
    const alice = storeOf('alice');
    const bob = storeOf('bob', { allowed: (id) => id !== identityOf('alice').id });
    alice.set('registry', 'a', 1);
    expect(bob.receive(alice.flush()[0] as Uint8Array, 0)).toMatchObject({
      outcome: 'refused',
      reason: 'not allowed',
      verdict: 'ignore',
    });
    expect(bob.usage()).toEqual({ bytes: 0, authors: 0 });
  });
});

describe('FeedStore forgetting', () => {
  function known(): { alice: FeedStore; bob: FeedStore; sent: Uint8Array[] } {
    const alice = storeOf('alice');
    const bob = storeOf('bob');
    const sent: Uint8Array[] = [];
    for (const value of [1, 2, 3]) {
      alice.set('registry', 'a', value);
      sent.push(...alice.flush());
    }
    for (const bytes of sent) bob.receive(bytes, 0);
    return { alice, bob, sent };
  }

  it('shows an author again that published anew while it was forgotten, without any change of its entries', () => {
    const { alice, bob } = known();
    const before = new Map(bob.entries(alice.self, 'registry'));
    bob.forget(alice.self);
    exchange(alice, bob);
    expect(bob.entries(alice.self, 'registry').size).toBe(0);
    alice.refresh();
    expect(alice.dirty).toBe(true);
    expect(alice.flush()).not.toEqual([]);
    expect(alice.dirty).toBe(false);
    exchange(alice, bob);
    expect(new Map(bob.entries(alice.self, 'registry'))).toEqual(before);
    expect(bob.rootDigest()).toEqual(alice.rootDigest());
    expect(alice.flush()).toEqual([]);
  });

  it('takes the entries away, and no stale transfer brings them back', () => {
    const { alice, bob, sent } = known();
    const carol = storeOf('carol');
    exchange(bob, carol);
    const changes: FeedChange[] = [];
    bob.onChange((all) => changes.push(...all));
    bob.forget(alice.self);
    expect(changes).toMatchObject([{ key: 'a', value: undefined, previous: 3 }]);
    expect(bob.rootDigest()).toEqual(storeOf('bob').rootDigest());
    for (const bytes of sent) bob.receive(bytes, 0);
    expect([...bob.authors('registry')]).toEqual([]);
    expect(bob.get(alice.self, 'registry', 'a')).toBeUndefined();
    expect(changes).toHaveLength(1);
    exchange(bob, carol);
    expect(bob.entries(alice.self, 'registry').size).toBe(0);
  });

  it('takes an author back that went on in the same epoch, through anti-entropy alone', () => {
    const { alice, bob } = known();
    bob.forget(alice.self);
    alice.set('registry', 'b', 1);
    const [delta] = alice.flush() as [Uint8Array];
    expect(bob.receive(delta, 0).outcome).toBe('gap');
    exchange(bob, alice);
    expect(bob.entries(alice.self, 'registry')).toEqual(
      new Map([
        ['a', 3],
        ['b', 1],
      ]),
    );
    expect(bob.rootDigest()).toEqual(alice.rootDigest());
  });

  it('takes all feeds of an author back when one of them went on', () => {
    const { alice, bob } = known();
    alice.set('members', 'self', 1);
    for (const bytes of alice.flush()) bob.receive(bytes, 0);
    const carol = storeOf('carol');
    exchange(bob, carol);
    bob.forget(alice.self);
    exchange(bob, carol);
    expect([...bob.authors('members'), ...bob.authors('registry')]).toEqual([]);
    alice.set('members', 'self', 2);
    alice.flush();
    exchange(bob, alice);
    expect(bob.get(alice.self, 'members', 'self')).toBe(2);
    // The unchanged feed was not asked for yet.
    expect(bob.get(alice.self, 'registry', 'a')).toBeUndefined();
    exchange(bob, carol);
    expect(bob.get(alice.self, 'registry', 'a')).toBe(3);
    expect(bob.rootDigest()).toEqual(carol.rootDigest());
    expect(bob.rootDigest()).toEqual(alice.rootDigest());
  });

  it('wakes an unchanged feed that was received before the author was known to be back', () => {
    const { alice, bob, sent } = known();
    alice.set('members', 'self', 1);
    for (const bytes of alice.flush()) bob.receive(bytes, 0);
    bob.forget(alice.self);
    for (const bytes of sent) bob.receive(bytes, 0);
    expect(bob.get(alice.self, 'registry', 'a')).toBeUndefined();
    const changes: FeedChange[] = [];
    bob.onChange((all) => changes.push(...all));
    alice.set('members', 'self', 2);
    alice.flush();
    exchange(bob, alice);
    expect(changes).toMatchObject([
      { store: 'members', key: 'self', value: 2 },
      { store: 'registry', key: 'a', value: 3 },
    ]);
    expect(bob.rootDigest()).toEqual(alice.rootDigest());
  });

  it('takes an author back that restarted', () => {
    const { alice, bob, sent } = known();
    bob.forget(alice.self);
    const again = storeOf('alice', { epoch: 2 });
    again.set('registry', 'c', 1);
    expect(bob.receive(again.flush()[0] as Uint8Array, 0).outcome).toBe('applied');
    for (const bytes of sent) expect(bob.receive(bytes, 0).outcome).toBe('stale');
    expect(bob.entries(again.self, 'registry')).toEqual(new Map([['c', 1]]));
  });

  it('remembers a bounded number of the departed', () => {
    const bob = storeOf('bob', { limits: { maxForgotten: 2 } });
    for (const name of ['a', 'b', 'c']) {
      const store = storeOf(name);
      store.set('registry', 'x', 1);
      bob.receive(store.flush()[0] as Uint8Array, 0);
      bob.forget(store.self);
    }
    const all = new Set(Array.from({ length: 64 }, (_, bucket) => bucket));
    expect(bob.summary(all).filter(({ key }) => Buffer.compare(key, identityOf('bob').publicKey) !== 0)).toHaveLength(
      2,
    );
  });
});

describe('FeedStore limits', () => {
  it('bounds the number of authors', () => {
    const bob = storeOf('bob', { limits: { maxAuthors: 2 } });
    const outcomes = ['a', 'b', 'c'].map((name) => {
      const store = storeOf(name);
      store.set('registry', 'x', 1);
      return bob.receive(store.flush()[0] as Uint8Array, 0).outcome;
    });
    expect(outcomes).toEqual(['applied', 'applied', 'refused']);
    expect(bob.counters.get('refused: authors')).toBe(1);
  });

  it('bounds the rate of each author, and lets it go on later', () => {
    const bob = storeOf('bob', { limits: { envelopeBurst: 3, envelopesPerSecond: 1 } });
    const alice = storeOf('alice');
    const send = (now: number): Received => {
      alice.set('registry', 'x', alice.head(alice.self, 'registry')?.seq ?? 0);
      return bob.receive(alice.flush()[0] as Uint8Array, now);
    };
    const outcomes = Array.from({ length: 6 }, () => send(0).outcome);
    expect(outcomes).toEqual(['applied', 'applied', 'applied', 'applied', 'refused', 'refused']);
    expect(send(5000).outcome).toBe('gap');
    exchange(bob, alice);
    expect(viewOf(bob)).toEqual(viewOf(alice));
  });

  it('counts a large envelope for several, so that packing many entries into one gains nothing', () => {
    const limits = { envelopeBurst: 40, envelopesPerSecond: 1 };
    const [bob, alice] = [storeOf('bob', { limits }), storeOf('alice')];
    alice.set('registry', 'begin', 1);
    const outcomes = Array.from({ length: 4 }, (_, n) => {
      if (n > 0) for (let key = 0; key < 20; key++) alice.set('registry', `${n}/${key}`, 'x'.repeat(1_000));
      return alice.flush().map((bytes) => bob.receive(bytes, 0).outcome);
    });
    expect(outcomes).toEqual([['applied'], ['applied'], ['applied'], ['refused']]);
  });

  it('bounds the bytes kept of a feed and of all together', () => {
    const alice = storeOf('alice');
    const perFeed = storeOf('bob', { limits: { maxFeedBytes: 600 } });
    const inAll = storeOf('carol', { limits: { maxTotalBytes: 600 } });
    for (let i = 0; i < 10; i++) {
      alice.set('registry', 'x', `${i}`.repeat(100));
      for (const bytes of alice.flush()) {
        perFeed.receive(bytes, 0);
        inAll.receive(bytes, 0);
      }
    }
    expect(perFeed.usage().bytes).toBeLessThanOrEqual(600);
    expect(inAll.usage().bytes).toBeLessThanOrEqual(600);
    expect(perFeed.counters.get('refused: feed bytes')).toBe(1);
    expect(inAll.counters.get('refused: total bytes')).toBe(1);
  });

  it('tells the author of its own limits before anything is written', () => {
    const alice = storeOf('alice', { limits: { maxKeys: 1, maxValueBytes: 10, maxKeyBytes: 4 } });
    const code = (write: () => void): unknown => {
      try {
        write();
      } catch (error) {
        return (error as { code: unknown }).code;
      }
      return undefined;
    };
    expect(code(() => alice.set('registry', 'a', 'x'.repeat(20)))).toBe('PAYLOAD_TOO_LARGE');
    expect(code(() => alice.set('registry', 'abcde', 1))).toBe('LIMIT_EXCEEDED');
    expect(code(() => alice.set('registry', '', 1))).toBe('INVALID_ARGUMENT');
    expect(code(() => alice.set('registry', '\ud800', 1))).toBe('INVALID_ARGUMENT');
    expect(code(() => alice.set('registry', 'a', undefined))).toBe('UNSUPPORTED_VALUE');
    expect(code(() => alice.set('registry', 'a', (() => 1) as unknown as number))).toBe('UNSUPPORTED_VALUE');
    expect(alice.flush()).toEqual([]);
    alice.set('registry', 'a', 1);
    expect(code(() => alice.set('registry', 'b', 1))).toBe('LIMIT_EXCEEDED');
    alice.set('registry', 'a', 2);
    expect(alice.entries(alice.self, 'registry')).toEqual(new Map([['a', 2]]));
  });

  it('splits a large batch into envelopes that each fit, and a large state travels as one snapshot', () => {
    const limits = { maxDeltaBytes: 4096, maxValueBytes: 2048 };
    const alice = storeOf('alice', { limits });
    const bob = storeOf('bob', { limits });
    alice.set('registry', 'first', 1);
    for (const bytes of alice.flush()) bob.receive(bytes, 0);
    for (let i = 0; i < 200; i++) alice.set('registry', `agent ${i}`, 'x'.repeat(200));
    const batch = alice.flush();
    expect(batch.length).toBeGreaterThan(10);
    for (const bytes of batch) expect(bytes.length).toBeLessThanOrEqual(4096);
    let snapshots = 0;
    for (let round = 0; round < 3; round++) {
      for (let i = 0; i < 200; i++) alice.set('registry', `agent ${i}`, `${round}`.repeat(200));
      for (const bytes of alice.flush()) {
        if (bytes[1] === 1) snapshots += 1;
        batch.push(bytes);
      }
    }
    expect(snapshots).toBeGreaterThan(0);
    for (const bytes of batch) expect(bob.receive(bytes, 0).outcome).toBe('applied');
    expect(viewOf(bob)).toEqual(viewOf(alice));
  });

  it('compacts: history stays within a factor of the state', () => {
    const alice = storeOf('alice');
    const bob = storeOf('bob');
    for (let i = 0; i < 3000; i++) {
      alice.set('registry', `agent ${i % 10}`, { load: i, zone: 'eu' });
      for (const bytes of alice.flush()) bob.receive(bytes, 0, { paced: false });
    }
    expect(viewOf(bob)).toEqual(viewOf(alice));
    expect(bob.usage().bytes).toBeLessThan(8000);
    expect(bob.counters.get('applied')).toBe(3000);
  });
});

describe('FeedStore against hostile authors', () => {
  const hostile = new HostileAuthor('mallory');

  it('never throws, keeps its bounds and everybody else’s entries, whatever is signed', () => {
    const limits = { maxTotalBytes: 20_000, maxAuthors: 3 };
    fc.assert(
      fc.property(
        fc.array(
          fc.record({
            seq: fc.integer({ min: 1, max: 4 }),
            epoch: fc.integer({ min: 1, max: 2 }),
            kind: fc.constantFrom('delta' as const, 'snapshot' as const),
            payload: fc.oneof(
              fc.uint8Array({ maxLength: 100 }),
              fc.dictionary(fc.string({ maxLength: 5 }), fc.integer()).map(snapshotPayload),
              fc
                .tuple(fc.constant(snapshotPayload({ a: 1, b: { c: [1, 2] } })), fc.nat(), fc.nat({ max: 7 }))
                .map(([bytes, at, bit]) => {
                  const damaged = bytes.slice();
                  damaged[at % damaged.length] = (damaged[at % damaged.length] as number) ^ (1 << bit);
                  return damaged;
                }),
            ),
          }),
          { maxLength: 12 },
        ),
        (drafts) => {
          const alice = storeOf('alice');
          const bob = storeOf('bob', { limits });
          alice.set('registry', 'a', 1);
          for (const bytes of alice.flush()) bob.receive(bytes, 0);
          for (const draft of drafts) {
            bob.receive(hostile.seal(draft).bytes, 0);
            expect(bob.usage().bytes).toBeLessThanOrEqual(20_000);
          }
          expect(bob.entries(alice.self, 'registry')).toEqual(new Map([['a', 1]]));
          // What was shown before and what is shown now agree with the digest: taking it all away leaves alice's.
          const clean = storeOf('bob');
          exchange(clean, alice);
          bob.forget(hostile.id);
          if (!bob.isQuarantined(hostile.id)) expect(bob.rootDigest()).toEqual(clean.rootDigest());
        },
      ),
      { numRuns: 150 },
    );
  });

  it('takes random bytes and damaged envelopes as invalid and is unchanged', () => {
    const alice = storeOf('alice');
    alice.set('registry', 'a', 1);
    const [good] = alice.flush() as [Uint8Array];
    const bob = storeOf('bob');
    fc.assert(
      fc.property(fc.oneof(fc.uint8Array({ maxLength: 300 }), fc.nat({ max: good.length * 8 - 1 })), (input) => {
        let bytes = input as Uint8Array;
        if (typeof input === 'number') {
          bytes = good.slice();
          bytes[input >> 3] = (bytes[input >> 3] as number) ^ (1 << (input & 7));
        }
        expect(['invalid', 'refused']).toContain(bob.receive(bytes, 0).outcome);
        expect(bob.usage()).toEqual({ bytes: 0, authors: 0 });
      }),
      { numRuns: 300 },
    );
    expect(bob.receive(good, 0).outcome).toBe('applied');
  });

  it('quarantines a signed malformed payload everywhere, by evidence that convinces a third party', () => {
    const [bob, carol] = ['bob', 'carol'].map((name) => storeOf(name)) as [FeedStore, FeedStore];
    const first = hostile.seal({ seq: 1, payload: snapshotPayload({ a: 1 }) });
    // A new item for a key that is there: only together with the snapshot does it show.
    const conflicting = Uint8Array.of(1, 1, 1, 1, 0x23, 1, 1, 0x65, 1, 0x61, 1, 1, 0);
    const second = hostile.seal({ seq: 2, previous: first.hash, payload: conflicting });
    const events: FeedStoreEvents['quarantined'][] = [];
    bob.on('quarantined', (event) => events.push(event));
    expect(bob.receive(first.bytes, 0).outcome).toBe('applied');
    expect(bob.receive(second.bytes, 0)).toMatchObject({ outcome: 'quarantined', verdict: 'ignore' });
    expect(bob.entries(hostile.id, 'registry').size).toBe(0);
    expect(events).toMatchObject([{ author: hostile.id, misbehaviour: 'malformed' }]);
    expect(carol.receive(first.bytes, 0).outcome).toBe('applied');
    exchange(bob, carol);
    expect(carol.isQuarantined(hostile.id)).toBe(true);
    expect(carol.rootDigest()).toEqual(bob.rootDigest());
    const later = hostile.seal({ seq: 1, epoch: 9, payload: snapshotPayload({ z: 1 }) });
    expect(bob.receive(later.bytes, 0)).toMatchObject({ outcome: 'quarantined', verdict: 'ignore' });
    bob.forget(hostile.id);
    expect(bob.receive(later.bytes, 0).outcome).toBe('quarantined');
    expect([...bob.authors('registry')]).toEqual([]);
  });

  it('finds equivocation in every order, everywhere both histories come together', () => {
    const a1 = hostile.seal({ seq: 1, payload: snapshotPayload({ a: 1 }) });
    const b1 = hostile.seal({ seq: 1, payload: snapshotPayload({ a: 2 }) });
    const a2 = hostile.seal({ seq: 2, kind: 'snapshot', previous: a1.hash, payload: snapshotPayload({ a: 3 }) });
    const b2 = hostile.seal({ seq: 2, kind: 'snapshot', previous: b1.hash, payload: snapshotPayload({ a: 4 }) });
    const pairs: [Uint8Array, Uint8Array][] = [
      [a1.bytes, b1.bytes],
      [a2.bytes, b2.bytes],
      [b1.bytes, a2.bytes],
      [a2.bytes, b1.bytes],
    ];
    for (const [one, other] of pairs) {
      for (const order of [
        [one, other],
        [other, one],
      ] as const) {
        const bob = storeOf('bob');
        const carol = storeOf('carol');
        let proof: Uint8Array | undefined;
        bob.on('quarantined', (event) => {
          proof = event.proof;
        });
        for (const bytes of order) bob.receive(bytes, 0);
        expect(bob.isQuarantined(hostile.id)).toBe(true);
        expect(viewOf(bob)).toEqual({});
        // Carol has seen nothing, and believes the bytes.
        expect(carol.receive(proof as Uint8Array, 0)).toMatchObject({
          outcome: 'proof',
          verdict: 'accept',
          author: hostile.id,
        });
        expect(carol.receive(proof as Uint8Array, 0)).toMatchObject({ outcome: 'duplicate', verdict: 'ignore' });
        expect(carol.rootDigest()).toEqual(bob.rootDigest());
      }
    }
  });

  it('finds equivocation by anti-entropy, when each replica saw another history', () => {
    const [bob, carol] = ['bob', 'carol'].map((name) => storeOf(name)) as [FeedStore, FeedStore];
    bob.receive(hostile.seal({ seq: 1, payload: snapshotPayload({ a: 1 }) }).bytes, 0);
    carol.receive(hostile.seal({ seq: 1, payload: snapshotPayload({ a: 2 }) }).bytes, 0);
    exchange(bob, carol);
    exchange(bob, carol);
    expect([bob, carol].map((store) => store.isQuarantined(hostile.id))).toEqual([true, true]);
    expect(bob.rootDigest()).toEqual(carol.rootDigest());
  });

  it('does not take two honest links, nor forged or damaged ones, for a proof', () => {
    const bob = storeOf('bob');
    const one = hostile.seal({ seq: 1, payload: snapshotPayload({ a: 1 }) });
    const two = hostile.seal({ seq: 1, payload: snapshotPayload({ a: 2 }) });
    let proof: Uint8Array | undefined;
    bob.on('quarantined', (event) => {
      proof = event.proof;
    });
    bob.receive(one.bytes, 0);
    bob.receive(two.bytes, 0);
    const good = proof as Uint8Array;
    for (let at = 1; at < good.length; at++) {
      const damaged = good.slice();
      damaged[at] = (damaged[at] as number) ^ 1;
      expect(storeOf('carol').receive(damaged, 0).verdict).toBe('reject');
    }
    const half = good.subarray(2, 197);
    const twice = Buffer.concat([good.subarray(0, 2), half, half]);
    expect(storeOf('carol').receive(twice, 0)).toMatchObject({ outcome: 'invalid', reason: 'proof: no contradiction' });
    const chain = Buffer.concat([Uint8Array.of(0xf1, 2, 0, 0, 0, one.bytes.length), one.bytes]);
    expect(storeOf('carol').receive(chain, 0)).toMatchObject({
      outcome: 'invalid',
      reason: 'proof: nothing malformed',
    });
  });

  it('does not let others be framed: a quarantine needs the author’s own signatures', () => {
    const alice = storeOf('alice');
    alice.set('registry', 'a', 1);
    const [good] = alice.flush() as [Uint8Array];
    const bob = storeOf('bob');
    bob.receive(good, 0);
    const forged = hostile.seal({ seq: 2, payload: encodeValue('nonsense') }).bytes.slice();
    forged.set(identityOf('alice').publicKey, 19);
    expect(bob.receive(forged, 0)).toMatchObject({ outcome: 'invalid', verdict: 'reject' });
    expect(bob.isQuarantined(alice.self)).toBe(false);
  });
});
