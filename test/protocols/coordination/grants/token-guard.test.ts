import fc from 'fast-check';
import { expect, it } from 'vitest';
import { QuorateError } from '../../../../src/errors.ts';
import { TokenGuard } from '../../../../src/protocols/coordination/grants/token-guard.ts';

it('lets the same and higher tokens pass, and no lower one', () => {
  const guard = new TokenGuard(5);
  guard.check(5);
  guard.check(7);
  guard.check(7);
  expect(guard.highest).toBe(7);
  expect(() => guard.check(6)).toThrow(
    expect.objectContaining({ code: 'STALE_TOKEN', data: { token: 6, highest: 7 } }),
  );
  expect(guard.highest).toBe(7);
});

it('takes nothing for a token that is none', () => {
  for (const wrong of [-1, 1.5, Number.NaN, '3', undefined, 2 ** 53]) {
    expect(() => new TokenGuard().check(wrong as number)).toThrow(
      expect.objectContaining({ code: 'INVALID_ARGUMENT' }),
    );
  }
  expect(() => new TokenGuard(-1)).toThrow(QuorateError);
});

it('what passes never falls', () => {
  fc.assert(
    fc.property(fc.array(fc.nat(20)), (tokens) => {
      const guard = new TokenGuard();
      const passed = tokens.filter((token) => {
        try {
          guard.check(token);
          return true;
        } catch {
          return false;
        }
      });
      expect(passed).toEqual(tokens.filter((token, at) => token >= Math.max(0, ...tokens.slice(0, at))));
    }),
  );
});
