/**
 * Port: how the agents that a variable affects hear of it. What is said here is asked for by the variables, and done by `AgentAudiences`
 * over registry and messaging.
 *
 * Every node with the definition opens an audience and tells it each change it sees; which node tells which agent, so that
 * each hears it from one, is the audience's affair.
 */
import type { NodeId } from '../../../node-id.ts';
import type { AgentId, Value } from '../../../value.ts';
import type { AffectedAgents } from '../variables.ts';

/** What there is to say of a variable. */
export interface News {
  readonly value: Value;
  readonly agreed: boolean;
  /** Of an agreed value: the hybrid logical stamp of its agreement (`Agreed.at`). The same agreement is told an agent once, whoever brings it. */
  readonly at?: number | undefined;
}

export interface AudienceOptions {
  /** Of the variable. */
  readonly name: string;
  /** Throws `INVALID_CRITERIA` from `open` when it is none. */
  readonly affects: AffectedAgents;
  /** Live nodes that have the definition, this one included while it does. Read anew whenever it matters. */
  readonly definers: () => readonly NodeId[];
  /** What an agent that has just appeared, or was taken over from another node, is told. Undefined: nothing has been set yet, so nothing is told. */
  readonly present: () => News | undefined;
}

export interface Unacknowledged {
  readonly agent: AgentId;
  readonly reason: string;
}

export interface Acknowledgements {
  readonly acknowledged: readonly AgentId[];
  readonly unacknowledged: readonly Unacknowledged[];
}

export interface WaitOptions {
  readonly signal?: AbortSignal | undefined;
  /** Milliseconds for all of them together. */
  readonly timeoutMs: number;
}

export interface AudienceStatus {
  /** Agents known here that match, wherever they are and whoever tells them. */
  readonly affected: number;
  /** Notices of this node that were not yet acknowledged. */
  readonly untold: number;
}

export interface Audience {
  /** The value has changed: tells the agents that are this node's to tell, in order, at least once, behind. Never throws. */
  tell(news: News): void;
  /**
   * Tells all matching agents, wherever they are and whosever to tell, and resolves with who acknowledged it: when all have, when the time is up, or when
   * `signal` aborts. Never rejects. An agent that matches only later is told behind, and is not on the list; one that was named by its id and is not registered is, as not having acknowledged.
   */
  tellAndWait(news: News, options: WaitOptions): Promise<Acknowledgements>;
  /** What `definers` answers has changed: some agents may be this node's to tell from now on, or not any more. */
  definersChanged(): void;
  status(): AudienceStatus;
  /** What was not told yet is not told by this node any more. */
  stop(): void;
}

export interface Audiences {
  /** Begins to tell at once: agents that are there now hear what is present. */
  open(options: AudienceOptions): Audience;
}
