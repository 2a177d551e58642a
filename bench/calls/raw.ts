/** One side of the calls benchmark on a bare libp2p stream with TLS: frames of the payload as JSON, echoed. */
import { generateKeyPair } from '@libp2p/crypto/keys';
import type { Logger, Stream } from '@libp2p/interface';
import { tcp } from '@libp2p/tcp';
import { tls } from '@libp2p/tls';
import { multiaddr } from '@multiformats/multiaddr';
import { createLibp2p } from 'libp2p';
import { FrameParser, writeHeader } from '../../src/p2p/libp2p/frames.ts';
import { correctedYamux } from '../../src/p2p/libp2p/muxer.ts';
import { payload, serveParent, tell } from './side.ts';

const [side, address] = process.argv.slice(2);
const protocol = '/bench/raw/1';

/** libp2p's own logger formats a line for each frame even when nobody reads it; a fair reference does without. */
const silent: Logger = Object.assign(() => undefined, {
  error: () => undefined,
  trace: () => undefined,
  enabled: false,
  newScope: () => silent,
});
const node = await createLibp2p({
  logger: { forComponent: () => silent },
  privateKey: await generateKeyPair('Ed25519'),
  addresses: { listen: side === 'callee' ? ['/ip4/127.0.0.1/tcp/0'] : [] },
  transports: [tcp()],
  connectionEncrypters: [tls()],
  streamMuxers: [correctedYamux()],
  connectionMonitor: { enabled: false },
});

/** Length-prefixed frames both ways; those of one tick leave in one write, as Quorate's do. */
function framed(stream: Stream, onFrame: (frame: Uint8Array) => void): (frame: Uint8Array) => void {
  const parser = new FrameParser(1_000_000, onFrame);
  stream.addEventListener('message', ({ data }) => {
    for (const chunk of data instanceof Uint8Array ? [data] : data) parser.push(chunk);
  });
  let queued: Uint8Array[] = [];
  return (frame) => {
    const bytes = new Uint8Array(4 + frame.length);
    const body = writeHeader(bytes, 0, frame.length);
    bytes.set(frame, body);
    queued.push(bytes.subarray(0, body + frame.length));
    if (queued.length > 1) return;
    queueMicrotask(() =>
      process.nextTick(() => {
        const all = queued;
        queued = [];
        stream.send(all.length === 1 ? (all[0] as Uint8Array) : Buffer.concat(all));
      }),
    );
  };
}

if (side === 'callee') {
  await node.handle(protocol, (stream) => {
    const send = framed(stream, (frame) => send(frame.slice()));
  });
  tell({ type: 'ready', address: node.getMultiaddrs()[0]?.toString() ?? '' });
  process.on('disconnect', () => process.exit(0));
} else {
  const stream = await node.dialProtocol(multiaddr(address ?? ''), protocol);
  const waiting: (() => void)[] = [];
  const send = framed(stream, () => waiting.shift()?.());
  const bytes = Buffer.from(JSON.stringify(payload));
  tell({ type: 'ready', address: '' });
  serveParent({
    call: () =>
      new Promise<void>((resolve) => {
        waiting.push(resolve);
        send(bytes);
      }),
  });
}
