/**
 * Names that one node of the mesh has at a time: what `registry.register(id, …, { consistency: 'strong' })` stands on.
 *
 * A node holds all its names under one lease, renewed in one command. When the node falls silent its names become free when the lease ends;
 * whoever claims one then gets a higher token. A node that overslept its lease knows by its own clocks before others can have its names.
 */
import type { NodeId } from '../../../node-id.ts';
import type { AgentId } from '../../../value.ts';
import type { Certificate } from '../certificates/certificate.ts';
import type { OrderingOptions, ReadConsistency } from '../ordering.ts';

/** A name this node has. */
export interface NameClaim {
  readonly id: AgentId;
  /** Higher than that of every earlier owner of the name: fencing. */
  readonly token: number;
  /** False once it is released or its lease is over, by this process's clocks; asks them at each use. */
  readonly held: boolean;
  /** Aborts, with `GRANT_LOST` as the reason, when it is not held any more. */
  readonly signal: AbortSignal;
}

export interface NameOwner {
  readonly node: NodeId;
  readonly token: number;
  /** Agreed time of the claim, milliseconds since 1970. */
  readonly grantedAt: number;
}

export interface Names {
  /**
   * Takes the name if nobody has it. Rejects with `ALREADY_REGISTERED` (`data.node` has it), `LIMIT_EXCEEDED`, `INVALID_ARGUMENT`, and as every
   * command does; after `UNKNOWN_OUTCOME` the name is given back by itself if it was granted.
   *
   * @example
   * const claim = await names.claim('billing');
   * claim.signal.addEventListener('abort', () => stopBilling());
   */
  claim(id: AgentId, options?: OrderingOptions): Promise<NameClaim>;
  /**
   * Gives the name back; false when it was not held. It counts as lost here at once; should the command fail,
   * the rejection says so, and it is given back with a later renewal.
   */
  release(id: AgentId, options?: OrderingOptions): Promise<boolean>;
  /** Who has the name, on whichever node. */
  owner(
    id: AgentId,
    options?: OrderingOptions & { readonly consistency?: ReadConsistency | undefined },
  ): Promise<NameOwner | undefined>;
  /** Proves to a third party that the name was granted with this token: to whom and when. Only while it is held; else `NOT_SETTLED`. */
  certify(id: AgentId, token: number, options?: OrderingOptions): Promise<Certificate>;
  /** Gives all names back, as far as the validators can be reached; the lease frees the rest. */
  stop(): Promise<void>;
}
