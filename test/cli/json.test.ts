import { describe, expect, it } from 'vitest';
import { parseMessage, toJson } from '../../src/cli/json.ts';

describe('values as JSON', () => {
  it('says what JSON cannot say in the nearest way', () => {
    const value = {
      big: 2n ** 70n,
      bytes: Uint8Array.of(1, 2, 255),
      at: new Date(0),
      map: new Map([['a', 1n]]),
      gone: undefined,
      list: [null, true, 'x'],
    };
    expect(JSON.parse(toJson(value))).toEqual({
      big: { $bigint: '1180591620717411303424' },
      bytes: { $bytes: 'AQL/' },
      at: '1970-01-01T00:00:00.000Z',
      map: { $map: [['a', { $bigint: '1' }]] },
      list: [null, true, 'x'],
    });
    expect(toJson(undefined)).toBe('null');
  });
});

describe('a message as typed', () => {
  it.each([
    ['{"a":1}', { a: 1 }],
    ['12', 12],
    ['null', null],
    ['hello mesh', 'hello mesh'],
    ['', ''],
  ])('%s is %j', (typed, value) => {
    expect(parseMessage(typed)).toEqual({ value });
  });

  it.each(['{"a":1', '[1,', '"open'])('%s is a mistake, not text', (typed) => {
    expect(parseMessage(typed)).toBeUndefined();
  });
});
