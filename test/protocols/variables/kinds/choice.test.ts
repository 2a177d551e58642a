import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { BooleanKind } from '../../../../src/protocols/variables/kinds/boolean.ts';
import { ChoiceKind, choiceProblems } from '../../../../src/protocols/variables/kinds/choice.ts';
import type { Problems } from '../../../../src/protocols/variables/kinds/kind.ts';
import type { ChoiceOptions } from '../../../../src/protocols/variables/variables.ts';

describe('choices and booleans', () => {
  it('take exactly what they list', () => {
    const choice = new ChoiceKind('x', { choices: ['a', 'b'], default: 'a' });
    const flag = new BooleanKind('x');
    fc.assert(
      fc.property(fc.oneof(fc.anything(), fc.constantFrom('a', 'b', true, false)), (value) => {
        expect(choice.check(value).ok).toBe(value === 'a' || value === 'b');
        expect(flag.check(value).ok).toBe(value === true || value === false);
      }),
    );
    expect(() => choice.accept('c')).toThrowError(expect.objectContaining({ code: 'OUT_OF_RANGE' }));
    expect(() => flag.accept('true')).toThrowError(expect.objectContaining({ code: 'INVALID_ARGUMENT' }));
    expect([choice.accept('b'), flag.accept(false)]).toEqual(['b', false]);
  });

  it('every wrong option is named', () => {
    const problemsOf = (options: Partial<ChoiceOptions<string>>): string[] => {
      const problems: Problems = {};
      choiceProblems(options as ChoiceOptions<string>, problems);
      return Object.keys(problems).sort();
    };
    expect(problemsOf({ choices: ['a'], threshold: 0.1, cooldownMs: 5 })).toEqual([]);
    expect(problemsOf({ choices: ['a', 'a'] })).toEqual(['choices']);
    expect(problemsOf({ choices: [], threshold: -1, cooldownMs: Number.NaN })).toEqual([
      'choices',
      'cooldownMs',
      'threshold',
    ]);
    expect(problemsOf({ choices: ['a'], threshold: 1, resolve: 'lastWriter' })).toEqual(['threshold']);
    expect(problemsOf({ choices: 'abc' as never })).toEqual(['choices']);
  });
});
