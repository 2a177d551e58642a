/**
 * A lock with leases and fencing tokens.
 *
 * Between a grant and its release, or the end of its lease, nobody else is granted the lock; every grant's token is higher
 * than all before it. When a lease ends is not an operation, so the model asks whether it can have: it knows for each grant the
 * earliest instant it can have happened at (no grant, renewal or release before it was invoked later), and lets the lease
 * end no earlier than that plus its length. A lease may always last longer than it must: that is slow, not wrong.
 *
 * Of a grant nobody heard of, the token is unknown; the state then holds the smallest it can be.
 */
import type { Attempt, Model } from '../model.ts';

/** `owner` names one client for as long as it lives. Without `leaseMs` a lock is held until it is released. */
export type LockInput =
  | { readonly type: 'acquire'; readonly owner: string; readonly leaseMs?: number }
  | { readonly type: 'renew'; readonly owner: string; readonly token?: number; readonly leaseMs?: number }
  | { readonly type: 'release'; readonly owner: string; readonly token?: number }
  | { readonly type: 'holder' };

/**
 * `granted: false` says that somebody held the lock, also at the end of a wait. `renewed: false` and `released: false` say
 * that this owner, with this token, did not hold it (any more).
 */
export type LockOutput =
  | { readonly type: 'acquire'; readonly granted: true; readonly token: number }
  | { readonly type: 'acquire'; readonly granted: false }
  | { readonly type: 'renew'; readonly renewed: boolean }
  | { readonly type: 'release'; readonly released: boolean }
  | { readonly type: 'holder'; readonly owner: string; readonly token?: number }
  | { readonly type: 'holder'; readonly owner: null };

export interface LockState {
  /** The highest token granted; if that one is unknown, the smallest it can be. */
  readonly highest: number;
  readonly holder: LockHolder | undefined;
  /** The grants, renewals and releases so far can have happened by then, and the next cannot happen earlier. */
  readonly now: number;
}

export interface LockHolder {
  readonly owner: string;
  /** Undefined: `highest` or above. */
  readonly token: number | undefined;
  /** The lease may have ended from here on. */
  readonly mayEndAt: number;
}

export interface LockOptions {
  /** How much earlier than its length, on the recording clock, a lease may end: skew and jumps of the agreed time. */
  readonly slackMs?: number;
}

type LockAttempt = Attempt<LockInput, LockOutput>;

export function lockModel({ slackMs = 0 }: LockOptions = {}): Model<LockState, LockInput, LockOutput> {
  const leaseEnd = (now: number, leaseMs: number | undefined): number =>
    leaseMs === undefined ? Number.POSITIVE_INFINITY : now + Math.max(0, leaseMs - slackMs);

  const acquire = (state: LockState, input: LockInput & { type: 'acquire' }, output: LockOutput | undefined) => {
    if (output !== undefined && output.type !== 'acquire') return undefined;
    if (output !== undefined && !output.granted) return state.holder === undefined ? undefined : state;
    const token = output?.token;
    if (token !== undefined && token <= state.highest) return undefined;
    const { now } = freed(state);
    const holder = { owner: input.owner, token, mayEndAt: leaseEnd(now, input.leaseMs) };
    return { highest: token ?? state.highest + 1, holder, now };
  };

  const renew = (state: LockState, input: LockInput & { type: 'renew' }, output: LockOutput | undefined) => {
    // A renewal nobody heard of only keeps the lock longer: whatever is possible with it is possible without.
    if (output?.type !== 'renew') return undefined;
    if (!output.renewed) return withoutHolding(state, input.owner, input.token);
    const held = holding(state, input.owner, input.token);
    if (held === undefined) return undefined;
    return { ...held, holder: { ...held.holder, mayEndAt: leaseEnd(state.now, input.leaseMs) } };
  };

  const after = (state: LockState, { input, output }: LockAttempt): LockState | undefined => {
    if (input.type === 'acquire') return acquire(state, input, output);
    if (input.type === 'renew') return renew(state, input, output);
    if (input.type === 'holder') return watched(state, output);
    return released(state, input, output);
  };

  return {
    name: 'lock',
    initial: () => ({ highest: 0, holder: undefined, now: Number.NEGATIVE_INFINITY }),
    step(state, attempt) {
      // Who only observes does not push the time: its place among the others is then of no consequence.
      const now = observes(attempt) ? state.now : Math.max(state.now, attempt.invokedAt);
      const next = after({ ...state, now }, attempt);
      return next === undefined || next.now > attempt.returnedAt || next.now === Number.POSITIVE_INFINITY ? [] : [next];
    },
    never(state, { output, returnedAt }) {
      if (state.now > returnedAt) return true;
      return output?.type === 'acquire' && output.granted && output.token <= state.highest;
    },
    fingerprint: ({ highest, holder, now }) =>
      JSON.stringify([highest, holder?.owner, holder?.token, String(holder?.mayEndAt), String(now)]),
    observes,
    describe,
    describeState,
  };
}

/** The lock when nobody holds it any more; never, if its holder has no lease. */
function freed(state: LockState): LockState {
  if (state.holder === undefined) return state;
  return { ...state, holder: undefined, now: Math.max(state.now, state.holder.mayEndAt) };
}

/** The state in which this owner holds the lock with this token, or undefined. Pins a token that was open. */
function holding(state: LockState, owner: string, token: number | undefined) {
  const { holder, highest } = state;
  if (holder === undefined || holder.owner !== owner) return undefined;
  if (token === undefined) return { ...state, holder };
  if (holder.token === undefined ? token < highest : token !== holder.token) return undefined;
  return { ...state, highest: token, holder: { ...holder, token } };
}

/** The state in which this owner does not hold the lock with this token: as it is, or after the end of the lease. */
function withoutHolding(state: LockState, owner: string, token: number | undefined): LockState {
  const { holder } = state;
  const certain = token === undefined || holder?.token !== undefined;
  return certain && holding(state, owner, token) !== undefined ? freed(state) : state;
}

function released(
  state: LockState,
  { owner, token }: LockInput & { type: 'release' },
  output: LockOutput | undefined,
): LockState | undefined {
  if (output !== undefined && output.type !== 'release') return undefined;
  if (output !== undefined && !output.released) return withoutHolding(state, owner, token);
  const held = holding(state, owner, token);
  return held === undefined ? undefined : { ...held, holder: undefined };
}

function watched(state: LockState, output: LockOutput | undefined): LockState | undefined {
  if (output?.type !== 'holder') return undefined;
  return output.owner === null ? freed(state) : holding(state, output.owner, output.token);
}

function observes({ input, output }: LockAttempt): boolean {
  if (output?.type === 'acquire') return !output.granted;
  if (output?.type === 'renew') return !output.renewed;
  if (output?.type === 'release') return !output.released;
  return input.type === 'holder';
}

function describe({ input, output }: LockAttempt): string {
  if (input.type === 'holder') {
    if (output?.type !== 'holder') return 'holder → ?';
    if (output.owner === null) return 'holder → nobody';
    return `holder → ${output.owner}${output.token === undefined ? '' : `, token ${output.token}`}`;
  }
  const token = input.type === 'acquire' || input.token === undefined ? '' : ` with token ${input.token}`;
  const lease = input.type === 'release' || input.leaseMs === undefined ? '' : ` for ${input.leaseMs} ms`;
  return `${input.type} by ${input.owner}${token}${lease} → ${describeAnswer(output)}`;
}

function describeAnswer(output: LockOutput | undefined): string {
  if (output?.type === 'acquire') return output.granted ? `granted, token ${output.token}` : 'held by another';
  if (output?.type === 'renew') return output.renewed ? 'renewed' : 'not held';
  if (output?.type === 'release') return output.released ? 'released' : 'not held';
  return '?';
}

function describeState({ highest, holder }: LockState): string {
  if (holder === undefined) return `free, highest token ${highest}`;
  const token = holder.token === undefined ? `a token of ${highest} or higher` : `token ${holder.token}`;
  const end = Number.isFinite(holder.mayEndAt) ? `its lease lasts until ${holder.mayEndAt.toFixed(3)}` : 'no lease';
  return `held by ${holder.owner} with ${token}, ${end}`;
}
