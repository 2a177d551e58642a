/** The circuit breakers of a node, and the place where calls pass them. */
import { QuorateError } from '../../../errors.ts';
import type { AgentId } from '../../../value.ts';
import type { AttemptEnd, AttemptInfo } from '../../messaging/call-policy.ts';
import type { InfrastructureTools } from '../tools.ts';
import type { BreakerChange, BreakerOptions, BreakerStatus, CircuitBreaker } from './breaker.ts';
import { MeshBreaker } from './mesh-breaker.ts';
import { checkBreakerOptions } from './options.ts';

/** Breakers of one node. */
const maxBreakers = 1_000;

export class Breakers {
  readonly #tools: InfrastructureTools;
  readonly #onChange: (change: BreakerChange) => void;
  readonly #byId = new Map<string, MeshBreaker>();
  /** Those that name their agent. */
  readonly #byAgent = new Map<AgentId, readonly MeshBreaker[]>();
  #byCriteria: readonly MeshBreaker[] = [];
  readonly #stopListening: () => void;
  #stopped = false;

  /** `onChange`: hears of every breaker, before the listeners of that one. */
  constructor(tools: InfrastructureTools, onChange: (change: BreakerChange) => void = () => undefined) {
    this.#tools = tools;
    this.#onChange = onChange;
    this.#stopListening = tools.entries.onNodes(() => {
      for (const breaker of this.#byId.values()) breaker.onNodes();
    });
  }

  /** Throws `INVALID_ARGUMENT`, `INVALID_CRITERIA`, `ALREADY_EXISTS`, `LIMIT_EXCEEDED`, `STOPPED`. */
  circuitBreaker(options: BreakerOptions): CircuitBreaker {
    if (this.#stopped) throw new QuorateError('STOPPED', 'The mesh was stopped, so there are no breakers any more.');
    const checked = checkBreakerOptions(options);
    const { id } = checked;
    const existing = this.#byId.get(id);
    if (existing !== undefined) {
      if (existing.hasOptions(checked)) return existing;
      throw new QuorateError(
        'ALREADY_EXISTS',
        `This node has a breaker '${id}' with other options; dispose of that one first, or give this one an id of its own.`,
        { id },
      );
    }
    if (this.#byId.size >= maxBreakers) {
      throw new QuorateError(
        'LIMIT_EXCEEDED',
        `This node has ${maxBreakers} breakers, and more are not allowed; protect many agents by one breaker with criteria.`,
        { limit: maxBreakers },
      );
    }
    const breaker = new MeshBreaker(this.#tools, checked, this.#onChange, () => this.#remove(breaker));
    this.#byId.set(id, breaker);
    this.#index();
    return breaker;
  }

  get(id: string): CircuitBreaker | undefined {
    return this.#byId.get(id);
  }

  /** Before each attempt of a call, cast or stream. Throws `REJECTED`, reason `circuit-open`. */
  admit(attempt: AttemptInfo): AttemptEnd | undefined {
    let end: AttemptEnd | undefined;
    const named = this.#byAgent.get(attempt.agent);
    if (named !== undefined) for (const breaker of named) end = both(end, breaker, attempt);
    if (this.#byCriteria.length > 0) {
      const record = this.#tools.registry.lookup(attempt.agent);
      if (record !== undefined) {
        for (const breaker of this.#byCriteria) if (breaker.protects(record)) end = both(end, breaker, attempt);
      }
    }
    return attempt.insteadOf === undefined ? end : this.#countingFallback(attempt.insteadOf, end);
  }

  status(): BreakerStatus[] {
    return [...this.#byId.values()].map((breaker) => breaker.status());
  }

  /** Entries of other nodes that were no reports, since the start. */
  get malformed(): number {
    return [...this.#byId.values()].reduce((sum, breaker) => sum + breaker.malformed, 0);
  }

  /** Takes back what was shared. Idempotent. */
  stop(): void {
    this.#stopped = true;
    this.#stopListening();
    for (const breaker of [...this.#byId.values()]) breaker[Symbol.dispose]();
  }

  #countingFallback(refusal: unknown, end: AttemptEnd | undefined): AttemptEnd | undefined {
    const id = refusal instanceof QuorateError ? refusal.data['breaker'] : undefined;
    const breaker = typeof id === 'string' ? this.#byId.get(id) : undefined;
    if (breaker === undefined) return end;
    return (error) => {
      if (error === undefined) breaker.countFallback();
      end?.(error);
    };
  }

  #remove(breaker: MeshBreaker): void {
    if (this.#byId.get(breaker.id) === breaker) this.#byId.delete(breaker.id);
    this.#index();
  }

  #index(): void {
    this.#byAgent.clear();
    const byCriteria: MeshBreaker[] = [];
    for (const breaker of this.#byId.values()) {
      const { agent } = breaker.options;
      if (agent === undefined) byCriteria.push(breaker);
      else this.#byAgent.set(agent, [...(this.#byAgent.get(agent) ?? []), breaker]);
    }
    this.#byCriteria = byCriteria;
  }
}

/** Passes one breaker more; when that refuses, those passed before are told that nothing was sent. */
function both(former: AttemptEnd | undefined, breaker: MeshBreaker, attempt: AttemptInfo): AttemptEnd | undefined {
  let end: AttemptEnd | undefined;
  try {
    end = breaker.admit(attempt);
  } catch (error) {
    former?.(error);
    throw error;
  }
  if (former === undefined || end === undefined) return former ?? end;
  const last = end;
  return (error) => {
    former(error);
    last(error);
  };
}
