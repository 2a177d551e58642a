import { describe, expect, test } from 'vitest';
import { isQuorateError } from '../../../../src/errors.ts';
import type { Barrier, BarrierOptions } from '../../../../src/protocols/coordination/barrier/barrier.ts';
import { OrderedBarriers } from '../../../../src/protocols/coordination/barrier/ordered-barriers.ts';
import { BarrierReducer } from '../../../../src/protocols/coordination/barrier/reducer.ts';
import type { CoordinationTools } from '../../../../src/protocols/coordination/tools.ts';
import { localNode, ManualClock, SharedOrder, settle } from '../local-tools.ts';
import { identityOf, verify } from './table.ts';

interface Person {
  readonly tools: CoordinationTools;
  readonly barriers: OrderedBarriers;
  readonly barrier: Barrier;
}

async function meet(
  options: Omit<BarrierOptions, 'id'>,
  people = 2,
  agents?: Map<string, { node: CoordinationTools['self']; zone: string }>,
): Promise<{ order: SharedOrder; clock: ManualClock; all: Person[] }> {
  const clock = new ManualClock();
  const order = new SharedOrder([new BarrierReducer(verify)], clock);
  const all: Person[] = [];
  for (let n = 0; n < people; n++) {
    const plain = order.node(identityOf(n));
    const tools = agents === undefined ? plain : { ...plain, locate: (agent: string) => agents.get(agent) };
    const barriers = new OrderedBarriers(tools);
    all.push({ tools, barriers, barrier: await barriers.barrier({ id: 'b', ...options }) });
  }
  return { order, clock, all };
}

/** The result, or the error, so that nothing goes unhandled while time is moved. */
const caught = (promise: Promise<unknown>): Promise<{ value?: unknown; error?: unknown }> =>
  promise.then(
    (value) => ({ value }),
    (error: unknown) => ({ error }),
  );

const error = (code: string, data: Record<string, unknown> = {}) => ({
  error: expect.objectContaining({ code, data: expect.objectContaining(data) }),
});

describe('arriving', () => {
  test('everybody gets the same, generation after generation', async () => {
    const { all } = await meet({ participants: 3 }, 3);
    let token = 0;
    for (let generation = 1; generation <= 3; generation++) {
      const passages = await Promise.all(all.map(({ barrier }) => barrier.arrive()));
      for (const passage of passages) expect(passage).toEqual(passages[0]);
      expect(passages[0]).toMatchObject({ generation, arrived: 3, missing: [], missingUnnamed: 0 });
      expect(passages[0]?.token).toBeGreaterThan(token);
      token = passages[0]?.token ?? 0;
    }
    // One command per arrival and generation, and one to open.
    expect(all.map(({ barriers }) => barriers.counters.toGroup)).toEqual([4, 4, 4]);
  });

  test('in one process, each participant by its own name', async () => {
    const { tools } = localNode([new BarrierReducer(verify)]);
    const barriers = new OrderedBarriers(tools);
    const barrier = await barriers.barrier({ id: 'b', participants: ['a', 'b'] });
    await expect(barrier.arrive()).rejects.toMatchObject({ code: 'INVALID_ARGUMENT' });
    const a = barrier.arrive({ as: 'a' });
    await expect(barrier.arrive({ as: 'a' })).rejects.toMatchObject({ code: 'INVALID_ARGUMENT' });
    const sent = barriers.counters.toGroup;
    await expect(barrier.arrive({ as: 'c' })).rejects.toMatchObject({ code: 'NOT_PERMITTED' });
    // Who was refused has nothing to take back.
    expect(barriers.counters.toGroup).toBe(sent + 1);
    expect(await barrier.status()).toMatchObject({ generation: 1, expected: 2, arrived: ['a'], missing: ['b'] });
    expect(await barrier.arrive({ as: 'b' })).toEqual(await a);
    expect(await barrier.status()).toMatchObject({
      generation: 2,
      arrivedCount: 0,
      last: { generation: 1, opened: true },
    });
  });

  test('a named participant arrives where it lives, without saying its name', async () => {
    const agents = new Map([
      ['a', { node: identityOf(0).id, zone: 'z' }],
      ['b', { node: identityOf(1).id, zone: 'z' }],
    ]);
    const { all } = await meet({ participants: ['a', 'b'] }, 2, agents);
    const [first, second] = all as [Person, Person];
    await expect(first.barrier.arrive({ as: 'b' })).rejects.toMatchObject({ code: 'NOT_PERMITTED' });
    const both = await Promise.all([first.barrier.arrive(), second.barrier.arrive()]);
    expect(both[0]).toEqual(both[1]);
  });

  test('other terms are refused, with both shown', async () => {
    const { all } = await meet({ participants: 2, onLost: 'break' });
    const again = all[0]?.barriers.barrier({ id: 'b', participants: 3 });
    await expect(again).rejects.toMatchObject({
      code: 'ALREADY_EXISTS',
      message: expect.stringMatching(/"count":2.*"count":3/),
    });
    for (const options of [
      {},
      { participants: [] },
      { participants: 0 },
      { participants: ['a', 'a'] },
      { participants: 2, perZone: { a: 1 } },
      { participants: 2, minimum: 1 },
      { participants: 2, onLost: 'proceed' as const, minimum: 3 },
      { participants: 2, leaseMs: 1 },
    ]) {
      await expect(all[0]?.barriers.barrier({ id: 'c', ...options })).rejects.toMatchObject({
        code: 'INVALID_ARGUMENT',
      });
    }
    await expect(all[0]?.barriers.barrier({ id: '', participants: 2 })).rejects.toMatchObject({
      code: 'INVALID_ARGUMENT',
    });
  });

  test('an old handle finds the generation of today, and a forgotten barrier again', async () => {
    const { clock, order, all } = await meet({ participants: 1 }, 2);
    const [first, second] = all as [Person, Person];
    for (let generation = 1; generation < 10; generation++) await first.barrier.arrive();
    expect(await second.barrier.arrive()).toMatchObject({ generation: 10 });
    await clock.advance(3_600_001);
    order.tick();
    expect(await second.barrier.arrive()).toMatchObject({ generation: 1 });
    expect(await first.barrier.status()).toMatchObject({ generation: 2 });
    expect(await first.barrier.arrive()).toMatchObject({ generation: 2 });
  });
});

describe('giving up', () => {
  test('who times out is withdrawn, and the others need it again', async () => {
    const { clock, all } = await meet({ participants: 2 });
    const [first, second] = all as [Person, Person];
    const waiting = caught(first.barrier.arrive({ timeoutMs: 1_000 }));
    await clock.advance(1_000);
    expect(await waiting).toEqual(error('TIMED_OUT', { afterMs: 1_000, withdrawn: true }));
    expect(await second.barrier.status()).toMatchObject({ arrivedCount: 0 });
    const both = [second.barrier.arrive(), first.barrier.arrive()];
    expect(await both[0]).toEqual(await both[1]);
    expect(clock.timers).toBe(0);
  });

  test('who aborts is gone at once, and can come again', async () => {
    const { all } = await meet({ participants: 2 });
    const [first, second] = all as [Person, Person];
    const reason = new Error('enough');
    const abort = new AbortController();
    const waiting = caught(first.barrier.arrive({ signal: abort.signal }));
    await settle();
    abort.abort(reason);
    expect(await waiting).toEqual({ error: reason });
    const again = first.barrier.arrive();
    await settle();
    expect(await second.barrier.status()).toMatchObject({ arrivedCount: 1 });
    expect(await second.barrier.arrive()).toEqual(await again);
    const gone = AbortSignal.abort(reason);
    expect(await caught(first.barrier.arrive({ signal: gone }))).toEqual({ error: reason });
    expect(await first.barrier.status()).toMatchObject({ arrivedCount: 0 });
  });

  test('if it opened meanwhile, that counts', async () => {
    const { order, clock, all } = await meet({ participants: 2 });
    const [first, second] = all as [Person, Person];
    const waiting = caught(first.barrier.arrive({ timeoutMs: 1_000 }));
    await settle();
    order.deafen(first.tools.self);
    const passage = await second.barrier.arrive();
    await clock.advance(1_000);
    expect(await waiting).toEqual({ value: passage });
  });

  test('a withdrawal that nobody confirms is said to be so, and a late arrival does not count', async () => {
    const { order, clock, all } = await meet({ participants: 2 });
    const [first, second] = all as [Person, Person];
    order.fail(first.tools.self, 'later');
    const waiting = caught(first.barrier.arrive({ timeoutMs: 20 }));
    await clock.advance(20);
    expect(await waiting).toEqual(error('TIMED_OUT', { withdrawn: true }));
    order.runLate();
    expect(await second.barrier.status()).toMatchObject({ arrivedCount: 0 });
    const unsure = caught(first.barrier.arrive({ timeoutMs: 20 }));
    await settle();
    order.fail(first.tools.self, 'before');
    await clock.advance(20);
    expect(await unsure).toEqual(error('TIMED_OUT', { withdrawn: false }));
  });
});

describe('when replies and events are lost', () => {
  test('a reply that is lost: the same try again, counted once', async () => {
    const { order, clock, all } = await meet({ participants: 2 });
    const [first, second] = all as [Person, Person];
    order.fail(first.tools.self, 'after');
    const waiting = first.barrier.arrive();
    await clock.advance(50);
    expect(await second.barrier.status()).toMatchObject({ arrivedCount: 1 });
    order.fail(second.tools.self, 'after');
    const last = second.barrier.arrive();
    await clock.advance(50);
    expect(await waiting).toEqual(await last);
    expect(await second.barrier.status()).toMatchObject({ generation: 2, arrivedCount: 0 });
  });

  test('no quorum: it has not run, and says so', async () => {
    const { order, all } = await meet({ participants: 2 });
    const [first] = all as [Person];
    order.fail(first.tools.self, 'before');
    await expect(first.barrier.arrive()).rejects.toMatchObject({ code: 'NO_QUORUM' });
  });

  test('an event that is lost is found with the next renewal, and after a gap at once', async () => {
    const { order, clock, all } = await meet({ participants: 2, leaseMs: 3_000 });
    const [first, second] = all as [Person, Person];
    for (const gap of [true, false]) {
      const waiting = first.barrier.arrive();
      await settle();
      order.deafen(first.tools.self);
      const passage = await second.barrier.arrive();
      order.undeafen(first.tools.self, { gap });
      if (!gap) await clock.advance(1_000);
      expect(await waiting).toEqual(passage);
    }
  });

  test('who waits for longer than its lease keeps its place', async () => {
    const { clock, order, all } = await meet({ participants: 2, onLost: 'break', leaseMs: 3_000 });
    const [first, second] = all as [Person, Person];
    const waiting = first.barrier.arrive({ timeoutMs: 60_000 });
    await clock.advance(30_000);
    order.tick();
    const passage = await second.barrier.arrive();
    expect(await waiting).toEqual(passage);
  });
});

describe('losses', () => {
  test('everybody hears that it is broken, alike', async () => {
    const { order, clock, all } = await meet({ participants: 3, deadlineMs: 2_000 }, 3);
    const waiting = all.slice(0, 2).map(({ barrier }) => caught(barrier.arrive()));
    await clock.advance(2_000);
    order.tick();
    const expected = error('BARRIER_BROKEN', {
      name: 'b',
      generation: 1,
      reason: 'deadline',
      arrived: 2,
      missingUnnamed: 1,
    });
    for (const each of waiting) expect(await each).toEqual(expected);
    const next = await Promise.all(all.map(({ barrier }) => barrier.arrive()));
    expect(next.map(({ generation }) => generation)).toEqual([2, 2, 2]);
  });

  test('a process that stood still past its lease comes again by itself', async () => {
    const { order, clock, all } = await meet({ participants: 2, leaseMs: 3_000 });
    const [first, second] = all as [Person, Person];
    const waiting = first.barrier.arrive({ timeoutMs: 60_000 });
    await settle();
    clock.sleep(5_000);
    order.tick();
    expect(await second.barrier.status()).toMatchObject({ arrivedCount: 0 });
    await clock.advance(0);
    expect(await second.barrier.arrive()).toEqual(await waiting);
  });

  test('two that wait and see an agent vanish from the registry go on without it; one alone does not', async () => {
    const agents = new Map(['a', 'b', 'c'].map((agent, n) => [agent, { node: identityOf(n).id, zone: 'z' }] as const));
    const { clock, all } = await meet({ participants: ['a', 'b', 'c'], onLost: 'proceed', leaseMs: 3_000 }, 3, agents);
    const [first, second] = all as [Person, Person];
    const one = first.barrier.arrive({ timeoutMs: 60_000 });
    await settle();
    agents.delete('c');
    await clock.advance(10_000);
    expect(await first.barrier.status()).toMatchObject({ arrived: ['a'], lost: [] });
    const two = second.barrier.arrive({ timeoutMs: 60_000 });
    await clock.advance(2_000);
    expect(await one).toMatchObject({ arrived: 2, missing: ['c'] });
    expect(await two).toEqual(await one);
  });

  test('who knows better can say so; only of those who are named', async () => {
    const { all } = await meet({ participants: ['a', 'b', 'c'], onLost: 'break' }, 3);
    const [first, second] = all as [Person, Person];
    const waiting = caught(first.barrier.arrive({ as: 'a' }));
    await settle();
    await first.barrier.reportLost('c');
    await second.barrier.reportLost('c');
    expect(await waiting).toEqual(error('BARRIER_BROKEN', { reason: 'lost', missing: ['b', 'c'] }));
    const stranger = await caught(first.barrier.reportLost('stranger'));
    expect(isQuorateError(stranger.error, 'INVALID_ARGUMENT')).toBe(true);
  });
});
