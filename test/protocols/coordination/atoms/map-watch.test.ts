import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { MapChange } from '../../../../src/protocols/coordination/atoms/atoms.ts';
import { MachineAtoms } from '../../../../src/protocols/coordination/atoms/machine-atoms.ts';
import { MapReducer } from '../../../../src/protocols/coordination/atoms/map-reducer.ts';
import { SharedOrder, settle } from '../local-tools.ts';

function subject() {
  const shared = new SharedOrder([new MapReducer()]);
  const [writer, reader] = [shared.node(), shared.node()];
  const map = new MachineAtoms(writer).map<number>('m');
  const watched = new MachineAtoms(reader).map<number>('m');
  return { shared, map, watched, reader: reader.self };
}

const word = ({ key, deleted, value, skipped }: MapChange<number>): string =>
  `${deleted ? `-${key}` : `${key}=${value}`}${skipped ? ' skipped' : ''}`;

async function take(changes: AsyncIterator<MapChange<number>>, count: number): Promise<string[]> {
  const taken: string[] = [];
  while (taken.length < count) {
    const { done, value } = await changes.next();
    if (done === true) throw new Error(`ended after ${taken.join(', ')}`);
    taken.push(word(value));
  }
  return taken;
}

describe('a watch', () => {
  test('begins with what is there and then tells every change in order', async () => {
    const { map, watched } = subject();
    await map.set('a', 1);
    await map.set('b', 2);
    const changes = watched.watch({ prefix: '' })[Symbol.asyncIterator]();
    expect(await take(changes, 2)).toEqual(['a=1', 'b=2']);
    await map.set('a', 3);
    await map.set('a', 4);
    await map.delete('b');
    await map.set('b', 5);
    expect(await take(changes, 4)).toEqual(['a=3', 'a=4', '-b', 'b=5']);
  });

  test('of one key tells of no other, and a prefix is a prefix', async () => {
    const { map, watched } = subject();
    await map.set('ab', 1);
    const one = watched.watch('a')[Symbol.asyncIterator]();
    const some = watched.watch({ prefix: 'a' })[Symbol.asyncIterator]();
    await settle();
    await map.set('b', 2);
    await map.set('a', 3);
    expect(await take(one, 1)).toEqual(['a=3']);
    expect(await take(some, 2)).toEqual(['ab=1', 'a=3']);
  });

  test('told of a gap goes on with the latest state, and says so', async () => {
    const { shared, map, watched, reader } = subject();
    await map.set('gone', 1);
    const changes = watched.watch({ prefix: '' })[Symbol.asyncIterator]();
    expect(await take(changes, 1)).toEqual(['gone=1']);
    shared.deafen(reader);
    for (const value of [1, 2, 3]) await map.set('a', value);
    await map.delete('gone');
    shared.undeafen(reader, { gap: true });
    expect(await take(changes, 2)).toEqual(['-gone skipped', 'a=3 skipped']);
    await map.set('a', 4);
    expect(await take(changes, 1)).toEqual(['a=4']);
  });

  test('a gap in which nothing happened skips nothing', async () => {
    const { shared, map, watched, reader } = subject();
    await map.set('a', 1);
    const changes = watched.watch('a')[Symbol.asyncIterator]();
    await settle();
    shared.undeafen(reader, { gap: true });
    await settle();
    await map.set('a', 2);
    expect(await take(changes, 2)).toEqual(['a=1', 'a=2']);
  });

  test('sees by the next change that one was lost, though nobody told', async () => {
    const { shared, map, watched, reader } = subject();
    const changes = watched.watch('a')[Symbol.asyncIterator]();
    await settle();
    shared.deafen(reader);
    await map.set('a', 1);
    shared.undeafen(reader, { gap: false });
    await map.set('other', 1);
    expect(await take(changes, 1)).toEqual(['a=1 skipped']);
  });

  test('sees in a few seconds that the last change was lost', async () => {
    const { shared, map, watched, reader } = subject();
    const changes = watched.watch('a')[Symbol.asyncIterator]();
    await settle();
    shared.deafen(reader);
    await map.set('a', 1);
    await shared.clock.advance(4_000);
    expect(await take(changes, 1)).toEqual(['a=1 skipped']);
  });

  test('outlasts a time without a quorum', async () => {
    const { shared, map, watched, reader } = subject();
    shared.fail(reader, 'before');
    const changes = watched.watch('a')[Symbol.asyncIterator]();
    await map.set('a', 1);
    await shared.clock.advance(3_000);
    shared.heal(reader);
    const taken = take(changes, 1);
    await shared.clock.advance(1_000);
    expect(await taken).toEqual(['a=1']);
  });

  test('a reader that does not read costs bounded memory, and then gets the latest', async () => {
    const { map, watched } = subject();
    const changes = watched.watch({ prefix: '' })[Symbol.asyncIterator]();
    await map.set('a', -1);
    expect(await take(changes, 1)).toEqual(['a=-1']);
    for (let value = 0; value <= 10_500; value++) await map.set('a', value);
    expect(await take(changes, 1)).toEqual(['a=10500 skipped']);
    await map.set('a', 7);
    expect(await take(changes, 1)).toEqual(['a=7']);
  });

  test('a map larger than the queue is told whole while it changes', async () => {
    const { map, watched } = subject();
    for (let n = 0; n < 10_200; n++) await map.set(`k${n}`, n);
    const changes = watched.watch({ prefix: '' })[Symbol.asyncIterator]();
    for (let n = 0; n < 50; n++) await map.set('k0', -n);
    const taken = await take(changes, 10_200);
    expect(taken.some((one) => one.endsWith('skipped'))).toBe(false);
    expect(new Set(taken.map((one) => one.split('=')[0])).size).toBe(10_200);
  });

  test('ends with its signal, and when the loop is left', async () => {
    const { shared, map, watched } = subject();
    const stop = new AbortController();
    await map.set('a', 1);
    const heard: string[] = [];
    const loop = (async () => {
      for await (const change of watched.watch('a', { signal: stop.signal })) heard.push(word(change));
    })();
    await settle();
    stop.abort();
    await loop;
    expect(heard).toEqual(['a=1']);
    for await (const change of watched.watch('a')) {
      heard.push(word(change));
      break;
    }
    expect(heard).toEqual(['a=1', 'a=1']);
    expect(shared.clock.timers).toBe(0);
    const never = watched.watch('a', { signal: AbortSignal.abort() })[Symbol.asyncIterator]();
    expect(await never.next()).toEqual({ done: true, value: undefined });
  });
});

const acts = fc.array(
  fc.oneof(
    fc.record({ act: fc.constant('set'), key: fc.constantFrom('a', 'b', 'ab'), value: fc.nat(5) }),
    fc.record({ act: fc.constant('delete'), key: fc.constantFrom('a', 'b', 'ab') }),
    fc.record({ act: fc.constantFrom('deafen', 'hear', 'gap', 'read', 'settle') }),
  ),
  { maxLength: 40 },
);

test('whatever is lost: versions of a key rise, unmarked changes are complete, and the end is the latest state', async () => {
  await fc.assert(
    fc.asyncProperty(acts, async (list) => {
      const { shared, map, watched, reader } = subject();
      const history: { key: string; version: number }[] = [];
      const told: MapChange<number>[] = [];
      const changes = watched.watch({ prefix: 'a' })[Symbol.asyncIterator]();
      const pump = async (): Promise<void> => {
        const { value } = await changes.next();
        if (value !== undefined) told.push(value);
      };
      for (const one of list) {
        if (one.act === 'set' && 'value' in one) {
          const { version } = await map.set(one.key, one.value);
          history.push({ key: one.key, version });
        } else if (one.act === 'delete' && 'key' in one) await map.delete(one.key);
        else if (one.act === 'deafen') shared.deafen(reader);
        else if (one.act === 'hear') shared.undeafen(reader, { gap: false });
        else if (one.act === 'gap') shared.undeafen(reader, { gap: true });
        else if (one.act === 'read') void pump();
        else await settle();
      }
      const rest = (async () => {
        for (;;) {
          const { done, value } = await changes.next();
          if (done === true) return;
          told.push(value);
        }
      })();
      await shared.clock.advance(10_000);
      await changes.return?.();
      await rest;
      const state = new Map<string, number>();
      const last = new Map<string, number>();
      for (const change of told) {
        const before = last.get(change.key) ?? 0;
        expect(change.version).toBeGreaterThan(before);
        const between = history.filter(
          ({ key, version }) => key === change.key && version > before && version < change.version,
        );
        // The first that is told of a key may be the state at the beginning.
        if (!change.skipped && before > 0) expect(between).toEqual([]);
        last.set(change.key, change.version);
        if (change.deleted) state.delete(change.key);
        else state.set(change.key, change.value);
      }
      const { entries } = await map.entries({ prefix: 'a' });
      expect([...state].sort()).toEqual(entries.map(({ key, value }) => [key, value]));
    }),
    { numRuns: 150 },
  );
});
