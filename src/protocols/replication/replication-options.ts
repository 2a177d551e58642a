/** Settings and figures of replication. */
import { defaultExchangeLimits, type ExchangeLimits } from './exchange.ts';
import { defaultPeerDigestOptions, type PeerDigestOptions } from './peer-digests.ts';
import { defaultSchedulerOptions, type SchedulerOptions } from './sync-scheduler.ts';

export interface ReplicationOptions extends SchedulerOptions, PeerDigestOptions {
  /** Changes within this time after one that went out are sent together. Milliseconds. */
  readonly coalesceMs: number;
  /** An envelope that came too early waits this long for the one before it. Milliseconds. */
  readonly gapPatienceMs: number;
  /** A caller that waits for an envelope waits this long for the broadcast, then asks for it. Milliseconds. */
  readonly waitPatienceMs: number;
  /** … and asks again this often. Milliseconds. */
  readonly waitRetryMs: number;
  /** Exchanges per second that one peer may start, on average, and at once. */
  readonly servedPerSecond: number;
  readonly servedBurst: number;
  /** Bytes per second that one peer may have sent to it in exchanges, on average, and at once. */
  readonly servedBytesPerSecond: number;
  readonly servedBytesBurst: number;
  /** At `stop`, how long to make sure that the last values arrived. Milliseconds. */
  readonly farewellMs: number;
  readonly exchange: ExchangeLimits;
}

export const defaultReplicationOptions: ReplicationOptions = {
  ...defaultSchedulerOptions,
  ...defaultPeerDigestOptions,
  coalesceMs: 5, // at most 200 signatures of 30 µs a second and store; nobody sees 5 ms
  gapPatienceMs: 25, // gossip reaches 100 nodes in about 50 ms; reordering is a fraction of that
  waitPatienceMs: 10, // one gossip hop
  waitRetryMs: 250, // a lost connection is known by then
  servedPerSecond: 12, // above what `urgentIntervalMs` lets an honest peer ask
  servedBurst: 24,
  servedBytesPerSecond: 4 * 1024 * 1024,
  servedBytesBurst: 128 * 1024 * 1024,
  farewellMs: 1_000, // a stop must not hang on a slow peer
  exchange: defaultExchangeLimits,
};

export interface ReplicationCounters {
  published: number;
  publishFailures: number;
  exchangesStarted: number;
  exchangesServed: number;
  exchangesFailed: number;
  /** Inbound ones, turned away because the peer asks too much. */
  exchangesRefused: number;
  envelopesSent: number;
  envelopesReceived: number;
  violations: number;
}

/** How far behind this node may be, and why. */
export interface ReplicationLag {
  /** Writes not yet sent, and envelopes the network has not yet taken. */
  readonly unsent: boolean;
  /** Envelopes that wait for an earlier one. */
  readonly held: number;
  readonly exchanges: number;
  /** Callers of `waitFor`. */
  readonly waiting: number;
  /** Neighbours whose digest differs from ours. */
  readonly differingPeers: number;
}
