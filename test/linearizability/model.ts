import type { Operation } from './history.ts';

/** An operation as a model sees it. */
export interface Attempt<Input, Output> {
  readonly input: Input;
  /** Undefined when nobody knows. */
  readonly output: Output | undefined;
  readonly invokedAt: number;
  /** Infinity when nobody knows. */
  readonly returnedAt: number;
}

/**
 * What an object does when operations come one after the other.
 *
 * A model may look at an attempt's times (a lease may end no earlier than it was granted, plus its length), but only
 * such that earlier invocations and later returns allow more.
 */
export interface Model<State, Input, Output> {
  readonly name: string;
  initial(key: string): State;
  /**
   * Every state the object can be in after this attempt; empty when it cannot answer so. With an unknown output: every
   * state the attempt can bring about. One that leaves all as it was may be left out, since it may also never happen.
   */
  step(state: State, attempt: Attempt<Input, Output>): readonly State[];
  /** Equal for equal states only. */
  fingerprint(state: State): string;
  /** True only when the attempt is impossible in this state and in every one that can follow: cuts the search short. */
  never?(state: State, attempt: Attempt<Input, Output>): boolean;
  /** True only when the attempt is possible in every state and leaves the same one behind: a write. Cuts the search short. */
  blind?(attempt: Attempt<Input, Output>): boolean;
  /** True only when whatever is possible after this attempt is possible without it, too: a read, a refusal. */
  observes(attempt: Attempt<Input, Output>): boolean;
  describe(attempt: Attempt<Input, Output>): string;
  describeState(state: State): string;
}

export function attemptOf<Input, Output>(operation: Operation<Input, Output>): Attempt<Input, Output> {
  const { input, invokedAt, outcome } = operation;
  const known = outcome.kind === 'ok';
  return {
    input,
    output: known ? outcome.output : undefined,
    invokedAt,
    returnedAt: known ? outcome.at : Number.POSITIVE_INFINITY,
  };
}
