/** What `mesh.status()` answers: one plain, serialisable snapshot for logs, command line and tests. */

import type { Feeds, StoreName } from '../crdt/feeds.ts';
import type { NodeId } from '../node-id.ts';
import type { CoordinationStatus } from '../protocols/coordination/coordination.ts';
import type { InfrastructureStatus } from '../protocols/infrastructure/infrastructure.ts';
import type { Member, MemberState } from '../protocols/membership/membership.ts';
import type { MailboxStatus } from '../protocols/messaging/messaging.ts';
import type { VariableStatus } from '../protocols/variables/variables.ts';

export interface PeerStatus {
  readonly id: NodeId;
  readonly state: MemberState | 'unknown';
  readonly zone: string | undefined;
  /** Smoothed round trip in milliseconds, where measured. */
  readonly rttMs: number | undefined;
}

export interface FeedStatus {
  readonly author: NodeId;
  readonly store: string;
  readonly epoch: number;
  readonly seq: number;
  readonly entries: number;
}

export interface MeshStatus {
  readonly mode: 'local' | 'cluster';
  readonly state: 'running' | 'stopping' | 'stopped';
  readonly name: string;
  readonly id: NodeId;
  readonly zone: string;
  /** Version of the quorate package. */
  readonly version: string;
  /** Wall clock of the start, milliseconds since 1970. */
  readonly startedAt: number;
  /** Multiaddrs with which others can join by this node. */
  readonly addresses: readonly string[];
  /** Nodes this one has a connection with. */
  readonly peers: readonly PeerStatus[];
  /** How many members are in each state, this node included. */
  readonly members: Readonly<Record<MemberState, number>>;
  readonly agents: { readonly here: number; readonly total: number };
  readonly feeds: readonly FeedStatus[];
  readonly calls: {
    /** Sent from here and not yet answered. */
    readonly pending: number;
    readonly mailboxes: readonly MailboxStatus[];
  };
  readonly lag: {
    /** How late this process's own timers fire, milliseconds; what it tells its observers. */
    readonly eventLoopMs: number;
    /** Neighbours that hold other feeds than this node; above 0 for long: repair does not get through. */
    readonly feedsBehind: number;
  };
  /** Who decides, and the validator of this process. */
  readonly coordination: CoordinationStatus;
  /** The variables that this process defined. */
  readonly variables: readonly VariableStatus[];
  /** The breakers, limits and monitors that this process made. */
  readonly infrastructure: InfrastructureStatus;
  readonly traffic: { readonly bytesSent: number; readonly bytesReceived: number };
  /** How often input from outside was refused, by reason. */
  readonly refused: Readonly<Record<string, number>>;
}

export function peerStatus(id: NodeId, member: Member | undefined): PeerStatus {
  return { id, state: member?.state ?? 'unknown', zone: member?.zone, rttMs: member?.rttMs };
}

const stores: readonly StoreName[] = ['members', 'registry', 'variables', 'counters'];

export function feedStatus(feeds: Feeds): FeedStatus[] {
  return stores.flatMap((store) =>
    [...feeds.authors(store)].flatMap((author) => {
      const head = feeds.head(author, store);
      if (head === undefined) return [];
      return [{ author, store, epoch: head.epoch, seq: head.seq, entries: feeds.entries(author, store).size }];
    }),
  );
}

/** Distinct reasons counted at most; peers word some of them, so their number must be bounded. */
const maxReasons = 256;

/** Counts refusals by reason. */
export class RefusalCounts {
  readonly #counts = new Map<string, number>();

  add(reason: string): void {
    const key = this.#counts.has(reason) || this.#counts.size < maxReasons ? reason : 'other';
    this.#counts.set(key, (this.#counts.get(key) ?? 0) + 1);
  }

  all(): Readonly<Record<string, number>> {
    return Object.fromEntries(this.#counts);
  }
}
