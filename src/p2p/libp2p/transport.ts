/**
 * libp2p's TCP transport with eyes: it counts the bytes on the sockets, and remembers of each connection
 * under construction what is needed to say why it failed. What libp2p throws there is mostly a time-out or
 * "stream closed", whatever the cause.
 */
import { Socket } from 'node:net';
import {
  type Connection,
  type CreateListenerOptions,
  type DialTransportOptions,
  type Listener,
  type MultiaddrConnection,
  type Transport,
  transportSymbol,
  type Upgrader,
} from '@libp2p/interface';
import { tcp } from '@libp2p/tcp';
import type { Multiaddr } from '@multiformats/multiaddr';
import { multistreamHeader, nonceBytes, startsLikeHeader } from './network-key.ts';

/** What was seen of one connection before it was encrypted. */
export interface Observation {
  /** TCP connected. */
  connected: boolean;
  /** The first bytes the peer sent, up to a nonce's length. */
  first: Uint8Array;
  /** Bytes the peer sent so far. */
  received(): number;
  /** The peer answered, decrypted or plain, with something that libp2p does not say. */
  wrongKey: boolean;
}

/** How long a connection that opened in a wrong way may take to end. */
const farewellMs = 1_000;

/** Bytes over all sockets of a network, open and closed. */
export class SocketLedger {
  readonly #open = new Set<Socket>();
  #sent = 0;
  #received = 0;

  add(socket: Socket): void {
    if (this.#open.has(socket)) return;
    this.#open.add(socket);
    socket.once('close', () => {
      this.#open.delete(socket);
      this.#sent += socket.bytesWritten;
      this.#received += socket.bytesRead;
    });
  }

  get sent(): number {
    let total = this.#sent;
    for (const socket of this.#open) total += socket.bytesWritten;
    return total;
  }

  get received(): number {
    let total = this.#received;
    for (const socket of this.#open) total += socket.bytesRead;
    return total;
  }

  /** Ends every connection, as the end of the process would. */
  destroyAll(): void {
    for (const socket of [...this.#open]) (covers.get(socket) ?? socket).destroy();
  }
}

export interface TransportHooks {
  readonly ledger: SocketLedger;
  readonly keyed: boolean;
  /** An inbound connection failed before it was one. */
  onInboundFailure(error: unknown, observation: Observation, connection: MultiaddrConnection): void;
}

/** The error of a failed dial, with what was seen on the way. */
export class DialFailure extends Error {
  readonly observation: Observation;

  constructor(observation: Observation, cause: unknown) {
    super(cause instanceof Error ? cause.message : String(cause), { cause });
    this.observation = observation;
  }
}

/** The protector and the encrypters get the connection, not the dial: this joins the two again. */
const observations = new WeakMap<object, Observation>();

export function observationOf(connection: object): Observation | undefined {
  return observations.get(connection);
}

/** What took a socket over: it must be ended through this, not beneath it. */
const covers = new WeakMap<Socket, Socket>();

export function coverSocket(socket: Socket, cover: Socket): void {
  covers.set(socket, cover);
}

/** The socket under a connection that this transport made. */
export function socketOf(connection: object): Socket | undefined {
  const { socket } = connection as { readonly socket?: unknown };
  return socket instanceof Socket ? socket : undefined;
}

type Tcp = ReturnType<ReturnType<typeof tcp>>;
type TcpComponents = Parameters<ReturnType<typeof tcp>>[0];

export function observedTcp(hooks: TransportHooks): (components: TcpComponents) => Transport {
  return (components) => {
    const inner = tcp({
      // Idle connections are normal: the failure detector decides when a peer is gone, not TCP's own timer.
      inboundSocketInactivityTimeout: 0,
      outboundSocketInactivityTimeout: 0,
      // A burst of nodes starting together must not find the queue full.
      backlog: 1_024,
    })(components);
    return new ObservedTcp(inner, hooks);
  };
}

class ObservedTcp implements Transport {
  readonly [transportSymbol] = true;
  readonly [Symbol.toStringTag] = '@libp2p/tcp';
  readonly #inner: Tcp;
  readonly #hooks: TransportHooks;

  constructor(inner: Tcp, hooks: TransportHooks) {
    this.#inner = inner;
    this.#hooks = hooks;
  }

  listenFilter = (addresses: Multiaddr[]): Multiaddr[] => this.#inner.listenFilter(addresses);
  dialFilter = (addresses: Multiaddr[]): Multiaddr[] => this.#inner.dialFilter(addresses);

  async dial(address: Multiaddr, options: DialTransportOptions): Promise<Connection> {
    const observation = newObservation();
    const upgrader = upgraderWith(options.upgrader, {
      upgradeOutbound: ((connection: MultiaddrConnection, upgradeOptions: never) => {
        this.#observe(connection, observation);
        return options.upgrader.upgradeOutbound(connection, upgradeOptions);
      }) as Upgrader['upgradeOutbound'],
    });
    try {
      return await this.#inner.dial(address, { ...options, upgrader } as Parameters<Tcp['dial']>[1]);
    } catch (error) {
      throw new DialFailure(observation, error);
    }
  }

  createListener(options: CreateListenerOptions): Listener {
    const upgrader = upgraderWith(options.upgrader, {
      upgradeInbound: (async (connection: MultiaddrConnection, upgradeOptions: never) => {
        const observation = newObservation();
        this.#observe(connection, observation);
        try {
          await options.upgrader.upgradeInbound(connection, upgradeOptions);
        } catch (error) {
          this.#hooks.onInboundFailure(error, observation, connection);
          throw error;
        }
      }) as Upgrader['upgradeInbound'],
    });
    return this.#inner.createListener({ ...options, upgrader });
  }

  #observe(connection: MultiaddrConnection, observation: Observation): void {
    observation.connected = true;
    observations.set(connection, observation);
    const socket = socketOf(connection);
    if (socket === undefined) return;
    this.#hooks.ledger.add(socket);
    observation.received = () => socket.bytesRead;
    const look = (chunk: Uint8Array): void => {
      observation.first = Buffer.concat([observation.first, chunk]).subarray(0, nonceBytes);
      if (observation.first.length >= nonceBytes) socket.off('data', look);
      if (!this.#isWrong(observation.first)) return;
      observation.wrongKey = true;
      socket.off('data', look);
      // The peer may be waiting for our first bytes; with the header it can tell that we have no key.
      if (!this.#hooks.keyed && connection.direction === 'inbound') socket.write(multistreamHeader);
      socket.setTimeout(farewellMs, () => socket.destroy());
      socket.end();
    };
    socket.on('data', look);
  }

  /** Who has a key starts with a nonce, and that is no header. Who has none starts with the header, and that is no nonce. */
  #isWrong(first: Uint8Array): boolean {
    const header = startsLikeHeader(first);
    return this.#hooks.keyed ? header === true && first.length >= multistreamHeader.length : header === false;
  }
}

function newObservation(): Observation {
  return { connected: false, first: new Uint8Array(0), received: () => 0, wrongKey: false };
}

function upgraderWith(upgrader: Upgrader, replaced: Partial<Upgrader>): Upgrader {
  return {
    upgradeOutbound: upgrader.upgradeOutbound.bind(upgrader),
    upgradeInbound: upgrader.upgradeInbound.bind(upgrader),
    createInboundAbortSignal: upgrader.createInboundAbortSignal.bind(upgrader),
    getStreamMuxers: () => upgrader.getStreamMuxers(),
    getConnectionEncrypters: () => upgrader.getConnectionEncrypters(),
    ...replaced,
  };
}
