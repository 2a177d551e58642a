/** The channels of a node: which protocols it takes, from whom, and how many at a time. */
import type { Connection, Libp2p, Stream } from '@libp2p/interface';
import type { Clock } from '../../clock.ts';
import { QuorateError } from '../../errors.ts';
import type { NodeId } from '../../node-id.ts';
import type { Channel, ChannelLimits } from '../network.ts';
import { type ChannelHooks, Libp2pChannel } from './channel.ts';
import type { Session } from './session.ts';

export interface StreamsPort {
  readonly clock: Clock;
  reportError(error: unknown, where: string): void;
  refused(peer: NodeId, reason: string): void;
  /** The connection's session once it is admitted; undefined when it never is. */
  admitted(connection: Connection): Promise<Session | undefined>;
}

interface Handler {
  readonly limits: ChannelLimits;
  readonly onChannel: (channel: Channel) => void;
  /** Open inbound channels by peer. */
  readonly open: Map<NodeId, number>;
}

/** A channel whose protocol this node does not handle itself takes frames up to this length. */
const defaultMaxFrameBytes = 4_194_304;

export class Streams {
  readonly #port: StreamsPort;
  readonly #handlers = new Map<string, Handler>();

  constructor(port: StreamsPort) {
    this.#port = port;
  }

  handle(protocol: string, limits: ChannelLimits, onChannel: (channel: Channel) => void): void {
    this.#handlers.set(protocol, { limits, onChannel, open: new Map() });
  }

  async start(libp2p: Libp2p): Promise<void> {
    for (const [protocol, handler] of this.#handlers) {
      await libp2p.handle(protocol, (stream, connection) => this.#onStream(protocol, handler, stream, connection), {
        // The limit per peer is ours; this one per connection only bounds what is counted.
        maxInboundStreams: handler.limits.maxInboundPerPeer * 2 + 8,
        maxOutboundStreams: 1_024,
      });
    }
  }

  async open(session: Session, protocol: string, signal: AbortSignal | undefined): Promise<Channel> {
    const { peer } = session;
    const maxFrameBytes = this.#handlers.get(protocol)?.limits.maxFrameBytes ?? defaultMaxFrameBytes;
    try {
      const stream = await session.connection.newStream(protocol, signal === undefined ? {} : { signal });
      return this.#newChannel(stream, session, maxFrameBytes, () => undefined);
    } catch (cause) {
      if (signal?.aborted === true) throw signal.reason;
      const why = isUnsupported(cause) ? `it does not speak ${protocol}` : `no stream for ${protocol} could be opened`;
      throw new QuorateError('PEER_UNREACHABLE', `${peer} cannot be reached: ${why}.`, { peer, protocol }, { cause });
    }
  }

  async #onStream(protocol: string, handler: Handler, stream: Stream, connection: Connection): Promise<void> {
    try {
      const session = await this.#port.admitted(connection);
      if (session === undefined) stream.abort(new Error('The peer is not admitted.'));
      else this.#accept(protocol, handler, stream, session);
    } catch (error) {
      this.#port.reportError(error, `stream of ${protocol}`);
      stream.abort(asError(error));
    }
  }

  #accept(protocol: string, handler: Handler, stream: Stream, session: Session): void {
    const { peer } = session;
    const open = handler.open.get(peer) ?? 0;
    if (open >= handler.limits.maxInboundPerPeer) {
      stream.abort(new Error('Too many channels of this protocol.'));
      this.#port.refused(peer, `more than ${open} channels of ${protocol}`);
      return;
    }
    handler.open.set(peer, open + 1);
    const channel = this.#newChannel(stream, session, handler.limits.maxFrameBytes, () => {
      const left = (handler.open.get(peer) ?? 1) - 1;
      if (left > 0) handler.open.set(peer, left);
      else handler.open.delete(peer);
    });
    try {
      handler.onChannel(channel);
    } catch (error) {
      this.#port.reportError(error, `handler of ${protocol}`);
      channel.abort(asError(error));
    }
  }

  #newChannel(stream: Stream, session: Session, maxFrameBytes: number, onEnd: () => void): Libp2pChannel {
    const hooks: ChannelHooks = {
      clock: this.#port.clock,
      reportError: (error, where) => this.#port.reportError(error, where),
      onEnd: (ended) => {
        session.channels.delete(ended);
        onEnd();
      },
      onViolation: (_, reason) => this.#port.refused(session.peer, reason),
    };
    const channel = new Libp2pChannel(stream, session.peer, maxFrameBytes, hooks);
    if (!channel.closed) session.channels.add(channel);
    return channel;
  }
}

export function isUnsupported(error: unknown): boolean {
  return error instanceof Error && error.name === 'UnsupportedProtocolError';
}

function asError(thrown: unknown): Error {
  return thrown instanceof Error ? thrown : new Error(String(thrown));
}
