/** Registering, updating, unregistering, batches, and the end. */
import assert from 'node:assert/strict';
import type { BatchOperation } from '../protocols/registry/registry.ts';
import { handler, ids, type RegistryCases, take, words } from './registry-support.ts';
import { failure } from './suite.ts';

const register = (id: string, ...capabilities: string[]): BatchOperation => ({
  op: 'register',
  id,
  handler,
  metadata: { capabilities },
});

export const registrationCases: RegistryCases = {
  'a registration is there when the call returns, with every default filled in': async ({ registry, self, zone }) => {
    const registration = await registry.register('planner', handler, { capabilities: ['plan'] });
    const record = registry.lookup('planner');
    assert.ok(record !== undefined);
    assert.equal(registration.id, 'planner');
    assert.equal(registration.active, true);
    assert.deepEqual(registration.record, record);
    const { claimedAt, ...rest } = record;
    assert.ok(Number.isSafeInteger(claimedAt) && claimedAt > 0);
    assert.deepEqual(rest, {
      id: 'planner',
      node: self,
      capabilities: ['plan'],
      kind: undefined,
      zone,
      health: 'healthy',
      capacity: {},
      preferences: { latencySensitive: false, consistency: 'eventual' },
      version: undefined,
      custom: {},
      strong: undefined,
    });
  },

  'everything given is kept': async ({ registry }) => {
    const custom = {
      team: 'blue',
      limits: { tokens: 4096n, since: new Date(0) },
      tags: ['a', 'b'],
      raw: Uint8Array.of(1, 2),
    };
    const metadata = {
      capabilities: ['plan', 'search', 'plan'],
      kind: 'worker',
      zone: 'eu-9',
      health: 'degraded',
      capacity: { cpu: 0.5 },
      preferences: { latencySensitive: true, consistency: 'strong' },
      version: '1.2.3',
      custom,
    } as const;
    await registry.register('worker', handler, metadata);
    const record = registry.lookup('worker') ?? assert.fail('not registered');
    const { id: _, node: __, claimedAt: ___, strong, ...rest } = record;
    assert.deepEqual(rest, { ...metadata, capabilities: ['plan', 'search'] });
    assert.equal(strong, undefined);
  },

  'a record is frozen, and nothing of what was given is shared with it': async ({ registry }) => {
    const capabilities = ['plan'];
    const custom = { list: ['a'] };
    await registry.register('planner', handler, { capabilities, custom });
    capabilities.push('forged');
    custom.list.push('forged');
    const record = registry.lookup('planner') ?? assert.fail('not registered');
    assert.deepEqual(record.capabilities, ['plan']);
    assert.deepEqual(record.custom, { list: ['a'] });
    assert.throws(() => ((record as { zone: string }).zone = 'forged'), TypeError);
    assert.throws(() => (record.capabilities as string[]).push('forged'), TypeError);
    assert.throws(() => ((record.capacity as Record<string, number>)['cpu'] = 1), TypeError);
    assert.throws(() => (record.custom as { list: string[] }).list.push('forged'), TypeError);
  },

  'a live id registered again is refused, and the original untouched': async ({ registry, self }) => {
    const first = await registry.register('planner', handler, { capabilities: ['plan'] });
    const error = await failure('ALREADY_REGISTERED', () =>
      registry.register('planner', handler, { capabilities: ['usurp'] }),
    );
    assert.deepEqual(error.data, { id: 'planner', node: self });
    assert.deepEqual(registry.lookup('planner')?.capabilities, ['plan']);
    assert.equal(registry.query({ capabilities: 'usurp' }).length, 0);
    assert.equal(first.active, true);
  },

  'of two racers for one id exactly one wins, and it survives': async ({ registry }) => {
    const racers = await Promise.allSettled(
      ['a', 'b', 'c'].map((name) => registry.register('planner', handler, { capabilities: [name] })),
    );
    const winners = racers.filter((racer) => racer.status === 'fulfilled');
    assert.equal(winners.length, 1);
    for (const racer of racers) {
      if (racer.status === 'rejected') await failure('ALREADY_REGISTERED', () => Promise.reject(racer.reason));
    }
    assert.equal(registry.count(), 1);
    assert.deepEqual(registry.lookup('planner'), winners[0]?.value.record);
    await winners[0]?.value.update({ version: '2' });
    assert.equal(registry.lookup('planner')?.version, '2');
  },

  'one error names everything that is wrong': async ({ registry }) => {
    const wrong = { health: 'poorly', zone: '', capacity: { cpu: -1 }, color: 'red' } as never;
    const error = await failure('INVALID_METADATA', () => registry.register('planner', handler, wrong));
    const fields = Object.keys(error.data['fields'] as object).sort();
    assert.deepEqual(fields, ['capabilities', 'capacity.cpu', 'color', 'health', 'zone']);
    for (const field of fields) assert.ok(error.message.includes(field), `the message does not name ${field}`);
    const all = await failure('INVALID_ARGUMENT', () => registry.register('', 5 as never, wrong));
    assert.deepEqual(Object.keys(all.data['fields'] as object).sort(), [...fields, 'handler', 'id'].sort());
    await failure('INVALID_ARGUMENT', () => registry.register('planner', handler, undefined as never));
    await failure('INVALID_METADATA', () => registry.register('planner', handler, { capabilities: ['\ud800'] }));
    const deep = { capabilities: [], custom: { f: () => 1 } as never };
    await failure('INVALID_METADATA', () => registry.register('planner', handler, deep));
    assert.equal(registry.count(), 0);
  },

  'an update replaces the given fields, keeps the others and the claim': async ({ registry }) => {
    const registration = await registry.register('planner', handler, { capabilities: ['plan'], kind: 'worker' });
    const before = registration.record;
    await registration.update({ capacity: { cpu: 0.5 }, version: '2' });
    const after = registry.lookup('planner');
    assert.deepEqual(after, { ...before, capacity: { cpu: 0.5 }, version: '2' });
    assert.deepEqual(registration.record, after);
    assert.equal(before.version, undefined);
    const error = await failure('INVALID_METADATA', () =>
      registration.update({ health: 'poorly', color: 'red' } as never),
    );
    assert.deepEqual(Object.keys(error.data['fields'] as object).sort(), ['color', 'health']);
    assert.deepEqual(registry.lookup('planner'), after);
  },

  'changed metadata is found by its new value only': async ({ registry }) => {
    const registration = await registry.register('planner', handler, {
      capabilities: ['old', 'kept'],
      kind: 'old',
      zone: 'old',
      health: 'degraded',
      custom: { team: 'old' },
    });
    await registration.update({
      capabilities: ['new', 'kept'],
      kind: 'new',
      zone: 'new',
      health: 'healthy',
      custom: { team: 'new' },
    });
    for (const [field, old, now] of [
      ['capabilities', 'old', 'new'],
      ['kind', 'old', 'new'],
      ['zone', 'old', 'new'],
      ['health', 'degraded', 'healthy'],
      ['custom.team', 'old', 'new'],
    ] as const) {
      assert.deepEqual(ids(registry.query({ [field]: old })), [], `${field} still has the old value`);
      assert.deepEqual(ids(registry.query({ [field]: now })), ['planner'], `${field} has not the new value`);
    }
    assert.deepEqual(ids(registry.query({ capabilities: 'kept' })), ['planner']);
  },

  'unregistered is gone from every index, with one down event, and may be registered again': async ({
    registry,
    self,
    zone,
  }) => {
    const registration = await registry.register('planner', handler, { capabilities: ['plan'], kind: 'worker' });
    const events = registry.watch()[Symbol.asyncIterator]();
    await registration.unregister();
    await registration.unregister();
    assert.equal(registration.active, false);
    assert.equal(registry.lookup('planner'), undefined);
    for (const criteria of [
      {},
      { capabilities: 'plan' },
      { kind: 'worker' },
      { node: self },
      { zone },
      { health: 'healthy' },
    ]) {
      assert.deepEqual(registry.query(criteria), []);
      assert.equal(registry.count(criteria), 0);
    }
    await failure('NOT_REGISTERED', () => registration.update({ version: '2' }));
    await registry.register('planner', handler, { capabilities: ['again'] });
    await failure('NOT_REGISTERED', () => registration.update({ version: '2' }));
    await registration.unregister();
    assert.deepEqual(registry.lookup('planner')?.capabilities, ['again']);
    assert.deepEqual(words(await take(events, 3)), ['up planner', 'down planner unregistered', 'up planner']);
  },

  'a registration can be disposed of': async ({ registry }) => {
    {
      await using registration = await registry.register('planner', handler, { capabilities: [] });
      assert.equal(registration.active, true);
    }
    assert.equal(registry.lookup('planner'), undefined);
  },

  "a batch with onError 'rollback' undoes all when one fails": async ({ registry }) => {
    const kept = await registry.register('kept', handler, { capabilities: ['old'] });
    const gone = await registry.register('gone', handler, { capabilities: [] });
    const { status, results } = await registry.batch(
      [
        register('new'),
        { op: 'update', id: 'kept', changes: { capabilities: ['new'] } },
        { op: 'unregister', id: 'gone' },
        register('kept'),
        register('never'),
      ],
      { onError: 'rollback' },
    );
    assert.equal(status, 'rolledBack');
    assert.deepEqual(
      results.map((row) => (row.ok ? 'ok' : row.skipped ? 'skipped' : 'failed')),
      ['skipped', 'skipped', 'skipped', 'failed', 'skipped'],
    );
    const failed = results[3];
    await failure('ALREADY_REGISTERED', () => Promise.reject(failed?.ok === false ? failed.error : undefined));
    assert.deepEqual(ids(registry.query()), ['gone', 'kept']);
    assert.deepEqual(registry.lookup('kept')?.capabilities, ['old']);
    assert.deepEqual(ids(registry.query({ capabilities: 'new' })), []);
    await Promise.all([kept.update({ version: '2' }), gone.update({ version: '2' })]);
    assert.equal(registry.count({ version: '2' }), 2);
  },

  "a batch with onError 'continue' lands the good rows and says which failed and why": async ({ registry }) => {
    const { status, results } = await registry.batch([
      register('a'),
      register('a'),
      { op: 'update', id: 'nobody', changes: {} },
      { op: 'dance' } as never,
      { op: 'update', id: 'a', changes: { kind: 'worker' } },
    ]);
    assert.equal(status, 'partial');
    const codes = results.map((row) => (row.ok ? 'ok' : (row.error as { code?: string }).code));
    assert.deepEqual(codes, ['ok', 'ALREADY_REGISTERED', 'NOT_REGISTERED', 'INVALID_ARGUMENT', 'ok']);
    assert.equal(registry.lookup('a')?.kind, 'worker');
    const [first] = results;
    assert.equal(first?.ok === true && first.registration?.active, true);
  },

  "a batch with onError 'stop' skips the rest": async ({ registry }) => {
    const { status, results } = await registry.batch([register('a'), register('a'), register('b')], {
      onError: 'stop',
    });
    assert.equal(status, 'partial');
    assert.deepEqual(
      results.map((row) => (row.ok ? 'ok' : row.skipped ? 'skipped' : 'failed')),
      ['ok', 'failed', 'skipped'],
    );
    assert.deepEqual(ids(registry.query()), ['a']);
    const complete = await registry.batch([register('b'), { op: 'unregister', id: 'a' }], { onError: 'rollback' });
    assert.equal(complete.status, 'complete');
    assert.deepEqual(ids(registry.query()), ['b']);
    await failure('INVALID_ARGUMENT', () => registry.batch([], { onError: 'panic' as never }));
    await failure('INVALID_ARGUMENT', () => registry.batch('all' as never));
  },

  '10,000 failed registrations of one id change nothing': async ({ registry }) => {
    await registry.register('planner', handler, { capabilities: ['plan'] });
    const events = registry.watch()[Symbol.asyncIterator]();
    const attempts = Array.from({ length: 10_000 }, () => register('planner', 'usurp'));
    const { results } = await registry.batch(attempts);
    assert.ok(results.every((row) => !row.ok));
    assert.equal(registry.count(), 1);
    await registry.register('last', handler, { capabilities: [] });
    assert.deepEqual(words(await take(events, 2)), ['up planner', 'up last']);
  },

  'a stopped registry says so': async ({ registry, stop }) => {
    const registration = await registry.register('planner', handler, { capabilities: [] });
    await stop();
    assert.equal(registration.active, false);
    for (const action of [
      () => registry.register('other', handler, { capabilities: [] }),
      () => registry.batch([]),
      () => registry.lookup('planner'),
      () => registry.query(),
      () => registry.count(),
      () => registry.resolve('planner'),
      () => registry.watch(),
      () => registration.update({}),
    ]) {
      await failure('STOPPED', action);
    }
  },
};
