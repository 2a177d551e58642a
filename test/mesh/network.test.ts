/** The libp2p network on loopback: what only real sockets and processes can show. */
import { spawn } from 'node:child_process';
import { connect as connectTcp, createServer, type Server, type Socket } from 'node:net';
import { afterEach, describe, expect, it } from 'vitest';
import { createIdentity } from '../../src/identity.ts';
import type { NodeId } from '../../src/node-id.ts';
import { Libp2pNetwork, type Libp2pNetworkOptions } from '../../src/p2p/libp2p/network.ts';
import type { Channel, NetworkEvents } from '../../src/p2p/network.ts';
import { pollUntil } from './poll.ts';

const timeoutMs = 10_000;
const echo = '/test/echo/1';
const topic = 'test/topic';
const limits = { maxFrameBytes: 8_388_608, maxInboundPerPeer: 4 };
const networks: Libp2pNetwork[] = [];

afterEach(async () => {
  await Promise.all(networks.splice(0).map((network) => network.stop()));
});

function make(options: Partial<Libp2pNetworkOptions> = {}): Libp2pNetwork {
  const network = new Libp2pNetwork({
    identity: createIdentity(),
    meshName: 'mesh',
    version: '0.0.0',
    epoch: 1,
    listen: ['/ip4/127.0.0.1/tcp/0'],
    onError: () => undefined,
    ...options,
  });
  networks.push(network);
  return network;
}

async function start(options: Partial<Libp2pNetworkOptions> = {}) {
  const network = make(options);
  const refused: NetworkEvents['refused'][] = [];
  const disconnected: (NetworkEvents['peer:disconnected'] & { at: number })[] = [];
  const received: string[] = [];
  network.on('refused', (event) => refused.push(event));
  network.on('peer:disconnected', (event) => disconnected.push({ ...event, at: performance.now() }));
  network.handle(echo, limits, (channel) => {
    channel.listen({ onFrame: (frame) => void channel.send(frame), onClose: () => undefined });
  });
  network.subscribe(topic, 1_000, (data) => {
    received.push(Buffer.from(data).toString());
    return 'accept';
  });
  await network.start();
  return { network, refused, disconnected, received };
}

const addressOf = (network: Libp2pNetwork): string => network.addresses()[0] ?? '';
const portOf = (network: Libp2pNetwork): number => Number(/tcp\/(\d+)/.exec(addressOf(network))?.[1]);
const failureOf = (promise: Promise<unknown>): Promise<unknown> =>
  promise.then(
    () => 'no failure',
    (error: unknown) => error,
  );

describe('addresses', () => {
  it('names a port that is in use', async () => {
    const { network } = await start();
    const rival = make({ listen: [`/ip4/127.0.0.1/tcp/${portOf(network)}`] });
    expect(await failureOf(rival.start())).toMatchObject({ code: 'PORT_IN_USE' });
  });

  it('refuses what is no address', async () => {
    const { network } = await start();
    expect(await failureOf(network.connect('localhost:4001', { timeoutMs }))).toMatchObject({
      code: 'INVALID_ARGUMENT',
    });
  });

  it('announces what it is told to', async () => {
    const { network } = await start({ announce: ['/dns4/node.example/tcp/4001'] });
    expect(network.addresses()).toEqual([`/dns4/node.example/tcp/4001/p2p/${network.self}`]);
  });

  it('knows itself behind a name that it does not know', async () => {
    // The announced address hides the real one, as address translation does.
    const { network, refused } = await start({ announce: ['/dns4/node.example/tcp/4001'] });
    const port = await new Promise<number>((resolve) => {
      const proxy = proxyTo(() => internalPort(network));
      proxy.listen(0, '127.0.0.1', () => resolve((proxy.address() as { port: number }).port));
    });
    const failure = await failureOf(network.connect(`/ip4/127.0.0.1/tcp/${port}`, { timeoutMs }));
    expect(failure).toMatchObject({ code: 'INVALID_ARGUMENT', data: { self: true } });
    expect(refused.map((event) => event.code)).not.toContain('IDENTITY_IN_USE');
  });
});

const servers: Server[] = [];
afterEach(() => {
  for (const server of servers.splice(0)) server.close();
});

function serve(onSocket: (socket: Socket) => void): Server {
  const server = createServer((socket) => {
    socket.on('error', () => undefined);
    onSocket(socket);
  });
  servers.push(server);
  return server;
}

function proxyTo(port: () => number): Server {
  return serve((socket) => {
    const target = connectTcp(port(), '127.0.0.1');
    target.on('error', () => socket.destroy());
    socket.on('close', () => target.destroy());
    target.on('close', () => socket.destroy());
    socket.pipe(target).pipe(socket);
  });
}

/** The port that a network with announced addresses really listens on. */
function internalPort(network: Libp2pNetwork): number {
  const handles = (process as unknown as { _getActiveHandles(): unknown[] })._getActiveHandles();
  const known = new Set(servers);
  const ports = handles.flatMap((handle) => {
    const server = handle as Partial<Server>;
    if (typeof server.address !== 'function' || known.has(server as Server) || server.listening !== true) return [];
    const address = server.address();
    return typeof address === 'object' && address !== null ? [address.port] : [];
  });
  expect(networks).toEqual([network]);
  return ports[0] ?? 0;
}

describe('hostile and foreign sockets', () => {
  async function portServing(onSocket: (socket: Socket) => void): Promise<number> {
    const server = serve(onSocket);
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    return (server.address() as { port: number }).port;
  }

  it('says that what listens is no libp2p node', async () => {
    const { network } = await start();
    const port = await portServing((socket) => socket.write('220 mail.example ESMTP Postfix ready for you\r\n'));
    const failure = await failureOf(network.connect(`/ip4/127.0.0.1/tcp/${port}`, { timeoutMs }));
    expect(failure).toMatchObject({ code: 'PEER_UNREACHABLE', message: expect.stringContaining('no libp2p node') });
  });

  it('gives up on a listener that says nothing', async () => {
    const { network } = await start();
    const port = await portServing(() => undefined);
    const failure = await failureOf(network.connect(`/ip4/127.0.0.1/tcp/${port}`, { timeoutMs: 300 }));
    expect(failure).toMatchObject({ code: 'PEER_UNREACHABLE', message: expect.stringContaining('300 ms') });
  });

  it('stays up and counts when garbage comes in, before and within the handshake', async () => {
    const { network, refused } = await start();
    const garbage = [
      Buffer.from('GET / HTTP/1.1\r\nHost: x\r\n\r\n'),
      Buffer.alloc(5_000, 0xff),
      Buffer.alloc(100),
      Buffer.from('\x13/multistream/1.0.0\n\x0b/tls/1.0.0\n\x16\x03\x01\xff\xff garbage'),
      Buffer.from('\x13/multistream/1.0.0\n\xff\xff\xff\xff\xff\xff', 'latin1'),
    ];
    for (const bytes of garbage) {
      const socket = connectTcp(portOf(network), '127.0.0.1');
      socket.on('error', () => undefined);
      socket.resume();
      socket.end(bytes);
      await new Promise((resolve) => socket.once('close', resolve));
    }
    await pollUntil(() => refused.length >= garbage.length);
    const other = await start();
    expect(await other.network.connect(addressOf(network), { timeoutMs })).toBe(network.self);
  });
});

describe('channels', () => {
  it('carry large frames beside small ones without holding those up', async () => {
    const [a, b] = [await start(), await start()];
    await a.network.connect(addressOf(b.network), { timeoutMs });
    const large = await a.network.open(b.network.self, echo);
    const small = await a.network.open(b.network.self, echo);
    const order: string[] = [];
    const frame = new Uint8Array(8_000_000);
    for (let at = 0; at < frame.length; at += 4_096) frame[at] = (at >> 12) & 0xff;
    let back: Uint8Array | undefined;
    large.listen({
      onFrame: (each) => {
        back = each;
        order.push('large');
      },
      onClose: () => undefined,
    });
    small.listen({ onFrame: () => void order.push('small'), onClose: () => undefined });
    large.send(frame);
    small.send(new Uint8Array(10));
    await pollUntil(() => order.length === 2);
    expect(order).toEqual(['small', 'large']);
    expect(Buffer.compare(Buffer.from(back ?? []), Buffer.from(frame))).toBe(0);
  });

  it('bound what a sender that ignores backpressure can queue', async () => {
    const a = await start();
    const b = make();
    const inbound: Channel[] = [];
    b.handle(echo, limits, (channel) => {
      channel.pause();
      inbound.push(channel);
    });
    await b.start();
    await a.network.connect(addressOf(b), { timeoutMs });
    const channel = await a.network.open(b.self, echo);
    let ended: Error | undefined;
    channel.listen({
      onFrame: () => undefined,
      onClose: (error) => {
        ended = error;
      },
    });
    const frame = new Uint8Array(4_000_000);
    for (let sent = 0; sent < 40 && ended === undefined; sent++) {
      channel.send(frame);
      await new Promise((resolve) => setImmediate(resolve));
    }
    expect(ended).toMatchObject({ code: 'LIMIT_EXCEEDED' });
  });

  it('count the bytes on the sockets', async () => {
    const [a, b] = [await start(), await start()];
    await a.network.connect(addressOf(b.network), { timeoutMs });
    const channel = await a.network.open(b.network.self, echo);
    const before = { ...a.network.counters };
    let back = 0;
    channel.listen({
      onFrame: (frame) => {
        back += frame.length;
      },
      onClose: () => undefined,
    });
    channel.send(new Uint8Array(100_000));
    await pollUntil(() => back === 100_000);
    const { bytesSent, bytesReceived } = a.network.counters;
    expect(bytesSent - before.bytesSent).toBeGreaterThan(100_000);
    expect(bytesReceived - before.bytesReceived).toBeGreaterThan(100_000);
    expect(bytesSent - before.bytesSent).toBeLessThan(130_000);
    const sent = bytesSent;
    await a.network.disconnect(b.network.self);
    expect(a.network.counters.bytesSent).toBeGreaterThanOrEqual(sent);
  });
});

describe('many nodes', () => {
  it('behind one address all hear each other', async () => {
    const nodes = await Promise.all(Array.from({ length: 12 }, () => start()));
    const [hub] = nodes;
    for (const node of nodes) {
      for (const other of nodes.slice(nodes.indexOf(node) + 1)) {
        if (node === hub || (nodes.indexOf(node) + nodes.indexOf(other)) % 3 === 0) {
          await other.network.connect(addressOf(node.network), { timeoutMs });
        }
      }
    }
    const heard = (node: (typeof nodes)[number], from: number) =>
      node.received.some((text) => text.startsWith(`${from}:`));
    let round = 0;
    const complete = () => nodes.every((node, at) => nodes.every((_, from) => at === from || heard(node, from)));
    while (!complete()) {
      round += 1;
      expect(round).toBeLessThan(200);
      for (const [from, node] of nodes.entries()) await node.network.publish(topic, Buffer.from(`${from}:${round}`));
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
    for (const node of nodes) expect(node.refused).toEqual([]);
  });

  it('that dial each other at once end up connected once', async () => {
    const nodes = await Promise.all(Array.from({ length: 6 }, () => start()));
    await Promise.all(
      nodes.flatMap((node) =>
        nodes
          .filter((other) => other !== node)
          .map((other) => node.network.connect(addressOf(other.network), { timeoutMs })),
      ),
    );
    await pollUntil(() => nodes.every((node) => node.network.peers().length === nodes.length - 1));
    for (const node of nodes) {
      expect(node.refused).toEqual([]);
      expect(node.disconnected).toEqual([]);
      for (const other of nodes) {
        if (other === node) continue;
        const channel = await node.network.open(other.network.self, echo);
        await channel.close();
      }
    }
  });
});

describe('a killed process', () => {
  it('is noticed at once, and is not taken for one that left', async () => {
    const a = await start();
    const source = new URL('../../src/p2p/libp2p/network.ts', import.meta.url).href;
    const identity = new URL('../../src/identity.ts', import.meta.url).href;
    const script = `
      const { Libp2pNetwork } = await import(${JSON.stringify(source)});
      const { createIdentity } = await import(${JSON.stringify(identity)});
      const network = new Libp2pNetwork({ identity: createIdentity(), meshName: 'mesh', version: '0', epoch: 1, listen: [], onError() {} });
      await network.start();
      await network.connect(process.argv[1], { timeoutMs: 10000 });
      console.log(network.self);
      setInterval(() => {}, 1000);`;
    const child = spawn(process.execPath, ['--input-type=module', '-e', script, addressOf(a.network)], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    try {
      const id = await new Promise<string>((resolve, reject) => {
        child.stdout.once('data', (data) => resolve(String(data).trim()));
        child.once('exit', () => reject(new Error('The child ended early.')));
      });
      await pollUntil(() => a.network.isConnected(id as NodeId));
      child.kill('SIGKILL');
      await pollUntil(() => a.disconnected.length === 1);
      expect(a.disconnected[0]).toMatchObject({ peer: id, graceful: false });
    } finally {
      child.kill('SIGKILL');
    }
  });
});
