/** One breaker: its options, and the state of each agent it protects. */
import { Emitter } from '../../../emitter.ts';
import { QuorateError } from '../../../errors.ts';
import type { AgentId } from '../../../value.ts';
import type { AttemptEnd, AttemptInfo } from '../../messaging/call-policy.ts';
import { rejected } from '../../messaging/outcome.ts';
import type { AgentRecord } from '../../registry/records.ts';
import type { InfrastructureTools } from '../tools.ts';
import { AgentBreaker, type AgentBreakerHost, breakerPrefix, type Passage } from './agent-breaker.ts';
import type { BreakerChange, BreakerState, BreakerStatus, CallVerdict, CircuitBreaker } from './breaker.ts';
import { classifyOutcome } from './classify.ts';
import { type ResolvedBreakerOptions, wrongOptions } from './options.ts';

/** Agents one breaker keeps apart; those with nothing to remember make room. */
const maxAgents = 10_000;

export class MeshBreaker implements CircuitBreaker {
  readonly id: string;
  readonly options: ResolvedBreakerOptions;
  readonly #tools: InfrastructureTools;
  readonly #agents = new Map<AgentId, AgentBreaker>();
  readonly #emitter: Emitter<{ change: BreakerChange }>;
  readonly #host: AgentBreakerHost;
  readonly #prefix: string;
  readonly #onDispose: () => void;
  readonly #stopListening: () => void;
  readonly #protects = new WeakMap<AgentRecord, boolean>();
  #disposed = false;
  #refused = 0;
  #fallbacks = 0;
  #probes = 0;
  #malformed = 0;

  constructor(
    tools: InfrastructureTools,
    options: ResolvedBreakerOptions,
    onChange: (change: BreakerChange) => void,
    onDispose: () => void,
  ) {
    this.id = options.id;
    this.options = options;
    this.#tools = tools;
    this.#onDispose = onDispose;
    this.#prefix = breakerPrefix(options.id);
    this.#emitter = new Emitter((error) => tools.onError(error, `listener of breaker '${options.id}'`));
    this.#host = {
      tools,
      options,
      onChange: (change) => {
        onChange(change);
        this.#emitter.emit('change', change);
      },
      onMalformed: () => {
        this.#malformed += 1;
      },
    };
    this.#stopListening =
      options.scope === 'node' ? () => undefined : tools.entries.onPrefix(this.#prefix, (key) => this.#onEntry(key));
    if (options.agent !== undefined) this.#agentBreaker(options.agent);
  }

  get malformed(): number {
    return this.#malformed;
  }

  hasOptions(other: ResolvedBreakerOptions): boolean {
    return other.fingerprint === this.options.fingerprint && other.classify === this.options.classify;
  }

  protects(record: AgentRecord): boolean {
    let protects = this.#protects.get(record);
    if (protects === undefined) {
      protects = this.options.protects(record);
      this.#protects.set(record, protects);
    }
    return protects;
  }

  /** Throws `REJECTED` while open. */
  admit(attempt: AttemptInfo): AttemptEnd | undefined {
    const { method } = this.options;
    if (this.#disposed || (method !== undefined && attempt.method !== method)) return undefined;
    const breaker = this.#agents.get(attempt.agent) ?? this.#agentBreaker(attempt.agent);
    const startedAt = this.#tools.clock.now();
    if (breaker.isClosed) {
      const { epoch } = breaker;
      return (error) => breaker.ended({ probe: undefined, epoch }, this.#verdict(error, attempt, startedAt));
    }
    const passage = breaker.pass(attempt.deadlineAt);
    if (passage === undefined) throw this.#refusal(breaker);
    if (passage.probe !== undefined) this.#probes += 1;
    return this.#endOf(breaker, passage, attempt, startedAt);
  }

  countFallback(): void {
    this.#fallbacks += 1;
  }

  /** Others came or went. */
  onNodes(): void {
    for (const breaker of this.#agents.values()) breaker.onReports();
  }

  state(agent?: AgentId): BreakerState {
    return this.#known(agent)?.state() ?? 'closed';
  }

  status(): BreakerStatus {
    return {
      id: this.id,
      scope: this.options.scope,
      agents: [...this.#agents.values()].map((breaker) => breaker.status()),
      refused: this.#refused,
      fallbacks: this.#fallbacks,
      probes: this.#probes,
    };
  }

  reset(agent?: AgentId): void {
    this.#named(agent).reset();
  }

  trip(options: { readonly agent?: AgentId | undefined; readonly ms?: number | undefined } = {}): void {
    const { agent, ms } = options;
    if (ms !== undefined && !(typeof ms === 'number' && ms > 0 && Number.isFinite(ms))) {
      throw new QuorateError('INVALID_ARGUMENT', 'A breaker is tripped for a number of milliseconds above 0.', { ms });
    }
    this.#named(agent).trip(ms);
  }

  onChange(listener: (change: BreakerChange) => void): () => void {
    return this.#emitter.on('change', listener);
  }

  [Symbol.dispose](): void {
    if (this.#disposed) return;
    this.#disposed = true;
    this.#stopListening();
    for (const breaker of this.#agents.values()) breaker.stop();
    this.#agents.clear();
    this.#onDispose();
  }

  /** Names checked; undefined for an agent never called. */
  #known(agent: AgentId | undefined): AgentBreaker | undefined {
    const name = agent ?? this.options.agent;
    if (name === undefined) throw wrongAgent('it protects by criteria, so name the agent');
    if (this.options.agent !== undefined && name !== this.options.agent) {
      throw wrongAgent(`it protects agent ${this.options.agent} and no other`);
    }
    return this.#agents.get(name) ?? (this.#disposed ? undefined : this.#agentBreaker(name));
  }

  #named(agent: AgentId | undefined): AgentBreaker {
    const breaker = this.#known(agent);
    if (breaker !== undefined) return breaker;
    throw new QuorateError('STOPPED', `Breaker '${this.id}' was disposed of, so it opens and closes nothing any more.`);
  }

  #agentBreaker(agent: AgentId): AgentBreaker {
    if (this.#agents.size >= maxAgents) this.#makeRoom();
    const breaker = new AgentBreaker(this.#host, agent);
    this.#agents.set(agent, breaker);
    return breaker;
  }

  /** Those without any state first, then whichever came first: it is made anew when it is called again. */
  #makeRoom(): void {
    for (const [agent, breaker] of this.#agents) if (breaker.isIdle) this.#forget(agent, breaker);
    for (const [agent, breaker] of this.#agents) {
      if (this.#agents.size < maxAgents) return;
      this.#forget(agent, breaker);
    }
  }

  #forget(agent: AgentId, breaker: AgentBreaker): void {
    breaker.stop();
    this.#agents.delete(agent);
  }

  #onEntry(key: string): void {
    this.#agents.get(key.slice(this.#prefix.length))?.onReports();
  }

  #endOf(breaker: AgentBreaker, passage: Passage, attempt: AttemptInfo, startedAt: number): AttemptEnd {
    return (error) => breaker.ended(passage, this.#verdict(error, attempt, startedAt));
  }

  #verdict(error: unknown, { agent, method }: AttemptInfo, startedAt: number): CallVerdict {
    const { classify, slowCallMs } = this.options;
    let verdict = classifyOutcome(error);
    if (classify === undefined && slowCallMs === Number.POSITIVE_INFINITY) return verdict;
    const ms = this.#tools.clock.now() - startedAt;
    if (classify !== undefined) {
      try {
        const own = classify(error, { agent, method, ms });
        if (own === 'success' || own === 'failure' || own === 'ignore') verdict = own;
        else throw wrongOptions([`classify must answer 'success', 'failure' or 'ignore', not ${String(own)}`]);
      } catch (thrown) {
        this.#tools.onError(thrown, `classify of breaker '${this.id}'`);
      }
    }
    return verdict === 'success' && ms > slowCallMs ? 'failure' : verdict;
  }

  #refusal(breaker: AgentBreaker): QuorateError {
    this.#refused += 1;
    return rejected(breaker.agent, 'circuit-open', {
      breaker: this.id,
      retryAfterMs: breaker.retryAfterMs(),
      because: breaker.reason,
      fallbacks: this.options.fallbackAgents,
    });
  }
}

function wrongAgent(why: string): QuorateError {
  return new QuorateError('INVALID_ARGUMENT', `This breaker cannot say that: ${why}.`);
}
