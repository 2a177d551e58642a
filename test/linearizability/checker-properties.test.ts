import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { isLinearizable } from './brute-force.ts';
import { checkHistory } from './checker.ts';
import type { History, Operation } from './history.ts';
import { attemptOf, type Model } from './model.ts';
import { lockModel } from './models/lock.ts';
import { nameModel } from './models/name.ts';
import { registerModel } from './models/register.ts';
import { lock, name, plainRegister, planned, register, type Subject, trueRun } from './true-runs.ts';

/** One model with an object it should accept, the types of its operations hidden. */
interface Case {
  readonly title: string;
  acceptsTrueRuns(): void;
  agreesWithBruteForce(): void;
  agreesInTheDark(): void;
  agreesOnNonsense(): void;
  explainsWhatItAccepts(): void;
  holdsWithoutObservers(): void;
  keepsItsPromises(): void;
}

function caseOf<State, Input, Output>(
  title: string,
  model: Model<State, Input, Output>,
  subject: Subject<Input, Output>,
): Case {
  const runs = (maxLength: number): fc.Arbitrary<Operation<Input, Output>[]> =>
    fc.array(planned(subject.input), { maxLength }).map((plans) => trueRun(subject, plans));
  const verdict = (history: History<Input, Output>): string => checkHistory(model, history).verdict;

  /** A true run in which some answers are replaced by any answer. */
  const withWrong = (count: { min: number; max: number }, heard = 8): fc.Arbitrary<Operation<Input, Output>[]> =>
    fc.array(planned(subject.input, heard), { minLength: 2, maxLength: 7 }).chain((plans) => {
      const history = trueRun(subject, plans);
      const answered = history.flatMap(({ outcome }, i) => (outcome.kind === 'ok' ? [i] : []));
      if (answered.length === 0) return fc.constant(history);
      const bounds = {
        minLength: Math.min(count.min, answered.length),
        maxLength: Math.min(count.max, answered.length),
      };
      return fc.shuffledSubarray(answered, bounds).chain((indexes) =>
        fc.tuple(...indexes.map((i) => subject.output(history[i]!.input))).map((outputs) =>
          history.map((operation, i) => {
            const wrong = outputs[indexes.indexOf(i)];
            const { outcome } = operation;
            return wrong === undefined || outcome.kind !== 'ok'
              ? operation
              : { ...operation, outcome: { ...outcome, output: wrong } };
          }),
        ),
      );
    });

  const compare = (histories: fc.Arbitrary<Operation<Input, Output>[]>, numRuns: number): void => {
    const seen = { linearizable: 0, violation: 0 };
    fc.assert(
      fc.property(histories, (history) => {
        const expected = isLinearizable(model, history) ? 'linearizable' : 'violation';
        seen[expected]++;
        expect(verdict(history)).toBe(expected);
      }),
      { numRuns },
    );
    // Either verdict in earnest, or the comparison shows nothing.
    expect(Math.min(seen.linearizable, seen.violation)).toBeGreaterThan(numRuns / 50);
  };

  return {
    title,
    acceptsTrueRuns() {
      fc.assert(
        fc.property(runs(40), (history) => {
          expect(verdict(history)).toBe('linearizable');
        }),
        { numRuns: 400 },
      );
    },
    agreesWithBruteForce: () => compare(withWrong({ min: 1, max: 1 }), 1_000),
    agreesInTheDark: () => compare(withWrong({ min: 1, max: 1 }, 3), 1_500),
    agreesOnNonsense: () => compare(withWrong({ min: 0, max: 7 }), 1_000),
    explainsWhatItAccepts() {
      fc.assert(
        fc.property(runs(20), (history) => {
          for (const key of checkHistory(model, history).keys) {
            if (key.verdict.kind === 'linearizable') expectOrder(model, key.operations, key.verdict.order);
          }
        }),
      );
    },
    holdsWithoutObservers() {
      let removed = 0;
      fc.assert(
        fc.property(withWrong({ min: 0, max: 2 }), (history) => {
          if (!isLinearizable(model, history)) return;
          const effects = history.filter((operation) => !model.observes(attemptOf(operation)));
          removed += history.length - effects.length;
          expect(isLinearizable(model, effects)).toBe(true);
        }),
        { numRuns: 500 },
      );
      expect(removed).toBeGreaterThan(0);
    },
    keepsItsPromises() {
      const run = withWrong({ min: 0, max: 7 });
      fc.assert(
        fc.property(run, run, run, (before, between, [asked]) => {
          if (asked === undefined) return;
          const attempt = attemptOf(asked);
          const state = before.reduce((at, one) => model.step(at, attemptOf(one))[0] ?? at, model.initial('x'));
          const later = between.reduce((at, one) => model.step(at, attemptOf(one))[0] ?? at, state);
          if (model.never?.(state, attempt)) expect(model.step(later, attempt)).toEqual([]);
          if (model.blind?.(attempt))
            expect(model.step(later, attempt)).toEqual(model.step(model.initial('x'), attempt));
        }),
        { numRuns: 500 },
      );
    },
  };
}

/** The order is one: each operation once, none before one that had returned, every answer possible, nobody's answer missing. */
function expectOrder<State, Input, Output>(
  model: Model<State, Input, Output>,
  operations: History<Input, Output>,
  order: History<Input, Output>,
): void {
  expect(new Set(order).size).toBe(order.length);
  const answered = operations.filter(({ outcome }) => outcome.kind === 'ok');
  expect(new Set(order).isSupersetOf(new Set(answered))).toBe(true);
  order.forEach((operation, i) => {
    for (const later of order.slice(i + 1)) {
      expect(attemptOf(later).returnedAt).toBeGreaterThanOrEqual(operation.invokedAt);
    }
  });
  let states: readonly State[] = [model.initial('x')];
  for (const operation of order) states = states.flatMap((state) => model.step(state, attemptOf(operation)));
  expect(states).not.toEqual([]);
}

describe.each([
  caseOf('register with consecutive versions', registerModel({ versions: 'consecutive' }), register),
  caseOf('register with rising versions', registerModel(), register),
  caseOf('register without versions', registerModel({ versions: 'none' }), plainRegister),
  caseOf('register whose versions nobody is told', registerModel(), plainRegister),
  caseOf('lock', lockModel(), lock),
  caseOf('lock with slack', lockModel({ slackMs: 10 }), lock),
  caseOf('exclusive name', nameModel(), name),
])('$title', (one) => {
  it('accepts what happened, whoever overlapped and whatever nobody heard of', () => one.acceptsTrueRuns());
  it('agrees with brute force on runs with one wrong answer', () => one.agreesWithBruteForce());
  it('agrees with brute force where half of the outcomes are unknown', () => one.agreesInTheDark());
  it('agrees with brute force on runs with many', () => one.agreesOnNonsense());
  it('gives an order that explains every answer', () => one.explainsWhatItAccepts());
  it('promises of attempts only what is true', () => one.keepsItsPromises());
  it('calls observers only what changes nothing', () => one.holdsWithoutObservers());
});
