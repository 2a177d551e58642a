/**
 * libp2p's TLS (/tls/1.0.0) directly on the socket.
 *
 * libp2p's module puts a stream written in JavaScript between OpenSSL and the socket; every record crosses
 * it twice, and what it holds is lost when the connection closes. Here Node's TLS reads and writes the
 * socket itself, and what one tick sends leaves as one record. On the wire both are the same. Below a
 * network key (pnet), which encrypts in JavaScript anyway, libp2p's module is used.
 */
import type { Socket } from 'node:net';
import { connect, createSecureContext, type SecureContext, TLSSocket } from 'node:tls';
import type {
  ConnectionEncrypter,
  MessageStream,
  MultiaddrConnection,
  SecureConnectionOptions,
  SecuredConnection,
  StreamMuxerFactory,
} from '@libp2p/interface';
import { peerIdFromString } from '@libp2p/peer-id';
import { tls } from '@libp2p/tls';
import { AbstractMessageStream, type SendResult } from '@libp2p/utils';
import type { Uint8ArrayList } from 'uint8arraylist';
import type { Clock } from '../../clock.ts';
import type { Identity } from '../../identity.ts';
import { createCertificate, nodeOfCertificate } from './certificate.ts';
import { coverSocket, socketOf } from './transport.ts';

const protocol = '/tls/1.0.0';
/** Up to here the pieces of one write are copied together, so that they become one TLS record and one system call. */
const joinedUpTo = 65_536;

type TlsComponents = Parameters<ReturnType<typeof tls>>[0];

export function directTls(identity: Identity, clock: Clock): (components: TlsComponents) => ConnectionEncrypter {
  const { certificate, privateKey } = createCertificate(identity);
  const secureContext = createSecureContext({
    cert: certificate,
    key: privateKey.export({ format: 'pem', type: 'pkcs8' }),
    minVersion: 'TLSv1.3',
    maxVersion: 'TLSv1.3',
  });
  return (components) => {
    const indirect = tls()(components);
    const muxers = (): Map<string, StreamMuxerFactory> => components.upgrader.getStreamMuxers();
    const secure = (connection: MessageStream, isServer: boolean, options: SecureConnectionOptions = {}) => {
      const socket = socketOf(connection);
      if (socket === undefined) {
        return isServer ? indirect.secureInbound(connection, options) : indirect.secureOutbound(connection, options);
      }
      const below = connection as MultiaddrConnection & Below;
      return handshake({ below, socket, isServer, secureContext, muxers: muxers(), clock, options });
    };
    return {
      protocol,
      secureInbound: (connection, options) => secure(connection, true, options),
      secureOutbound: (connection, options) => secure(connection, false, options),
    };
  };
}

/** The insides of the plain connection. */
interface Below {
  /** What it read too early, if anything. */
  readonly readBuffer: Uint8ArrayList;
  sendReset(): void;
  sendClose(): Promise<void>;
}

interface Handshake {
  readonly below: MultiaddrConnection & Below;
  readonly socket: Socket;
  readonly isServer: boolean;
  readonly secureContext: SecureContext;
  readonly muxers: Map<string, StreamMuxerFactory>;
  readonly clock: Clock;
  readonly options: SecureConnectionOptions;
}

function handshake(parameters: Handshake): Promise<SecuredConnection> {
  const { below, isServer, muxers, clock, options } = parameters;
  takeOver(parameters);
  const secured = wrap(parameters);
  endThrough(secured, parameters);
  return new Promise((resolve, reject) => {
    const fail = (error: Error): void => {
      options.signal?.removeEventListener('abort', onAbort);
      secured.destroy();
      below.abort(error);
      reject(error);
    };
    const onAbort = (): void => fail(new Error('The TLS handshake took too long.'));
    options.signal?.addEventListener('abort', onAbort, { once: true });
    secured.on('error', fail);
    secured.once('close', () => fail(new Error('The connection closed within the TLS handshake.')));
    secured.once(isServer ? 'secure' : 'secureConnect', () => {
      const certificate = secured.getPeerX509Certificate();
      const node = certificate === undefined ? undefined : nodeOfCertificate(certificate, clock.wallNow());
      if (node === undefined) {
        fail(new Error('The certificate of the peer does not prove any identity.'));
        return;
      }
      if (options.remotePeer !== undefined && options.remotePeer.toString() !== node) {
        fail(new Error(`Unexpected peer: ${node} answered.`));
        return;
      }
      options.signal?.removeEventListener('abort', onAbort);
      secured.removeAllListeners('close');
      secured.off('error', fail);
      const connection = new TlsStream(below, secured);
      const streamMuxer = typeof secured.alpnProtocol === 'string' ? muxers.get(secured.alpnProtocol) : undefined;
      const remotePeer = peerIdFromString(node);
      resolve(streamMuxer === undefined ? { remotePeer, connection } : { remotePeer, connection, streamMuxer });
    });
  });
}

/** From here on the socket's bytes are TLS's, also those that were read already. */
function takeOver({ below, socket }: Handshake): void {
  socket.removeAllListeners('data');
  socket.pause();
  const early = below.readBuffer.subarray();
  below.readBuffer.consume(early.length);
  if (early.length > 0) socket.unshift(early.slice());
}

/**
 * From here on the socket is closed by closing TLS, which closes what is below it. Resetting the socket under
 * a TLS that still works on it crashes the process (seen with Node 20 and 24: a segmentation fault).
 */
function endThrough(secured: TLSSocket, { below, socket }: Handshake): void {
  secured.on('error', () => undefined); // Late errors of a connection that is being closed.
  const closed = new Promise<void>((resolve) => socket.once('close', () => resolve()));
  below.sendReset = () => void secured.destroy();
  below.sendClose = () => {
    secured.destroySoon();
    return closed;
  };
  coverSocket(socket, secured);
}

function wrap({ socket, isServer, secureContext, muxers }: Handshake): TLSSocket {
  // Who offers a muxer here saves the round trips of negotiating it; 'libp2p' stands for none.
  const ours = [...muxers.keys(), 'libp2p'];
  const shared = { secureContext, rejectUnauthorized: false, ALPNProtocols: ours };
  if (!isServer) return connect({ ...shared, socket });
  return new TLSSocket(socket, {
    secureContext,
    rejectUnauthorized: false,
    requestCert: true,
    isServer: true,
    ALPNCallback: ({ protocols }) => ours.find((each) => protocols.includes(each)),
  });
}

export class TlsStream extends AbstractMessageStream {
  readonly #below: MultiaddrConnection;
  readonly #socket: TLSSocket;
  #read: ((data: Uint8Array) => void) | undefined;

  constructor(below: MultiaddrConnection, socket: TLSSocket) {
    super({
      log: below.log,
      direction: below.direction,
      inactivityTimeout: below.inactivityTimeout,
      maxReadBufferLength: below.maxReadBufferLength,
    });
    this.#below = below;
    this.#socket = socket;
    socket.on('data', (data) => {
      if (this.#read !== undefined && this.readStatus === 'readable' && this.readBuffer.byteLength === 0)
        this.#read(data);
      else this.onData(data);
    });
    socket.on('drain', () => this.safeDispatchEvent('drain'));
    socket.on('error', (error) => below.abort(error));
    below.addEventListener('close', (event) => {
      socket.destroy();
      if (event.error === undefined) this.onTransportClosed();
      else if (event.local === true) this.abort(event.error);
      else this.onRemoteReset();
    });
  }

  /** Has `read` called with what arrives, instead of a message event, unless something waits that came before it. */
  readDirectly(read: (data: Uint8Array) => void): void {
    this.#read = read;
  }

  /** Hands the bytes to the socket at once, whose buffer is the only one; false asks to wait for 'drain'. */
  override send(data: Uint8Array | Uint8ArrayList): boolean {
    if (this.writeStatus !== 'writable') throw new Error('The connection is closed.');
    const canSendMore = data instanceof Uint8Array ? this.#socket.write(data) : this.sendData(data).canSendMore;
    if (!canSendMore) this.writableNeedsDrain = true;
    return canSendMore;
  }

  sendData(data: Uint8ArrayList): SendResult {
    const sentBytes = data.byteLength;
    if (sentBytes <= joinedUpTo) return { sentBytes, canSendMore: this.#socket.write(data.subarray()) };
    this.#socket.cork();
    let canSendMore = true;
    for (const piece of data) canSendMore = this.#socket.write(piece);
    this.#socket.uncork();
    return { sentBytes, canSendMore };
  }

  async close(): Promise<void> {
    if (this.#below.status !== 'open') return;
    this.writeStatus = 'closing';
    await this.#below.close(); // Sends what is queued and TLS's own goodbye first.
  }

  sendReset(error: Error): void {
    this.#below.abort(error);
  }

  sendPause(): void {
    this.#socket.pause();
  }

  sendResume(): void {
    this.#socket.resume();
  }
}
