/** Checks a history against a model, one key after the other; search.ts has the algorithm. */
import { assertWellFormed, byKey, type History } from './history.ts';
import type { Model } from './model.ts';
import { type Budget, search, type Verdict } from './search.ts';

/** Some seconds and some hundred megabytes for each key at worst. */
export const defaultBudget: Budget = { maxSteps: 5_000_000, maxConfigurations: 500_000 };

export interface Report<State, Input, Output> {
  /** A violation of one key is one of the history; else one undecided key leaves it undecided. */
  readonly verdict: Verdict<State, Input, Output>['kind'];
  readonly keys: readonly KeyReport<State, Input, Output>[];
  /** Operations looked at, of all keys. */
  readonly operations: number;
  /** Questions to the model, over all keys. */
  readonly steps: number;
}

export interface KeyReport<State, Input, Output> {
  readonly key: string;
  readonly operations: History<Input, Output>;
  readonly verdict: Verdict<State, Input, Output>;
}

/**
 * Whether every key's operations could have happened one after the other, each between its invocation and its return. The budget
 * is for each key. Throws when the record is not a history (see `assertWellFormed`).
 *
 * @example
 * const report = checkHistory(lockModel({ slackMs: 50 }), historyFromEvents(events));
 * if (report.verdict === 'violation') {
 *   for (const key of report.keys) if (key.verdict.kind === 'violation') print(explain(lockModel({ slackMs: 50 }), key));
 * }
 */
export function checkHistory<State, Input, Output>(
  model: Model<State, Input, Output>,
  history: History<Input, Output>,
  budget: Partial<Budget> = {},
): Report<State, Input, Output> {
  assertWellFormed(history);
  const keys = [...byKey(history)].map(([key, operations]) => ({
    key,
    operations,
    verdict: search(model, operations, model.initial(key), { ...defaultBudget, ...budget }),
  }));
  const kinds = new Set(keys.map(({ verdict }) => verdict.kind));
  const verdict = kinds.has('violation') ? 'violation' : kinds.has('undecided') ? 'undecided' : 'linearizable';
  const steps = keys.reduce((sum, key) => sum + key.verdict.steps, 0);
  return { verdict, keys, operations: history.length, steps };
}
