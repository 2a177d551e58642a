import { describe, expect, test } from 'vitest';
import type { Atoms } from '../../../../src/protocols/coordination/atoms/atoms.ts';
import { MachineAtoms } from '../../../../src/protocols/coordination/atoms/machine-atoms.ts';
import { MapReducer } from '../../../../src/protocols/coordination/atoms/map-reducer.ts';
import { CounterReducer, SequenceReducer } from '../../../../src/protocols/coordination/atoms/number-reducers.ts';
import { localNode, SharedOrder } from '../local-tools.ts';

const reducers = () => [new SequenceReducer(), new CounterReducer(), new MapReducer()];
const alone = (): Atoms => new MachineAtoms(localNode(reducers()).tools);

test('numbers are reserved in ranges', async () => {
  const ids = alone().sequence('ids');
  expect(await ids.next()).toBe(1);
  expect(await ids.next({ count: 5 })).toBe(2);
  expect(await ids.next()).toBe(7);
  for (const count of [0, -1, 0.5, 2 ** 33]) {
    await expect(ids.next({ count })).rejects.toMatchObject({ code: 'INVALID_ARGUMENT' });
  }
});

test('a counter counts, and says so when it cannot', async () => {
  const seats = alone().counter('seats');
  expect(await seats.add(3)).toBe(3);
  expect(await seats.add(-1)).toBe(2);
  expect(await seats.value()).toBe(2);
  await expect(seats.add(Number.MAX_SAFE_INTEGER)).rejects.toMatchObject({ code: 'LIMIT_EXCEEDED' });
  await expect(seats.add(1.5)).rejects.toMatchObject({ code: 'INVALID_ARGUMENT' });
  expect(await seats.value({ consistency: 'local' })).toBe(2);
});

test('an unknown outcome is told as such, and leaves a gap at most', async () => {
  const shared = new SharedOrder(reducers());
  const tools = shared.node();
  const ids = new MachineAtoms(tools).sequence('ids');
  shared.fail(tools.self, 'after', 'before');
  await expect(ids.next()).rejects.toMatchObject({ code: 'UNKNOWN_OUTCOME' });
  await expect(ids.next()).rejects.toMatchObject({ code: 'NO_QUORUM' });
  expect(await ids.next()).toBe(2);
});

describe('maps', () => {
  test('read, write, compare and set', async () => {
    const map = alone().map<{ n: number }>('m');
    expect(await map.get('a')).toBeUndefined();
    const { version } = await map.set('a', { n: 1 }, { ifVersion: 0 });
    expect(await map.get('a')).toEqual({ value: { n: 1 }, version });
    const won = await map.compareAndSet('a', version, { n: 2 });
    expect(won.ok).toBe(true);
    expect(await map.compareAndSet('a', version, { n: 3 })).toEqual({
      ok: false,
      version: won.version,
      value: { n: 2 },
    });
    expect(await map.compareAndSet('b', version, { n: 3 })).toEqual({ ok: false, version: 0, value: undefined });
    const data = { key: 'a', expected: version, actual: won.version };
    await expect(map.set('a', { n: 4 }, { ifVersion: version })).rejects.toMatchObject({ code: 'CONFLICT', data });
    await expect(map.delete('a', { ifVersion: version })).rejects.toMatchObject({ code: 'CONFLICT', data });
    expect(await map.delete('a', { ifVersion: won.version })).toBe(true);
    expect(await map.delete('a')).toBe(false);
  });

  test('undefined and null are values like others', async () => {
    const map = alone().map<undefined | null>('m');
    await map.set('a', undefined);
    await map.set('b', null);
    expect(await map.get('a')).toEqual({ value: undefined, version: 1 });
    expect(await map.get('b')).toEqual({ value: null, version: 2 });
  });

  test('what cannot be stored is refused before anything is sent', async () => {
    const map = alone().map<unknown>('m');
    await expect(map.set('a', () => 1)).rejects.toMatchObject({ code: 'UNSUPPORTED_VALUE' });
    await expect(map.set('a', 'x'.repeat(40_000))).rejects.toMatchObject({ code: 'PAYLOAD_TOO_LARGE' });
    await expect(map.set('\ud800', 1)).rejects.toMatchObject({ code: 'INVALID_ARGUMENT' });
    await expect(map.set('a', 1, { ifVersion: -1 })).rejects.toMatchObject({ code: 'INVALID_ARGUMENT' });
    await expect(map.entries({ limit: 0 })).rejects.toMatchObject({ code: 'INVALID_ARGUMENT' });
    expect(() => alone().map('')).toThrow(expect.objectContaining({ code: 'INVALID_ARGUMENT' }));
    expect(await map.entries()).toEqual({ entries: [], next: undefined });
  });

  test('entries come in pages', async () => {
    const map = alone().map<number>('m');
    for (const key of ['x/2', 'x/1', 'y', 'x/3']) await map.set(key, 1);
    const first = await map.entries({ prefix: 'x/', limit: 2 });
    expect(first.entries.map(({ key }) => key)).toEqual(['x/1', 'x/2']);
    const second = await map.entries({ prefix: 'x/', limit: 2, after: first.next });
    expect(second).toEqual({ entries: [{ key: 'x/3', value: 1, version: 4 }], next: undefined });
  });

  test('of many that swap at once, each version is won by one', async () => {
    const shared = new SharedOrder(reducers());
    const nodes = [shared.node(), shared.node(), shared.node()].map((tools) => new MachineAtoms(tools));
    const increment = async (atoms: Atoms): Promise<void> => {
      const map = atoms.map<number>('m');
      for (let done = 0; done < 20; ) {
        const seen = await map.get('n');
        const swap = await map.compareAndSet('n', seen?.version ?? 0, (seen?.value ?? 0) + 1);
        if (swap.ok) done += 1;
      }
    };
    await Promise.all(nodes.map(increment));
    expect(await nodes[0]?.map('m').get('n')).toMatchObject({ value: 60 });
  });
});
