/**
 * Yamux with two corrections and a short way.
 *
 * It answers every data frame, however small, with a window update: a frame, a TLS record and a system call
 * for each message of a call. Here the update waits until half the window is used, as Yamux's specification
 * allows and Go's implementation does.
 *
 * Its decoder collects a data frame of whatever length its header claims, up to 4 GiB, before it looks at
 * the window. Here a connection that has more than a window unfinished is cut off.
 *
 * The short way: a small write on an established stream that has nothing waiting becomes one piece of bytes and goes to the
 * connection; a data frame that arrived whole, without flags, for an established stream that is being read goes to the
 * stream's reader. libp2p's own way does the same with a dozen lists and events, which is most of the time that a
 * message spends in a process. Whatever is not exactly so takes libp2p's way. Windows are kept in both.
 */
import { yamux } from '@chainsafe/libp2p-yamux';
import type { MessageStream, Stream, StreamMuxerFactory } from '@libp2p/interface';
import { plainBytes } from './frames.ts';
import { TlsStream } from './tls.ts';

/** The smallest that Yamux allows, and what every stream starts with. */
const initialWindowBytes = 262_144;
/**
 * No larger than what a stream may buffer while it is paused (4 MiB), or a peer that fills its window would
 * get the stream reset.
 */
const maxWindowBytes = 1_048_576;
/** Header of a Yamux frame. */
const headerBytes = 12;

/** Longer writes are not copied into one piece. */
const joinedUpTo = 16_384;

/** The parts of a Yamux stream that are touched here. */
interface WindowedStream {
  readonly streamId: number;
  readonly status: string;
  readonly readStatus: string;
  readonly writeStatus: string;
  readonly sendingData: boolean;
  readonly writableNeedsDrain: boolean;
  readonly readBuffer: { readonly byteLength: number };
  readonly writeBuffer: { readonly byteLength: number };
  readonly maxMessageSize: number;
  state: number;
  sendWindowCapacity: number;
  recvWindow: number;
  recvWindowCapacity: number;
  sendWindowUpdate(): void;
  send(data: unknown): boolean;
  onData(data: Uint8Array): void;
}

interface CorrectedMuxer {
  readonly decoder: { readonly buffer: { readonly byteLength: number } };
  readonly streams: readonly WindowedStream[];
  onData(data: unknown): void;
  send(data: Uint8Array): boolean;
  abort(error: Error): void;
  _newStream(...parameters: unknown[]): WindowedStream;
}

/** `StreamState.Established` of Yamux: the flags that open a stream were sent. */
const established = 3;

const readers = new WeakMap<object, (data: Uint8Array) => void>();

/** Has `read` called, instead of a message event, for what takes the short way. The rest still comes as events, in order. */
export function readDirectly(stream: Stream, read: (data: Uint8Array) => void): void {
  readers.set(stream, read);
}

export function correctedYamux(): () => StreamMuxerFactory {
  const factory = yamux({
    // Of all protocols together; each has its own limit per peer.
    maxInboundStreams: 1_024,
    maxOutboundStreams: 1_024,
    // Also keeps NATs open. Our own detector notices a dead peer long before.
    enableKeepAlive: true,
    keepAliveInterval: 60_000,
    streamOptions: { initialStreamWindowSize: initialWindowBytes, maxStreamWindowSize: maxWindowBytes },
  })();
  return () => ({
    protocol: factory.protocol,
    createStreamMuxer(connection: MessageStream) {
      const muxer = factory.createStreamMuxer(connection);
      correct(muxer as unknown as CorrectedMuxer, connection);
      return muxer;
    },
  });
}

function correct(muxer: CorrectedMuxer, connection: MessageStream): void {
  const onData = muxer.onData.bind(muxer);
  const read = (data: unknown): void => {
    onData(data);
    if (muxer.decoder.buffer.byteLength <= maxWindowBytes + headerBytes) return;
    throw new Error('A data frame is longer than the receive window.'); // Ends the connection.
  };
  muxer.onData = read;
  if (connection instanceof TlsStream) {
    connection.readDirectly((data) => {
      try {
        const rest = readWholeFrames(muxer, data);
        if (rest.length > 0) read(rest);
      } catch (error) {
        const reason = error instanceof Error ? error : new Error(String(error));
        muxer.abort(reason);
        connection.abort(reason);
      }
    });
  }
  const newStream = muxer._newStream.bind(muxer);
  muxer._newStream = (...parameters) => {
    const stream = newStream(...parameters);
    const sendWindowUpdate = stream.sendWindowUpdate.bind(stream);
    stream.sendWindowUpdate = () => {
      if (stream.state === established && stream.recvWindowCapacity > stream.recvWindow / 2) return;
      sendWindowUpdate();
    };
    const send = stream.send.bind(stream);
    stream.send = (data) => {
      if (!(data instanceof Uint8Array) || !sendsAtOnce(stream, data.length)) return send(data);
      stream.sendWindowCapacity -= data.length;
      return muxer.send(dataFrame(stream.streamId, data));
    };
    return stream;
  };
}

function sendsAtOnce(stream: WindowedStream, length: number): boolean {
  return (
    length > 0 &&
    length <= joinedUpTo &&
    length <= stream.sendWindowCapacity &&
    length <= stream.maxMessageSize &&
    stream.state === established &&
    stream.writeStatus === 'writable' &&
    !stream.sendingData &&
    !stream.writableNeedsDrain &&
    stream.writeBuffer.byteLength === 0
  );
}

/** Version 0, type 0 (data), no flags. */
function dataFrame(streamId: number, data: Uint8Array): Uint8Array {
  const frame = new Uint8Array(headerBytes + data.length);
  const view = new DataView(frame.buffer);
  view.setUint32(4, streamId);
  view.setUint32(8, data.length);
  frame.set(data, headerBytes);
  return frame;
}

/** Takes the frames at the start of `data` that may take the short way; the bytes from the first one on that may not. */
function readWholeFrames(muxer: CorrectedMuxer, data: Uint8Array): Uint8Array {
  if (muxer.decoder.buffer.byteLength > 0) return data;
  const bytes = plainBytes(data);
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  let at = 0;
  while (at + headerBytes <= bytes.length) {
    if (view.getUint32(at) !== 0) break; // Version, type and flags.
    const streamId = view.getUint32(at + 4);
    const length = view.getUint32(at + 8);
    const end = at + headerBytes + length;
    const stream = end <= bytes.length ? muxer.streams.find((each) => each.streamId === streamId) : undefined;
    if (stream === undefined || !readsAtOnce(stream, length)) break;
    stream.recvWindowCapacity -= length;
    const content = bytes.subarray(at + headerBytes, end);
    const reader = readers.get(stream);
    if (reader === undefined) stream.onData(content);
    else reader(content);
    stream.sendWindowUpdate();
    at = end;
    // What was read may have ended the connection, or begun to read more.
    if (muxer.decoder.buffer.byteLength > 0) break;
  }
  return at === 0 ? data : bytes.subarray(at);
}

function readsAtOnce(stream: WindowedStream, length: number): boolean {
  return (
    length > 0 &&
    length <= stream.recvWindowCapacity &&
    stream.state === established &&
    stream.status === 'open' &&
    stream.readStatus === 'readable' &&
    stream.readBuffer.byteLength === 0
  );
}
