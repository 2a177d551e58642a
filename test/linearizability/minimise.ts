/**
 * Shrinks a history that is no history of its object to the few operations that contradict each other.
 *
 * Leaving out any operation and looking whether the rest still fails would mislead: without the write, its reader looks like the
 * culprit. So only steps are taken after which a contradiction is still one of the whole history: what came after the contradiction
 * goes; an operation that changes nothing goes; what lies before a place that every explanation passes in the same state is replaced
 * by that state; and of any other operation only the answer and the time of its return are given up, as if its outcome were unknown.
 * If the history then fails still, it fails whether or not that operation ever took effect.
 *
 * The chunks that are tried shrink as in Zeller & Hildebrandt, "Simplifying and isolating failure-inducing input" (2002).
 */
import { defaultBudget } from './checker.ts';
import type { History, Operation } from './history.ts';
import { attemptOf, type Model } from './model.ts';
import { type Budget, search, type Violation } from './search.ts';

export interface MinimiseOptions {
  /** Of each try; a try that exceeds it counts as no contradiction. */
  readonly budget?: Budget;
  /** Of all tries together; after that the smallest contradiction found so far has to do. */
  readonly maxSteps?: number;
}

/** A contradiction between few operations. */
export interface Contradiction<State, Input, Output> {
  /** The object's state before them. */
  readonly start: State;
  /** True when `start` is not the object's first state but what operations left out led to. */
  readonly startsLater: boolean;
  /** No order of these explains their answers. */
  readonly core: History<Input, Output>;
  /** They may take effect at any time after their invocation, or never, and it still does not help; the reader needs them to see why. */
  readonly context: History<Input, Output>;
  /** Operations of the history that are in neither. */
  readonly leftOut: number;
  /** How far `core` and `context` can be explained. */
  readonly violation: Violation<State, Input, Output>;
}

const defaultOptions: Required<MinimiseOptions> = {
  budget: { maxSteps: 100_000, maxConfigurations: 50_000 },
  maxSteps: 5_000_000,
};

/** Returns that are kept before the contradiction when what is older is replaced by its state. */
const keptBefore = 20;

interface Candidate<State, Input, Output> {
  readonly start: State;
  readonly core: History<Input, Output>;
  readonly context: History<Input, Output>;
}

/** The contradiction in one object's operations; undefined when `checkHistory` finds none within its usual budget. */
export function minimise<State, Input, Output>(
  model: Model<State, Input, Output>,
  operations: History<Input, Output>,
  options: MinimiseOptions = {},
): Contradiction<State, Input, Output> | undefined {
  return new Minimiser(model, { ...defaultOptions, ...options }).run(operations);
}

class Minimiser<State, Input, Output> {
  readonly #model: Model<State, Input, Output>;
  readonly #options: Required<MinimiseOptions>;
  #steps = 0;

  constructor(model: Model<State, Input, Output>, options: Required<MinimiseOptions>) {
    this.#model = model;
    this.#options = options;
  }

  run(operations: History<Input, Output>): Contradiction<State, Input, Output> | undefined {
    const first = this.#model.initial(operations[0]?.key ?? '');
    const whole: Candidate<State, Input, Output> = {
      start: first,
      core: operations.filter(({ outcome }) => outcome.kind === 'ok'),
      context: operations.filter(({ outcome }) => outcome.kind === 'info'),
    };
    const found = this.#contradiction(whole, true);
    if (found === undefined) return undefined;
    const near = this.#fromLaterState(whole, found.narrows);
    const ended = this.#withoutLater(near, found);
    const effects = this.#withoutObservers(ended);
    const later = this.#fromLaterState(effects, this.#contradiction(effects)?.narrows ?? []);
    const small = this.#withoutAnswers(later);
    const { start, core, context } = this.#withoutContext(small);
    const violation = this.#contradiction({ start, core, context }, true)!;
    const leftOut = operations.length - core.length - context.length;
    return { start, startsLater: near !== whole || later !== effects, core, context, leftOut, violation };
  }

  /** The violation this candidate is, unless it takes too much to find out. */
  #contradiction(
    { start, core, context }: Candidate<State, Input, Output>,
    always = false,
  ): Violation<State, Input, Output> | undefined {
    if (this.#steps >= this.#options.maxSteps && !always) return undefined;
    const budget = always ? defaultBudget : this.#options.budget;
    const verdict = search(this.#model, [...core, ...context.map(unanswered)], start, budget);
    this.#steps += verdict.steps;
    return verdict.kind === 'violation' ? verdict : undefined;
  }

  /** Nothing after the return of the blocked operation can have caused it. */
  #withoutLater(
    candidate: Candidate<State, Input, Output>,
    { blocked }: Violation<State, Input, Output>,
  ): Candidate<State, Input, Output> {
    const end = attemptOf(blocked).returnedAt;
    const before = candidate.core.filter(({ invokedAt }) => invokedAt <= end);
    const context = candidate.context.filter(({ invokedAt }) => invokedAt <= end);
    const returned = before.filter((operation) => attemptOf(operation).returnedAt <= end);
    const pending = before.filter((one) => attemptOf(one).returnedAt > end && !this.#model.observes(attemptOf(one)));
    const tries = [
      { ...candidate, core: returned, context: [...context, ...pending] },
      { ...candidate, core: before, context },
    ];
    return tries.find((one) => this.#contradiction(one) !== undefined) ?? candidate;
  }

  #withoutObservers(candidate: Candidate<State, Input, Output>): Candidate<State, Input, Output> {
    const observes = (operation: Operation<Input, Output>): boolean => this.#model.observes(attemptOf(operation));
    const context = candidate.context.filter((operation) => !this.#model.observes(attemptOf(unanswered(operation))));
    const observers = candidate.core.filter(observes);
    const kept = reduce(observers, (some) => {
      const core = candidate.core.filter((operation) => !observes(operation) || some.has(operation));
      return this.#contradiction({ ...candidate, core, context }) !== undefined;
    });
    return { ...candidate, core: candidate.core.filter((one) => !observes(one) || kept.has(one)), context };
  }

  #fromLaterState(
    candidate: Candidate<State, Input, Output>,
    narrows: Violation<State, Input, Output>['narrows'],
  ): Candidate<State, Input, Output> {
    const isCore = new Set(candidate.core);
    for (const { state, rest } of narrows) {
      // The search was given copies of the context, and the originals of the core.
      const core = rest.filter((operation) => isCore.has(operation));
      if (core.length < keptBefore || core.length === candidate.core.length) continue;
      const shorter = { ...candidate, start: state, core };
      if (this.#contradiction(shorter) !== undefined) return shorter;
    }
    return candidate;
  }

  #withoutAnswers(candidate: Candidate<State, Input, Output>): Candidate<State, Input, Output> {
    const split = (some: ReadonlySet<Operation<Input, Output>>): Candidate<State, Input, Output> => ({
      ...candidate,
      core: candidate.core.filter((operation) => some.has(operation)),
      context: [...candidate.context, ...candidate.core.filter((operation) => !some.has(operation))],
    });
    return split(reduce(candidate.core, (some) => this.#contradiction(split(some)) !== undefined));
  }

  /** Context is for the reader: it goes where the search gets as far without it. */
  #withoutContext(candidate: Candidate<State, Input, Output>): Candidate<State, Input, Output> {
    const whole = this.#contradiction(candidate, true)!;
    const kept = reduce(candidate.context, (some) => {
      const context = candidate.context.filter((operation) => some.has(operation));
      return this.#contradiction({ ...candidate, context })?.blocked === whole.blocked;
    });
    return { ...candidate, context: candidate.context.filter((operation) => kept.has(operation)) };
  }
}

function unanswered<Input, Output>(operation: Operation<Input, Output>): Operation<Input, Output> {
  return { ...operation, outcome: { kind: 'info' } };
}

/** A subset of `items` for which `holds` is true and of which nothing more can be taken away, one by one. */
function reduce<Item>(items: readonly Item[], holds: (some: ReadonlySet<Item>) => boolean): ReadonlySet<Item> {
  let kept = [...items];
  let size = kept.length;
  while (size >= 1) {
    const before = kept.length;
    for (let start = 0; start < kept.length; ) {
      const rest = kept.toSpliced(start, size);
      if (holds(new Set(rest))) kept = rest;
      else start += size;
    }
    // Once more with single ones for as long as that helps: what could not go before may go now.
    size = size === 1 && kept.length < before ? 1 : Math.floor(size / 2);
  }
  return new Set(kept);
}
