import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { isLinearizable } from './brute-force.ts';
import { explain } from './explain.ts';
import { info, ok } from './histories.ts';
import type { History, Operation } from './history.ts';
import { minimise } from './minimise.ts';
import { attemptOf } from './model.ts';
import { type LockInput, type LockOutput, lockModel } from './models/lock.ts';
import { type RegisterInput, type RegisterOutput, registerModel } from './models/register.ts';
import { plainRegister, planned, trueRun } from './true-runs.ts';

const read = { type: 'read' } as const;
const write = (value: string) => ({ type: 'write', value }) as const;
const saw = (value: string | null) => ({ type: 'read', value }) as const;
const wrote = { type: 'write' } as const;
const model = registerModel({ versions: 'none' });

/** One client writes 0, 1, 2, …; others read what is right. */
function quietRun(length: number): History<RegisterInput, RegisterOutput> {
  return Array.from({ length }, (_, i) => [
    ok(10 * i, 10 * i + 8, write(`${i}`), wrote, { process: 'writer' }),
    ok(10 * i + 8.5, 10 * i + 9, read, saw(`${i}`), { process: 'reader' }),
  ]).flat();
}

/** The whole history, but of the answers only some: who only observed is not there, who had an effect may have had it. */
function withAnswersOf<Input extends RegisterInput>(
  history: History<Input, RegisterOutput>,
  some: ReadonlySet<Operation<Input, RegisterOutput>>,
): History<Input, RegisterOutput> {
  return history
    .filter((one) => some.has(one) || !model.observes(attemptOf(one)))
    .map((one) => (some.has(one) ? one : { ...one, outcome: { kind: 'info' } }));
}

describe('minimise', () => {
  it('leaves a stale read, and the writes of what it saw and missed', () => {
    const stale = ok(1000, 1001, read, saw('98'), { process: 'late' });
    const found = minimise(
      model,
      [...quietRun(100), stale, ...quietRun(3).map((one) => ({ ...one, process: 'x' }))].slice(0, 201),
    );
    expect(found!.core.map(({ input }) => input)).toEqual([write('98'), write('99'), read]);
    expect(found!.core.at(-1)).toBe(stale);
    expect(found!.violation.blocked).toBe(stale);
    expect(found!.core.length + found!.context.length + found!.leftOut).toBe(201);
  });

  it('gives the operations to see it by: a value seen, then gone', () => {
    const lost = info(0, write('1'), { process: 'a' });
    const seen = ok(5, 6, read, saw('1'), { process: 'b' });
    const gone = ok(7, 8, read, saw(null), { process: 'b' });
    const found = minimise(model, [info(0, write('2')), lost, seen, gone, ok(9, 10, read, saw(null))]);
    expect(found).toMatchObject({ core: [seen, gone], context: [lost], startsLater: false, leftOut: 2 });
  });

  it('finds nothing in what is no violation', () => {
    expect(minimise(model, quietRun(20))).toBeUndefined();
  });

  it('stops at its budget with a contradiction, if a larger one', () => {
    const stale = ok(1000, 1001, read, saw('98'));
    const found = minimise(model, [...quietRun(100), stale], { maxSteps: 1 });
    expect(found!.violation.blocked).toBe(stale);
    expect(found!.core.length).toBeGreaterThan(3);
  });

  it('leaves a contradiction that is one of the whole history', () => {
    let found = 0;
    fc.assert(
      fc.property(fc.array(planned(plainRegister.input), { minLength: 2, maxLength: 7 }), fc.nat(), (plans, pick) => {
        const history = trueRun(plainRegister, plans);
        const reads = history.filter(({ input, outcome }) => input.type === 'read' && outcome.kind === 'ok');
        const chosen = reads[pick % Math.max(1, reads.length)];
        const broken = history.map((one) =>
          one === chosen && one.outcome.kind === 'ok' ? { ...one, outcome: { ...one.outcome, output: saw('a') } } : one,
        );
        const small = minimise(model, broken);
        expect(small === undefined).toBe(isLinearizable(model, broken));
        if (small === undefined || small.startsLater) return;
        found++;
        const core = new Set(small.core);
        const possible = broken.filter(({ outcome }) => outcome.kind !== 'failed');
        expect(isLinearizable(model, withAnswersOf(possible, core))).toBe(false);
        for (const one of core) {
          expect(isLinearizable(model, withAnswersOf(possible, core.difference(new Set([one]))))).toBe(true);
        }
      }),
      { numRuns: 500 },
    );
    expect(found).toBeGreaterThan(20);
  });
});

describe('explain', () => {
  it('prints who did what when, and where it is stuck', () => {
    const acquire = (owner: string) => ({ type: 'acquire', owner, leaseMs: 1000 }) as const;
    const history: History<LockInput, LockOutput> = [
      ok(0, 10, acquire('a'), { type: 'acquire', granted: true, token: 1 }, { process: 'p1', key: 'gpu' }),
      ok(12, 13, { type: 'holder' } as const, { type: 'holder', owner: 'a' }, { process: 'p3', key: 'gpu' }),
      ok(20, 40, acquire('b'), { type: 'acquire', granted: true, token: 2 }, { process: 'p2', key: 'gpu' }),
    ];
    const lock = lockModel();
    expect(explain(lock, minimise(lock, history)!)).toBe(
      [
        'lock "gpu": no order of these operations explains their answers.',
        'First: free, highest token 0',
        '',
        '   from ms  to ms   process                                            operation',
        '   0.000    10.000  p1       |---------|                               acquire by a for 1000 ms → granted, token 1',
        '!  20.000   40.000  p2                           |------------------|  acquire by b for 1000 ms → granted, token 2',
        '',
        'Furthest attempt:',
        '  1. acquire by a for 1000 ms → granted, token 1',
        'Then: held by a with token 1, its lease lasts until 1000.000',
        'Impossible by 40.000: acquire by b for 1000 ms → granted, token 2',
        '1 further operations of this history are left out; they cannot resolve it.',
      ].join('\n'),
    );
  });

  it('marks what may have happened or not', () => {
    const history = [info(0, write('1')), ok(5, 6, read, saw('1')), ok(7, 8, read, saw(null))];
    const text = explain(model, minimise(model, history)!);
    expect(text).toMatch(/^~ .*\|-+> +write "1" → \?$/m);
    expect(text).toMatch(/^! .*read → absent$/m);
    expect(text).toContain('~ may take effect later or never');
  });
});
