/** A libp2p node that is no Quorate node, and one that does not wait for its admission. */
import { gossipsub } from '@chainsafe/libp2p-gossipsub';
import { noise } from '@chainsafe/libp2p-noise';
import { yamux } from '@chainsafe/libp2p-yamux';
import { identify } from '@libp2p/identify';
import type { Connection, Libp2p } from '@libp2p/interface';
import { tcp } from '@libp2p/tcp';
import { tls } from '@libp2p/tls';
import { multiaddr } from '@multiformats/multiaddr';
import { createLibp2p } from 'libp2p';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { createIdentity } from '../../../src/identity.ts';
import type { NodeId } from '../../../src/node-id.ts';
import { encodeHelloFrame, helloProtocol } from '../../../src/p2p/handshake.ts';
import { Libp2pNetwork } from '../../../src/p2p/libp2p/network.ts';
import type { NetworkEvents } from '../../../src/p2p/network.ts';
import { pollUntil } from '../../mesh/poll.ts';

const secret = '/test/secret/1';
let network: Libp2pNetwork;
let stranger: Libp2p;
let opened: number;
let received: number;
let refused: NetworkEvents['refused'][];

beforeEach(async () => {
  opened = 0;
  received = 0;
  refused = [];
  network = new Libp2pNetwork({
    identity: createIdentity(),
    meshName: 'mesh',
    version: '0.0.0',
    epoch: 1,
    listen: ['/ip4/127.0.0.1/tcp/0'],
    onError: () => undefined,
  });
  network.on('refused', (event) => refused.push(event));
  network.handle(secret, { maxFrameBytes: 100, maxInboundPerPeer: 4 }, () => {
    opened += 1;
  });
  network.subscribe('topic', 100, () => {
    received += 1;
    return 'accept';
  });
  await network.start();
});

afterEach(async () => {
  await Promise.all([network.stop(), stranger.stop()]);
});

async function strangerWith(encryption: 'tls' | 'noise', listen: string[] = []): Promise<Libp2p> {
  stranger = await createLibp2p({
    addresses: { listen },
    transports: [tcp()],
    connectionEncrypters: [encryption === 'tls' ? tls() : noise()],
    streamMuxers: [yamux()],
    services: {
      identify: identify(),
      gossipsub: gossipsub({ globalSignaturePolicy: 'StrictNoSign', allowPublishToZeroTopicPeers: true }),
    },
  });
  return stranger;
}

const dial = (): Promise<Connection> => stranger.dial(multiaddr(network.addresses()[0]));

describe.each(['tls', 'noise'] as const)('a stranger that comes by %s', (encryption) => {
  it('gets no channel, no gossip and no identify before it is admitted, and is closed in the end', async () => {
    await strangerWith(encryption);
    const connection = await dial();
    const early = await connection.newStream(secret);
    const gossip = await connection.newStream('/meshsub/1.1.0');
    const self = await connection.newStream('/ipfs/id/1.0.0');
    let heard = 0;
    const onMessage = (): void => {
      heard += 1;
    };
    for (const stream of [early, gossip, self]) stream.addEventListener('message', onMessage);
    early.send(new Uint8Array(50));
    await pollUntil(() => connection.status !== 'open');
    expect([opened, received, heard]).toEqual([0, 0, 0]);
    expect(network.peers()).toEqual([]);
  });

  it('is cut off when it says garbage instead of a hello', async () => {
    await strangerWith(encryption);
    for (const bytes of [Uint8Array.of(3, 1, 2, 3), Uint8Array.of(0xff, 0xff, 0x7f), encodeFrame({ type: 'bye' })]) {
      const connection = await dial();
      const stream = await connection.newStream(helloProtocol);
      stream.send(bytes);
      await pollUntil(() => connection.status !== 'open');
    }
    expect(refused.map((event) => event.peer)).toContain(stranger.peerId.toString() as NodeId);
    expect(network.peers()).toEqual([]);
  });
});

it('a node that speaks libp2p but not quorate is told apart from one that is down', async () => {
  await strangerWith('tls', ['/ip4/127.0.0.1/tcp/0']);
  const address = stranger.getMultiaddrs()[0]?.toString() ?? '';
  const failure = await network.connect(address, { timeoutMs: 10_000 }).catch((error: unknown) => error);
  expect(failure).toMatchObject({ code: 'PEER_UNREACHABLE', message: expect.stringContaining('no quorate node') });
});

function encodeFrame(frame: Parameters<typeof encodeHelloFrame>[0]): Uint8Array {
  const body = encodeHelloFrame(frame);
  return Uint8Array.from([body.length, ...body]);
}
