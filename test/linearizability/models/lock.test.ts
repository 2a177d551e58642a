import { describe, expect, it } from 'vitest';
import { checkHistory } from '../checker.ts';
import { info, ok } from '../histories.ts';
import type { Operation } from '../history.ts';
import { attemptOf } from '../model.ts';
import { type LockInput, type LockOutput, lockModel } from './lock.ts';

type LockOperation = Operation<LockInput, LockOutput>;

const granted = (from: number, to: number, owner: string, token: number, leaseMs?: number): LockOperation =>
  ok(from, to, acquire(owner, leaseMs), { type: 'acquire', granted: true, token });
const lost = (from: number, owner: string, leaseMs?: number): LockOperation => info(from, acquire(owner, leaseMs));
const released = (from: number, to: number, owner: string, token: number, yes = true): LockOperation =>
  ok(from, to, { type: 'release', owner, token }, { type: 'release', released: yes });
const held = (from: number, to: number, owner: string, token?: number): LockOperation =>
  ok(from, to, { type: 'holder' }, token === undefined ? { type: 'holder', owner } : { type: 'holder', owner, token });
const free = (from: number, to: number): LockOperation =>
  ok(from, to, { type: 'holder' }, { type: 'holder', owner: null });

function acquire(owner: string, leaseMs: number | undefined): LockInput {
  return leaseMs === undefined ? { type: 'acquire', owner } : { type: 'acquire', owner, leaseMs };
}

const verdict = (history: readonly LockOperation[], slackMs = 0): string =>
  checkHistory(lockModel({ slackMs }), history).verdict;

describe('the end of a lease', () => {
  it('comes no earlier than the grant at its earliest, plus the lease', () => {
    expect(verdict([granted(10, 20, 'a', 1, 100), granted(30, 110, 'b', 2)])).toBe('linearizable');
    expect(verdict([granted(10, 20, 'a', 1, 100), granted(30, 109.9, 'b', 2)])).toBe('violation');
  });

  it('comes earlier by the slack', () => {
    expect(verdict([granted(10, 20, 'a', 1, 100), granted(30, 90, 'b', 2)], 20)).toBe('linearizable');
    expect(verdict([granted(10, 20, 'a', 1, 100), granted(30, 89.9, 'b', 2)], 20)).toBe('violation');
  });

  it('never comes without a lease', () => {
    expect(verdict([granted(0, 1, 'a', 1), granted(30, 1e9, 'b', 2)])).toBe('violation');
    expect(verdict([lost(0, 'a'), held(1, 2, 'a'), granted(30, 1e9, 'b', 2)])).toBe('violation');
  });

  it('adds up over several holders', () => {
    const three = (end: number): LockOperation[] => [
      granted(0, 1, 'a', 1, 100),
      granted(2, 150, 'b', 2, 100),
      granted(3, end, 'c', 3, 100),
    ];
    expect(verdict(three(200))).toBe('linearizable');
    expect(verdict(three(199))).toBe('violation');
  });

  it('is seen by who asks for the holder, and by the old holder', () => {
    expect(verdict([granted(0, 1, 'a', 1, 100), free(50, 100)])).toBe('linearizable');
    expect(verdict([granted(0, 1, 'a', 1, 100), free(50, 99)])).toBe('violation');
    expect(verdict([granted(0, 1, 'a', 1, 100), released(50, 100, 'a', 1, false)])).toBe('linearizable');
    expect(verdict([granted(0, 1, 'a', 1, 100), released(50, 99, 'a', 1, false)])).toBe('violation');
  });
});

describe('a grant nobody heard of', () => {
  it('has a token, which others can learn, and which pushes the next up', () => {
    expect(verdict([lost(0, 'a'), held(1, 2, 'a', 4), held(3, 4, 'a', 4)])).toBe('linearizable');
    expect(verdict([lost(0, 'a'), held(1, 2, 'a', 4), held(3, 4, 'a', 5)])).toBe('violation');
    expect(verdict([lost(0, 'a'), held(1, 2, 'a'), released(3, 4, 'a', 4), granted(5, 6, 'b', 5)])).toBe(
      'linearizable',
    );
    expect(verdict([lost(0, 'a'), held(1, 2, 'a'), released(3, 4, 'a', 4), granted(5, 6, 'b', 4)])).toBe('violation');
  });

  it('ends with its lease', () => {
    expect(verdict([lost(0, 'a', 100), held(1, 2, 'a'), granted(3, 100, 'b', 2)])).toBe('linearizable');
    expect(verdict([lost(0, 'a', 100), held(1, 2, 'a'), granted(3, 99, 'b', 2)])).toBe('violation');
  });
});

describe('who only observes', () => {
  it('does not push the time from which the next lease counts', () => {
    const model = lockModel();
    const [held] = model.step(model.initial('x'), attemptOf(granted(0, 1, 'a', 1, 100)));
    const denied = ok(50, 60, acquire('b', 100), { type: 'acquire', granted: false } as const);
    expect(model.step(held!, attemptOf(denied))).toEqual([held]);
  });
});
