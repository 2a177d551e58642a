/**
 * The registry protocol: agents by name and by what they can do. Reads are local and synchronous in every
 * mode. Implementations: `LocalRegistry` (one process) and `ClusterRegistry` (merged view over the signed
 * feeds of all nodes), both over the same index; `quorate/conformance` holds any other to the same rules.
 */
import type { NodeId } from '../../node-id.ts';
import type { AgentId, Value } from '../../value.ts';
import type { AgentHandler } from '../messaging/messaging.ts';

export type Health = 'healthy' | 'degraded' | 'unhealthy';

/** What an agent says of itself. `capabilities` is required; the rest has the defaults given. */
export interface AgentMetadata<Custom = Record<string, Value>> {
  /** What it can do; at most 64 names. Indexed. */
  readonly capabilities: readonly string[];
  /** A class of agents, e.g. `worker`. Indexed. Default: none. */
  readonly kind?: string;
  /** Default: the zone of the node. Indexed. */
  readonly zone?: string;
  /** Default `healthy`. Indexed. `resolve` skips `unhealthy` agents. */
  readonly health?: Health;
  /** Free resources by name, e.g. `{ cpu: 0.8, memoryMB: 2048 }`. */
  readonly capacity?: Readonly<Record<string, number>>;
  readonly preferences?: {
    readonly latencySensitive?: boolean;
    readonly consistency?: 'eventual' | 'strong';
  };
  readonly version?: string;
  /** The user's own fields; checked by the mesh's metadata schema when one is given. */
  readonly custom?: Custom;
}

/** An agent as the registry knows it. Frozen: a change makes a new record. */
export interface AgentRecord<Custom = Record<string, Value>> {
  readonly id: AgentId;
  /** The node whose process runs it. */
  readonly node: NodeId;
  readonly capabilities: readonly string[];
  readonly kind: string | undefined;
  readonly zone: string;
  readonly health: Health;
  readonly capacity: Readonly<Record<string, number>>;
  readonly preferences: { readonly latencySensitive: boolean; readonly consistency: 'eventual' | 'strong' };
  readonly version: string | undefined;
  readonly custom: Custom;
  /** When the id was claimed: hybrid logical clock, milliseconds since 1970 in its upper part. */
  readonly claimedAt: number;
}

export type Operator = 'eq' | 'neq' | 'gt' | 'gte' | 'lt' | 'lte' | 'in' | 'notIn' | 'contains';

/** `['capacity.cpu', 0.5, 'gte']`; a path is dotted or an array of keys, and starts at the record. */
export type Criterion = readonly [path: string | readonly string[], value: Value, op: Operator];

/** `{ gte: 0.5 }`: several operators on one field are ANDed. */
export type OperatorObject = { readonly [K in Operator]?: Value };

/**
 * Either a list of tuples, all of which must hold, or an object of fields: a plain value means `eq`
 * (for a list field: `contains`), an array means `in` (for a list field: any in common), an
 * `OperatorObject` its operators, another object nests.
 *
 * @example { capabilities: 'summarise', zone: ['eu-1', 'eu-2'], capacity: { cpu: { gte: 0.5 } } }
 * @example [['capabilities', 'summarise', 'contains'], ['capacity.cpu', 0.5, 'gte']]
 */
export type Criteria = readonly Criterion[] | CriteriaObject;
export interface CriteriaObject {
  readonly [field: string]: Value | OperatorObject | CriteriaObject;
}

export interface QueryOptions {
  /** At most so many records. Default: all. */
  readonly limit?: number;
  /** Path to sort by, ascending unless `['path', 'desc']`; records without the field come last. Default: by id. */
  readonly orderBy?: string | readonly [path: string, direction: 'asc' | 'desc'];
  /** `zone`: only agents in this node's zone; `node`: only its own. Default `cluster`. */
  readonly scope?: 'cluster' | 'zone' | 'node';
}

export type BuiltInStrategy = 'nearestHealthy' | 'leastLoaded' | 'roundRobin' | 'random' | 'sameZone';

/** What a resolve strategy may know besides the candidates. */
export interface ResolveContext {
  readonly self: NodeId;
  readonly zone: string;
  /** Measured round trip to a node in milliseconds; 0 for this node, undefined where not measured. */
  rttMs(node: NodeId): number | undefined;
  /** Calls sent from here to that agent and not yet answered. */
  pendingCalls(agent: AgentId): number;
  random(): number;
}

/** Picks one of the candidates (never empty, ordered by id), or undefined for none. Must not keep them. */
export type ResolveStrategy<Custom = Record<string, Value>> = (
  candidates: readonly AgentRecord<Custom>[],
  context: ResolveContext,
) => AgentRecord<Custom> | undefined;

export interface ResolveOptions<Custom = Record<string, Value>> extends Pick<QueryOptions, 'scope'> {
  /** Default `nearestHealthy`. */
  readonly strategy?: BuiltInStrategy | ResolveStrategy<Custom>;
  /** Leave these out, e.g. one that just failed. */
  readonly exclude?: readonly AgentId[];
}

/** Told when somebody else's earlier claim to the same id wins after two sides of a split met. */
export interface LostEvent {
  readonly id: AgentId;
  readonly reason: 'conflict';
  readonly winner: AgentRecord;
}

/** The owner's hold on a registration. */
export interface Registration<Custom = Record<string, Value>> {
  readonly id: AgentId;
  readonly record: AgentRecord<Custom>;
  /** False after `unregister`, after the mesh stopped, and after the id was lost. */
  readonly active: boolean;
  /** Replaces the given fields of the metadata, keeps the others. Throws `INVALID_METADATA`, `NOT_REGISTERED`. */
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
  /** `partial`: some rows landed, some did not; `rolledBack`: one failed and all were undone. */
  readonly status: 'complete' | 'partial' | 'rolledBack';
  /** One per operation, in order. */
  readonly results: readonly (
    | { readonly ok: true; readonly registration?: Registration<Custom> }
    | { readonly ok: false; readonly error: Error; readonly skipped: boolean }
  )[];
}

export interface Registry<Custom = Record<string, Value>> {
  /**
   * Claims `id` for `handler` on this node. Visible here when the promise resolves, and on its way to the
   * others. Throws `INVALID_ARGUMENT` and `INVALID_METADATA` naming every wrong field,
   * `ALREADY_REGISTERED` (the original is untouched), `LIMIT_EXCEEDED`.
   */
  register(id: AgentId, handler: AgentHandler, metadata: AgentMetadata<Custom>): Promise<Registration<Custom>>;
  /** Several operations in order. `continue` (default) goes on after a failure, `stop` skips the rest, `rollback` undoes all. */
  batch(
    operations: readonly BatchOperation<Custom>[],
    options?: { readonly onError?: 'continue' | 'stop' | 'rollback' },
  ): Promise<BatchResult<Custom>>;
  lookup(id: AgentId): AgentRecord<Custom> | undefined;
  /** All records that match, ordered by id unless said. Throws `INVALID_CRITERIA` and nothing else. */
  query(criteria?: Criteria, options?: QueryOptions): AgentRecord<Custom>[];
  count(criteria?: Criteria, options?: Pick<QueryOptions, 'scope'>): number;
  /** One agent to talk to: by id, or the best match of criteria. Undefined when there is none that is callable. */
  resolve(target: AgentId | Criteria, options?: ResolveOptions<Custom>): AgentRecord<Custom> | undefined;
  /**
   * Changes of the matching set, beginning with an `up` for each match of now. An agent that stops
   * matching gives a `down` with reason `no-match`. Ends when `signal` aborts or the mesh stops. A reader
   * too slow for 10,000 events gets only the newest state of each agent.
   */
  watch(
    criteria?: Criteria,
    options?: { readonly signal?: AbortSignal; readonly scope?: QueryOptions['scope'] },
  ): AsyncIterable<RegistryEvent<Custom>>;
}
