/** Criteria, order, limits and scopes. */
import assert from 'node:assert/strict';
import type { Criteria, Registry } from '../protocols/registry/registry.ts';
import { handler, ids, type RegistryCases } from './registry-support.ts';
import { failure } from './suite.ts';

/** Four agents that differ in everything. */
async function populate(registry: Registry): Promise<void> {
  await registry.register('a', handler, {
    capabilities: ['sum', 'plan'],
    zone: 'eu-1',
    kind: 'worker',
    capacity: { cpu: 0.9, memoryMB: 100 },
    custom: { team: 'blue', since: new Date(1_000), big: 5n, nested: { deep: [1, { x: 2 }] } },
  });
  await registry.register('b', handler, {
    capabilities: ['sum'],
    zone: 'eu-2',
    kind: 'worker',
    capacity: { cpu: 0.5 },
    custom: { team: 'red', since: new Date(2_000), big: 6n },
  });
  await registry.register('c', handler, {
    capabilities: ['plan'],
    zone: 'us-1',
    health: 'degraded',
    custom: { cpu: '0.9' },
  });
  await registry.register('d', handler, { capabilities: [], zone: 'us-1', kind: 'boss', version: '2.0.1' });
}

type Expectation = readonly [criteria: Criteria, expected: string];

/** Object style, then tuple style, then what both have in common with neither. */
const expectations: readonly Expectation[] = [
  [{}, 'abcd'],
  [[], 'abcd'],
  [{ capabilities: 'sum' }, 'ab'],
  [[['capabilities', 'sum', 'contains']], 'ab'],
  [{ capabilities: ['plan', 'nobody'] }, 'ac'],
  [[['capabilities', ['plan', 'sum'], 'in']], 'abc'],
  [[['capabilities', ['plan', 'sum'], 'notIn']], 'd'],
  [[['capabilities', 'sum', 'eq']], ''],
  [[['capabilities', ['sum'], 'eq']], 'b'],
  [{ zone: 'us-1' }, 'cd'],
  [{ zone: ['eu-1', 'us-1'] }, 'acd'],
  [[['zone', 'us-1', 'neq']], 'ab'],
  [[['zone', 'eu', 'contains']], 'ab'],
  [{ zone: { gt: 'eu-1', lt: 'us-1' } }, 'b'],
  [{ kind: 'worker', capabilities: 'plan' }, 'a'],
  [{ kind: null }, 'c'],
  [{ kind: { neq: 'worker' } }, 'cd'],
  [{ kind: { neq: null } }, 'abd'],
  [{ kind: { notIn: ['worker'] } }, 'cd'],
  [{ id: 'c' }, 'c'],
  [{ id: ['d', 'a', 'x'] }, 'ad'],
  [{ health: 'degraded' }, 'c'],
  [{ capacity: { cpu: { gte: 0.5 } } }, 'ab'],
  [{ capacity: { cpu: { gt: 0.5, lte: 0.9 } } }, 'a'],
  [{ 'capacity.cpu': { lt: 0.9 } }, 'b'],
  [{ capacity: { cpu: 0.5 } }, 'b'],
  [
    [
      ['capacity.cpu', 0.5, 'gte'],
      ['capacity.memoryMB', 50, 'gt'],
    ],
    'a',
  ],
  [[[['capacity', 'cpu'], 0.5, 'eq']], 'b'],
  [{ custom: { team: ['blue', 'green'] } }, 'a'],
  [{ custom: { team: 'red', big: 6n } }, 'b'],
  [{ custom: { since: { gte: new Date(2_000) } } }, 'b'],
  [{ custom: { since: new Date(1_000) } }, 'a'],
  [{ custom: { big: { gt: 5n } } }, 'b'],
  [[['custom.nested', { deep: [1, { x: 2 }] }, 'eq']], 'a'],
  [[['custom.nested.deep', { x: 2 }, 'contains']], 'a'],
  [{ version: '2.0.1' }, 'd'],
];

export const queryCases: RegistryCases = {
  'criteria of both styles find what they say, in order of ids, and count it': async ({ registry }) => {
    await populate(registry);
    for (const [criteria, expected] of expectations) {
      const name = JSON.stringify(criteria, (_, value) => (typeof value === 'bigint' ? `${value}n` : value));
      assert.equal(ids(registry.query(criteria)).join(''), expected, name);
      assert.equal(registry.count(criteria), expected.length, name);
    }
    assert.equal(ids(registry.query()).join(''), 'abcd');
  },

  'a missing field never matches an ordering, nor does one of another type': async ({ registry }) => {
    await populate(registry);
    for (const op of ['gt', 'gte', 'lt', 'lte'] as const) {
      assert.deepEqual(registry.query([['capacity.gpu', 0, op]]), []);
      assert.deepEqual(registry.query([['no.such.path', 0, op]]), []);
      assert.deepEqual(registry.query([['custom.cpu', 0, op]]), []);
      assert.deepEqual(registry.query([['capabilities', 'a', op]]), []);
      assert.deepEqual(registry.query([['custom.big', 5, op]]), []);
    }
    assert.equal(registry.count([['capacity.gpu', 1, 'neq']]), 4);
    assert.equal(registry.count([['capacity.gpu', [1], 'notIn']]), 4);
  },

  'malformed criteria are one typed error that names each mistake, and the registry goes on': async ({ registry }) => {
    await populate(registry);
    const cyclic: Record<string, unknown> = {};
    cyclic['zone'] = cyclic;
    for (const criteria of [
      null,
      5,
      'eu-1',
      new Map(),
      () => true,
      ['zone', 'eu-1', 'eq'],
      [['zone', 'eu-1']],
      [['zone', 'eu-1', 'equals']],
      [['zone', 'eu-1', 'constructor']],
      [['zone', 'eu-1', '__proto__']],
      [['zone', 'eu-1', 'in']],
      [['zone', undefined, 'eq']],
      [['zone', () => 1, 'eq']],
      [['', 'eu-1', 'eq']],
      [['a..b', 'eu-1', 'eq']],
      [[[], 'eu-1', 'eq']],
      [[[5], 'eu-1', 'eq']],
      [['capacity.cpu', null, 'gt']],
      [['capacity.cpu', Number.NaN, 'gt']],
      [['capacity.cpu', {}, 'gt']],
      [['capacity.cpu', [1], 'lt']],
      [['capacity.cpu', true, 'lte']],
      [['custom.since', new Date(Number.NaN), 'gte']],
      { zone: undefined },
      { zone: {} },
      { zone: { gte: 'a', beyond: 'b' } },
      { zone: { in: 'eu-1' } },
      { '': 'x' },
      Object.create({ zone: 'eu-1' }),
      cyclic,
      Array.from({ length: 65 }, () => ['zone', 'eu-1', 'eq']),
    ]) {
      const error = await failure('INVALID_CRITERIA', () => registry.query(criteria as never));
      assert.ok((error.data['problems'] as readonly string[]).length > 0);
      await failure('INVALID_CRITERIA', () => registry.count(criteria as never));
      await failure('INVALID_CRITERIA', () => registry.watch(criteria as never));
    }
    const both = await failure('INVALID_CRITERIA', () =>
      registry.query({ zone: undefined, capacity: { cpu: { gt: null } } } as never),
    );
    assert.equal((both.data['problems'] as readonly string[]).length, 2);
    for (const options of [
      { limit: -1 },
      { limit: 1.5 },
      { limit: '1' },
      { orderBy: '' },
      { orderBy: ['zone', 'up'] },
      { orderBy: 5 },
      { scope: 'galaxy' },
    ]) {
      await failure('INVALID_CRITERIA', () => registry.query({}, options as never));
    }
    assert.equal(registry.count(), 4);
  },

  'paths into prototypes find nothing and harm nothing': async ({ registry }) => {
    await populate(registry);
    for (const path of [
      '__proto__',
      'constructor',
      'constructor.name',
      'toString',
      'custom.__proto__',
      'capabilities.length.x',
    ]) {
      assert.deepEqual(registry.query([[path, null, 'neq']]), [], path);
      assert.deepEqual(registry.query([[path, 'Object', 'eq']]), [], path);
    }
    const forged = JSON.parse('{"__proto__": {"admin": true}, "constructor": {"prototype": {"admin": true}}}');
    assert.deepEqual(registry.query(forged), []);
    const custom = JSON.parse('{"__proto__": {"admin": true}}');
    await failure('INVALID_METADATA', () => registry.register('evil', handler, { capabilities: [], custom }));
    assert.equal(({} as { admin?: boolean }).admin, undefined);
  },

  'results are ordered and limited as asked, and are the callers to keep': async ({ registry }) => {
    await populate(registry);
    const order = (...args: Parameters<typeof registry.query>): string => ids(registry.query(...args)).join('');
    assert.equal(order({}, { limit: 2 }), 'ab');
    assert.equal(order({}, { limit: 0 }), '');
    assert.equal(order({}, { limit: 9 }), 'abcd');
    assert.equal(order({}, { orderBy: 'zone' }), 'abcd');
    assert.equal(order({}, { orderBy: ['zone', 'desc'] }), 'cdba');
    assert.equal(order({}, { orderBy: 'capacity.cpu' }), 'bacd');
    assert.equal(order({}, { orderBy: ['capacity.cpu', 'desc'] }), 'abcd');
    assert.equal(order({}, { orderBy: ['capacity.cpu', 'asc'], limit: 1 }), 'b');
    assert.equal(order({}, { orderBy: 'custom.since' }), 'abcd');
    assert.equal(order({ capabilities: ['sum', 'plan'] }, { orderBy: ['id', 'desc'] }), 'cba');
    const mine = registry.query({ zone: 'us-1' });
    mine.reverse().pop();
    assert.equal(order({ zone: 'us-1' }), 'cd');
  },

  'scopes leave out what is elsewhere': async ({ registry, self, zone }) => {
    await registry.register('here', handler, { capabilities: ['x'] });
    await registry.register('there', handler, { capabilities: ['x'], zone: `${zone}-other` });
    assert.deepEqual(ids(registry.query({ capabilities: 'x' }, { scope: 'cluster' })), ['here', 'there']);
    assert.deepEqual(ids(registry.query({ capabilities: 'x' }, { scope: 'zone' })), ['here']);
    assert.deepEqual(ids(registry.query({ node: self }, { scope: 'node' })), ['here', 'there']);
    assert.equal(registry.count({}, { scope: 'zone' }), 1);
    assert.equal(registry.resolve('there', { scope: 'zone' }), undefined);
    assert.equal(registry.resolve({ capabilities: 'x' }, { scope: 'zone' })?.id, 'here');
  },

  '10,000 agents answer lists and queries': async ({ registry }) => {
    const total = 10_000;
    // Not in order of ids, which would be the easy case.
    const names = Array.from({ length: total }, (_, at) => `agent-${(at * 7919) % total}`);
    const { status } = await registry.batch(
      names.map((id, at) => ({
        op: 'register',
        id,
        handler,
        metadata: { capabilities: [`skill-${at % 1000}`, 'all'], zone: `zone-${at % 7}` },
      })),
    );
    assert.equal(status, 'complete');
    const sorted = [...names].sort();
    assert.deepEqual(ids(registry.query()), sorted);
    assert.equal(registry.query({ capabilities: 'skill-5' }).length, 10);
    assert.equal(registry.count({ capabilities: 'all', zone: 'zone-3' }), Math.ceil((total - 3) / 7));
    assert.deepEqual(ids(registry.query({ capabilities: 'all' }, { limit: 3 })), sorted.slice(0, 3));
    assert.equal(
      registry.query({ zone: ['zone-1', 'zone-2'] }, { orderBy: ['claimedAt', 'desc'], limit: 5 }).length,
      5,
    );
  },
};
