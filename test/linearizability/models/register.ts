/**
 * A register with versions and compare-and-set: one key of a map. Absent is `null`, and its version is 0 until it is
 * written for the first time; deleting is writing `null`.
 *
 * Whoever leaves a version out of an output says nothing about it. Where versions only rise (say, they are the
 * sequence of the ordered log), a write of unknown outcome has an unknown version: the state then holds the smallest it can be.
 */
import type { Attempt, Model } from '../model.ts';

export type RegisterInput =
  | { readonly type: 'read' }
  | { readonly type: 'write'; readonly value: string | null }
  /** Swaps when everything named is as expected. */
  | { readonly type: 'cas'; readonly expected: Expected; readonly value: string | null };

export interface Expected {
  readonly value?: string | null;
  readonly version?: number;
}

export type RegisterOutput =
  | { readonly type: 'read'; readonly value: string | null; readonly version?: number }
  | { readonly type: 'write'; readonly version?: number }
  /** Of a swap, the new version; of a refusal, the version and value that stood in the way. */
  | { readonly type: 'cas'; readonly swapped: true; readonly version?: number }
  | { readonly type: 'cas'; readonly swapped: false; readonly version?: number; readonly value?: string | null };

export interface RegisterState {
  readonly value: string | null;
  readonly version: number;
  /** False: the version is this one or a higher one. */
  readonly exact: boolean;
}

export interface RegisterOptions {
  /**
   * `consecutive`: every write adds one. `rising` (the default): every write's version is higher than the last. `none`: nobody
   * is told versions nor asks for one; the check is then faster.
   */
  readonly versions?: 'consecutive' | 'rising' | 'none';
  /** What every key holds at first; absent unless said. */
  readonly initial?: { readonly value: string | null; readonly version: number };
}

type RegisterAttempt = Attempt<RegisterInput, RegisterOutput>;

export function registerModel(options: RegisterOptions = {}): Model<RegisterState, RegisterInput, RegisterOutput> {
  const consecutive = options.versions === 'consecutive';
  const unversioned = options.versions === 'none';
  const first: RegisterState = { ...(options.initial ?? { value: null, version: 0 }), exact: true };

  const written = (state: RegisterState, value: string | null, version: number | undefined): RegisterState[] => {
    if (unversioned) return [{ ...state, value }];
    const lowest = state.version + 1;
    if (version === undefined) return [{ value, version: lowest, exact: consecutive }];
    const possible = consecutive ? version === lowest : version >= lowest;
    return possible ? [{ value, version, exact: true }] : [];
  };

  const cas = (
    state: RegisterState,
    input: RegisterInput & { type: 'cas' },
    output: RegisterOutput | undefined,
  ): RegisterState[] => {
    if (output === undefined || (output.type === 'cas' && output.swapped)) {
      const before = seen(state, input.expected);
      return before === undefined ? [] : written(before, input.value, output?.version);
    }
    if (output.type !== 'cas') return [];
    const after = seen(state, output);
    return after !== undefined && mayDiffer(after, input.expected) ? [after] : [];
  };

  return {
    name: 'register',
    initial: () => first,
    step(state, { input, output }) {
      if (output !== undefined && output.type !== input.type) return [];
      if (input.type === 'cas') return cas(state, input, output);
      if (input.type === 'write') return written(state, input.value, output?.version);
      if (output?.type !== 'read') return [];
      const after = seen(state, output);
      return after === undefined ? [] : [after];
    },
    never(state, attempt) {
      const version = attempt.output?.version;
      return version !== undefined && (observes(attempt) ? version < state.version : version <= state.version);
    },
    fingerprint: ({ value, version, exact }) => JSON.stringify([value, version, exact]),
    observes,
    describe,
    blind: ({ input }) => unversioned && input.type === 'write',
    describeState: ({ value, version, exact }) =>
      unversioned ? show(value) : `${show(value)}, version ${version}${exact ? '' : ' or higher'}`,
  };
}

/** The state in which `expected` is what one sees, or undefined. Pins a version that was open. */
function seen(state: RegisterState, expected: Expected): RegisterState | undefined {
  const { value, version } = expected;
  if (value !== undefined && value !== state.value) return undefined;
  if (version === undefined) return state;
  if (state.exact ? version !== state.version : version < state.version) return undefined;
  return { value: state.value, version, exact: true };
}

function mayDiffer(state: RegisterState, { value, version }: Expected): boolean {
  if (value !== undefined && value !== state.value) return true;
  return version !== undefined && !(state.exact && state.version === version);
}

function observes({ input, output }: RegisterAttempt): boolean {
  return input.type === 'read' || (output?.type === 'cas' && !output.swapped);
}

function describe({ input, output }: RegisterAttempt): string {
  const version = output?.version === undefined ? '' : `, version ${output.version}`;
  if (input.type === 'read') {
    return output?.type === 'read' ? `read → ${show(output.value)}${version}` : 'read → ?';
  }
  if (input.type === 'write') return `write ${show(input.value)} → ${output === undefined ? '?' : `done${version}`}`;
  const { expected } = input;
  const conditions = [
    ...(expected.value === undefined ? [] : [show(expected.value)]),
    ...(expected.version === undefined ? [] : [`version ${expected.version}`]),
  ];
  const asked = `compare-and-set ${conditions.join(', ') || 'anything'} to ${show(input.value)}`;
  if (output?.type !== 'cas') return `${asked} → ?`;
  if (output.swapped) return `${asked} → swapped${version}`;
  return `${asked} → refused${output.value === undefined ? '' : `, it is ${show(output.value)}`}${version}`;
}

const show = (value: string | null): string => (value === null ? 'absent' : JSON.stringify(value));
