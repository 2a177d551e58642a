/**
 * The coordination protocol: what must not be split, whatever crashes, hangs or lies. Locks and elections, barriers, decisions by vote, auctions,
 * numbers and maps with atomic operations, exclusive names, and state machines of the application.
 *
 * Implementations: one process (`LocalOrdering`), and a group of validators that agree by PBFT (`group/`); both order commands for the same
 * reducers (`machine/`), so an application sees no difference but in what it survives. Every operation has a deadline, takes an `AbortSignal`, and tells a
 * command that has certainly not run (`NO_QUORUM`) from one that may have (`UNKNOWN_OUTCOME`).
 */
import type { NodeId } from '../../node-id.ts';
import type { Atoms } from './atoms/atoms.ts';
import type { Auctions } from './auctions/auctions.ts';
import type { BarrierCounters, BarrierProvider } from './barrier/barrier.ts';
import type { Grants } from './grants/grants.ts';
import type { Proposals } from './proposals/proposals.ts';
import type { StateMachines } from './state-machines/state-machines.ts';
import type { Validators } from './validators.ts';

export interface Coordination
  extends Grants,
    Pick<BarrierProvider, 'barrier'>,
    Proposals,
    Auctions,
    Atoms,
    StateMachines {
  /** Who decides, and how they are doing. */
  readonly validators: Validators;
  /** What this node knows without asking anybody. */
  status(): CoordinationStatus;
}

export interface CoordinationStatus extends OrderingStatus {
  /** What this node's barriers cost since its start. */
  readonly barriers: BarrierCounters;
}

/** What is known of who puts commands in order. */
export interface OrderingStatus {
  /** Hexadecimal id of the group of validators: what `coordination.group` pins. Undefined while none is known. */
  readonly group: string | undefined;
  readonly validators: readonly NodeId[];
  /** How many of them may lie. */
  readonly f: number;
  /** Changes of validators since the founding. */
  readonly epoch: number;
  /** Commands of this node that were not answered yet. */
  readonly pending: number;
  /** The replica of this process, where it is a validator. */
  readonly replica: ReplicaHealth | undefined;
  /** Why the validator of this process has stopped. */
  readonly failure: string | undefined;
}

export interface ReplicaHealth {
  readonly view: number;
  readonly primary: NodeId;
  /** False while the validators change their primary. */
  readonly active: boolean;
  /** Sequence of the last batch executed. */
  readonly executed: number;
  /** Sequence of the last checkpoint that a quorum has on disk. */
  readonly stable: number;
  readonly logBytes: number;
}
