/**
 * Joining by bootstrap addresses: all are tried at once and any one is enough. An address that nobody
 * answers at is tried again for as long as the node runs, with falling frequency: two halves of a mesh that
 * started apart meet as soon as one of them can reach the other.
 */
import type { Clock, Rng, Timer } from '../../clock.ts';
import type { QuorateError } from '../../errors.ts';
import type { NodeId } from '../../node-id.ts';
import type { Network } from '../../p2p/network.ts';
import { Backoff } from './backoff.ts';
import { asQuorateError } from './dialer.ts';

export interface BootstrapStatus {
  readonly address: string;
  /** Who answered there last. */
  readonly peer: NodeId | undefined;
  readonly attempts: number;
  /** Of the last attempt. */
  readonly error: QuorateError | undefined;
}

export interface BootstrapEvents {
  joined(address: string, peer: NodeId): void;
  /** `final`: there will be no further attempt at any address. */
  failed(address: string, error: QuorateError, final: boolean): void;
  /** All addresses turned out to be this node's own: there is nobody to join by. */
  onlySelf(): void;
}

export interface BootstrapOptions {
  readonly timeoutMs: number;
  readonly firstRetryMs: number;
  readonly maxRetryMs: number;
  /** First wait after a refusal that says why (wrong mesh, key, version): it takes a person to change that. */
  readonly refusedRetryMs: number;
}

interface Target {
  readonly address: string;
  readonly backoff: Backoff;
  peer: NodeId | undefined;
  attempts: number;
  error: QuorateError | undefined;
  timer: Timer | undefined;
  attempting: boolean;
}

export class Bootstrap {
  readonly #targets: readonly Target[];
  readonly #network: Network;
  readonly #clock: Clock;
  readonly #options: BootstrapOptions;
  readonly #events: BootstrapEvents;
  readonly #isMember: (peer: NodeId) => boolean;
  readonly #stop = new AbortController();
  #everJoined = false;

  /** `isMember` tells whether a peer is known and not out of reach: then its address needs no dial. */
  constructor(
    addresses: readonly string[],
    dependencies: { network: Network; clock: Clock; rng: Rng; isMember: (peer: NodeId) => boolean },
    options: BootstrapOptions,
    events: BootstrapEvents,
  ) {
    this.#network = dependencies.network;
    this.#clock = dependencies.clock;
    this.#isMember = dependencies.isMember;
    this.#options = options;
    this.#events = events;
    this.#targets = [...new Set(addresses)].map((address) => ({
      address,
      backoff: new Backoff(dependencies.rng, options.firstRetryMs, options.maxRetryMs),
      peer: undefined,
      attempts: 0,
      error: undefined,
      timer: undefined,
      attempting: false,
    }));
  }

  status(): BootstrapStatus[] {
    return this.#targets.map(({ address, peer, attempts, error }) => ({ address, peer, attempts, error }));
  }

  start(): void {
    for (const target of this.#targets) void this.#attempt(target);
  }

  /** Something is lost: try again now rather than when the wait is over. */
  hurry(): void {
    for (const target of this.#targets) {
      target.backoff.reset();
      if (target.attempting || target.timer === undefined) continue;
      this.#arm(target, target.backoff.next());
    }
  }

  stop(): void {
    this.#stop.abort();
    for (const target of this.#targets) target.timer?.cancel();
  }

  async #attempt(target: Target): Promise<void> {
    if (this.#stop.signal.aborted || target.attempting) return;
    const { peer } = target;
    if (peer !== undefined && (this.#network.isConnected(peer) || this.#isMember(peer))) {
      this.#arm(target, this.#options.maxRetryMs);
      return;
    }
    target.attempting = true;
    target.attempts += 1;
    try {
      const { timeoutMs } = this.#options;
      target.peer = await this.#network.connect(target.address, { signal: this.#stop.signal, timeoutMs });
      target.error = undefined;
      this.#everJoined = true;
      target.backoff.reset();
      if (this.#stop.signal.aborted) return;
      this.#arm(target, this.#options.maxRetryMs);
      this.#events.joined(target.address, target.peer);
    } catch (thrown) {
      if (this.#stop.signal.aborted) return;
      this.#onFailure(target, asQuorateError(thrown, target.address));
    } finally {
      target.attempting = false;
    }
  }

  #onFailure(target: Target, error: QuorateError): void {
    target.error = error;
    // Its own address among them is what a list shared by all nodes looks like.
    if (error.data['self'] === true) {
      if (this.#targets.every(({ error: own }) => own?.data['self'] === true)) this.#events.onlySelf();
      return;
    }
    // Once joined this node is the earlier one, and nobody's word makes it give way.
    if (error.code === 'IDENTITY_IN_USE' && !this.#everJoined) {
      this.stop();
      this.#events.failed(target.address, error, true);
      return;
    }
    const told = error.code === 'PEER_UNREACHABLE';
    this.#arm(target, target.backoff.next(told ? 0 : this.#options.refusedRetryMs));
    this.#events.failed(target.address, error, false);
  }

  #arm(target: Target, delayMs: number): void {
    target.timer?.cancel();
    target.timer = this.#clock.after(delayMs, () => {
      target.timer = undefined;
      void this.#attempt(target);
    });
  }
}
