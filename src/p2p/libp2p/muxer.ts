/**
 * Yamux with two corrections.
 *
 * It answers every data frame, however small, with a window update: a frame, a TLS record and a system call
 * for each message of a call. Here the update waits until half the window is used, as Yamux's specification
 * allows and Go's implementation does.
 *
 * Its decoder collects a data frame of whatever length its header claims, up to 4 GiB, before it looks at
 * the window. Here a connection that has more than a window unfinished is cut off.
 */
import { yamux } from '@chainsafe/libp2p-yamux';
import type { MessageStream, StreamMuxerFactory } from '@libp2p/interface';

/** The smallest that Yamux allows, and what every stream starts with. */
const initialWindowBytes = 262_144;
/**
 * No larger than what a stream may buffer while it is paused (4 MiB), or a peer that fills its window would
 * get the stream reset.
 */
const maxWindowBytes = 1_048_576;
/** Header of a Yamux frame. */
const headerBytes = 12;

/** The parts of a Yamux stream that the correction touches. */
interface WindowedStream {
  state: number;
  recvWindow: number;
  recvWindowCapacity: number;
  sendWindowUpdate(): void;
}

interface CorrectedMuxer {
  readonly decoder: { readonly buffer: { readonly byteLength: number } };
  onData(data: unknown): void;
  _newStream(...parameters: unknown[]): WindowedStream;
}

/** `StreamState.Established` of Yamux: the flags that open a stream were sent. */
const established = 3;

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
      correct(muxer as unknown as CorrectedMuxer);
      return muxer;
    },
  });
}

function correct(muxer: CorrectedMuxer): void {
  const onData = muxer.onData.bind(muxer);
  muxer.onData = (data) => {
    onData(data);
    if (muxer.decoder.buffer.byteLength <= maxWindowBytes + headerBytes) return;
    throw new Error('A data frame is longer than the receive window.'); // Ends the connection.
  };
  const newStream = muxer._newStream.bind(muxer);
  muxer._newStream = (...parameters) => {
    const stream = newStream(...parameters);
    const sendWindowUpdate = stream.sendWindowUpdate.bind(stream);
    stream.sendWindowUpdate = () => {
      if (stream.state === established && stream.recvWindowCapacity > stream.recvWindow / 2) return;
      sendWindowUpdate();
    };
    return stream;
  };
}
