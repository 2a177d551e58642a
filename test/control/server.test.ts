/** The socket as a program of the same user, friendly or not, finds it. The mesh is one of one process. */
import { mkdtempSync, readdirSync, rmSync, statSync } from 'node:fs';
import { connect, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { type ControlClient, connectControl, findNodes } from '../../src/control/client.ts';
import { encodeFrame, maxRequestBytes } from '../../src/control/wire.ts';
import { isQuorateError } from '../../src/errors.ts';
import {
  type CallContext,
  type ControlServer,
  createMesh,
  type Mesh,
  serveControl,
  type Value,
} from '../../src/index.ts';

let directory: string;
let mesh: Mesh;
let server: ControlServer;
let client: ControlClient;
const cancelled: string[] = [];

beforeEach(async () => {
  directory = mkdtempSync(join(tmpdir(), 'quorate-socket-'));
  mesh = await createMesh({ name: 'lab' });
  await mesh.registry.register(
    'worker',
    {
      echo: (message: unknown) => message,
      fail: () => {
        throw new Error('no');
      },
      hang: (_message: unknown, { signal }: CallContext) =>
        new Promise((_resolve, reject) => {
          signal.addEventListener('abort', () => {
            cancelled.push('hang');
            reject(signal.reason);
          });
        }),
      count: async function* (to: number) {
        for (let i = 0; i < to; i++) yield i;
      },
    },
    { capabilities: ['work'], custom: { big: 2n ** 80n } },
  );
  server = await serveControl(mesh, { directory });
  client = await connectControl(server.path);
});
afterEach(async () => {
  client.close();
  await server.stop();
  await mesh.stop();
  rmSync(directory, { recursive: true, force: true });
  cancelled.length = 0;
});

/** A connection that says whatever it likes; resolves when the node has had enough of it. */
async function hostile(send: (socket: Socket) => void): Promise<void> {
  const socket = connect(server.path);
  socket.on('error', () => undefined); // Being cut off is the point.
  socket.resume();
  await new Promise<void>((resolve) => {
    socket.once('close', () => resolve());
    socket.once('connect', () => send(socket));
  });
}

const coded = (code: string): unknown => expect.toSatisfy((error) => isQuorateError(error, code as 'STOPPED'));

describe('the control socket', () => {
  it('belongs to its owner alone and is gone after the stop', async () => {
    expect(statSync(server.path).mode & 0o777).toBe(0o600);
    expect(statSync(directory).mode & 0o777).toBe(0o700);
    await server.stop();
    expect(readdirSync(directory)).toEqual([]);
    await expect(connectControl(server.path)).rejects.toThrow(coded('CONTROL_UNAVAILABLE'));
  });

  it('is found, and says who answers', async () => {
    const [found] = await findNodes(directory);
    expect(found?.greeting).toMatchObject({ node: mesh.id, mesh: 'lab', pid: process.pid });
    found?.close();
  });

  it('answers about members and agents', async () => {
    expect(await client.request('status')).toMatchObject({ name: 'lab', id: mesh.id });
    expect(await client.request('members')).toMatchObject({
      self: mesh.id,
      members: [{ id: mesh.id, state: 'alive' }],
    });
    expect(await client.request('why', { id: mesh.id.slice(-6) })).toMatchObject({ accusations: [] });
    const records = await client.request('query', { criteria: { capabilities: 'work' } });
    expect(records).toMatchObject([{ id: 'worker', custom: { big: 2n ** 80n } }]);
    expect(await client.request('query', { criteria: { capabilities: 'sing' } })).toEqual([]);
  });

  it('calls agents and carries what JSON cannot', async () => {
    const message = { bytes: Uint8Array.of(1, 2), at: new Date(5), big: 2n ** 70n };
    expect(await client.request('call', { target: 'worker', message, method: 'echo' })).toEqual(message);
    const items: Value[] = [];
    for await (const item of client.stream('stream', { target: 'worker', message: 600, method: 'count' }))
      items.push(item);
    expect(items).toEqual(Array.from({ length: 600 }, (_, i) => i));
  });

  it('passes on the coded reason of what failed', async () => {
    const call = (args: Record<string, Value>): Promise<Value> => client.request('call', args);
    await expect(call({ target: 'worker', method: 'fail' })).rejects.toThrow(coded('HANDLER_FAILED'));
    await expect(call({ target: { capabilities: 'sing' } })).rejects.toThrow(coded('NO_MATCH'));
    await expect(call({ target: 'worker', message: 1, colour: 'red' })).rejects.toThrow(coded('INVALID_ARGUMENT'));
    await expect(client.request('fly')).rejects.toThrow(coded('INVALID_ARGUMENT'));
    await expect(client.request('toString')).rejects.toThrow(coded('INVALID_ARGUMENT'));
    await expect(client.request('query', { criteria: [['a', 1, 'near']] })).rejects.toThrow(coded('INVALID_CRITERIA'));
    await expect(client.request('why', { id: 'nobody' })).rejects.toThrow(coded('NO_MATCH'));
  });

  it('streams changes until the client leaves', async () => {
    const seen: string[] = [];
    for await (const item of client.stream('watch')) {
      const event = item as { type: string; record?: { id: string } };
      seen.push(event.record === undefined ? event.type : `${event.type} ${event.record.id}`);
      if (seen.length === 2) await mesh.registry.register('late', () => null, { capabilities: ['work'] });
      if (seen.length === 3) break;
    }
    expect(seen).toEqual(['member', 'up worker', 'up late']);
    expect(await client.request('status')).toMatchObject({ name: 'lab' });
  });

  it('cancels the call of a client that went away', async () => {
    const abandoned = await connectControl(server.path);
    const outcome = expect(abandoned.request('call', { target: 'worker', method: 'hang' })).rejects.toThrow(
      coded('CONTROL_UNAVAILABLE'),
    );
    await expect.poll(() => mesh.status().calls.mailboxes).toMatchObject([{ running: 1 }]);
    abandoned.close();
    await outcome;
    await expect.poll(() => cancelled).toEqual(['hang']);
  });

  it('checks the node it serves', async () => {
    const checks = (await client.request('doctor')) as unknown as { check: string; level: string }[];
    expect(checks.map(({ check }) => check)).toEqual(
      expect.arrayContaining(['node', 'data', 'clock', 'event loop', 'port', 'members', 'feeds', 'refused']),
    );
    expect(checks.filter(({ level }) => level === 'fail')).toEqual([]);
  });
});

describe('a hostile client', () => {
  it.each<[string, (socket: Socket) => void]>([
    ['sends text', (socket) => socket.write('GET / HTTP/1.1\r\n\r\n')],
    ['announces a frame over the limit', (socket) => socket.write(Buffer.of(255, 255, 255, 255))],
    ['sends a frame that is no CBOR', (socket) => socket.write(Buffer.of(0, 0, 0, 2, 0xff, 0xff))],
    ['sends a frame that is no request', (socket) => socket.write(Buffer.of(0, 0, 0, 1, 0x01))],
    [
      'nests deeper than allowed',
      (socket) => socket.write(Buffer.concat([Buffer.of(0, 0, 39, 16), Buffer.alloc(10_000, 0x81)])),
    ],
    [
      'uses one number twice at once',
      (socket) => {
        const frame = encodeFrame({ type: 'request', id: 1, op: 'watch', args: {} }, maxRequestBytes);
        socket.write(Buffer.concat([frame, frame]));
      },
    ],
    [
      'asks for more at once than is allowed',
      (socket) => {
        for (let id = 0; id < 65; id++) {
          socket.write(encodeFrame({ type: 'request', id, op: 'watch', args: {} }, maxRequestBytes));
        }
      },
    ],
  ])('%s: it is cut off and counted, and the node serves on', async (_what, send) => {
    const before = server.refused;
    await hostile(send);
    expect(server.refused).toBe(before + 1);
    expect(await client.request('status')).toMatchObject({ name: 'lab' });
  });

  it('opens connections without end: those over the bound are closed, the others live', async () => {
    const sockets = Array.from({ length: 80 }, () =>
      connect(server.path)
        .on('error', () => undefined)
        .resume(),
    );
    await expect.poll(() => sockets.filter((socket) => socket.closed).length).toBe(80 - 63);
    expect(await client.request('status')).toMatchObject({ name: 'lab' });
    for (const socket of sockets) socket.destroy();
  });

  it('reads nothing of what it asked for: others are served', async () => {
    const deaf = await new Promise<Socket>((resolve) => {
      const socket = connect(server.path, () => resolve(socket));
    });
    deaf.pause();
    for (let id = 0; id < 60; id++) {
      deaf.write(
        encodeFrame(
          { type: 'request', id, op: 'call', args: { target: 'worker', method: 'echo', message: 'x'.repeat(100_000) } },
          maxRequestBytes,
        ),
      );
    }
    expect(await client.request('status')).toMatchObject({ name: 'lab' });
    deaf.destroy();
  });
});
