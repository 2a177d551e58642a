/**
 * The search behind the checker: is there an order of one object's operations that its model allows and that agrees with real time?
 *
 * Intuition. Walk through the returns in the order of time. An operation need not take effect before somebody's return
 * requires it, so at each return either its operation has taken effect, or some of the operations open at that moment do,
 * one after the other, that one last. A configuration is the return reached, which open operations have taken effect, and the
 * object's state; what a configuration can still lead to depends on nothing else, so each is visited once.
 *
 * Operations of unknown outcome stay open for ever and never have to take effect. They would double the configurations each;
 * three things keep them cheap. One that changes nothing is not tried. Of those that ask the same only the earliest is. And
 * a configuration that has used more of them than one visited before, and is otherwise equal, can do nothing that the other cannot.
 *
 * Operations that only observe, the most by far, need no search either: one takes effect as soon as its answer is right.
 *
 * The order of the search is best first: the furthest return, but each operation of unknown outcome used counts as some returns less,
 * so that a wrong turn a moment ago is corrected before unknown outcomes are called upon to explain it.
 *
 * Sources: Wing & Gong, "Testing and verifying concurrent objects" (1993), for the search; Lowe, "Testing for
 * linearizability" (2017), for the memory of configurations and just-in-time linearization. Knossos and Porcupine do the same.
 */
import type { History, Operation } from './history.ts';
import { type Attempt, attemptOf, type Model } from './model.ts';

export interface Budget {
  /** Questions to the model: time. */
  readonly maxSteps: number;
  /** Configurations remembered: memory, some hundred bytes each. */
  readonly maxConfigurations: number;
}

export type Verdict<State, Input, Output> =
  /** `order` is one that explains everything; operations of unknown outcome that are not in it need not have happened. */
  | { readonly kind: 'linearizable'; readonly order: History<Input, Output>; readonly steps: number }
  | Violation<State, Input, Output>
  /** The budget is used up; `reached` of `returns` returns could be explained. */
  | { readonly kind: 'undecided'; readonly reached: number; readonly returns: number; readonly steps: number };

export interface Violation<State, Input, Output> {
  readonly kind: 'violation';
  /** The operation that no order could explain, in the attempt that came furthest. */
  readonly blocked: Operation<Input, Output>;
  /** That attempt. */
  readonly order: History<Input, Output>;
  /** Some of the states the object could be in there. */
  readonly states: readonly State[];
  /** Places that every explanation passes through in one and the same state: what lies before can be left out. */
  readonly narrows: readonly Narrow<State, Input, Output>[];
  readonly steps: number;
}

export interface Narrow<State, Input, Output> {
  readonly state: State;
  /** What has not taken effect yet, or need not have. */
  readonly rest: History<Input, Output>;
}

/** How many returns less an operation of unknown outcome counts. A guess; any value gives the same verdicts. */
const unknownCost = 8;
/** States reported with a violation. */
const maxStatesReported = 8;

interface Entry<Input, Output> {
  readonly operation: Operation<Input, Output>;
  readonly attempt: Attempt<Input, Output>;
  readonly observes: boolean;
  readonly blind: boolean;
}

/** Operations that returned, by return; those of unknown outcome, by invocation. */
interface Plan<Input, Output> {
  readonly known: readonly Entry<Input, Output>[];
  readonly unknown: readonly Entry<Input, Output>[];
  /** What is asked by each of `unknown`, as a number. */
  readonly questions: readonly number[];
  /** At each return, the operations of `known` that are invoked and have not returned. */
  readonly open: readonly (readonly number[])[];
  /** At each return, how many of `unknown` are invoked. */
  readonly unknownInvoked: readonly number[];
}

interface Configuration<State, Input, Output> {
  /** The next return, an index into `known`, whose operation has not taken effect. */
  readonly position: number;
  /** Bit i: operation `position + i` of `known` has taken effect. */
  readonly effective: bigint;
  /** Bit i: operation i of `unknown` has taken effect. */
  readonly used: bigint;
  readonly usedCount: number;
  readonly state: State;
  readonly fingerprint: string;
  /** An operation of unknown outcome was the last to take effect: pointless unless the next depends on it. */
  readonly isGuess: boolean;
  readonly last: Operation<Input, Output> | undefined;
  readonly before: Configuration<State, Input, Output> | undefined;
}

interface Task<State, Input, Output> {
  readonly configuration: Configuration<State, Input, Output>;
  readonly tries: 'known' | 'unknown';
}

/** Searches one object's history, from `initial`. Operations that certainly failed are no part of it. */
export function search<State, Input, Output>(
  model: Model<State, Input, Output>,
  operations: History<Input, Output>,
  initial: State,
  budget: Budget,
): Verdict<State, Input, Output> {
  return new Search(model, planOf(model, operations), budget).run(initial);
}

function planOf<State, Input, Output>(
  model: Model<State, Input, Output>,
  operations: History<Input, Output>,
): Plan<Input, Output> {
  const entries = operations.map((operation) => {
    const attempt = attemptOf(operation);
    return { operation, attempt, observes: model.observes(attempt), blind: model.blind?.(attempt) ?? false };
  });
  const known = entries
    .filter(({ operation }) => operation.outcome.kind === 'ok')
    .toSorted((a, b) => a.attempt.returnedAt - b.attempt.returnedAt);
  const unknown = entries
    .filter(({ operation }) => operation.outcome.kind === 'info')
    .toSorted((a, b) => a.attempt.invokedAt - b.attempt.invokedAt);
  const invocations = known.map((_, i) => i).toSorted((a, b) => invokedAt(known, a) - invokedAt(known, b));

  const open: number[][] = [];
  const unknownInvoked: number[] = [];
  let invoked = 0;
  let unknowns = 0;
  let current: number[] = [];
  known.forEach(({ attempt }, position) => {
    // Equal times count as overlapping: the clock does not tell which came first.
    for (; invoked < known.length && invokedAt(known, invocations[invoked]!) <= attempt.returnedAt; invoked++) {
      current.push(invocations[invoked]!);
    }
    while (unknowns < unknown.length && invokedAt(unknown, unknowns) <= attempt.returnedAt) unknowns++;
    open.push(current);
    unknownInvoked.push(unknowns);
    current = current.filter((index) => index !== position);
  });

  const numbers = new Map<string, number>();
  const questions = unknown.map(({ operation }) => {
    const text = JSON.stringify(operation.input);
    if (!numbers.has(text)) numbers.set(text, numbers.size);
    return numbers.get(text)!;
  });
  return { known, unknown, questions, open, unknownInvoked };
}

const invokedAt = (entries: readonly Entry<unknown, unknown>[], index: number): number =>
  entries[index]!.attempt.invokedAt;

class Search<State, Input, Output> {
  readonly #model: Model<State, Input, Output>;
  readonly #plan: Plan<Input, Output>;
  readonly #budget: Budget;
  readonly #tasks = new TaskQueue<Task<State, Input, Output>>();
  /** By everything but `used`: the smallest sets of used operations it was visited with. */
  readonly #visited = new Map<string, bigint[]>();
  readonly #furthest: Configuration<State, Input, Output>[] = [];
  readonly #passages: Passages<Configuration<State, Input, Output>>;
  #done: Configuration<State, Input, Output> | undefined;
  #steps = 0;
  #configurations = 0;

  constructor(model: Model<State, Input, Output>, plan: Plan<Input, Output>, budget: Budget) {
    this.#model = model;
    this.#plan = plan;
    this.#budget = budget;
    this.#passages = new Passages(plan.known.length);
  }

  run(initial: State): Verdict<State, Input, Output> {
    this.#enter({
      position: 0,
      effective: 0n,
      used: 0n,
      usedCount: 0,
      state: initial,
      fingerprint: this.#model.fingerprint(initial),
      isGuess: false,
      last: undefined,
      before: undefined,
    });
    while (this.#done === undefined) {
      const task = this.#tasks.pop();
      if (task === undefined) return this.#violation();
      if (this.#steps >= this.#budget.maxSteps || this.#configurations >= this.#budget.maxConfigurations) {
        const reached = this.#furthest[0]?.position ?? 0;
        return { kind: 'undecided', reached, returns: this.#plan.known.length, steps: this.#steps };
      }
      if (task.tries === 'known') this.#tryKnown(task.configuration);
      else this.#tryUnknown(task.configuration);
    }
    return { kind: 'linearizable', order: orderOf(this.#done), steps: this.#steps };
  }

  #tryKnown(from: Configuration<State, Input, Output>): void {
    const { known, open, unknownInvoked } = this.#plan;
    const candidates = open[from.position]!.filter(
      (index) => (from.effective & (1n << BigInt(index - from.position))) === 0n,
    );
    if (from.usedCount < unknownInvoked[from.position]!) this.#plant(from, 'unknown');
    // Pushed last is tried first: in the order of invocation, as most objects go about it.
    for (const index of candidates.toReversed()) {
      const { operation, attempt, blind } = known[index]!;
      if (from.isGuess && blind) continue;
      for (const [state, fingerprint] of this.#step(from.state, attempt)) {
        const { position, used, usedCount } = from;
        const effective = from.effective | (1n << BigInt(index - position));
        this.#arrive({
          position,
          effective,
          used,
          usedCount,
          state,
          fingerprint,
          isGuess: false,
          last: operation,
          before: from,
        });
      }
    }
  }

  #tryUnknown(from: Configuration<State, Input, Output>): void {
    const { unknown, questions, unknownInvoked } = this.#plan;
    const asked = new Set<number>();
    for (let index = 0; index < unknownInvoked[from.position]!; index++) {
      const bit = 1n << BigInt(index);
      if ((from.used & bit) !== 0n || asked.has(questions[index]!)) continue;
      asked.add(questions[index]!);
      const { operation, attempt, blind } = unknown[index]!;
      if (from.isGuess && blind) continue;
      for (const [state, fingerprint] of this.#step(from.state, attempt)) {
        if (fingerprint === from.fingerprint) continue;
        const used = from.used | bit;
        const usedCount = from.usedCount + 1;
        this.#arrive({ ...from, used, usedCount, state, fingerprint, isGuess: true, last: operation, before: from });
      }
    }
  }

  #step(state: State, attempt: Attempt<Input, Output>): (readonly [State, string])[] {
    this.#steps++;
    return this.#model.step(state, attempt).map((next) => [next, this.#model.fingerprint(next)] as const);
  }

  #arrive(reached: Configuration<State, Input, Output>): void {
    if (!this.#isHopeless(reached)) this.#enter(reached);
  }

  #enter(reached: Configuration<State, Input, Output>): void {
    const configuration = this.#settle(reached);
    this.#passages.note(reached.before?.position ?? -1, configuration);
    if (configuration.position === this.#plan.known.length) {
      this.#done ??= configuration;
      return;
    }
    if (!this.#isNew(configuration)) return;
    this.#configurations++;
    const furthest = this.#furthest[0]?.position ?? -1;
    if (configuration.position > furthest) this.#furthest.length = 0;
    if (configuration.position >= furthest && this.#furthest.length < maxStatesReported) {
      this.#furthest.push(configuration);
    }
    this.#plant(configuration, 'known');
  }

  /** An open operation can take effect neither now nor later. */
  #isHopeless({ position, effective, state }: Configuration<State, Input, Output>): boolean {
    const { known, open } = this.#plan;
    return open[position]!.some((index) => {
      if ((effective & (1n << BigInt(index - position))) !== 0n) return false;
      return this.#model.never?.(state, known[index]!.attempt) ?? false;
    });
  }

  /**
   * Goes on to the next return whose operation has not taken effect. On the way, every open operation that only observes, and can
   * answer as it did in this very state, does so now: whatever works when it answers later works when it has answered already.
   */
  #settle(from: Configuration<State, Input, Output>): Configuration<State, Input, Output> {
    const { known, open } = this.#plan;
    let { position, effective, isGuess, last, before } = from;
    for (; ; effective >>= 1n, position++) {
      for (const index of open[position] ?? []) {
        const bit = 1n << BigInt(index - position);
        const { attempt, operation, observes } = known[index]!;
        if (!observes || (effective & bit) !== 0n) continue;
        if (!this.#step(from.state, attempt).some(([, fingerprint]) => fingerprint === from.fingerprint)) continue;
        before = { ...from, position, effective, isGuess, last, before };
        isGuess = false;
        last = operation;
        effective |= bit;
      }
      if ((effective & 1n) === 0n) return { ...from, position, effective, isGuess, last, before };
    }
  }

  /** False when one was here before that could do all that this one can. */
  #isNew({ position, effective, used, fingerprint, isGuess }: Configuration<State, Input, Output>): boolean {
    const name = `${position} ${effective.toString(36)} ${fingerprint}`;
    const covered = (sets: readonly bigint[] | undefined): boolean =>
      sets?.some((set) => (set & used) === set) ?? false;
    if (covered(this.#visited.get(name))) return false;
    // After a guess less is tried, so that it must not stand for a configuration reached otherwise.
    const ownName = isGuess ? `${name}?` : name;
    const sets = this.#visited.get(ownName) ?? [];
    if (isGuess && covered(sets)) return false;
    this.#visited.set(ownName, [...sets.filter((set) => (set & used) !== used), used]);
    return true;
  }

  #plant(configuration: Configuration<State, Input, Output>, tries: Task<State, Input, Output>['tries']): void {
    const spent = configuration.usedCount + (tries === 'unknown' ? 1 : 0);
    const spare = this.#plan.unknown.length - spent;
    this.#tasks.push(configuration.position + unknownCost * spare, { configuration, tries });
  }

  #violation(): Violation<State, Input, Output> {
    const { known, unknown } = this.#plan;
    const [first] = this.#furthest;
    const states = new Map(this.#furthest.map(({ fingerprint, state }) => [fingerprint, state]));
    const narrows = this.#passages.only(first!.position).map(({ state, position, effective }) => ({
      state,
      rest: [
        ...known.filter((_, i) => i >= position && (effective & (1n << BigInt(i - position))) === 0n),
        ...unknown,
      ].map(({ operation }) => operation),
    }));
    return {
      kind: 'violation',
      blocked: known[first!.position]!.operation,
      order: orderOf(first!),
      states: [...states.values()],
      narrows,
      steps: this.#steps,
    };
  }
}

function orderOf<State, Input, Output>(end: Configuration<State, Input, Output>): Operation<Input, Output>[] {
  const order: Operation<Input, Output>[] = [];
  for (let at: typeof end | undefined = end; at !== undefined; at = at.before) {
    if (at.last !== undefined) order.push(at.last);
  }
  return order.reverse();
}

interface Passing {
  readonly position: number;
  readonly effective: bigint;
  readonly fingerprint: string;
}

/** Which returns the whole search passed in one way only: same state, same operations in effect. */
class Passages<Configuration extends Passing> {
  readonly #at: (Configuration | 'many' | undefined)[];

  constructor(returns: number) {
    this.#at = new Array(returns).fill(undefined);
  }

  /** A step led from `from`, exclusive, to where `to` is. */
  note(from: number, to: Configuration): void {
    for (let position = from + 1; position < to.position && position < this.#at.length; position++) {
      this.#at[position] = 'many';
    }
    if (to.position <= from || to.position >= this.#at.length) return;
    const other = this.#at[to.position];
    if (other === 'many') return;
    const same = other === undefined || (other.effective === to.effective && other.fingerprint === to.fingerprint);
    this.#at[to.position] = same ? to : 'many';
  }

  /** Latest first. */
  only(upTo: number): Configuration[] {
    return this.#at
      .slice(0, upTo + 1)
      .filter((passing) => passing !== undefined && passing !== 'many')
      .reverse();
  }
}

/** Highest priority first, of equals the latest. Priorities are small whole numbers, at least 0. */
class TaskQueue<Task> {
  readonly #buckets: (Task[] | undefined)[] = [];
  #highest = -1;

  push(priority: number, task: Task): void {
    const bucket = this.#buckets[priority];
    if (bucket === undefined) this.#buckets[priority] = [task];
    else bucket.push(task);
    this.#highest = Math.max(this.#highest, priority);
  }

  pop(): Task | undefined {
    for (; this.#highest >= 0; this.#highest--) {
      const task = this.#buckets[this.#highest]?.pop();
      if (task !== undefined) return task;
    }
    return undefined;
  }
}
