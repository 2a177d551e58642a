/**
 * The registry protocol: agents by name and by what they can do. Reads are local and synchronous in every
 * mode. Implementations: `LocalRegistry` (one process) and `ClusterRegistry` (merged view over the signed
 * feeds of all nodes), both over the same index; `quorate/conformance` holds any other to the same rules.
 */
import type { AgentId, Value } from '../../value.ts';
import type { AgentHandler } from '../messaging/messaging.ts';
import type { AgentMetadata, AgentRecord, Criteria, QueryOptions, ResolveOptions } from './records.ts';

export type {
  AgentMetadata,
  AgentRecord,
  BuiltInStrategy,
  Criteria,
  QueryOptions,
  ResolveOptions,
} from './records.ts';

/** Told when an id is not this node's any more, although nobody here gave it up. */
export interface LostEvent {
  readonly id: AgentId;
  /**
   * `conflict`: somebody else's claim wins: an earlier one, after two sides of a split met, or one that the validators granted. `lease`: the validators' grant
   * ended, because this process stood still or could not reach them for too long.
   */
  readonly reason: 'conflict' | 'lease';
  /** What was registered here and lost. */
  readonly record: AgentRecord;
  /** Whose claim wins; after `lease` there may be nobody yet. */
  readonly winner: AgentRecord | undefined;
}

export interface RegisterOptions {
  /**
   * `eventual`: at once; of two nodes that claim one id the earlier claim wins in time. `strong`: the validators grant the id to one node at a time, also against liars;
   * needs a quorum of them, and ends with the node's lease (30 s) when it falls silent. Default `eventual`.
   */
  readonly consistency?: 'eventual' | 'strong';
  /** Of a strong claim. */
  readonly signal?: AbortSignal;
  /** Of a strong claim. Default: `coordination.timeoutMs`. */
  readonly timeoutMs?: number;
}

/** The owner's hold on a registration. */
export interface Registration<Custom = Record<string, Value>> {
  readonly id: AgentId;
  readonly record: AgentRecord<Custom>;
  /** False after `unregister`, after the mesh stopped, and after the id was lost. */
  readonly active: boolean;
  /** Replaces the given fields of the metadata, keeps the others; what changes nothing is not sent. Throws `INVALID_METADATA`, `NOT_REGISTERED`. */
  update(changes: Partial<AgentMetadata<Custom>>): Promise<void>;
  /** Idempotent. Resolves when the entry is gone here and on its way to the others. */
  unregister(): Promise<void>;
  /** Calls `listener` once when the id is lost to an earlier claim elsewhere; at once if it is lost already. */
  onLost(listener: (event: LostEvent) => void): () => void;
  [Symbol.asyncDispose](): Promise<void>;
}

export type RegistryEvent<Custom = Record<string, Value>> =
  | { readonly type: 'up'; readonly record: AgentRecord<Custom> }
  | { readonly type: 'update'; readonly record: AgentRecord<Custom>; readonly previous: AgentRecord<Custom> }
  | {
      readonly type: 'down';
      readonly record: AgentRecord<Custom>;
      readonly reason: 'unregistered' | 'node-down' | 'conflict' | 'no-match';
    };

export type BatchOperation<Custom = Record<string, Value>> =
  | {
      readonly op: 'register';
      readonly id: AgentId;
      readonly handler: AgentHandler;
      readonly metadata: AgentMetadata<Custom>;
    }
  | { readonly op: 'update'; readonly id: AgentId; readonly changes: Partial<AgentMetadata<Custom>> }
  | { readonly op: 'unregister'; readonly id: AgentId };

export interface BatchResult<Custom = Record<string, Value>> {
  /** `partial`: at least one row failed or was skipped; `rolledBack`: one failed, and nothing of the batch stands. */
  readonly status: 'complete' | 'partial' | 'rolledBack';
  /** One per operation, in order. `skipped`: it did not fail itself, but was not tried or was undone because of another. */
  readonly results: readonly (
    | { readonly ok: true; readonly registration?: Registration<Custom> }
    | { readonly ok: false; readonly error: Error; readonly skipped: boolean }
  )[];
}

/** Once its mesh has stopped, every method throws `STOPPED`. */
export interface Registry<Custom = Record<string, Value>> {
  /**
   * Claims `id` for `handler` on this node. Visible here when the promise resolves, and on its way to the
   * others. Throws `INVALID_ARGUMENT` and `INVALID_METADATA` naming every wrong field,
   * `ALREADY_REGISTERED` (the original is untouched), `LIMIT_EXCEEDED`; with `consistency: 'strong'` also what coordination throws (`NO_QUORUM`,
   * `UNKNOWN_OUTCOME` …), and an id that another node claims without a grant is taken from it.
   *
   * @example
   * const leader = await mesh.registry.register('billing', handler, { capabilities: ['billing'] }, { consistency: 'strong' });
   * leader.record.strong?.token; // for what billing writes to
   */
  register(
    id: AgentId,
    handler: AgentHandler,
    metadata: AgentMetadata<Custom>,
    options?: RegisterOptions,
  ): Promise<Registration<Custom>>;
  /**
   * Several operations in order. `continue` (default) goes on after a failure, `stop` skips the rest,
   * `rollback` undoes all; then nothing is applied before every operation has been validated. Failures are
   * told in the result; throws only `INVALID_ARGUMENT`, for what is no batch.
   */
  batch(
    operations: readonly BatchOperation<Custom>[],
    options?: { readonly onError?: 'continue' | 'stop' | 'rollback' },
  ): Promise<BatchResult<Custom>>;
  /** What is registered under the id, anywhere in the mesh. */
  lookup(id: AgentId): AgentRecord<Custom> | undefined;
  /** A fresh list of all records that match, ordered by id unless said. Throws `INVALID_CRITERIA` for criteria and options. */
  query(criteria?: Criteria, options?: QueryOptions): AgentRecord<Custom>[];
  count(criteria?: Criteria, options?: Pick<QueryOptions, 'scope'>): number;
  /**
   * One agent to talk to, or undefined when there is none: the one with that id, whatever its health; or the
   * strategy's choice among those that meet criteria, without the `unhealthy`, and without those on suspected
   * nodes while there are others. Throws `INVALID_CRITERIA`, and `INVALID_ARGUMENT` for a strategy that is none.
   */
  resolve(target: AgentId | Criteria, options?: ResolveOptions<Custom>): AgentRecord<Custom> | undefined;
  /**
   * Changes of the matching set, beginning with an `up` for each match of now. An agent that stops
   * matching gives a `down` with reason `no-match`, one that moves to another node a `down` and an `up`. Each loop over
   * the iterable is a watch of its own, from the first step on. Ends when `signal` aborts or the mesh stops. A reader
   * too slow for 10,000 events gets only the newest state of each agent.
   */
  watch(
    criteria?: Criteria,
    options?: { readonly signal?: AbortSignal; readonly scope?: QueryOptions['scope'] },
  ): AsyncIterable<RegistryEvent<Custom>>;
}
