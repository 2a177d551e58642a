/**
 * Asks the policy of this node whether an attempt may be made, and goes to the fallbacks of an open breaker when not.
 *
 * A refusal by a breaker sent nothing, so another agent may be tried at once; so may it after a fallback that never saw the message.
 * A fallback that ran, or may have run, has given the answer, also when that is a failure: nobody else is asked to do it again.
 */
import { isQuorateError, QuorateError } from '../../errors.ts';
import type { AgentId } from '../../value.ts';
import type { AttemptEnd, AttemptInfo, CallPolicy } from './call-policy.ts';
import type { Outgoing } from './outgoing.ts';

/** Agents tried in place of one whose breaker is open. */
const maxFallbacks = 16;

/** An attempt made for a handler that runs, whose cancellation reaches those who wait for their turn; or one at a fallback. */
class SpecialAttempt implements AttemptInfo {
  readonly #outgoing: Outgoing;
  readonly insteadOf: unknown;
  #signal: AbortSignal | undefined;

  constructor(outgoing: Outgoing, insteadOf: unknown) {
    this.#outgoing = outgoing;
    this.insteadOf = insteadOf;
  }

  get agent(): AgentId {
    return this.#outgoing.agent;
  }

  get method(): string {
    return this.#outgoing.method;
  }

  get deadlineAt(): number {
    return this.#outgoing.deadlineAt;
  }

  get signal(): AbortSignal | undefined {
    const { signal, scope } = this.#outgoing;
    if (scope === undefined) return signal;
    this.#signal ??= signal === undefined ? scope.signal : AbortSignal.any([signal, scope.signal]);
    return this.#signal;
  }
}

/** May it be sent? Throws and rejects with what the policy says. */
export function admit(policy: CallPolicy, outgoing: Outgoing, insteadOf: unknown): ReturnType<CallPolicy['admit']> {
  const isPlain = outgoing.scope === undefined && insteadOf === undefined;
  return policy.admit(isPlain ? outgoing : new SpecialAttempt(outgoing, insteadOf));
}

/** Tells the policy how it ended, if it wants to know; the same error is then thrown by the caller of this. */
export function endedWith(end: AttemptEnd | undefined, error: unknown): unknown {
  end?.(error);
  return error;
}

/** Who is to be asked instead of an agent whose breaker is open: empty when it names nobody, undefined for any other error. */
export function fallbacksOf(error: unknown): readonly AgentId[] | undefined {
  if (!isQuorateError(error, 'REJECTED') || error.data['reason'] !== 'circuit-open') return undefined;
  const { fallbacks } = error.data;
  if (!Array.isArray(fallbacks)) return [];
  return fallbacks.filter((agent) => typeof agent === 'string').slice(0, maxFallbacks);
}

/** Whether this failure leaves another agent free to take the message: it reached no handler, and not for a fault of the caller. */
function leavesItToOthers(error: unknown): boolean {
  if (!isQuorateError(error)) return false;
  if (error.code === 'REJECTED') return true;
  const reason = error.data['reason'];
  return error.code === 'NOT_DELIVERED' && (reason === 'unreachable' || reason === 'connection-lost');
}

/** Tries the fallbacks in order. When none could take the message: what the breaker said, with what each of them said. */
export async function tryFallbacks<Result>(
  refusal: unknown,
  fallbacks: readonly AgentId[],
  attempt: (agent: AgentId) => Promise<Result>,
): Promise<Result> {
  const errors: { readonly agent: AgentId; readonly error: unknown }[] = [];
  for (const agent of fallbacks) {
    try {
      return await attempt(agent);
    } catch (error) {
      if (!leavesItToOthers(error)) throw error;
      errors.push({ agent, error });
    }
  }
  if (errors.length === 0 || !(refusal instanceof QuorateError)) throw refusal;
  const tried = errors.map(({ agent }) => agent).join(', ');
  throw new QuorateError(
    refusal.code,
    `${refusal.message} Nor could its fallbacks take the message (${tried}).`,
    { ...refusal.data, fallbackErrors: errors },
    { cause: refusal },
  );
}
