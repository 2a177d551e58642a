/** Breakers, limits, monitors and measured capacity of real nodes over loopback; what each decides has tests of its own. */
import { expect, test } from 'vitest';
import type { Alert } from '../../src/protocols/infrastructure/monitor/monitor.ts';
import { beside, eventsOf, meet, node } from './mesh-nodes.ts';
import { pollUntil } from './poll.ts';

test('failures that several nodes see open the breaker of another, and fallbacks answer', async () => {
  const owner = await node();
  const callers = [await beside([owner]), await beside([owner]), await beside([owner])] as const;
  await meet(owner, ...callers);
  let broken = true;
  const inference = (): string => {
    if (broken) throw new Error('out of memory');
    return 'inference';
  };
  await owner.registry.register('inference', inference, { capabilities: [] });
  await owner.registry.register('backup', () => 'backup', { capabilities: [] });
  const breakers = callers.map((mesh) =>
    mesh.infrastructure.circuitBreaker({
      agent: 'inference',
      failureThreshold: 4,
      recoveryTimeMs: 200,
      fallbackAgents: ['backup'],
    }),
  );
  const changes = eventsOf(callers[2], 'breaker');
  for (const mesh of callers) await pollUntil(() => mesh.registry.lookup('backup') !== undefined);
  for (const mesh of [callers[0], callers[1]]) {
    for (let call = 0; call < 4; call++) await mesh.call('inference', {}).catch(() => undefined);
  }
  // The third has not called it once.
  await pollUntil(() => breakers[2]?.state() === 'open');
  expect(changes.map(({ agent, previous, state }) => [agent, previous, state])).toEqual([
    ['inference', 'closed', 'open'],
  ]);
  const answers: unknown[] = [];
  expect(await callers[2].call('inference', {}, { onAnswered: (by) => answers.push(by) })).toBe('backup');
  expect(answers).toEqual([{ agent: 'backup', fallbackFor: 'inference', attempts: 1 }]);
  broken = false;
  await pollUntil(() => {
    for (const mesh of callers) void mesh.call('inference', {}).catch(() => undefined);
    return breakers.every((breaker) => breaker.state() === 'closed');
  });
  expect(await callers[2].call('inference', {})).toBe('inference');
});

test('two nodes share a limit, and one that leaves leaves its share', async () => {
  const one = await node();
  const two = await beside([one]);
  await meet(one, two);
  const limiters = [one, two].map((mesh) =>
    mesh.infrastructure.rateLimiter({ id: 'shared', requestsPerSecond: 100, burst: 2 }),
  );
  const spend = (): void => {
    for (const limiter of limiters) limiter.tryAcquire();
  };
  const share = (at: number): number => limiters[at]?.status().share ?? 0;
  await pollUntil(() => {
    spend();
    return share(0) > 30 && share(1) > 30;
  });
  expect(share(0) + share(1)).toBeLessThanOrEqual(110);
  await two.stop();
  await pollUntil(() => {
    limiters[0]?.tryAcquire();
    return share(0) > 90;
  });
});

test('an alert over all measurements is told once on every node, and its agent once', async () => {
  const one = await node();
  const two = await beside([one]);
  await meet(one, two);
  const calls: Alert[] = [];
  await two.registry.register('pager', { alert: (alert: Alert) => void calls.push(alert) }, { capabilities: [] });
  await pollUntil(() => one.registry.lookup('pager') !== undefined);
  const options = {
    id: 'answers',
    metric: 'answerMs',
    aggregation: 'p95',
    thresholds: { warning: 100, critical: 500 },
    notify: { agents: ['pager'] },
  } as const;
  const told = [one, two].map((mesh) => eventsOf(mesh, 'alert'));
  const monitors = [one.infrastructure.monitor(options), two.infrastructure.monitor(options)] as const;
  for (let ms = 1; ms <= 50; ms++) monitors[0].record(ms);
  await pollUntil(() => monitors[1].status().samples === 50);
  expect(told.flat()).toEqual([]);
  for (let count = 0; count < 50; count++) monitors[1].record(800);
  await pollUntil(() => told.every((alerts) => alerts.some(({ level }) => level === 'critical')));
  await pollUntil(() => calls.some(({ level }) => level === 'critical'));
  expect(new Set([...told.flat(), ...calls].map(({ incident }) => incident)).size).toBe(1);
  for (const alerts of [...told, calls]) {
    const levels = alerts.map(({ level }) => level);
    expect(levels.filter((level) => level === 'critical')).toHaveLength(1);
  }
  await pollUntil(() => monitors[0].status().samples === 100);
  expect(monitors[0].percentile(25)).toBeGreaterThan(20);
  expect(monitors[0].percentile(25)).toBeLessThan(30);
});

test('measured capacity is announced to all members', async () => {
  const one = await node({ measureCapacity: true, capacity: { gpu: 2 } });
  const two = await beside([one]);
  await pollUntil(() => two.membership.get(one.id)?.capacity['memoryMB'] !== undefined);
  const { cpu = -1, memoryMB = -1, gpu } = two.membership.get(one.id)?.capacity ?? {};
  expect(cpu).toBeGreaterThanOrEqual(0);
  expect(cpu).toBeLessThanOrEqual(1);
  expect(memoryMB).toBeGreaterThan(10);
  expect(gpu).toBe(2);
});
