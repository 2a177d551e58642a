/** Dials addresses: one dial per address at a time, shared by all who ask, ended with one coded error. */
import type { Connection } from '@libp2p/interface';
import { CODE_P2P, type Multiaddr, multiaddr } from '@multiformats/multiaddr';
import type { Clock } from '../../clock.ts';
import { QuorateError } from '../../errors.ts';
import type { NodeId } from '../../node-id.ts';
import { refusalError } from '../handshake.ts';
import { dialError, ownAddress, unreachable } from './dial-error.ts';
import type { Session } from './session.ts';

export interface DialerPort {
  readonly clock: Clock;
  readonly self: NodeId;
  readonly keyed: boolean;
  /** Own addresses without the peer id at the end. */
  ownAddresses(): readonly string[];
  dial(address: Multiaddr, signal: AbortSignal): Promise<Connection>;
  sessionOf(connection: Connection): Session | undefined;
  isConnected(peer: NodeId): boolean;
  /** Resolves when the peer is connected, by whatever connection; rejects when the signal aborts. */
  whenConnected(peer: NodeId, signal: AbortSignal): Promise<void>;
  denial(peer: NodeId): string | undefined;
  /** Whether a dial begun then, and answered with our own identity, reached our own listener. */
  metOurselves(since: number): Promise<boolean>;
  onIdentityInUse(address: string): void;
}

export class Dialer {
  readonly #port: DialerPort;
  readonly #dials = new Map<string, Promise<NodeId>>();
  /** Peer of each address that answered before, so that it need not be dialled to know who is there. */
  readonly #known = new Map<string, NodeId>();

  constructor(port: DialerPort) {
    this.#port = port;
  }

  get dialling(): boolean {
    return this.#dials.size > 0;
  }

  async connect(address: string, options: { signal?: AbortSignal; timeoutMs: number }): Promise<NodeId> {
    const target = parse(address);
    options.signal?.throwIfAborted();
    if (this.#port.ownAddresses().includes(withoutPeer(target).toString())) throw ownAddress(address);
    const peer = peerOf(target) ?? this.#known.get(address);
    if (peer !== undefined && this.#port.isConnected(peer)) return peer;
    const denial = peer === undefined ? undefined : this.#port.denial(peer);
    if (denial !== undefined) throw refusalError('NOT_ALLOWED', denial, 'us', address);
    let dial = this.#dials.get(address);
    if (dial === undefined) {
      dial = this.#dial(target, address, options.timeoutMs).finally(() => this.#dials.delete(address));
      this.#dials.set(address, dial);
    }
    return untilAborted(dial, options.signal);
  }

  async #dial(target: Multiaddr, address: string, timeoutMs: number): Promise<NodeId> {
    const timeout = new AbortController();
    const timer = this.#port.clock.after(timeoutMs, () =>
      timeout.abort(unreachable(address, `no answer within ${timeoutMs} ms`)),
    );
    try {
      const connection = await this.#connection(target, address, timeout.signal);
      return await this.#admission(connection, address, timeout.signal);
    } finally {
      timer.cancel();
    }
  }

  async #connection(target: Multiaddr, address: string, signal: AbortSignal): Promise<Connection> {
    const begun = this.#port.clock.now();
    try {
      return await this.#port.dial(target, signal);
    } catch (cause) {
      if (signal.aborted && !/self/i.test(String(cause))) {
        const { keyed, self } = this.#port;
        const error = dialError(cause, { address, keyed, self, reachedOurselves: false });
        throw error.code === 'WRONG_NETWORK_KEY' ? error : signal.reason;
      }
      const reachedOurselves = /dial self/i.test(String(cause)) && (await this.#port.metOurselves(begun));
      const { keyed, self } = this.#port;
      const error = dialError(cause, { address, keyed, self, reachedOurselves });
      if (error.code === 'IDENTITY_IN_USE') this.#port.onIdentityInUse(address);
      throw error;
    }
  }

  async #admission(connection: Connection, address: string, signal: AbortSignal): Promise<NodeId> {
    const session = this.#port.sessionOf(connection);
    if (session === undefined) throw unreachable(address, 'the connection closed at once');
    const giveUp = (): void => {
      if (!session.admission.settled) session.abort('the dial took too long');
    };
    signal.addEventListener('abort', giveUp, { once: true });
    const outcome = await session.outcome;
    signal.removeEventListener('abort', giveUp);
    switch (outcome.type) {
      case 'admitted':
        this.#remember(address, session.peer);
        return session.peer;
      case 'refused':
        if (outcome.code !== 'DUPLICATE') throw refusalError(outcome.code, outcome.detail, outcome.by, address);
        await this.#port.whenConnected(session.peer, signal);
        return session.peer;
      case 'lost':
        if (this.#port.isConnected(session.peer)) return session.peer;
        throw signal.aborted ? signal.reason : unreachable(address, outcome.why);
    }
  }

  #remember(address: string, peer: NodeId): void {
    if (this.#known.size >= 1_024) this.#known.clear();
    this.#known.set(address, peer);
  }
}

function parse(address: string): Multiaddr {
  try {
    return multiaddr(address);
  } catch (cause) {
    const message = `"${address}" is no address. Addresses look like /ip4/192.0.2.1/tcp/4001 or /dns4/node.example/tcp/4001/p2p/12D3KooW….`;
    throw new QuorateError('INVALID_ARGUMENT', message, { address }, { cause });
  }
}

export function withoutPeer(address: Multiaddr): Multiaddr {
  return address.decapsulateCode(CODE_P2P);
}

function peerOf(address: Multiaddr): NodeId | undefined {
  return address.getComponents().findLast((component) => component.code === CODE_P2P)?.value as NodeId | undefined;
}

/** The promise's result, or the signal's reason if that comes first. */
function untilAborted<T>(promise: Promise<T>, signal: AbortSignal | undefined): Promise<T> {
  if (signal === undefined) return promise;
  return new Promise((resolve, reject) => {
    const onAbort = (): void => reject(signal.reason);
    signal.addEventListener('abort', onAbort, { once: true });
    promise.then(resolve, reject).finally(() => signal.removeEventListener('abort', onAbort));
  });
}
