/** Connects to members by id: one dial at a time to each, however many ask, over all its addresses. */
import type { Clock } from '../../clock.ts';
import { isQuorateError, QuorateError } from '../../errors.ts';
import type { NodeId } from '../../node-id.ts';
import type { Network } from '../../p2p/network.ts';

export type DialOutcome =
  | { readonly ok: true }
  /** `refused`: each address answered at once that nobody is there, none timed out. */
  | { readonly ok: false; readonly refused: boolean; readonly error: QuorateError };

/** Addresses of one member tried by one dial. */
const maxAddresses = 4;

export class Dialer {
  readonly #network: Network;
  readonly #clock: Clock;
  readonly #timeoutMs: number;
  readonly #addressesOf: (peer: NodeId) => readonly string[];
  readonly #dials = new Map<NodeId, Promise<DialOutcome>>();
  readonly #stop = new AbortController();

  constructor(network: Network, clock: Clock, timeoutMs: number, addressesOf: (peer: NodeId) => readonly string[]) {
    this.#network = network;
    this.#clock = clock;
    this.#timeoutMs = timeoutMs;
    this.#addressesOf = addressesOf;
  }

  /** Never rejects. */
  dial(peer: NodeId): Promise<DialOutcome> {
    if (this.#network.isConnected(peer)) return Promise.resolve({ ok: true });
    const running = this.#dials.get(peer);
    if (running !== undefined) return running;
    const dial = this.#tryAddresses(peer).finally(() => this.#dials.delete(peer));
    this.#dials.set(peer, dial);
    return dial;
  }

  stop(): void {
    this.#stop.abort(new QuorateError('STOPPED', 'This mesh has stopped.'));
  }

  async #tryAddresses(peer: NodeId): Promise<DialOutcome> {
    const addresses = this.#addressesOf(peer).slice(0, maxAddresses);
    let refused = true;
    let dialled = 0;
    let error = new QuorateError('PEER_UNREACHABLE', `${peer} has announced no address to dial.`, { peer });
    for (const address of addresses) {
      const startedAt = this.#clock.now();
      try {
        const found = await this.#network.connect(address, { signal: this.#stop.signal, timeoutMs: this.#timeoutMs });
        if (found === peer || this.#network.isConnected(peer)) return { ok: true };
        error = new QuorateError('PEER_UNREACHABLE', `${address} is ${found} now, not ${peer}.`, { address, peer });
      } catch (thrown) {
        const failure = asQuorateError(thrown, address);
        // Its loopback address is ours, when both listen on all interfaces: that says nothing of the peer.
        if (failure.data['self'] === true) continue;
        dialled += 1;
        error = failure;
        const timedOut = this.#clock.now() - startedAt >= 0.9 * this.#timeoutMs;
        if (timedOut || error.code !== 'PEER_UNREACHABLE') refused = false;
      }
      // The other side may have come to us in the meantime.
      if (this.#network.isConnected(peer)) return { ok: true };
      if (this.#stop.signal.aborted) break;
    }
    return { ok: false, refused: refused && dialled > 0, error };
  }
}

export function asQuorateError(thrown: unknown, address: string): QuorateError {
  if (isQuorateError(thrown)) return thrown;
  const why = thrown instanceof Error ? thrown.message : String(thrown);
  return new QuorateError('PEER_UNREACHABLE', `${address} cannot be reached: ${why}.`, { address }, { cause: thrown });
}
