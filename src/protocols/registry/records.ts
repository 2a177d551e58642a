/**
 * What the registry holds and how it is asked: metadata, records, criteria, and ways to choose one. Apart
 * from the `Registry` interface because messaging needs these as well, and the registry needs messaging's
 * handlers.
 */
import type { AgentRecord } from '../../crdt/registry-record.ts';
import type { NodeId } from '../../node-id.ts';
import type { AgentId, Value } from '../../value.ts';

export type { Criteria, CriteriaObject, Criterion, Operator, OperatorObject } from '../../crdt/registry-criteria.ts';
export type { AgentMetadata, AgentRecord, Health } from '../../crdt/registry-record.ts';

export interface QueryOptions {
  /** At most so many records, the first in order. Default: all. */
  readonly limit?: number;
  /**
   * Path to sort by, ascending unless `['path', 'desc']`; of equal ones the smaller id first; records without
   * the field come last either way. Default: by id.
   */
  readonly orderBy?: string | readonly [path: string, direction: 'asc' | 'desc'];
  /** `zone`: only agents in this node's zone; `node`: only its own. Default `cluster`. */
  readonly scope?: 'cluster' | 'zone' | 'node';
}

/**
 * How one of several agents is chosen. None of them chooses an `unhealthy` agent, nor one on a node suspected
 * to be gone while there is any other.
 *
 * - `nearestHealthy`: `healthy` before `degraded`, then this node, then this zone, then the shortest
 *   measured round trip; one of equals at random.
 * - `leastLoaded`: of two random ones the one with fewer pending calls for its size. Its size is
 *   `capacity.cpu`, or where it names none the `cpu` that its node announces as free, or else 1; a quarter of it when `degraded`.
 * - `roundRobin`: one after the other in order of ids, for each criteria by itself.
 * - `random`: each with the same chance.
 * - `sameZone`: as `nearestHealthy`, but nobody outside this node's zone.
 */
export type BuiltInStrategy = 'nearestHealthy' | 'leastLoaded' | 'roundRobin' | 'random' | 'sameZone';

/** What a resolve strategy may know besides the candidates. */
export interface ResolveContext {
  readonly self: NodeId;
  readonly zone: string;
  /** Measured round trip to a node in milliseconds; 0 for this node, undefined where not measured. */
  rttMs(node: NodeId): number | undefined;
  /** What a node announces as free: its option `capacity`, and what it measures with `measureCapacity`. Empty where nothing is known. */
  freeCapacity(node: NodeId): Readonly<Record<string, number>>;
  /** Calls sent from here to that agent and not yet answered. */
  pendingCalls(agent: AgentId): number;
  /** Uniform in [0, 1). */
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
