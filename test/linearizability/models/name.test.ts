import { describe, expect, it } from 'vitest';
import { checkHistory } from '../checker.ts';
import { info, ok } from '../histories.ts';
import type { Operation } from '../history.ts';
import { type NameInput, type NameOutput, nameModel } from './name.ts';

type NameOperation = Operation<NameInput, NameOutput>;

const claimed = (at: number, owner: string, token: number): NameOperation =>
  ok(at, at + 1, { type: 'claim', owner }, { type: 'claim', claimed: true, token });
const released = (at: number, owner: string, yes = true): NameOperation =>
  ok(at, at + 1, { type: 'release', owner }, { type: 'release', released: yes });
const verdict = (...history: NameOperation[]): string => checkHistory(nameModel(), history).verdict;

describe('a name', () => {
  it('has tokens that rise from owner to owner', () => {
    expect(verdict(claimed(0, 'a', 1), released(2, 'a'), claimed(4, 'b', 2))).toBe('linearizable');
    expect(verdict(claimed(0, 'a', 1), released(2, 'a'), claimed(4, 'b', 1))).toBe('violation');
  });

  it('is released by its owner only, and only once', () => {
    expect(verdict(claimed(0, 'a', 1), released(2, 'b', false), released(4, 'a'), released(6, 'a', false))).toBe(
      'linearizable',
    );
    expect(verdict(claimed(0, 'a', 1), released(2, 'a', false))).toBe('violation');
    expect(verdict(claimed(0, 'a', 1), released(2, 'a'), released(4, 'a'))).toBe('violation');
  });

  it('may be held by a claim nobody heard of', () => {
    const lost: NameOperation = info(0, { type: 'claim', owner: 'a' });
    const told = ok(
      2,
      3,
      { type: 'claim', owner: 'b' } as const,
      { type: 'claim', claimed: false, holder: 'a' } as const,
    );
    expect(verdict(lost, told)).toBe('linearizable');
    expect(verdict(lost, told, claimed(4, 'b', 2))).toBe('violation');
    expect(verdict(lost, claimed(4, 'b', 2))).toBe('linearizable');
  });
});
