/**
 * What the rest of Quorate asks of a network, and nothing more: authenticated peers, framed channels and
 * a validated broadcast. Two implementations: libp2p (real) and the seeded simulated network (tests).
 * A network knows no agent and no proposal.
 */
import type { ErrorCode } from '../errors.ts';
import type { NodeId } from '../node-id.ts';

/** What a validator says of a broadcast message: pass on, drop quietly, or drop and blame the sender. */
export type Verdict = 'accept' | 'ignore' | 'reject';

/**
 * A bidirectional sequence of frames with one authenticated peer, in order, each delivered whole or not
 * at all. Frames sent within one tick of the event loop go out in one write.
 */
export interface Channel {
  readonly peer: NodeId;
  readonly protocol: string;
  /** True once closed by either side or lost; `send` then does nothing. */
  readonly closed: boolean;
  /**
   * Queues a frame, which must not be changed afterwards. False when the buffer is above its high-water mark: the frame is queued all the same,
   * but the caller should wait for `drained` before it sends more.
   */
  send(frame: Uint8Array): boolean;
  /** Resolves when the buffer is below its mark again; rejects when the channel closes or `signal` aborts. */
  drained(signal?: AbortSignal): Promise<void>;
  /**
   * Takes the frames, from the first on; call once, at once after `open` or inside the handler. Frames
   * that came earlier are kept. A frame may be a view of a larger buffer: copy what you keep for long. `onClose` is called exactly once; `error` is absent after a graceful end.
   */
  listen(receiver: { onFrame(frame: Uint8Array): void; onClose(error?: Error): void }): void;
  /** Stops and resumes reading; the peer feels it as backpressure. */
  pause(): void;
  resume(): void;
  /** Ends gracefully: what was queued is sent first. */
  close(): Promise<void>;
  /** Ends at once; the peer sees an error. */
  abort(reason: Error): void;
}

export interface ChannelLimits {
  /** A longer frame, in or out, is an error that closes the channel. Bytes. */
  readonly maxFrameBytes: number;
  /** Inbound channels of this protocol one peer may have open; one more is refused. */
  readonly maxInboundPerPeer: number;
}

export interface NetworkEvents {
  /** The first connection to a peer is up, authenticated and admitted by both sides. */
  'peer:connected': { readonly peer: NodeId; readonly addresses: readonly string[]; readonly outbound: boolean };
  /** The last connection to a peer is gone. `graceful` when one of the two sides closed it on purpose. */
  'peer:disconnected': { readonly peer: NodeId; readonly graceful: boolean };
  /** Something from outside was refused; for counters and logs, never for control flow. */
  refused: {
    readonly peer?: NodeId;
    readonly reason: string;
    /** Set when a connection was refused in its hello, and by which side. */
    readonly code?: ErrorCode | 'DUPLICATE';
    readonly by?: 'us' | 'them';
    /** Set when no honest peer sends that, as opposed to a limit that one may meet. */
    readonly violation?: true;
  };
}

export interface NetworkCounters {
  bytesSent: number;
  bytesReceived: number;
}

export interface Network {
  readonly self: NodeId;
  readonly counters: Readonly<NetworkCounters>;
  /** Where others can dial this node, as multiaddrs ending in `/p2p/<id>`. Empty before `start`. */
  addresses(): readonly string[];
  /** Throws `PORT_IN_USE` when an address to listen on is taken. */
  start(): Promise<void>;
  /** Closes everything, gracefully first; idempotent. */
  stop(): Promise<void>;

  /**
   * Dials one multiaddr and resolves with the peer's id once the connection is authenticated and admitted
   * by both sides. Rejects with `PEER_UNREACHABLE`, `WRONG_MESH`, `WRONG_VERSION`, `WRONG_NETWORK_KEY`,
   * `NOT_ALLOWED` or `IDENTITY_IN_USE`; an address of this node itself with `INVALID_ARGUMENT` and
   * `data.self` true. An address of a connected peer resolves at once.
   */
  connect(address: string, options: { signal?: AbortSignal; timeoutMs: number }): Promise<NodeId>;
  /** Closes all connections to a peer. */
  disconnect(peer: NodeId): Promise<void>;
  /** Closes all connections to a peer and refuses new ones for `forMs`. */
  ban(peer: NodeId, forMs: number, reason: string): void;
  isConnected(peer: NodeId): boolean;
  peers(): readonly NodeId[];

  /** Opens a channel to a connected peer; rejects with `PEER_UNREACHABLE` when it is not connected. */
  open(peer: NodeId, protocol: string, options?: { signal?: AbortSignal }): Promise<Channel>;
  /** Accepts channels of a protocol. Call before `start`. A throwing handler closes only its channel. */
  handle(protocol: string, limits: ChannelLimits, onChannel: (channel: Channel) => void): void;

  /** Broadcasts to every subscriber in the mesh, best effort; bytes over the topic's limit throw `PAYLOAD_TOO_LARGE`. */
  publish(topic: string, data: Uint8Array): Promise<void>;
  /**
   * Receives a topic's messages, each at most once; the validator runs after deduplication and decides
   * whether the message is passed on. `from` is the neighbour it came through, not its author.
   * Call before `start`.
   */
  subscribe(
    topic: string,
    maxBytes: number,
    validate: (data: Uint8Array, from: NodeId) => Verdict | Promise<Verdict>,
  ): void;

  on<K extends keyof NetworkEvents>(type: K, listener: (event: NetworkEvents[K]) => void): () => void;
}
