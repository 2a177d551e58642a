/** Linearizability by its definition, for small histories: every order is tried, and nothing is remembered. */
import type { History } from './history.ts';
import { attemptOf, type Model } from './model.ts';

export function isLinearizable<State, Input, Output>(
  model: Model<State, Input, Output>,
  history: History<Input, Output>,
): boolean {
  const continues = (state: State, rest: History<Input, Output>): boolean => {
    const mustHappen = rest.filter(({ outcome }) => outcome.kind === 'ok');
    if (mustHappen.length === 0) return true;
    return rest.some((next) => {
      const tooLate = mustHappen.some((other) => attemptOf(other).returnedAt < next.invokedAt);
      if (tooLate) return false;
      const others = rest.filter((operation) => operation !== next);
      return model.step(state, attemptOf(next)).some((after) => continues(after, others));
    });
  };
  return continues(
    model.initial(history[0]?.key ?? ''),
    history.filter(({ outcome }) => outcome.kind !== 'failed'),
  );
}
