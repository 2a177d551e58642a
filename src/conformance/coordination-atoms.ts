/** What every `Atoms` must do, as cases for any test runner; in one process and across nodes. */
import assert from 'node:assert/strict';
import type { Atoms, MapChange } from '../protocols/coordination/atoms/atoms.ts';
import { type ConformanceOptions, declareCases, failure } from './suite.ts';

export interface AtomsSubject {
  /** At least one; those of one mesh share their atoms, of which there are none yet. */
  readonly nodes: readonly [Atoms, ...Atoms[]];
  /** Must be idempotent. */
  stop(): Promise<void>;
}

export type AtomsConformanceOptions = ConformanceOptions<AtomsSubject>;

/** Declares all cases with `test`. */
export function atomsConformance(options: AtomsConformanceOptions): void {
  declareCases(options, cases);
}

/** One of the nodes; those of a subject with fewer stand for several. */
const at = ({ nodes }: AtomsSubject, index: number): Atoms => nodes[index % nodes.length] as Atoms;

async function take(changes: AsyncIterator<MapChange<number>>, count: number): Promise<string[]> {
  const taken: string[] = [];
  while (taken.length < count) {
    const { done, value } = await changes.next();
    assert.ok(done !== true, `the watch ended after ${taken.join(', ')}`);
    taken.push(value.deleted ? `-${value.key}` : `${value.key}=${value.value}`);
  }
  return taken;
}

const cases: Readonly<Record<string, (subject: AtomsSubject) => Promise<void>>> = {
  'no number of a sequence is given twice, and none is left out': async (subject) => {
    const counts = Array.from({ length: 40 }, (_, index) => (index % 3) + 1);
    const ranges = await Promise.all(
      counts.map(async (count, index) => ({ first: await at(subject, index).sequence('ids').next({ count }), count })),
    );
    const given = ranges.flatMap(({ first, count }) => Array.from({ length: count }, (_, index) => first + index));
    const sorted = given.sort((a, b) => a - b);
    assert.deepEqual(
      sorted,
      sorted.map((_, index) => index + 1),
    );
    assert.equal(await at(subject, 0).sequence('others').next(), 1);
    await failure('INVALID_ARGUMENT', () => at(subject, 0).sequence('ids').next({ count: 0 }));
  },

  'a counter is the sum of what was added, and every sum is seen once': async (subject) => {
    const sums = await Promise.all(Array.from({ length: 30 }, (_, index) => at(subject, index).counter('n').add(2)));
    assert.deepEqual(
      sums.sort((a, b) => a - b),
      Array.from({ length: 30 }, (_, index) => 2 * index + 2),
    );
    assert.equal(await at(subject, 1).counter('n').value(), 60);
    await failure('LIMIT_EXCEEDED', () => at(subject, 0).counter('n').add(Number.MAX_SAFE_INTEGER));
    assert.equal(await at(subject, 1).counter('n').value(), 60);
  },

  'what was written is read everywhere, with its version': async (subject) => {
    const written = { text: 'x', big: 12n, bytes: Uint8Array.of(1), when: new Date(0), none: undefined };
    const { version } = await at(subject, 0).map('m').set('key', written);
    assert.deepEqual(await at(subject, 1).map('m').get('key'), { value: written, version });
    assert.equal(await at(subject, 1).map('another').get('key'), undefined);
    assert.equal(await at(subject, 1).map('m').delete('key'), true);
    assert.equal(await at(subject, 0).map('m').get('key'), undefined);
  },

  'a conditional write takes place only at the version it names': async (subject) => {
    const [one, two] = [at(subject, 0).map<number>('m'), at(subject, 1).map<number>('m')];
    const { version } = await one.set('k', 1, { ifVersion: 0 });
    const taken = await failure('CONFLICT', () => two.set('k', 2, { ifVersion: 0 }));
    assert.deepEqual(taken.data, { key: 'k', expected: 0, actual: version });
    const swap = await two.compareAndSet('k', version, 2);
    assert.ok(swap.ok && swap.version > version);
    assert.deepEqual(await one.compareAndSet('k', version, 3), { ok: false, version: swap.version, value: 2 });
    await failure('CONFLICT', () => one.delete('k', { ifVersion: version }));
    assert.equal(await one.delete('k', { ifVersion: swap.version }), true);
    // Not even a key made anew gets an old version.
    assert.ok((await two.set('k', 4)).version > swap.version);
  },

  'increments by compare and set are never lost': async (subject) => {
    const increment = async (index: number): Promise<void> => {
      const map = at(subject, index).map<number>('m');
      let seen = await map.get('n');
      for (let done = 0; done < 5; ) {
        const value = (seen?.value ?? 0) + 1;
        const swap = await map.compareAndSet('n', seen?.version ?? 0, value);
        if (swap.ok) done += 1;
        seen = swap.ok ? { value, version: swap.version } : { value: swap.value ?? 0, version: swap.version };
      }
    };
    await Promise.all([0, 1, 2, 3].map(increment));
    assert.equal((await at(subject, 0).map<number>('m').get('n'))?.value, 20);
  },

  'entries come in pages, in the order of their keys': async (subject) => {
    const map = at(subject, 0).map<number>('m');
    for (const key of ['b/2', 'a', 'b/3', 'b/1', 'c']) await map.set(key, 0);
    const first = await at(subject, 1).map('m').entries({ prefix: 'b/', limit: 2 });
    assert.deepEqual(
      first.entries.map(({ key }) => key),
      ['b/1', 'b/2'],
    );
    const second = await at(subject, 1).map('m').entries({ prefix: 'b/', limit: 2, after: first.next });
    assert.deepEqual(
      second.entries.map(({ key }) => key),
      ['b/3'],
    );
    assert.equal(second.next, undefined);
  },

  'a watch begins with what is there and follows in order': async (subject) => {
    const map = at(subject, 0).map<number>('m');
    await map.set('x/a', 1);
    const watch = at(subject, 1).map<number>('m').watch({ prefix: 'x/' })[Symbol.asyncIterator]();
    assert.deepEqual(await take(watch, 1), ['x/a=1']);
    await map.set('y', 0);
    await map.set('x/b', 2);
    assert.deepEqual(await take(watch, 1), ['x/b=2']);
    await map.delete('x/a');
    assert.deepEqual(await take(watch, 1), ['-x/a']);
    await watch.return?.();
    assert.deepEqual(await watch.next(), { done: true, value: undefined });
  },

  'what cannot be stored, and names that are none, are refused': async (subject) => {
    const map = at(subject, 0).map<unknown>('m');
    await failure('UNSUPPORTED_VALUE', () => map.set('k', () => 1));
    await failure('PAYLOAD_TOO_LARGE', () => map.set('k', 'x'.repeat(40_000)));
    await failure('INVALID_ARGUMENT', () => at(subject, 0).map(''));
    await failure('INVALID_ARGUMENT', () => at(subject, 0).counter('x'.repeat(257)));
    assert.deepEqual(await map.entries(), { entries: [], next: undefined });
  },
};
