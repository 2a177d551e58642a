/**
 * An exclusive name: at most one owner, from the claim that was accepted until that owner releases it. Who holds it is refused a
 * second claim like everybody else. Grants may carry a fencing token, higher each time.
 *
 * A name that is freed because its owner's node died is a release by that owner of unknown outcome, invoked when the node was
 * killed: the driver records one.
 */
import type { Attempt, Model } from '../model.ts';

export type NameInput =
  | { readonly type: 'claim'; readonly owner: string }
  | { readonly type: 'release'; readonly owner: string }
  | { readonly type: 'lookup' };

export type NameOutput =
  | { readonly type: 'claim'; readonly claimed: true; readonly token?: number }
  /** `holder` is who has it, where the answer says so. */
  | { readonly type: 'claim'; readonly claimed: false; readonly holder?: string }
  /** False: this owner did not hold it. */
  | { readonly type: 'release'; readonly released: boolean }
  | { readonly type: 'lookup'; readonly owner: string | null };

export interface NameState {
  readonly owner: string | null;
  /** The highest token known to be granted. */
  readonly highest: number;
}

type NameAttempt = Attempt<NameInput, NameOutput>;

export function nameModel(): Model<NameState, NameInput, NameOutput> {
  return {
    name: 'exclusive name',
    initial: () => ({ owner: null, highest: 0 }),
    step(state, attempt) {
      const next = after(state, attempt);
      return next === undefined ? [] : [next];
    },
    never: ({ highest }, { output }) =>
      output?.type === 'claim' && output.claimed && output.token !== undefined && output.token <= highest,
    fingerprint: ({ owner, highest }) => JSON.stringify([owner, highest]),
    observes: ({ input, output }) =>
      input.type === 'lookup' ||
      (output?.type === 'claim' && !output.claimed) ||
      (output?.type === 'release' && !output.released),
    describe,
    describeState: ({ owner, highest }) =>
      `${owner === null ? 'free' : `owned by ${owner}`}${highest === 0 ? '' : `, highest known token ${highest}`}`,
  };
}

function after(state: NameState, { input, output }: NameAttempt): NameState | undefined {
  if (output !== undefined && output.type !== input.type) return undefined;
  if (input.type === 'claim') return claimed(state, input.owner, output);
  if (input.type === 'lookup') return output?.type === 'lookup' && output.owner === state.owner ? state : undefined;
  if (output?.type === 'release' && !output.released) return state.owner === input.owner ? undefined : state;
  return state.owner === input.owner ? { ...state, owner: null } : undefined;
}

function claimed(state: NameState, owner: string, output: NameOutput | undefined): NameState | undefined {
  if (output?.type === 'claim' && !output.claimed) {
    const { holder } = output;
    return state.owner !== null && (holder === undefined || holder === state.owner) ? state : undefined;
  }
  if (state.owner !== null) return undefined;
  const token = output?.type === 'claim' ? output.token : undefined;
  if (token === undefined) return { owner, highest: state.highest };
  return token > state.highest ? { owner, highest: token } : undefined;
}

function describe({ input, output }: NameAttempt): string {
  if (input.type === 'lookup') return `lookup → ${output?.type === 'lookup' ? (output.owner ?? 'nobody') : '?'}`;
  return `${input.type} by ${input.owner} → ${describeAnswer(output)}`;
}

function describeAnswer(output: NameOutput | undefined): string {
  if (output?.type === 'release') return output.released ? 'released' : 'not held';
  if (output?.type !== 'claim') return '?';
  if (output.claimed) return `claimed${output.token === undefined ? '' : `, token ${output.token}`}`;
  return `taken${output.holder === undefined ? '' : ` by ${output.holder}`}`;
}
