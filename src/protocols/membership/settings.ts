/** What `MeshMembership` is told from outside, with the defaults. */

import type { NodeId } from '../../node-id.ts';
import type { Logger } from '../../options.ts';
import type { DetectorTimings } from '../../p2p/detector/timings.ts';
import type { BootstrapOptions } from './bootstrap.ts';
import type { LinkTimings } from './links.ts';

/** All in milliseconds. */
export interface MembershipTimings {
  /**
   * One dial of one address. Default 8,000: a stopped process accepts connections and never answers, but so does a busy
   * one for seconds, and a handshake given up is work done twice, which is how an overload feeds itself.
   */
  readonly dialTimeoutMs: number;
  readonly bootstrap: BootstrapOptions;
  readonly heal: { readonly firstMs: number; readonly maxMs: number };
  /** The rings must have been quiet for this long before new neighbours are dialled, while there are some already. */
  readonly quietMs: number;
  /** The longest that unrest may put that off. */
  readonly maxUnrestMs: number;
  /** Surplus connections are looked for this often. */
  readonly maintenanceMs: number;
  /** How long a member that answers again may take to refute the accusations that made it unreachable. */
  readonly refutationMs: number;
  /** Least time between two checks of all we hold against others, each caused by an accusation against us. */
  readonly recheckMs: number;
}

const defaultTimings: MembershipTimings = {
  dialTimeoutMs: 8_000,
  bootstrap: { timeoutMs: 8_000, firstRetryMs: 500, maxRetryMs: 60_000, refusedRetryMs: 15_000 },
  heal: { firstMs: 1_000, maxMs: 60_000 },
  quietMs: 500,
  maxUnrestMs: 3_000,
  maintenanceMs: 5_000,
  refutationMs: 2_000,
  recheckMs: 10_000,
};

export interface MeshMembershipOptions {
  readonly bootstrap: readonly string[];
  readonly zone: string;
  readonly roles: readonly string[];
  readonly capacity: Readonly<Record<string, number>>;
  readonly version: string;
  readonly logger: Logger;
  /** Default 1. */
  readonly liars?: number;
  /** Default 30,000 ms. */
  readonly removeAfterMs?: number;
  /** Members known at most. Default 1,024. */
  readonly maxMembers?: number;
  /** First incarnation of this start; must not repeat an earlier start's. Default: the wall clock, milliseconds. */
  readonly incarnation?: number;
  /** Eight bytes that say what this node's replicas hold; sent with each ack. Default zeros. */
  readonly digest?: () => Uint8Array;
  /** Receives the digests of the peers this node watches. */
  readonly onPeerDigest?: (peer: NodeId, digest: Uint8Array) => void;
  /** Resolves when the first exchange of feeds with a new bootstrap peer is done. Default: when its own entry is here. */
  readonly synced?: (peer: NodeId) => Promise<void>;
  /** Resolves when all that was written to the feeds is on its way to the others. */
  readonly flush?: () => Promise<void>;
  /** A peer sent on its control channel what no honest one sends. */
  readonly onMisbehaviour?: (peer: NodeId, reason: string) => void;
  readonly timings?: Partial<MembershipTimings>;
  readonly detector?: Partial<DetectorTimings>;
  readonly links?: Partial<LinkTimings>;
}

type Defaulted = 'liars' | 'removeAfterMs' | 'maxMembers';

export interface ResolvedMembershipOptions
  extends Omit<MeshMembershipOptions, Defaulted | 'timings'>,
    Required<Pick<MeshMembershipOptions, Defaulted>> {
  readonly timings: MembershipTimings;
}

export function resolveMembershipOptions(options: MeshMembershipOptions): ResolvedMembershipOptions {
  const { liars = 1, removeAfterMs = 30_000, maxMembers = 1_024 } = options;
  return { ...options, liars, removeAfterMs, maxMembers, timings: { ...defaultTimings, ...options.timings } };
}
