/** What every `Variables` must do, as cases for any test runner; in one process and across nodes. */
import assert from 'node:assert/strict';
import { setTimeout as sleep } from 'node:timers/promises';
import type { NodeId } from '../node-id.ts';
import type { NumberOptions, Variable, VariableChange, Variables } from '../protocols/variables/variables.ts';
import { type ConformanceOptions, declareCases, failure } from './suite.ts';

export interface VariablesSubjectNode {
  readonly variables: Variables;
  readonly self: NodeId;
}

export interface VariablesSubject {
  /** At least one; all in one mesh and one zone. */
  readonly nodes: readonly [VariablesSubjectNode, ...VariablesSubjectNode[]];
  /** Must be idempotent. */
  stop(): Promise<void>;
}

export type VariablesConformanceOptions = ConformanceOptions<VariablesSubject>;

/** Declares all cases with `test`. */
export function variablesConformance(options: VariablesConformanceOptions): void {
  declareCases(options, cases);
}

const generousMs = 30_000;
const temperature = { min: 0, max: 2, default: 0.7 } as const;

/** Waits until all nodes have come to it. */
async function until(holds: () => boolean, what: string): Promise<void> {
  const deadline = performance.now() + generousMs;
  while (!holds()) {
    assert.ok(performance.now() < deadline, `not within ${generousMs} ms: ${what}`);
    await sleep(2);
  }
}

function floats({ nodes }: VariablesSubject, options: Partial<NumberOptions> = {}): readonly Variable<number>[] {
  return nodes.map(({ variables }) => variables.float('temperature', { ...temperature, ...options }));
}

async function allShow<T>(variables: readonly Variable<T>[], value: T): Promise<void> {
  await until(() => variables.every((variable) => Object.is(variable.value, value)), `all show ${String(value)}`);
}

const cases: Readonly<Record<string, (subject: VariablesSubject) => Promise<void>>> = {
  'the default is shown until somebody contributes, and when nobody does any more': async (subject) => {
    const all = floats(subject);
    const [first] = all as [Variable<number>];
    assert.deepEqual([first.value, first.version, first.explain().source], [0.7, 0, 'default']);
    const write = await first.set(1.5);
    assert.deepEqual([write.value, first.value, first.version], [1.5, 1.5, write.version]);
    assert.ok(write.version > 0);
    await allShow(all, 1.5);
    assert.equal(all.at(-1)?.explain().source, 'contributions');
    first.withdraw();
    assert.equal(first.value, 0.7);
    await allShow(all, 0.7);
  },

  'numbers are clamped, refused or wrapped, and brought to the grid': async ({ nodes: [{ variables }] }) => {
    const clamped = variables.float('clamped', { ...temperature, step: 0.1 });
    assert.equal((await clamped.set(9)).value, 2);
    assert.equal((await clamped.set(-9)).value, 0);
    assert.equal((await clamped.set(0.72)).value, 0.7);
    const strict = variables.integer('strict', { min: 1, max: 5, default: 3, outOfRange: 'reject' });
    const error = await failure('OUT_OF_RANGE', () => strict.set(6));
    assert.deepEqual([error.data['min'], error.data['max']], [1, 5]);
    await failure('OUT_OF_RANGE', () => strict.set(2.5));
    assert.equal(strict.value, 3);
    const hour = variables.integer('hour', { min: 0, max: 23, default: 0, outOfRange: 'wrap' });
    assert.equal((await hour.set(25)).value, 1);
    assert.equal((await hour.set(-1)).value, 23);
    const angle = variables.float('angle', { min: 0, max: 360, default: 0, outOfRange: 'wrap' });
    assert.equal((await angle.set(-90)).value, 270);
    await failure('INVALID_ARGUMENT', () => clamped.set(Number.NaN));
  },

  'a mean is weighted by what was asked for and by performance': async (subject) => {
    const all = floats(subject);
    const [first] = all as [Variable<number>];
    await first.set(0.5, { weight: 0.5 });
    first.report(0.8);
    assert.deepEqual(
      first.contributions().map(({ value, weight, performance }) => ({ value, weight, performance })),
      [{ value: 0.5, weight: 0.5, performance: 0.8 }],
    );
    const second = all[1];
    if (second === undefined) return;
    await second.set(1.5);
    second.report(0.4);
    // (0.5 × 0.4 + 1.5 × 0.4) / 0.8: a half of the weight and twice the performance.
    await allShow(all, 1);
    const { counted, rule } = second.explain();
    assert.equal(rule, 'weightedAverageByPerformance');
    assert.deepEqual(
      counted.map(({ share }) => share),
      [0.5, 0.5],
    );
  },

  'who reports without a contribution makes what is shown its own': async ({ nodes: [{ variables }] }) => {
    const variable = variables.float('temperature', temperature);
    variable.report(0.9);
    const [own] = variable.contributions();
    assert.deepEqual([own?.value, own?.performance], [0.7, 0.9]);
    await variable.set(1);
    assert.equal(variable.contributions()[0]?.performance, undefined);
    await failure('INVALID_ARGUMENT', () => variable.report(1.1));
    await failure('INVALID_ARGUMENT', () => variable.set(1, { weight: 2 }));
    await failure('INVALID_ARGUMENT', () => variable.set(1, { ifVersion: 1 }));
  },

  'each rule gives what its name says': async (subject) => {
    const rules = { max: 1.5, min: 0.25, median: 0.875, lastWriter: 1.5 } as const;
    for (const [rule, expected] of Object.entries(rules) as [keyof typeof rules, number][]) {
      const all = subject.nodes.map(({ variables }) =>
        variables.float(`by ${rule}`, { ...temperature, resolve: rule }),
      );
      const [first, second] = all as [Variable<number>, Variable<number> | undefined];
      await first.set(0.25);
      if (second === undefined) {
        assert.equal(first.value, 0.25);
        continue;
      }
      await allShow(all, 0.25);
      await second.set(1.5);
      await allShow(all, expected);
    }
  },

  'a rule of the application is given all contributions in order': async (subject) => {
    const spread = {
      name: 'spread',
      resolve: (all: readonly { readonly value: number; readonly node: NodeId }[]): number => {
        const ids = all.map(({ node }) => node);
        assert.deepEqual(ids, [...ids].sort());
        const values = all.map(({ value }) => value);
        return Math.max(...values) - Math.min(...values);
      },
    };
    const all = floats(subject, { resolve: spread });
    await Promise.all(all.map((variable, index) => variable.set(index === 0 ? 0.25 : 1)));
    await allShow(all, all.length === 1 ? 0 : 0.75);
  },

  'choices and booleans by majority; what is no choice is refused': async (subject) => {
    const models = subject.nodes.map(({ variables }) =>
      variables.choice('model', { choices: ['small', 'large'], default: 'small' }),
    );
    const flags = subject.nodes.map(({ variables }) => variables.boolean('enabled'));
    await Promise.all(models.map((model) => model.set('large')));
    await Promise.all(flags.map((flag) => flag.set(true)));
    await allShow(models, 'large');
    await allShow(flags, true);
    const [model] = models;
    const error = await failure('OUT_OF_RANGE', () => model?.set('huge' as never));
    assert.deepEqual(error.data['choices'], ['small', 'large']);
  },

  'a choice is left only for one that is better by the threshold': async ({ nodes: [{ variables }] }) => {
    const terms = { choices: ['a', 'b'], default: 'a', threshold: 0.5, cooldownMs: 0 } as const;
    const choice = variables.choice('model', terms);
    await choice.set('b');
    assert.equal(choice.value, 'b');
    await choice.set('a');
    assert.equal(choice.value, 'a');
    const slow = variables.choice('slow', { ...terms, cooldownMs: 86_400_000 });
    await slow.set('b');
    await slow.set('a');
    assert.equal(slow.value, 'b');
  },

  'changes are watched in order and kept': async (subject) => {
    const all = floats(subject);
    const [first] = all as [Variable<number>];
    const last = all.at(-1) as Variable<number>;
    const changes = last.watch()[Symbol.asyncIterator]();
    for (const value of [0.1, 0.2, 0.2, 0.3]) await first.set(value);
    await allShow(all, 0.3);
    const seen: VariableChange<number>[] = [];
    while (seen.at(-1)?.value !== 0.3) seen.push((await changes.next()).value);
    assert.deepEqual(last.history(), seen);
    assert.deepEqual(last.history(1), seen.slice(-1));
    for (const [index, { previous, cause, version }] of seen.entries()) {
      assert.equal(previous, seen[index - 1]?.value ?? 0.7);
      assert.equal(cause, subject.nodes[0].self);
      assert.ok(version > (seen[index - 1]?.version ?? 0));
    }
    const aborter = new AbortController();
    const aborted = last.watch({ signal: aborter.signal })[Symbol.asyncIterator]().next();
    aborter.abort();
    assert.equal((await aborted).done, true);
    await changes.return?.();
    const waiting = last.watch()[Symbol.asyncIterator]().next();
    await subject.stop();
    assert.equal((await waiting).done, true);
  },

  'defining alike gives the same variable, defining differently an error that says how': async ({
    nodes: [{ variables }],
  }) => {
    const variable = variables.float('temperature', { ...temperature, description: 'of sampling' });
    assert.equal(variables.float('temperature', temperature), variable);
    assert.equal(variables.get('temperature'), variable);
    const error = await failure('DEFINITION_CONFLICT', () =>
      variables.float('temperature', { ...temperature, max: 3 }),
    );
    assert.deepEqual(error.data['difference'], [{ field: 'max', here: '3', there: '2' }]);
    await failure('DEFINITION_CONFLICT', () => variables.boolean('temperature'));
    variable[Symbol.dispose]();
    assert.equal(variables.get('temperature'), undefined);
    await failure('STOPPED', () => variable.set(1));
    assert.equal(variables.float('temperature', { ...temperature, max: 3 }).value, 0.7);
  },

  'every wrong field of a definition is named': async ({ nodes: [{ variables }] }) => {
    const wrong = { min: 2, max: 1, default: 5, version: 0, maxWeight: -1, scope: 'world', resolve: 'magic' };
    const error = await failure('INVALID_ARGUMENT', () => variables.float('', wrong as never));
    assert.deepEqual(Object.keys(error.data['fields'] as object).sort(), [
      'max',
      'maxWeight',
      'name',
      'resolve',
      'scope',
      'version',
    ]);
    await failure('INVALID_ARGUMENT', () => variables.float('hot', { ...temperature, default: 3 }));
    await failure('INVALID_ARGUMENT', () => variables.choice('none', { choices: [], default: '' as never }));
    assert.deepEqual(variables.status(), []);
  },

  'a variable of this node alone is not shared': async ({ nodes }) => {
    const all = nodes.map(({ variables }) => variables.float('own', { ...temperature, scope: 'node' }));
    for (const [index, variable] of all.entries()) await variable.set(index / 10);
    assert.deepEqual(
      all.map(({ value }) => value),
      all.map((_, index) => index / 10),
    );
    assert.deepEqual(
      all.map((variable) => variable.contributions().length),
      all.map(() => 1),
    );
  },

  'status tells of each variable': async ({ nodes: [{ variables }] }) => {
    const variable = variables.float('temperature', temperature);
    await variable.set(1);
    const [status] = variables.status();
    assert.equal(variables.status().length, 1);
    assert.deepEqual(
      { ...status, version: 0 },
      {
        name: 'temperature',
        kind: 'float',
        scope: 'cluster',
        sync: 'eventual',
        rule: 'weightedAverageByPerformance',
        definedVersion: 1,
        value: 1,
        version: 0,
        contributions: 1,
        ignored: 0,
        skewMs: 0,
        conflict: undefined,
        affected: 0,
        untold: 0,
      },
    );
  },
};
