import { describe, expect, it } from 'vitest';
import { defaultBudget } from './checker.ts';
import { ok } from './histories.ts';
import type { Operation } from './history.ts';
import { type RegisterInput, type RegisterOutput, registerModel } from './models/register.ts';
import { search } from './search.ts';

type RegisterOperation = Operation<RegisterInput, RegisterOutput>;

const model = registerModel({ versions: 'none' });
const write = (from: number, to: number, value: string): RegisterOperation =>
  ok(from, to, { type: 'write', value }, { type: 'write' });
const read = (from: number, to: number, value: string): RegisterOperation =>
  ok(from, to, { type: 'read' }, { type: 'read', value });

function statesPassed(history: RegisterOperation[]): (string | null)[] {
  const verdict = search(model, history, model.initial('x'), defaultBudget);
  return verdict.kind === 'violation' ? verdict.narrows.map(({ state }) => state.value) : [];
}

describe('the places every explanation passes', () => {
  it('are all where nothing overlaps, latest first', () => {
    expect(statesPassed([write(0, 1, 'a'), write(2, 3, 'b'), read(4, 5, 'no')])).toEqual(['b', 'a', null]);
  });

  it('are none where two orders are possible', () => {
    expect(statesPassed([write(0, 10, 'a'), write(0, 11, 'b'), read(12, 13, 'no')])).toEqual([null]);
  });

  it('are there again once somebody saw which order it was', () => {
    const history = [write(0, 10, 'a'), write(0, 11, 'b'), read(12, 13, 'a'), write(14, 15, 'c'), read(16, 17, 'no')];
    expect(statesPassed(history)).toEqual(['c', 'a', null]);
  });
});
