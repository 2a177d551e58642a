/** Choosing one agent, and watching. */
import assert from 'node:assert/strict';
import type { BuiltInStrategy, Registry } from '../protocols/registry/registry.ts';
import { handler, type RegistryCases, take, takeUntilUp, words } from './registry-support.ts';
import { failure } from './suite.ts';

const strategies: readonly BuiltInStrategy[] = ['nearestHealthy', 'leastLoaded', 'roundRobin', 'random', 'sameZone'];

/** The ids that `resolve` gave in `times` tries. */
function resolved(
  registry: Registry,
  times: number,
  ...args: Parameters<Registry['resolve']>
): Set<string | undefined> {
  return new Set(Array.from({ length: times }, () => registry.resolve(...args)?.id));
}

export const readCases: RegistryCases = {
  'resolve by id finds the agent, whatever its health, unless it is left out': async ({ registry }) => {
    await registry.register('sick', handler, { capabilities: [], health: 'unhealthy' });
    assert.equal(registry.resolve('sick')?.id, 'sick');
    assert.equal(registry.resolve('sick', { exclude: ['sick'] }), undefined);
    assert.equal(registry.resolve('nobody'), undefined);
  },

  'no strategy chooses an unhealthy or excluded agent, or one that does not match': async ({ registry }) => {
    await registry.batch([
      { op: 'register', id: 'sick', handler, metadata: { capabilities: ['x'], health: 'unhealthy' } },
      { op: 'register', id: 'well', handler, metadata: { capabilities: ['x'] } },
      { op: 'register', id: 'out', handler, metadata: { capabilities: ['x'] } },
      { op: 'register', id: 'other', handler, metadata: { capabilities: ['y'] } },
    ]);
    for (const strategy of strategies) {
      const chosen = resolved(registry, 20, { capabilities: 'x' }, { strategy, exclude: ['out'] });
      assert.deepEqual([...chosen], ['well'], strategy);
      assert.equal(registry.resolve({ capabilities: 'z' }, { strategy }), undefined);
      assert.equal(registry.resolve({ capabilities: 'x' }, { strategy, exclude: ['well', 'out'] }), undefined);
    }
  },

  'nearestHealthy prefers the healthy and then the own zone; sameZone stays in it': async ({ registry, zone }) => {
    const far = `${zone}-far`;
    const near = await registry.register('near', handler, { capabilities: ['x'] });
    await registry.register('far', handler, { capabilities: ['x'], zone: far });
    await near.update({ health: 'degraded' });
    assert.deepEqual([...resolved(registry, 20, { capabilities: 'x' })], ['far']);
    assert.deepEqual([...resolved(registry, 20, { capabilities: 'x' }, { strategy: 'sameZone' })], ['near']);
    assert.equal(registry.resolve({ zone: far }, { strategy: 'sameZone' }), undefined);
  },

  'roundRobin gives each its turn, for each criteria by itself, while agents come and go': async ({ registry }) => {
    const names = ['a', 'b', 'c'];
    const made = await Promise.all(
      names.map((id) => registry.register(id, handler, { capabilities: ['x'], kind: 'k' })),
    );
    const next = (criteria = {}): string | undefined => registry.resolve(criteria, { strategy: 'roundRobin' })?.id;
    assert.deepEqual([next(), next(), next(), next()], ['a', 'b', 'c', 'a']);
    assert.deepEqual([next({ kind: 'k' }), next({ kind: 'k' })], ['a', 'b']);
    await made[1]?.unregister();
    assert.deepEqual([next(), next()], ['c', 'a']);
    await registry.register('aa', handler, { capabilities: ['x'] });
    assert.deepEqual([next(), next()], ['aa', 'c']);
  },

  'random and leastLoaded reach every agent': async ({ registry }) => {
    for (const id of ['a', 'b', 'c'])
      await registry.register(id, handler, { capabilities: ['x'], capacity: { cpu: 1 } });
    // The chance that one of three stays out of 400 fair draws is below 10^-69.
    assert.deepEqual([...resolved(registry, 400, {}, { strategy: 'random' })].sort(), ['a', 'b', 'c']);
    assert.deepEqual([...resolved(registry, 400, {}, { strategy: 'leastLoaded' })].sort(), ['a', 'b', 'c']);
  },

  'an own strategy gets the candidates in order and its choice is taken': async ({ registry, self, zone }) => {
    for (const id of ['b', 'a']) await registry.register(id, handler, { capabilities: ['x'] });
    const chosen = registry.resolve(
      { capabilities: 'x' },
      {
        strategy: (candidates, context) => {
          assert.deepEqual(
            candidates.map(({ id }) => id),
            ['a', 'b'],
          );
          assert.equal(context.self, self);
          assert.equal(context.zone, zone);
          assert.equal(context.rttMs(self), 0);
          assert.equal(context.pendingCalls('a'), 0);
          const random = context.random();
          assert.ok(random >= 0 && random < 1);
          return candidates[1];
        },
      },
    );
    assert.equal(chosen?.id, 'b');
    assert.equal(registry.resolve({}, { strategy: () => undefined }), undefined);
    assert.equal(
      registry.resolve({ capabilities: 'z' }, { strategy: () => assert.fail('called without candidates') }),
      undefined,
    );
    const foreign = registry.lookup('a') ?? assert.fail('not registered');
    await failure('INVALID_ARGUMENT', () => registry.resolve({ id: 'b' }, { strategy: () => foreign }));
    await failure('INVALID_ARGUMENT', () => registry.resolve({}, { strategy: 'best' as never }));
  },

  'watch tells what is there, then each change of the matching set': async ({ registry }) => {
    const first = await registry.register('first', handler, { capabilities: ['x'] });
    const events = registry.watch({ capabilities: 'x', health: 'healthy' })[Symbol.asyncIterator]();
    assert.deepEqual(words(await take(events, 1)), ['up first']);
    const other = await registry.register('other', handler, { capabilities: ['y'] });
    await first.update({ version: '2' });
    await first.update({ health: 'degraded' });
    await first.update({ version: '3' });
    await first.update({ health: 'healthy' });
    await other.update({ capabilities: ['x'] });
    await other.unregister();
    const seen = await take(events, 5);
    assert.deepEqual(words(seen), [
      'update first',
      'down first no-match',
      'up first',
      'up other',
      'down other unregistered',
    ]);
    const [update, , back] = seen;
    assert.ok(update?.type === 'update' && update.record.version === '2' && update.previous.version === undefined);
    assert.equal(back?.record.version, '3');
    await first.update({ version: '3' });
    await registry.register('last', handler, { capabilities: ['x'] });
    assert.deepEqual(words(await take(events, 1)), ['up last']);
  },

  'watch ends when its signal aborts, when its loop is left, and when the registry stops': async ({
    registry,
    stop,
  }) => {
    await registry.register('a', handler, { capabilities: [] });
    const aborter = new AbortController();
    const aborted = registry.watch({}, { signal: aborter.signal })[Symbol.asyncIterator]();
    assert.deepEqual(words(await take(aborted, 1)), ['up a']);
    const pending = aborted.next();
    aborter.abort();
    assert.equal((await pending).done, true);
    assert.equal((await aborted.next()).done, true);
    for await (const _ of registry.watch({}, { signal: aborter.signal })) assert.fail('aborted before it began');
    for await (const event of registry.watch()) {
      assert.equal(event.record.id, 'a');
      break;
    }
    const waiting = registry.watch({ id: 'nobody' })[Symbol.asyncIterator]();
    const last = waiting.next();
    await stop();
    assert.equal((await last).done, true);
  },

  'a slow watcher gets the newest state of each agent, not every step to it': async ({ registry }) => {
    const [kept, gone] = await Promise.all(
      ['kept', 'gone'].map((id) => registry.register(id, handler, { capabilities: [], capacity: { load: 0 } })),
    );
    const events = registry.watch()[Symbol.asyncIterator]();
    assert.deepEqual(words(await take(events, 2)).sort(), ['up gone', 'up kept']);
    const brief = await registry.register('brief', handler, { capabilities: [] });
    const steps = 10_001;
    for (let load = 1; load <= steps; load++) await kept?.update({ capacity: { load } });
    await gone?.unregister();
    await brief.unregister();
    await registry.register('last', handler, { capabilities: [] });
    const seen = await takeUntilUp(events, 'last');
    assert.ok(seen.length < 10, `${seen.length} events`);
    assert.deepEqual(words(seen).sort(), ['down gone unregistered', 'up last', 'update kept']);
    const update = seen.find(({ type }) => type === 'update');
    assert.equal(update?.record.capacity['load'], steps);
    assert.ok(update?.type === 'update' && update.previous.capacity['load'] === 0);
    await kept?.update({ capacity: { load: 1 } });
    assert.deepEqual(words(await take(events, 1)), ['update kept']);
  },
};
