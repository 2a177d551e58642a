import { describe, expect, it } from 'vitest';
import { seededRng } from '../../src/clock.ts';
import { checkHistory } from './checker.ts';
import { failed, info, ok } from './histories.ts';
import type { History } from './history.ts';
import { type LockInput, type LockOutput, lockModel } from './models/lock.ts';
import { type NameInput, type NameOutput, nameModel } from './models/name.ts';
import { type RegisterInput, type RegisterOutput, registerModel } from './models/register.ts';
import { type Planned, register, trueRun } from './true-runs.ts';

const read = { type: 'read' } as const;
const write = (value: string) => ({ type: 'write', value }) as const;
const saw = (value: string | null) => ({ type: 'read', value }) as const;
const wrote = { type: 'write' } as const;
const swap = (from: string, value: string) => ({ type: 'cas', expected: { value: from }, value }) as const;
const swapped = { type: 'cas', swapped: true } as const;
const refused = { type: 'cas', swapped: false } as const;

function registerVerdict(history: History<RegisterInput, RegisterOutput>): string {
  const plain = checkHistory(registerModel({ versions: 'none' }), history).verdict;
  expect(checkHistory(registerModel(), history).verdict).toBe(plain);
  return plain;
}

describe('a register', () => {
  it.each<[string, History<RegisterInput, RegisterOutput>]>([
    ['nothing', []],
    [
      'reads that overlap a write and see it or not',
      [ok(0, 10, write('1'), wrote), ok(1, 3, read, saw(null)), ok(4, 6, read, saw('1'))],
    ],
    // Herlihy & Wing, "Linearizability" (1990): an operation may take effect anywhere between its call and its return.
    [
      'two overlapping writes, read in either order',
      [ok(0, 10, write('1'), wrote), ok(1, 9, write('2'), wrote), ok(11, 12, read, saw('1'))],
    ],
    [
      'a write nobody heard of that is seen much later',
      [info(0, write('1')), ok(5, 6, read, saw(null)), ok(50, 60, read, saw('1'))],
    ],
    ['a write nobody heard of that never happened', [info(0, write('1')), ok(5, 6, read, saw(null))]],
    [
      'a return and a call at the same instant, in either order',
      [ok(0, 5, write('1'), wrote), ok(5, 6, read, saw(null))],
    ],
    [
      'compare-and-set of which one wins',
      [ok(0, 1, write('1'), wrote), ok(2, 9, swap('1', '2'), swapped), ok(2, 9, swap('1', '3'), refused)],
    ],
    ['one that failed for certain', [failed(0, 1, write('1')), ok(2, 3, read, saw(null))]],
  ])('accepts %s', (_, history) => {
    expect(registerVerdict(history)).toBe('linearizable');
  });

  it.each<[string, History<RegisterInput, RegisterOutput>]>([
    ['a stale read', [ok(0, 1, write('1'), wrote), ok(2, 3, write('2'), wrote), ok(4, 5, read, saw('1'))]],
    ['an acknowledged write that is lost', [ok(0, 1, write('1'), wrote), ok(2, 3, read, saw(null))]],
    [
      'a lost update',
      [ok(0, 1, write('1'), wrote), ok(2, 9, swap('1', '2'), swapped), ok(2, 9, swap('1', '3'), swapped)],
    ],
    // New-old inversion: what distinguishes an atomic register from Lamport's regular one.
    [
      'a read that goes back behind another',
      [ok(0, 20, write('1'), wrote), ok(1, 3, read, saw('1')), ok(4, 6, read, saw(null))],
    ],
    ['a value out of thin air', [ok(0, 1, write('1'), wrote), ok(2, 3, read, saw('9'))]],
    ['a read before anybody wrote', [ok(0, 1, read, saw('1')), info(2, write('1'))]],
    [
      'a write nobody heard of that happens twice',
      [info(0, write('1')), ok(1, 2, read, saw('1')), ok(3, 4, write('2'), wrote), ok(5, 6, read, saw('1'))],
    ],
    ['one that failed for certain and is seen', [failed(0, 1, write('1')), ok(2, 3, read, saw('1'))]],
    [
      'overlapping writes seen in different orders',
      [
        ok(0, 20, write('1'), wrote),
        ok(0, 20, write('2'), wrote),
        ok(1, 2, read, saw('1')),
        ok(3, 4, read, saw('2')),
        ok(5, 6, read, saw('1')),
      ],
    ],
  ])('rejects %s', (_, history) => {
    expect(registerVerdict(history)).toBe('violation');
  });
});

const acquire = (owner: string, leaseMs = 100) => ({ type: 'acquire', owner, leaseMs }) as const;
const granted = (token: number) => ({ type: 'acquire', granted: true, token }) as const;
const denied = { type: 'acquire', granted: false } as const;
const release = (owner: string, token: number) => ({ type: 'release', owner, token }) as const;
const renew = (owner: string, token: number, leaseMs = 100) => ({ type: 'renew', owner, token, leaseMs }) as const;
const released = (yes: boolean) => ({ type: 'release', released: yes }) as const;
const renewed = (yes: boolean) => ({ type: 'renew', renewed: yes }) as const;

describe('a lock', () => {
  it.each<[string, History<LockInput, LockOutput>]>([
    [
      'one after the other',
      [
        ok(0, 1, acquire('a'), granted(1)),
        ok(2, 3, release('a', 1), released(true)),
        ok(4, 5, acquire('b'), granted(2)),
      ],
    ],
    [
      'who waits until the other releases',
      [
        ok(0, 1, acquire('a'), granted(1)),
        ok(2, 50, acquire('b'), granted(2)),
        ok(40, 45, release('a', 1), released(true)),
      ],
    ],
    [
      'a grant after the lease of one that died',
      [ok(0, 1, acquire('a'), granted(1)), ok(2, 101, acquire('b'), granted(2))],
    ],
    [
      'an old token refused',
      [
        ok(0, 1, acquire('a'), granted(1)),
        ok(90, 110, acquire('b'), granted(2)),
        ok(120, 121, release('a', 1), released(false)),
        ok(122, 123, acquire('c'), denied),
      ],
    ],
    ['a grant nobody heard of that keeps others out', [info(0, acquire('a')), ok(5, 6, acquire('b'), denied)]],
    [
      'a lease that lasts longer than it must',
      [
        ok(0, 1, acquire('a'), granted(1)),
        ok(500, 501, acquire('b'), denied),
        ok(502, 503, renew('a', 1), renewed(true)),
      ],
    ],
  ])('accepts %s', (_, history) => {
    expect(checkHistory(lockModel(), history).verdict).toBe('linearizable');
  });

  it.each<[string, History<LockInput, LockOutput>]>([
    ['a double grant', [ok(0, 1, acquire('a'), granted(1)), ok(2, 3, acquire('b'), granted(2))]],
    [
      'a token that does not rise',
      [
        ok(0, 1, acquire('a'), granted(5)),
        ok(2, 3, release('a', 5), released(true)),
        ok(4, 5, acquire('b'), granted(5)),
      ],
    ],
    [
      'a token that falls',
      [
        ok(0, 1, acquire('a'), granted(5)),
        ok(2, 3, release('a', 5), released(true)),
        ok(4, 5, acquire('b'), granted(4)),
      ],
    ],
    [
      'a grant before the lease can have ended',
      [ok(0, 1, acquire('a'), granted(1)), ok(2, 99, acquire('b'), granted(2))],
    ],
    [
      'a grant before a renewed lease can have ended',
      [
        ok(0, 1, acquire('a'), granted(1)),
        ok(50, 51, renew('a', 1), renewed(true)),
        ok(60, 149, acquire('b'), granted(2)),
      ],
    ],
    [
      'a lease counted from the call of one that had to wait',
      [
        ok(0, 1, acquire('a'), granted(1)),
        ok(2, 61, acquire('b'), granted(2)),
        ok(60, 61, release('a', 1), released(true)),
        ok(70, 130, acquire('c'), granted(3)),
      ],
    ],
    [
      'an old token accepted',
      [
        ok(0, 1, acquire('a'), granted(1)),
        ok(90, 110, acquire('b'), granted(2)),
        ok(120, 121, release('a', 1), released(true)),
      ],
    ],
    [
      'a renewal after the end',
      [
        ok(0, 1, acquire('a'), granted(1)),
        ok(90, 110, acquire('b'), granted(2)),
        ok(120, 121, renew('a', 1), renewed(true)),
      ],
    ],
    [
      'nobody holding it, and yet denied',
      [ok(0, 1, acquire('a'), granted(1)), ok(2, 3, release('a', 1), released(true)), ok(4, 5, acquire('b'), denied)],
    ],
  ])('rejects %s', (_, history) => {
    expect(checkHistory(lockModel(), history).verdict).toBe('violation');
  });
});

const claim = (owner: string) => ({ type: 'claim', owner }) as const;
const claimed = { type: 'claim', claimed: true } as const;
const taken = (holder: string) => ({ type: 'claim', claimed: false, holder }) as const;
const free = (owner: string) => ({ type: 'release', owner }) as const;
const lookup = { type: 'lookup' } as const;
const found = (owner: string | null) => ({ type: 'lookup', owner }) as const;

describe('an exclusive name', () => {
  it.each<[string, History<NameInput, NameOutput>]>([
    [
      'one winner of a race',
      [ok(0, 9, claim('a'), claimed), ok(0, 9, claim('b'), taken('a')), ok(10, 11, lookup, found('a'))],
    ],
    [
      'a claim after the owner died',
      [
        ok(0, 1, claim('a'), claimed),
        info(5, free('a')),
        ok(6, 7, lookup, found('a')),
        ok(30, 31, claim('b'), claimed),
      ],
    ],
    ['an owner refused its own name', [ok(0, 1, claim('a'), claimed), ok(2, 3, claim('a'), taken('a'))]],
  ])('accepts %s', (_, history) => {
    expect(checkHistory(nameModel(), history).verdict).toBe('linearizable');
  });

  it.each<[string, History<NameInput, NameOutput>]>([
    ['two winners', [ok(0, 9, claim('a'), claimed), ok(0, 9, claim('b'), claimed)]],
    ['a loser told the wrong winner', [ok(0, 1, claim('a'), claimed), ok(2, 3, claim('b'), taken('c'))]],
    ['a name that vanished', [ok(0, 1, claim('a'), claimed), ok(2, 3, lookup, found(null))]],
    [
      'a name that another released',
      [ok(0, 1, claim('a'), claimed), ok(2, 3, free('b'), { type: 'release', released: true })],
    ],
  ])('rejects %s', (_, history) => {
    expect(checkHistory(nameModel(), history).verdict).toBe('violation');
  });
});

describe('checkHistory', () => {
  it('checks every key by itself and names the one that fails', () => {
    const history = [
      ok(0, 1, write('1'), wrote, { key: 'good' }),
      ok(0, 1, write('1'), wrote, { key: 'bad' }),
      ok(2, 3, read, saw('1'), { key: 'good' }),
      ok(2, 3, read, saw('2'), { key: 'bad' }),
    ];
    const report = checkHistory(registerModel(), history);
    expect(report.verdict).toBe('violation');
    expect(report.keys.map(({ key, verdict }) => [key, verdict.kind])).toEqual([
      ['good', 'linearizable'],
      ['bad', 'violation'],
    ]);
    expect(report.keys[1]!.verdict).toMatchObject({ blocked: history[3], order: [history[1]] });
  });

  it('names the operation that is impossible from the beginning', () => {
    const only = ok(0, 1, read, { ...saw(null), version: 3 });
    const model = registerModel({ initial: { value: null, version: 5 } });
    const [key] = checkHistory(model, [only]).keys;
    expect(key!.verdict).toMatchObject({ kind: 'violation', blocked: only, order: [] });
  });

  it('refuses a record that is no history', () => {
    expect(() => checkHistory(registerModel(), [ok(5, 4, read, saw(null))])).toThrow('before its invocation');
  });

  it('says when it has not decided', () => {
    // Everything overlaps, and nothing but the last answer is wrong: every order has to be tried.
    const history = Array.from({ length: 12 }, (_, i) => ok(0, 100, swap(`${i}`, `${i + 1}`), refused));
    const writes = Array.from({ length: 12 }, (_, i) => ok(0, 100, write(`${i}`), wrote));
    const report = checkHistory(
      registerModel({ versions: 'none' }),
      [...history, ...writes, ok(101, 102, read, saw('no'))],
      {
        maxSteps: 2_000,
      },
    );
    expect(report.verdict).toBe('undecided');
    expect(report.keys[0]!.verdict).toMatchObject({ kind: 'undecided', returns: 25 });
    expect(report.steps).toBeLessThan(4_000);
  });

  it('lets a violation of one key outweigh another that is undecided', () => {
    const hard = Array.from({ length: 12 }, (_, i) => ok(0, 100, write(`${i}`), wrote, { key: 'hard' }));
    const unread = ok(101, 102, read, saw('no'), { key: 'hard' });
    const bad = ok(0, 1, read, saw('no'), { key: 'bad' });
    const report = checkHistory(registerModel({ versions: 'none' }), [...hard, unread, bad], { maxConfigurations: 50 });
    expect(report.keys.map(({ verdict }) => verdict.kind)).toEqual(['undecided', 'violation']);
    expect(report.verdict).toBe('violation');
  });

  it.each(['consecutive', 'rising'] as const)(
    'needs some steps for each of thousands of operations (%s)',
    (versions) => {
      const rng = seededRng(1);
      const plans = Array.from({ length: 5_000 }, (_, i): Planned<RegisterInput> => {
        const kind = rng.below(3);
        const value = `${i}`;
        const old = `${i - 1 - rng.below(3)}`;
        const input = kind === 0 ? read : kind === 1 ? write(value) : swap(old, value);
        const fate = rng.below(100);
        return {
          input,
          gap: 2 + rng.below(2),
          askedBefore: rng.below(20),
          heardAfter: rng.below(20),
          fate: fate < 2 ? 'lost' : fate < 4 ? 'dropped' : 'heard',
        };
      });
      const report = checkHistory(registerModel({ versions }), trueRun(register, plans));
      expect(report.verdict).toBe('linearizable');
      expect(report.steps).toBeLessThan(20 * 5_000);
    },
  );
});
