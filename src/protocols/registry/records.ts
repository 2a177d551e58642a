/**
 * What the registry holds and how it is asked: metadata, records, criteria, and ways to choose one. Apart
 * from the `Registry` interface because messaging needs these as well, and the registry needs messaging's
 * handlers.
 */
import type { NodeId } from '../../node-id.ts';
import type { AgentId, Value } from '../../value.ts';

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
