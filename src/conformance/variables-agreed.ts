/** What every `Variables` with coordination must do about values that all agree on, as cases for any test runner. */
import assert from 'node:assert/strict';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Variable } from '../protocols/variables/variables.ts';
import { declareCases, failure } from './suite.ts';
import type { VariablesConformanceOptions, VariablesSubject } from './variables.ts';

/** Declares all cases with `test`. The nodes of a subject must have coordination. */
export function agreedVariablesConformance(options: VariablesConformanceOptions): void {
  declareCases(options, cases);
}

const generousMs = 30_000;
const terms = { min: 0, max: 100, default: 10 } as const;
const patient = { timeoutMs: generousMs } as const;

async function allShow<T>(variables: readonly Variable<T>[], value: T): Promise<void> {
  const deadline = performance.now() + generousMs;
  while (!variables.every((variable) => Object.is(variable.value, value))) {
    assert.ok(performance.now() < deadline, `not within ${generousMs} ms: all show ${String(value)}`);
    await sleep(2);
  }
}

const define = ({ nodes }: VariablesSubject, sync: 'eventual' | 'strong'): readonly Variable<number>[] =>
  nodes.map(({ variables }) => variables.integer('quota', { ...terms, sync }));

const cases: Readonly<Record<string, (subject: VariablesSubject) => Promise<void>>> = {
  'a strong variable has one value, changed by compare-and-set': async (subject) => {
    const all = define(subject, 'strong');
    const [first] = all as [Variable<number>];
    const last = all.at(-1) as Variable<number>;
    assert.deepEqual([first.value, first.version, first.agreed], [10, 0, undefined]);
    const { version, value } = await first.set(20, { ifVersion: 0, ...patient });
    assert.deepEqual([value, first.value, first.version], [20, 20, version]);
    assert.deepEqual(first.agreed, { value: 20, version });
    await allShow(all, 20);
    assert.equal(last.version, version);
    const conflict = await failure('CONFLICT', last.set(30, { ifVersion: 0, ...patient }));
    assert.equal(conflict.data['actual'], version);
    await last.set(30, { ifVersion: version, ...patient });
    await allShow(all, 30);
    assert.equal(first.explain().source, 'agreed');
  },

  'of many who change it at once from one version, one does': async (subject) => {
    const all = define(subject, 'strong');
    const outcomes = await Promise.allSettled(
      [1, 2, 3, 4].map((value) => all[value % all.length]?.set(value, { ifVersion: 0, ...patient })),
    );
    const winners = outcomes.flatMap((outcome, index) => (outcome.status === 'fulfilled' ? [index + 1] : []));
    assert.equal(winners.length, 1);
    await allShow(all, winners[0] as number);
  },

  'a strong variable is not weighed': async (subject) => {
    const [first] = define(subject, 'strong') as [Variable<number>];
    await failure('INVALID_ARGUMENT', () => first.set(1, { weight: 1 }));
    await failure('INVALID_ARGUMENT', () => first.report(1));
    const [{ variables }] = subject.nodes;
    await failure('INVALID_ARGUMENT', () => variables.integer('here', { ...terms, sync: 'strong', scope: 'node' }));
  },

  'what is agreed on stands until somebody contributes anew': async (subject) => {
    const all = define(subject, 'eventual');
    const [first] = all as [Variable<number>];
    const last = all.at(-1) as Variable<number>;
    await first.set(40);
    await allShow(all, 40);
    const { version } = await last.coordinate({ consistency: 'strong', value: 60, ...patient });
    await allShow(all, 60);
    assert.deepEqual(
      all.map(({ agreed }) => agreed),
      all.map(() => ({ value: 60, version })),
    );
    assert.equal(first.explain().source, 'agreed');
    assert.deepEqual(first.contributions(), []);
    await failure('CONFLICT', last.coordinate({ consistency: 'strong', value: 1, ifVersion: 0, ...patient }));
    await first.set(80);
    await allShow(all, 80);
    assert.equal(first.explain().source, 'contributions');
    first.withdraw();
    await allShow(all, 60);
  },

  'without a value, what is shown is agreed on; out of range is refused': async (subject) => {
    const all = define(subject, 'eventual');
    const [first] = all as [Variable<number>];
    await first.set(40);
    await first.coordinate({ consistency: 'strong', ...patient });
    assert.equal(first.agreed?.value, 40);
    await failure('INVALID_ARGUMENT', first.coordinate({ consistency: 'weak' } as never));
    const [{ variables }] = subject.nodes;
    const strict = variables.integer('strict', { ...terms, outOfRange: 'reject' });
    await failure('OUT_OF_RANGE', strict.coordinate({ consistency: 'strong', value: 101 }));
  },
};
