import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { decodePayload, encodePayload } from '../../../../src/payload.ts';
import { MapReducer } from '../../../../src/protocols/coordination/atoms/map-reducer.ts';
import { CoordinationMachine } from '../../../../src/protocols/coordination/machine/machine.ts';

const bytes = (value: unknown): Uint8Array => new Uint8Array(encodePayload(value, 65_536));
const context = { seq: 1, time: 1, client: 'n' as never, validators: [] };

class Subject {
  readonly machine: CoordinationMachine;
  constructor(maxBytes?: number) {
    this.machine = new CoordinationMachine([new MapReducer(maxBytes)]);
  }
  apply(command: unknown): readonly unknown[] {
    const answer = decodePayload(this.machine.apply(bytes(command), context));
    return (answer.ok ? answer.value : []) as readonly unknown[];
  }
  ask(query: unknown): readonly unknown[] {
    const answer = decodePayload(this.machine.query(bytes(query)));
    return (answer.ok ? answer.value : []) as readonly unknown[];
  }
  set(key: string, value: unknown, ifVersion?: number): readonly unknown[] {
    return this.apply({
      kind: 'map.set',
      name: 'm',
      key,
      value: bytes(value),
      ...(ifVersion === undefined ? {} : { ifVersion }),
    });
  }
}

describe('entries and their versions', () => {
  test('a version is new with every change, and never used again after a deletion', () => {
    const m = new Subject();
    expect(m.set('k', 'x')).toEqual([1]);
    expect(m.set('k', 'x')).toEqual([2]);
    expect(m.apply({ kind: 'map.delete', name: 'm', key: 'k' })).toEqual([true]);
    expect(m.set('k', 'x')).toEqual([4]);
    expect(m.set('k', 'y', 2)).toMatchObject(['CONFLICT', { key: 'k', expected: 2, actual: 4 }]);
    expect(m.set('k', 'y', 4)).toEqual([5]);
    expect(m.ask({ kind: 'map.get', name: 'm', key: 'k' })).toEqual([[bytes('y'), 5]]);
  });

  test('0 means that there is no entry', () => {
    const m = new Subject();
    expect(m.set('k', 'x', 0)).toEqual([1]);
    expect(m.set('k', 'y', 0)).toMatchObject(['CONFLICT', { actual: 1, value: bytes('x') }]);
    expect(m.apply({ kind: 'map.delete', name: 'm', key: 'other', ifVersion: 0 })).toEqual([false]);
    expect(m.apply({ kind: 'map.delete', name: 'm', key: 'other', ifVersion: 3 })).toMatchObject([
      'CONFLICT',
      { actual: 0 },
    ]);
    expect(m.set('other', 'y', 3)).toMatchObject(['CONFLICT', { actual: 0 }]);
  });

  test('bytes that hold no value are refused, so that no reader stumbles over them', () => {
    const m = new Subject();
    m.set('before', 1);
    const before = m.machine.snapshot();
    for (const value of [
      new Uint8Array(),
      Uint8Array.of(0x1c),
      Uint8Array.of(1, 1),
      'text',
      bytes('x'.repeat(32_769)),
    ]) {
      expect(m.apply({ kind: 'map.set', name: 'm', key: 'k', value })).toMatchObject(['INVALID_ARGUMENT', {}]);
    }
    expect(m.machine.snapshot()).toEqual(before);
  });

  test('all maps together are bounded; what replaces something larger always fits', () => {
    const m = new Subject(400);
    expect(m.set('a', 'x'.repeat(60))).toEqual([1]);
    expect(m.set('b', 'x'.repeat(60))).toEqual([2]);
    expect(m.set('c', 'x'.repeat(60))).toMatchObject(['LIMIT_EXCEEDED', { limit: 400 }]);
    expect(m.apply({ kind: 'map.set', name: 'elsewhere', key: 'c', value: bytes('x'.repeat(60)) })).toMatchObject([
      'LIMIT_EXCEEDED',
      {},
    ]);
    expect(m.set('a', 'y')).toEqual([3]);
    m.apply({ kind: 'map.delete', name: 'm', key: 'b' });
    expect(m.set('c', 'x'.repeat(60))).toEqual([5]);
  });

  test('each event names the change before it', () => {
    const m = new Subject();
    m.set('a', 1);
    m.apply({ kind: 'map.set', name: 'else', key: 'a', value: bytes(1) });
    m.apply({ kind: 'map.delete', name: 'm', key: 'a' });
    const events = m.machine.takeEvents().map(({ topic, payload }) => {
      const decoded = decodePayload(payload);
      return [topic, decoded.ok && decoded.value];
    });
    expect(events).toEqual([
      ['map/m', { key: 'a', version: 1, previous: 0, value: bytes(1) }],
      ['map/else', { key: 'a', version: 2, previous: 0, value: bytes(1) }],
      ['map/m', { key: 'a', version: 3, previous: 1 }],
    ]);
  });

  test('pages are in the order of keys, bounded by number and by size', () => {
    const m = new Subject();
    for (const key of ['b/2', 'a', 'b/1', 'b', 'c', 'b/10']) m.set(key, key);
    const page = (query: object): unknown =>
      m.ask({ kind: 'map.page', name: 'm', prefix: '', limit: 1000, ...query })[0];
    const keys = (query: object): unknown => {
      const { entries, next } = page(query) as { entries: [string][]; next?: string };
      return [entries.map(([key]) => key), next];
    };
    expect(keys({})).toEqual([['a', 'b', 'b/1', 'b/10', 'b/2', 'c'], undefined]);
    expect(keys({ prefix: 'b/', limit: 2 })).toEqual([['b/1', 'b/10'], 'b/10']);
    expect(keys({ prefix: 'b/', limit: 2, after: 'b/10' })).toEqual([['b/2'], undefined]);
    expect(keys({ prefix: 'b/', after: 'a' })).toEqual([['b/1', 'b/10', 'b/2'], undefined]);
    expect(keys({ prefix: 'b/', after: 'c' })).toEqual([[], undefined]);
    for (const key of ['d1', 'd2', 'd3', 'd4']) m.set(key, 'x'.repeat(30_000));
    expect(keys({ prefix: 'd' })).toEqual([['d1', 'd2'], 'd2']);
  });
});

const key = fc.constantFrom('a', 'b', 'c', '__proto__', '');
const ifVersion = fc.option(fc.nat(12), { nil: undefined });
const commands = fc.array(
  fc.oneof(
    fc.record({
      kind: fc.constant('map.set'),
      name: fc.constantFrom('m', 'n'),
      key,
      value: fc.jsonValue({ maxDepth: 1 }).filter(encodable).map(bytes),
      ifVersion,
    }),
    fc.record({ kind: fc.constant('map.delete'), name: fc.constantFrom('m', 'n'), key, ifVersion }),
    fc.record({ kind: fc.constantFrom('map.set', 'map.delete', 'map.x'), junk: fc.anything() }).filter(encodable),
  ),
  { maxLength: 40 },
);

function encodable(value: unknown): boolean {
  try {
    bytes(value);
    return true;
  } catch {
    return false; // fast-check makes functions and symbols as well; those do not travel.
  }
}

test('a conditional write takes place exactly when the version is right, and replicas are alike whenever one is restored', () => {
  fc.assert(
    fc.property(commands, fc.nat(40), (list, at) => {
      const one = new Subject();
      let two = new Subject();
      const model = new Map<string, { value: Uint8Array; version: number }>();
      let highest = 0;
      for (const [index, command] of list.entries()) {
        if (index === at) {
          const restored = new Subject();
          restored.machine.restore(two.machine.snapshot());
          two = restored;
        } else two.machine.takeEvents();
        one.machine.takeEvents();
        const answer = one.apply(command);
        expect(two.apply(command)).toEqual(answer);
        expect(two.machine.takeEvents()).toEqual(one.machine.takeEvents());
        if (!('name' in command)) {
          expect(answer[0]).toBe('INVALID_ARGUMENT');
          continue;
        }
        const id = `${command.name}/${command.key}`;
        const fits = command.ifVersion === undefined || command.ifVersion === (model.get(id)?.version ?? 0);
        expect(answer[0] === 'CONFLICT').toBe(!fits);
        if (!fits) continue;
        if ('value' in command) {
          expect(answer[0]).toBeGreaterThan(highest);
          highest = answer[0] as number;
          model.set(id, { value: command.value, version: highest });
        } else if (model.delete(id)) highest += 1;
      }
      expect(two.machine.snapshot()).toEqual(one.machine.snapshot());
      for (const [id, { value, version }] of model) {
        const [name, ...rest] = id.split('/');
        expect(one.ask({ kind: 'map.get', name, key: rest.join('/') })).toEqual([[value, version]]);
      }
    }),
  );
});
