/**
 * What every implementation of locks, semaphores and elections must do, as cases for any test runner.
 *
 * @example
 * import { test } from 'node:test';
 * import { grantConformance } from 'quorate/conformance';
 * grantConformance({ test, create: async () => ({ parties: [one, two, three], stop }) });
 */
import assert from 'node:assert/strict';
import { setTimeout as sleep } from 'node:timers/promises';
import { QuorateError } from '../errors.ts';
import type { NodeId } from '../node-id.ts';
import type { Grants, Leader } from '../protocols/coordination/grants/grants.ts';
import { type Cases, type ConformanceOptions, declareCases, failure } from './suite.ts';

/** Somebody who wants something, from a node. */
export interface GrantParty {
  readonly coordination: Grants;
  readonly node: NodeId;
}

/** Fresh and empty. */
export interface GrantSubject {
  /** On one node or on several, as the implementation has them. */
  readonly parties: readonly [GrantParty, GrantParty, GrantParty];
  stop(): Promise<void>;
}

export type GrantConformanceOptions = ConformanceOptions<GrantSubject>;

/** Far longer than anything takes that works. */
const timeoutMs = 60_000;

/** Returns when that many stand in line. */
async function inLine({ coordination }: GrantParty, name: string, count: number): Promise<void> {
  while (((await coordination.inspect(name, { timeoutMs }))?.waiting ?? 0) !== count) await sleep(5);
}

const lockCases: Cases<GrantSubject> = {
  'a lock goes from one to the next in the order of asking, with rising tokens': async ({
    parties: [one, two, three],
  }) => {
    const first = await one.coordination.lock('door', { timeoutMs });
    assert.equal(first.held, true);
    assert.equal(first.name, 'door');
    const second = two.coordination.lock('door', { timeoutMs });
    await inLine(one, 'door', 1);
    const third = three.coordination.lock('door', { timeoutMs });
    await inLine(one, 'door', 2);
    await first.release();
    assert.equal(first.held, false);
    const heldSecond = await second;
    assert.ok(heldSecond.token > first.token);
    await heldSecond.release();
    assert.ok((await third).token > heldSecond.token);
  },

  'a waiter that timed out is never granted: the next who waits has it': async ({ parties: [one, two, three] }) => {
    const held = await one.coordination.lock('door', { timeoutMs });
    const patient = inLine(one, 'door', 1).then(() => three.coordination.lock('door', { timeoutMs }));
    const error = await failure('TIMED_OUT', two.coordination.lock('door', { timeoutMs: 1_000 }));
    assert.equal(error.data['name'], 'door');
    assert.equal(error.data['holder'], one.node);
    await held.release();
    assert.equal((await patient).held, true);
    assert.equal((await one.coordination.inspect('door', { timeoutMs }))?.waiting, 0);
  },

  'a waiter whose signal aborts leaves the line': async ({ parties: [one, two] }) => {
    await one.coordination.lock('door', { timeoutMs });
    const stop = new AbortController();
    const waiting = two.coordination.lock('door', { timeoutMs, signal: stop.signal });
    await inLine(one, 'door', 1);
    stop.abort(new Error('enough'));
    await assert.rejects(waiting, /enough/);
    await inLine(one, 'door', 0);
  },

  'who does not want to wait is told at once who holds it': async ({ parties: [one, two] }) => {
    await one.coordination.lock('door', { timeoutMs });
    const error = await failure('TIMED_OUT', two.coordination.lock('door', { wait: false, timeoutMs }));
    assert.equal(error.data['holder'], one.node);
  },

  'a lock is kept beyond its first lease for as long as its holder lives': async ({ parties: [one, two] }) => {
    const leaseMs = 2_000;
    const held = await one.coordination.lock('door', { leaseMs, timeoutMs });
    const leaseEnd = async () => (await two.coordination.inspect('door', { timeoutMs }))?.holders[0]?.leaseEndsAt ?? 0;
    const first = await leaseEnd();
    while ((await leaseEnd()) < first + leaseMs) {
      assert.ok(held.held, 'the lock was lost');
      await sleep(50);
    }
    await failure('TIMED_OUT', two.coordination.lock('door', { wait: false, timeoutMs }));
  },

  'a released lock says so everywhere it can be asked, and releasing again does nothing': async ({
    parties: [one, two],
  }) => {
    const held = await one.coordination.lock('door', { timeoutMs });
    held.assertHeld();
    await Promise.all([held.release(), held.release()]);
    assert.equal(held.signal.aborted, true);
    assert.ok(held.signal.reason instanceof QuorateError && held.signal.reason.code === 'GRANT_LOST');
    assert.throws(() => held.assertHeld(), held.signal.reason as QuorateError);
    const next = await two.coordination.lock('door', { timeoutMs });
    await held.release();
    assert.equal(next.held, true);
    assert.equal((await one.coordination.inspect('door', { timeoutMs }))?.holders[0]?.token, next.token);
  },

  'a lock is released at the end of its block': async ({ parties: [one, two] }) => {
    {
      await using lock = await one.coordination.lock('door', { timeoutMs });
      assert.equal(lock.held, true);
    }
    assert.equal((await two.coordination.lock('door', { wait: false, timeoutMs })).held, true);
  },

  'of many who want it at once, each has it once and alone': async ({ parties }) => {
    let inside = 0;
    const tokens: number[] = [];
    const visit = async ({ coordination }: GrantParty): Promise<void> => {
      await using lock = await coordination.lock('door', { timeoutMs });
      inside += 1;
      assert.equal(inside, 1);
      tokens.push(lock.token);
      await new Promise((resolve) => setImmediate(resolve));
      inside -= 1;
    };
    await Promise.all(Array.from({ length: 30 }, (_, index) => visit(parties[index % 3] as GrantParty)));
    assert.equal(tokens.length, 30);
    assert.deepEqual(
      tokens,
      tokens.toSorted((a, b) => a - b),
    );
    assert.equal(new Set(tokens).size, 30);
  },

  'wrong arguments are named, and change nothing': async ({ parties: [one] }) => {
    const wrong = { leaseMs: 1, timeoutMs: -1 };
    const error = await failure('INVALID_ARGUMENT', one.coordination.lock('', wrong));
    assert.deepEqual(Object.keys(error.data['fields'] as object).sort(), ['leaseMs', 'name', 'timeoutMs']);
    await failure('INVALID_ARGUMENT', one.coordination.semaphore('gpu', { permits: 2, count: 3 }));
    assert.equal(await one.coordination.inspect('gpu', { timeoutMs }), undefined);
  },
};

const semaphoreCases: Cases<GrantSubject> = {
  'a semaphore has as many holders as permits, and nobody passes who waits for more': async ({
    parties: [one, two, three],
  }) => {
    const permits = 3;
    const large = await one.coordination.semaphore('gpu', { permits, count: 2, timeoutMs });
    const small = await two.coordination.semaphore('gpu', { permits, timeoutMs });
    const waiting = three.coordination.semaphore('gpu', { permits, count: 2, timeoutMs });
    await inLine(one, 'gpu', 1);
    await small.release();
    await failure('TIMED_OUT', two.coordination.semaphore('gpu', { permits, wait: false, timeoutMs }));
    const seen = await two.coordination.inspect('gpu', { timeoutMs });
    assert.deepEqual([seen?.sort, seen?.permits, seen?.free], ['semaphore', 3, 1]);
    assert.deepEqual(
      seen?.waiters.map(({ node, count }) => ({ node, count })),
      [{ node: three.node, count: 2 }],
    );
    await large.release();
    assert.equal((await waiting).count, 2);
  },

  'two who do not agree on the permits are told both numbers': async ({ parties: [one, two] }) => {
    await one.coordination.semaphore('gpu', { permits: 3, timeoutMs });
    const error = await failure('ALREADY_EXISTS', two.coordination.semaphore('gpu', { permits: 4, timeoutMs }));
    assert.deepEqual([error.data['permits'], error.data['asked']], [3, 4]);
    await failure('ALREADY_EXISTS', two.coordination.lock('gpu', { timeoutMs }));
  },
};

const electionCases: Cases<GrantSubject> = {
  'an election has one leader, whom all see, and another when that one resigns': async ({
    parties: [one, two, three],
  }) => {
    const leader = () => three.coordination.election('scheduler').leader({ timeoutMs });
    assert.equal(await leader(), undefined);
    const first = await one.coordination.election('scheduler').campaign({ value: { at: 'one' }, timeoutMs });
    assert.deepEqual(await leader(), { node: one.node, token: first.token, value: { at: 'one' } });
    assert.deepEqual(first.value, { at: 'one' });
    const second = two.coordination.election('scheduler').campaign({ value: 'two' });
    await inLine(one, 'scheduler', 1);
    await first.release();
    const { token } = await second;
    assert.ok(token > first.token);
    assert.deepEqual(await leader(), { node: two.node, token, value: 'two' });
  },

  'an election can be observed': async ({ parties: [one, two] }) => {
    const stop = new AbortController();
    const observed = two.coordination.election('scheduler').observe({ signal: stop.signal });
    const terms = observed[Symbol.asyncIterator]();
    const next = async (): Promise<Leader | undefined> => (await terms.next()).value as Leader | undefined;
    assert.equal(await next(), undefined);
    const leadership = await one.coordination.election('scheduler').campaign({ value: 1, timeoutMs });
    assert.deepEqual(await next(), { node: one.node, token: leadership.token, value: 1 });
    await leadership.release();
    assert.equal(await next(), undefined);
    const end = terms.next();
    stop.abort();
    assert.equal((await end).done, true);
  },

  'a leader says only little': async ({ parties: [one] }) => {
    const campaign = one.coordination.election('scheduler').campaign({ value: 'x'.repeat(3_000), timeoutMs });
    await failure('PAYLOAD_TOO_LARGE', campaign);
  },
};

/** Declares all cases with `test`. */
export function grantConformance(options: GrantConformanceOptions): void {
  declareCases(options, { ...lockCases, ...semaphoreCases, ...electionCases });
}
