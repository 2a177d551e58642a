/** Who is in the mesh, what state each is in, and who says so. */
import type { NodeId } from '../../node-id.ts';

/**
 * - `alive`: answers, or nobody has a reason to doubt it.
 * - `suspect`: somebody missed it; no new calls are sent there while another place will do.
 * - `unreachable`: confirmed by enough observers; pending calls fail, its agents are hidden.
 * - `removed`: unreachable for so long that its names and leases are given to others.
 * - `left`: said goodbye.
 */
export type MemberState = 'alive' | 'suspect' | 'unreachable' | 'removed' | 'left';

/** What a node says of itself, in its own signed feed. */
export interface MemberInfo {
  readonly addresses: readonly string[];
  readonly zone: string;
  readonly roles: readonly string[];
  /** Free resources by name, e.g. `{ cpu: 0.8, memoryMB: 2048 }`. */
  readonly capacity: Readonly<Record<string, number>>;
  /** Version of the quorate package it runs. */
  readonly version: string;
  /** Raised by the node itself to refute an accusation; accusations of lower ones are void. */
  readonly incarnation: number;
  /** Wall clock of its start, milliseconds since 1970. */
  readonly startedAt: number;
}

export interface Member extends MemberInfo {
  readonly id: NodeId;
  readonly state: MemberState;
  /** Wall clock here when the state was entered. */
  readonly since: number;
  /** Smoothed round-trip time in milliseconds, where this node has measured it. */
  readonly rttMs: number | undefined;
}

/** One node's signed statement that another does not answer. */
export interface Accusation {
  readonly accuser: NodeId;
  readonly accused: NodeId;
  /** The incarnation of the accused that is meant. */
  readonly incarnation: number;
  readonly evidence: 'connection-reset' | 'missed-probes';
  /** Wall clock of the accuser. */
  readonly at: number;
  /** In words, for people: "3 probes unanswered for 3.6 s; 2 indirect probes failed". */
  readonly detail: string;
}

export interface MembershipEvents {
  change: { readonly member: Member; readonly previous: MemberState | undefined };
}

export interface Membership {
  readonly self: NodeId;
  get(id: NodeId): Member | undefined;
  /** All members known, this node included, `removed` and `left` ones for a grace period. */
  members(): readonly Member[];
  /** Standing accusations, all or those against one node. */
  accusations(of?: NodeId): readonly Accusation[];
  /** Something heard from a peer by any other way (a reply, an envelope it sent itself) proves it alive. */
  heardFrom(peer: NodeId): void;
  on<K extends keyof MembershipEvents>(type: K, listener: (event: MembershipEvents[K]) => void): () => void;
}
