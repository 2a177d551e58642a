import { describe, expect, it } from 'vitest';
import { encodeValue } from '../../../../src/codec.ts';
import { alice, bob, carol, idOf, Log } from './log.ts';

const waiting = (node: string, token: number) => [{ state: 'waiting', holder: { node, token } }];

describe('a lock', () => {
  it('is given to who asks first, then to who waits, in order, with rising tokens', () => {
    const log = new Log();
    expect(log.acquire(alice, 1)).toEqual([{ state: 'granted', token: 1 }]);
    expect(log.acquire(bob, 2)).toEqual(waiting(alice, 1));
    expect(log.acquire(carol, 3)).toEqual(waiting(alice, 1));
    expect(log.events()).toEqual([]);

    log.release(alice, 1, 1);
    expect(log.events()).toEqual([{ type: 'granted', node: bob, id: idOf(2), token: 2 }]);
    expect(log.standing(bob, 2)).toEqual({ state: 'granted', token: 2 });
    log.release(bob, 2, 2);
    expect(log.standing(carol, 3)).toEqual({ state: 'granted', token: 3 });
    log.release(carol, 3, 3);
    expect(log.inspect()).toBeUndefined();
  });

  it('of a holder that died goes on with a higher token when its lease ends, and the old token is refused', () => {
    const log = new Log();
    const token = log.take(alice, 1);
    log.acquire(bob, 2);
    log.pass(9_999);
    expect(log.standing(bob, 2)).toMatchObject({ state: 'waiting' });
    log.pass(1);
    expect(log.standing(bob, 2)).toEqual({ state: 'granted', token: 2 });
    expect(log.events()).toEqual([
      { type: 'expired', node: alice, id: idOf(1) },
      { type: 'granted', node: bob, id: idOf(2), token: 2 },
    ]);

    const before = log.machine.snapshot();
    expect(log.renew(alice, 1, token)).toEqual(['GRANT_LOST', { token, reason: 'expired' }]);
    expect(log.release(alice, 1, token)).toEqual(['GRANT_LOST', { token, reason: 'expired' }]);
    expect(log.machine.snapshot()).toEqual(before);
  });

  it('is kept by renewals, and only by its node, its id and its token', () => {
    const log = new Log();
    const token = log.take(alice, 1);
    log.pass(9_000);
    expect(log.renew(alice, 1, token)).toEqual([{ leaseEndsAt: log.time + 10_000 }]);
    log.pass(9_000);
    const before = log.machine.snapshot();
    expect(log.renew(bob, 1, token)).toEqual(['GRANT_LOST', { token, reason: 'unknown' }]);
    expect(log.release(bob, 1, token)).toEqual(['GRANT_LOST', { token, reason: 'unknown' }]);
    expect(log.renew(alice, 1, token + 1)).toEqual(['GRANT_LOST', { token: token + 1, reason: 'granted' }]);
    expect(log.machine.snapshot()).toEqual(before);
    expect(log.standing(alice, 1)).toEqual({ state: 'granted', token });
    log.pass(1_000);
    expect(log.standing(alice, 1)).toEqual({ state: 'ended', how: 'expired' });
  });

  it('asked for again under the same id gives the same answer', () => {
    const log = new Log();
    const token = log.take(alice, 1);
    expect(log.acquire(alice, 1)).toEqual([{ state: 'granted', token }]);
    log.acquire(bob, 2);
    log.acquire(carol, 3);
    expect(log.acquire(bob, 2)).toEqual(waiting(alice, token));
    log.release(alice, 1, token);
    expect(log.acquire(bob, 2)).toEqual([{ state: 'granted', token: token + 1 }]);
    expect(log.acquire(alice, 1)).toEqual([{ state: 'ended', how: 'released' }]);
    expect(log.acquire(bob, 2, { name: 'window' })).toMatchObject(['INVALID_ARGUMENT', {}]);
  });

  it('goes past a waiter that was withdrawn, and past one whose wait is over', () => {
    const log = new Log();
    const token = log.take(alice, 1, { leaseMs: 86_400_000 });
    log.acquire(bob, 2);
    log.acquire(bob, 3, { waitMs: 1_000 });
    log.acquire(carol, 4, { waitMs: 2_000 });
    log.withdraw(bob, 2);
    log.pass(1_000);
    expect(log.events()).toEqual([{ type: 'expired', node: bob, id: idOf(3) }]);
    log.release(alice, 1, token);
    expect(log.standing(carol, 4)).toEqual({ state: 'granted', token: token + 1 });
    expect(log.standing(bob, 2)).toEqual({ state: 'ended', how: 'withdrawn' });
    expect(log.standing(bob, 3)).toEqual({ state: 'ended', how: 'expired' });
  });

  it('is not given to a waiter whose wait ended at a time that the log skipped', () => {
    const log = new Log();
    log.take(alice, 1, { leaseMs: 1_000 });
    log.acquire(bob, 2, { waitMs: 2_000 });
    log.acquire(carol, 3, { waitMs: 60_000 });
    log.pass(5_000); // The lease and the wait are both over now, the lease first.
    expect(log.standing(bob, 2)).toEqual({ state: 'ended', how: 'expired' });
    expect(log.standing(carol, 3)).toEqual({ state: 'granted', token: 2 });
  });

  it('waits for who says again that he waits', () => {
    const log = new Log();
    log.take(alice, 1, { leaseMs: 86_400_000 });
    log.acquire(bob, 2, { waitMs: 1_000 });
    log.pass(900);
    log.acquire(bob, 2, { waitMs: 1_000 });
    log.pass(900);
    expect(log.standing(bob, 2)).toMatchObject({ state: 'waiting' });
    log.pass(100);
    expect(log.standing(bob, 2)).toEqual({ state: 'ended', how: 'expired' });
  });

  it('is held for a short time only by who waited, until he says that he knows', () => {
    const log = new Log();
    const token = log.take(alice, 1);
    log.acquire(bob, 2, { leaseMs: 3_600_000 });
    log.acquire(carol, 3, { leaseMs: 3_600_000 });
    log.release(alice, 1, token);
    log.pass(10_000); // Bob has died while he waited.
    expect(log.standing(carol, 3)).toEqual({ state: 'granted', token: 3 });
    log.renew(carol, 3, 3);
    log.pass(3_599_999);
    expect(log.standing(carol, 3)).toEqual({ state: 'granted', token: 3 });
  });

  it('is not asked for by an acquire that comes after its own withdrawal', () => {
    const log = new Log();
    log.withdraw(alice, 1);
    expect(log.acquire(alice, 1)).toEqual([{ state: 'ended', how: 'withdrawn' }]);
    expect(log.inspect()).toBeUndefined();
    // An id is its node's own.
    expect(log.acquire(bob, 1)).toEqual([{ state: 'granted', token: 1 }]);
  });

  it('refuses at once who does not want to wait, and says who holds it', () => {
    const log = new Log();
    log.take(alice, 1);
    const before = log.inspect();
    expect(log.acquire(bob, 2, { waitMs: 0 })).toEqual([
      'TIMED_OUT',
      { name: 'door', holder: { node: alice, token: 1 } },
    ]);
    expect(log.inspect()).toEqual(before);
    expect(log.standing(bob, 2)).toEqual({ state: 'unknown' });
  });
});

describe('a semaphore', () => {
  const gpu = { name: 'gpu', sort: 'semaphore', permits: 4 };

  it('has as many holders as permits, and a small request does not pass a large one', () => {
    const log = new Log();
    const first = log.take(alice, 1, { ...gpu, count: 2 });
    log.take(bob, 2, { ...gpu, count: 1 });
    expect(log.acquire(carol, 3, { ...gpu, count: 3 })).toMatchObject([{ state: 'waiting' }]);
    expect(log.acquire(alice, 4, { ...gpu, count: 1 })).toMatchObject([{ state: 'waiting' }]);
    expect(log.acquire(alice, 5, { ...gpu, count: 1, waitMs: 0 })).toMatchObject(['TIMED_OUT', {}]);
    expect(log.inspect('gpu')).toEqual({
      ...gpu,
      free: 1,
      holders: [
        { node: alice, token: 1, count: 2, leaseEndsAt: log.time + 10_000 },
        { node: bob, token: 2, count: 1, leaseEndsAt: log.time + 10_000 },
      ],
      waiters: [
        { node: carol, count: 3, waitsUntil: log.time + 30_000 },
        { node: alice, count: 1, waitsUntil: log.time + 30_000 },
      ],
      waiting: 2,
    });
    log.release(alice, 1, first);
    expect(log.standing(carol, 3)).toEqual({ state: 'granted', token: 3 });
    expect(log.standing(alice, 4)).toMatchObject({ state: 'waiting' });
  });

  it('lets all through that fit when a large one leaves the line', () => {
    const log = new Log();
    log.take(alice, 1, { ...gpu, count: 2 });
    log.acquire(bob, 2, { ...gpu, count: 4 });
    log.acquire(carol, 3, { ...gpu, count: 1 });
    log.acquire(carol, 4, { ...gpu, count: 1 });
    log.withdraw(bob, 2);
    expect(log.standing(carol, 3)).toEqual({ state: 'granted', token: 2 });
    expect(log.standing(carol, 4)).toEqual({ state: 'granted', token: 3 });
  });

  it('is what the first said, for as long as it is in use', () => {
    const log = new Log();
    const token = log.take(alice, 1, gpu);
    expect(log.acquire(bob, 2, { ...gpu, permits: 5 })).toEqual([
      'ALREADY_EXISTS',
      { name: 'gpu', sort: 'semaphore', permits: 4, askedSort: 'semaphore', asked: 5 },
    ]);
    expect(log.acquire(bob, 2, { name: 'gpu' })).toMatchObject([
      'ALREADY_EXISTS',
      { sort: 'semaphore', askedSort: 'lock' },
    ]);
    log.release(alice, 1, token);
    expect(log.acquire(bob, 2, { ...gpu, permits: 5 })).toEqual([{ state: 'granted', token: 2 }]);
  });

  it('refuses terms that cannot be met', () => {
    const log = new Log();
    log.pass(0);
    const before = log.machine.snapshot();
    for (const terms of [
      { ...gpu, count: 5 },
      { permits: 2 },
      { value: encodeValue('x') },
      { sort: 'election' },
      { sort: 'election', permits: 2, value: encodeValue('x') },
      { sort: 'election', value: new Uint8Array(2_049) },
      { name: '' },
      { name: 'x'.repeat(257) },
      { leaseMs: 99 },
      { leaseMs: 86_400_001 },
      { leaseMs: 1_000.5 },
      { waitMs: 60_001 },
      { waitMs: -1 },
      { id: 'x' },
      { surplus: 1 },
    ]) {
      expect(log.acquire(alice, 1, terms)).toMatchObject(['INVALID_ARGUMENT', {}]);
    }
    expect(log.machine.snapshot()).toEqual(before);
    expect(log.inspect()).toBeUndefined();
    expect(log.inspect('gpu')).toBeUndefined();
  });
});

describe('an election', () => {
  const scheduler = { name: 'scheduler', sort: 'election' };
  const saying = (text: string) => ({ ...scheduler, value: encodeValue(text) });
  const leader = (log: Log) => log.query({ kind: 'grant.leader', name: 'scheduler' });

  it('tells everybody who leads, what he says, and when nobody does', () => {
    const log = new Log();
    expect(leader(log)).toEqual({ token: 0 });
    log.take(alice, 1, saying('at a'));
    expect(leader(log)).toEqual({ token: 1, leader: { node: alice, value: encodeValue('at a') } });
    log.acquire(bob, 2, saying('at b'));
    expect(log.events()).toEqual([{ type: 'granted', node: alice, id: idOf(1), token: 1, value: encodeValue('at a') }]);

    log.release(alice, 1, 1);
    expect(log.events()).toEqual([{ type: 'granted', node: bob, id: idOf(2), token: 2, value: encodeValue('at b') }]);
    log.pass(10_000);
    expect(log.events()).toEqual([
      { type: 'expired', node: bob, id: idOf(2) },
      { type: 'vacant', token: 2 },
    ]);
    expect(leader(log)).toEqual({ token: 2 });
  });

  it('has no leader of what is a lock', () => {
    const log = new Log();
    log.take(alice, 1, { name: 'scheduler' });
    expect(leader(log)).toEqual({ token: 1 });
  });
});

describe('bounds', () => {
  it('a node has 4,096 claims at most, and another still gets one', () => {
    const log = new Log();
    for (let id = 0; id < 4_096; id++) log.take(alice, id, { name: `door ${id}` });
    expect(log.acquire(alice, 5_000, { name: 'one more' })).toEqual([
      'LIMIT_EXCEEDED',
      { name: 'one more', limit: 4_096, of: 'node' },
    ]);
    log.take(bob, 1, { name: 'one more' });
    log.withdraw(alice, 0);
    log.take(alice, 5_000, { name: 'again' });
  });

  it('remembers 128 endings of each node for two minutes', () => {
    const log = new Log();
    for (let id = 0; id < 200; id++) log.withdraw(alice, id);
    log.withdraw(bob, 1);
    expect(log.standing(alice, 71)).toEqual({ state: 'unknown' });
    expect(log.standing(alice, 72)).toEqual({ state: 'ended', how: 'withdrawn' });
    expect(log.standing(bob, 1)).toEqual({ state: 'ended', how: 'withdrawn' });
    log.pass(120_000);
    log.withdraw(carol, 1);
    expect(log.standing(alice, 199)).toEqual({ state: 'unknown' });
    expect(log.standing(carol, 1)).toEqual({ state: 'ended', how: 'withdrawn' });
  });

  it('lists the first hundred of a long line', () => {
    const log = new Log();
    log.take(alice, 0);
    for (let id = 1; id <= 300; id++) log.acquire(bob, id);
    expect(log.inspect()).toMatchObject({ waiting: 300, waiters: { length: 100 } });
  });
});
