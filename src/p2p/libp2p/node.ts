/** The libp2p node under a network: which modules, with which settings, and why. */
import type { GossipSub } from '@chainsafe/libp2p-gossipsub';
import { noise } from '@chainsafe/libp2p-noise';
import { privateKeyFromRaw } from '@libp2p/crypto/keys';
import { identify } from '@libp2p/identify';
import type {
  Connection,
  ConnectionProtector,
  Libp2p,
  Libp2pEvents,
  Logger,
  PeerId,
  StreamHandlerRecord,
  TypedEventTarget,
} from '@libp2p/interface';
import type { Multiaddr } from '@multiformats/multiaddr';
import { createLibp2p } from 'libp2p';
import type { Clock } from '../../clock.ts';
import type { Identity } from '../../identity.ts';
import type { Gossip } from './gossip.ts';
import { correctedYamux } from './muxer.ts';
import { directTls } from './tls.ts';
import { observedTcp, type TransportHooks } from './transport.ts';

export interface NodeSettings {
  readonly identity: Identity;
  readonly clock: Clock;
  readonly listen: readonly string[];
  readonly announce: readonly string[];
  readonly maxConnections: number;
  readonly gossip: Gossip;
  readonly transport: TransportHooks;
  readonly protector: (() => ConnectionProtector) | undefined;
  isBanned(peer: PeerId): boolean;
}

/** The parts of libp2p that its own interface does not show. */
export interface Internals {
  readonly events: TypedEventTarget<Libp2pEvents> & {
    safeDispatchEvent(type: string, detail: { readonly detail: unknown }): boolean;
  };
  readonly transportManager: {
    dial(address: Multiaddr, options: { readonly signal: AbortSignal }): Promise<Connection>;
  };
  readonly registrar: { getHandler(protocol: string): StreamHandlerRecord };
}

export interface Node {
  readonly libp2p: Libp2p;
  readonly gossipsub: GossipSub;
  readonly internals: Internals;
}

/** How long securing an inbound connection may take. Generous: a hundred nodes may be starting on this machine. */
const upgradeTimeoutMs = 10_000;
/** How long a stalled opener of a stream may take to say which protocol it wants. */
const negotiationTimeoutMs = 10_000;

export async function createNode(settings: NodeSettings): Promise<Node> {
  const { identity } = settings;
  const libp2p = await createLibp2p({
    start: false,
    privateKey: privateKeyFromRaw(Buffer.concat([identity.seed, identity.publicKey])),
    addresses: { listen: [...settings.listen], announce: [...settings.announce] },
    logger: { forComponent: () => silent },
    transports: [observedTcp(settings.transport)],
    ...(settings.protector === undefined ? {} : { connectionProtector: settings.protector }),
    // In order of preference: TLS does its work in OpenSSL, noise in JavaScript.
    connectionEncrypters: [directTls(identity, settings.clock), noise()],
    streamMuxers: [correctedYamux()],
    connectionGater: { denyInboundEncryptedConnection: (peer) => settings.isBanned(peer) },
    // A ping per connection and 10 s, on a stream of its own each time: our detector probes anyway.
    connectionMonitor: { enabled: false },
    connectionManager: {
      maxConnections: settings.maxConnections,
      // By default 5 per second and address: a mesh of many nodes behind one address could not start.
      inboundConnectionThreshold: 1_000,
      maxIncomingPendingConnections: 512,
      inboundUpgradeTimeout: upgradeTimeoutMs,
      inboundStreamProtocolNegotiationTimeout: negotiationTimeoutMs,
      outboundStreamProtocolNegotiationTimeout: negotiationTimeoutMs,
      connectionCloseTimeout: 1_000,
      reconnectRetries: 0,
    },
    services: {
      // Answers others that ask; peers of ours tell each other what they need in the hello.
      identify: identify({ runOnConnectionOpen: false }),
      gossipsub: settings.gossip.factory(),
      internals: (components: unknown) => ({ reached: components }),
    },
  });
  const { gossipsub, internals } = libp2p.services;
  return { libp2p, gossipsub, internals: internals.reached as Internals };
}

/** libp2p formats log lines for every frame; what matters reaches `onError` and the `refused` event. */
const silent: Logger = Object.assign(() => undefined, {
  error: () => undefined,
  trace: () => undefined,
  enabled: false,
  newScope: () => silent,
});
