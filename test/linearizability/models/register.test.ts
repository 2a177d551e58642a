import { describe, expect, it } from 'vitest';
import { checkHistory } from '../checker.ts';
import { info, ok } from '../histories.ts';
import type { Operation } from '../history.ts';
import { type RegisterInput, type RegisterOptions, type RegisterOutput, registerModel } from './register.ts';

const wrote = (from: number, to: number, value: string, version?: number): Operation<RegisterInput, RegisterOutput> =>
  ok(from, to, { type: 'write', value }, version === undefined ? { type: 'write' } : { type: 'write', version });
const lost = (from: number, value: string): Operation<RegisterInput, RegisterOutput> =>
  info(from, { type: 'write', value });
const saw = (from: number, to: number, value: string, version: number): Operation<RegisterInput, RegisterOutput> =>
  ok(from, to, { type: 'read' }, { type: 'read', value, version });
const swap = (from: number, to: number, version: number, swapped: boolean): Operation<RegisterInput, RegisterOutput> =>
  ok(from, to, { type: 'cas', expected: { version }, value: 's' }, { type: 'cas', swapped });

const verdict = (options: RegisterOptions, history: readonly Operation<RegisterInput, RegisterOutput>[]): string =>
  checkHistory(registerModel(options), history).verdict;

describe('versions', () => {
  it.each<[string, string, string, Operation<RegisterInput, RegisterOutput>[]]>([
    ['a gap', 'violation', 'linearizable', [wrote(0, 1, 'a', 1), wrote(2, 3, 'b', 7)]],
    ['no progress', 'violation', 'violation', [wrote(0, 1, 'a', 1), wrote(2, 3, 'b', 1)]],
    ['a step back', 'violation', 'violation', [wrote(0, 1, 'a', 2), wrote(2, 3, 'b', 1)]],
    [
      'a read of the right value with another version',
      'violation',
      'violation',
      [wrote(0, 1, 'a', 1), saw(2, 3, 'a', 2)],
    ],
    [
      'a gap that a lost write explains',
      'linearizable',
      'linearizable',
      [wrote(0, 1, 'a', 1), lost(2, 'b'), wrote(3, 4, 'c', 3)],
    ],
    [
      'a lost write whose version is learnt',
      'violation',
      'linearizable',
      [lost(0, 'a'), saw(1, 2, 'a', 5), saw(3, 4, 'a', 5)],
    ],
    [
      'a lost write whose version then changes',
      'violation',
      'violation',
      [lost(0, 'a'), saw(1, 2, 'a', 5), saw(3, 4, 'a', 6)],
    ],
    ['a swap of the current version', 'linearizable', 'linearizable', [wrote(0, 1, 'a', 1), swap(2, 3, 1, true)]],
    [
      'a swap of an old version',
      'violation',
      'violation',
      [wrote(0, 1, 'a', 1), wrote(2, 3, 'b', 2), swap(4, 5, 1, true)],
    ],
    ['the current version refused', 'violation', 'violation', [wrote(0, 1, 'a', 1), swap(2, 3, 1, false)]],
    ['a version refused that may not be it', 'violation', 'linearizable', [wrote(0, 1, 'a'), swap(2, 3, 1, false)]],
  ])('%s: %s if consecutive, %s if rising', (_, consecutive, rising, history) => {
    expect(verdict({ versions: 'consecutive' }, history)).toBe(consecutive);
    expect(verdict({ versions: 'rising' }, history)).toBe(rising);
  });

  it('start where they are said to', () => {
    const initial = { value: 'a', version: 4 };
    expect(verdict({ initial }, [saw(0, 1, 'a', 4)])).toBe('linearizable');
    expect(verdict({ initial }, [saw(0, 1, 'a', 0)])).toBe('violation');
  });
});
