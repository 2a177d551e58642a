/** Locks, barriers, votes and auctions through the socket: above all, what is held belongs to a client and goes with it. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { type ControlClient, connectControl } from '../../src/control/client.ts';
import { isQuorateError } from '../../src/errors.ts';
import { type ControlServer, createMesh, type Mesh, serveControl, type Value } from '../../src/index.ts';

let directory: string;
let mesh: Mesh;
let server: ControlServer;
let client: ControlClient;

beforeEach(async () => {
  directory = mkdtempSync(join(tmpdir(), 'quorate-socket-'));
  mesh = await createMesh({ name: 'lab' });
  for (const agent of ['ada', 'bo']) await mesh.registry.register(agent, () => null, { capabilities: ['vote'] });
  server = await serveControl(mesh, { directory });
  client = await connectControl(server.path);
});
afterEach(async () => {
  client.close();
  await server.stop();
  await mesh.stop();
  rmSync(directory, { recursive: true, force: true });
});

const coded = (code: string): unknown => expect.toSatisfy((error) => isQuorateError(error, code as 'STOPPED'));

/** Holds the lock with this client; the stream is what holds it. */
async function hold(by: ControlClient, name: string): Promise<{ token: number; stream: AsyncIterator<Value> }> {
  const stream = by.stream('lock', { name })[Symbol.asyncIterator]();
  const first = await stream.next();
  return { token: (first.value as { token: number }).token, stream };
}

describe('a lock held through the control socket', () => {
  it('is held until it is released, and ends its request then', async () => {
    const { token, stream } = await hold(client, 'x');
    expect(await client.request('lock.inspect', { name: 'x' })).toMatchObject({ holders: [{ node: mesh.id, token }] });
    const ended = stream.next();
    await client.request('lock.release', { name: 'x', token });
    expect(await ended).toMatchObject({ done: true });
    expect(await client.request('lock.inspect', { name: 'x' })).toBeUndefined();
    await expect(client.request('lock.release', { name: 'x', token })).rejects.toThrow(coded('NOT_FOUND'));
  });

  it('is given back when its client goes away', async () => {
    const other = await connectControl(server.path);
    const { token } = await hold(other, 'x');
    const next = hold(client, 'x');
    other.close();
    expect((await next).token).toBeGreaterThan(token);
  });

  it('is given back when its client cancels', async () => {
    const { token, stream } = await hold(client, 'x');
    await stream.return?.();
    expect((await hold(client, 'x')).token).toBeGreaterThan(token);
  });

  it('is never granted to a client that went away while it waited', async () => {
    const { token } = await hold(client, 'x');
    const impatient = await connectControl(server.path);
    const waiting = hold(impatient, 'x');
    await expect.poll(() => client.request('lock.inspect', { name: 'x' })).toMatchObject({ waiting: 1 });
    impatient.close();
    await expect(waiting).rejects.toThrow(coded('CONTROL_UNAVAILABLE'));
    await expect.poll(() => client.request('lock.inspect', { name: 'x' })).toMatchObject({ waiting: 0 });
    await client.request('lock.release', { name: 'x', token });
    expect(await client.request('lock.inspect', { name: 'x' })).toBeUndefined();
  });

  it('passes on why it was not granted', async () => {
    await hold(client, 'x');
    const refused = client.stream('lock', { name: 'x', wait: false })[Symbol.asyncIterator]().next();
    await expect(refused).rejects.toThrow(coded('TIMED_OUT'));
    const wrong = client.stream('lock', { name: '', leaseMs: -1 })[Symbol.asyncIterator]().next();
    await expect(wrong).rejects.toThrow(coded('INVALID_ARGUMENT'));
  });

  it('ends its request with the reason when it is lost', async () => {
    const { stream } = await hold(client, 'x');
    const ended = stream.next();
    await mesh.stop();
    await expect(ended).rejects.toThrow(coded('GRANT_LOST'));
  });

  it('is given back when the socket is closed by the node', async () => {
    const { stream } = await hold(client, 'x');
    const ended = stream.next();
    await server.stop();
    await expect(ended).rejects.toThrow(coded('CONTROL_UNAVAILABLE'));
    await using lock = await mesh.coordination.lock('x');
    expect(lock.held).toBe(true);
  });
});

describe('a barrier through the control socket', () => {
  const terms = { id: 'b', participants: 2 };

  it('opens for all who came, and takes back who went away', async () => {
    const gone = await connectControl(server.path);
    const left = gone.request('barrier', { terms, as: 'gone' });
    const status = (): Promise<Value> => client.request('barrier.status', { terms });
    await expect.poll(status).toMatchObject({ arrived: ['gone'] });
    gone.close();
    await expect(left).rejects.toThrow(coded('CONTROL_UNAVAILABLE'));
    await expect.poll(status).toMatchObject({ arrivedCount: 0 });
    const both = ['one', 'two'].map((as) => client.request('barrier', { terms, as }));
    expect(await Promise.all(both)).toMatchObject([
      { generation: 1, arrived: 2 },
      { generation: 1, arrived: 2 },
    ]);
    await expect(client.request('barrier', { terms: { id: 'b', participants: 3 } })).rejects.toThrow(
      coded('ALREADY_EXISTS'),
    );
  });
});

describe('decisions through the control socket', () => {
  const terms = {
    id: 'p',
    participants: [{ agent: 'ada' }, { agent: 'bo' }],
    proposal: { task: 1 },
    rule: 'unanimous',
  };

  it('are voted on, certified, and asked for again', async () => {
    const proposed = client.request('propose', { terms, certificate: true });
    await expect.poll(() => client.request('proposals', { agent: 'ada' })).toMatchObject([{ id: 'p', votes: [] }]);
    await client.request('vote', { id: 'p', as: 'ada', accept: true });
    await expect(client.request('decision', { id: 'p' })).rejects.toThrow(coded('NOT_SETTLED'));
    await client.request('vote', { id: 'p', as: 'bo', accept: true });
    const decided = await proposed;
    expect(decided).toMatchObject({ accepted: true, value: { task: 1 }, certificate: { epoch: 0 } });
    const again = await client.request('decision', { id: 'p' });
    expect(again).toMatchObject({ accepted: true });
    expect(again).not.toHaveProperty('certificate');
  });

  it('are withdrawn when their proposer goes away', async () => {
    const gone = await connectControl(server.path);
    const proposed = gone.request('propose', { terms });
    await expect.poll(() => client.request('proposals')).toHaveLength(1);
    gone.close();
    await expect(proposed).rejects.toThrow(coded('CONTROL_UNAVAILABLE'));
    expect(await client.request('decision', { id: 'p', waitMs: 20_000 })).toMatchObject({ outcome: 'withdrawn' });
  });

  it('are refused with every wrong field', async () => {
    await expect(client.request('propose', { terms: { proposal: 1 } })).rejects.toThrow(coded('INVALID_ARGUMENT'));
    await expect(client.request('vote', { id: 'none', as: 'ada', accept: true })).rejects.toThrow(coded('NOT_FOUND'));
    await expect(client.request('vote', { id: 'p', as: 'ada' })).rejects.toThrow(coded('INVALID_ARGUMENT'));
  });
});

describe('auctions and validators through the control socket', () => {
  it('sell', async () => {
    const terms = { id: 'a', resource: 'gpu', mechanism: 'dutch', startPrice: 100, stepBy: 1, stepMs: 60_000 };
    expect(await client.request('auction.open', { terms })).toMatchObject({ id: 'a', terms: { mechanism: 'dutch' } });
    expect(await client.request('auction.list')).toMatchObject([{ id: 'a' }]);
    const result = client.request('auction.result', { id: 'a', certificate: true });
    expect(await client.request('auction.bid', { id: 'a', amount: 120, as: 'ada' })).toMatchObject({ amount: 100 });
    expect(await result).toMatchObject({ sold: true, winner: { agent: 'ada' }, price: 100, certificate: { epoch: 0 } });
    expect(await client.request('auction.show', { id: 'a' })).toMatchObject({ phase: 'closed' });
  });

  it('tell who decides, and that one process cannot change it', async () => {
    expect(await client.request('validators')).toMatchObject({
      self: mesh.id,
      set: { validators: [mesh.id], f: 0, quorum: 1 },
      health: [{ id: mesh.id, primary: true, health: { lag: 0 } }],
    });
    const change = (args: Record<string, Value>): Promise<Value> => client.request('validators.change', args);
    await expect(change({ action: 'remove', id: mesh.id.slice(-8) })).rejects.toThrow(coded('NOT_PERMITTED'));
    await expect(change({ action: 'remove', id: 'nobody' })).rejects.toThrow(coded('NO_MATCH'));
    await expect(change({ action: 'replace', id: mesh.id })).rejects.toThrow(coded('INVALID_ARGUMENT'));
    await expect(change({ action: 'praise', id: mesh.id })).rejects.toThrow(coded('INVALID_ARGUMENT'));
  });
});
