/**
 * What coordination asks of whatever puts commands in order, and nothing more. Two implementations: alone, where
 * the order is that of arrival (`LocalOrdering`), and a group of validators (`ClusterOrdering`).
 *
 * Every grant, count and decision is a function of the ordered commands (`machine/`), so what is built on this interface
 * behaves alike in both.
 */
import type { NodeId } from '../../node-id.ts';
import type { Certificate } from './certificates/certificate.ts';

/** How far a read looks. `linearizable`: it sees every command acknowledged before it began. `local`: some true past state, cheaper. */
export type ReadConsistency = 'linearizable' | 'local';

export interface OrderingOptions {
  readonly signal?: AbortSignal | undefined;
  /** Default: `coordination.timeoutMs` of the mesh. */
  readonly timeoutMs?: number | undefined;
}

export interface Subscriber {
  /** Something happened under the topic, in the order of the log. */
  onEvent(payload: Uint8Array): void;
  /** Events may have been missed: read again what matters. */
  onGap(): void;
}

export interface Ordering {
  /** The node in whose name commands are submitted; reducers see it as `client`. */
  readonly self: NodeId;
  /**
   * Runs a command once, and gives the machine's answer to it. Rejects with `NO_VALIDATORS`, `NO_QUORUM` (it has certainly not run),
   * `UNKNOWN_OUTCOME` (it may have run, or may still), `REJECTED` (too much waits here), `PAYLOAD_TOO_LARGE`, `STOPPED`,
   * or the reason of `signal`.
   */
  submit(command: Uint8Array, options?: OrderingOptions): Promise<Uint8Array>;
  /** Answers a query without changing anything. Rejects like `submit`, but never with `UNKNOWN_OUTCOME`. */
  query(
    query: Uint8Array,
    options?: OrderingOptions & { readonly consistency?: ReadConsistency | undefined },
  ): Promise<Uint8Array>;
  /** Hears the events of one topic until the returned function is called. */
  subscribe(topic: string, subscriber: Subscriber): () => void;
  /** What the machine states as settled, signed by enough validators to convince a third party. Rejects with `NOT_SETTLED` while it is open. */
  certify(query: Uint8Array, options?: OrderingOptions): Promise<Certificate>;
}
