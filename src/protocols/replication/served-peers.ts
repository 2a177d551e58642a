/** How much each peer may still ask of this node: exchanges, and bytes sent in them. */
import type { Clock } from '../../clock.ts';
import type { NodeId } from '../../node-id.ts';
import { Allowance } from './allowance.ts';
import type { ReplicationOptions } from './replication-options.ts';

/** Not forgotten when a connection ends, or reconnecting would renew it; the least recent go first. */
const maxPeers = 4096;

export interface PeerAllowance {
  readonly exchanges: Allowance;
  readonly bytes: Allowance;
}

export class ServedPeers {
  readonly #clock: Clock;
  readonly #options: ReplicationOptions;
  readonly #peers = new Map<NodeId, PeerAllowance>();

  constructor(clock: Clock, options: ReplicationOptions) {
    this.#clock = clock;
    this.#options = options;
  }

  /** The peer's allowance for an exchange that it starts now, or undefined when it has none left. */
  admit(peer: NodeId): PeerAllowance | undefined {
    const allowance = this.#peers.get(peer) ?? this.#fresh();
    this.#peers.delete(peer);
    this.#peers.set(peer, allowance);
    for (const oldest of this.#peers.keys()) {
      if (this.#peers.size <= maxPeers) break;
      this.#peers.delete(oldest);
    }
    if (allowance.exchanges.left < 1 || allowance.bytes.left <= 0) return undefined;
    allowance.exchanges.take(1);
    return allowance;
  }

  #fresh(): PeerAllowance {
    const { servedPerSecond, servedBurst, servedBytesPerSecond, servedBytesBurst } = this.#options;
    return {
      exchanges: new Allowance(this.#clock, servedPerSecond, servedBurst),
      bytes: new Allowance(this.#clock, servedBytesPerSecond, servedBytesBurst),
    };
  }
}
