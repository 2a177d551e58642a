/** Variables, breakers, limits and monitors through the socket of a node whose program has defined nothing, beside one that has. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type ControlClient, connectControl } from '../../src/control/client.ts';
import { isQuorateError } from '../../src/errors.ts';
import { type ControlServer, type Mesh, serveControl, type Value } from '../../src/index.ts';
import { stopAll, validatorWithClients } from '../contract/meshes.ts';
import { pollUntil } from '../mesh/poll.ts';

let directory: string;
let program: Mesh;
let plain: Mesh;
let server: ControlServer;
let client: ControlClient;
let programServer: ControlServer;
let programClient: ControlClient;

beforeAll(async () => {
  directory = mkdtempSync(join(tmpdir(), 'quorate-tuning-'));
  [program, plain] = (await validatorWithClients(1)) as [Mesh, Mesh];
  server = await serveControl(plain, { directory });
  client = await connectControl(server.path);
  programServer = await serveControl(program, { directory: join(directory, 'program') });
  programClient = await connectControl(programServer.path);
  await program.registry.register('llm', { variableChanged: () => null }, { capabilities: ['llm'] });
  const resolve = 'lastWriter';
  program.variables.float('temperature', { min: 0, max: 2, default: 0.7, unit: '°C', affects: ['llm'], resolve });
  program.variables.choice('model', { choices: ['fast', '5'], default: 'fast' });
  program.variables.integer('limit', { min: -9, max: 9, default: 1, sync: 'strong' });
  program.variables.boolean('alone', { scope: 'node', default: true });
  const first = { name: 'first', resolve: ([one]: readonly { readonly value: number }[]) => one?.value ?? 0 };
  program.variables.float('coded', { min: 0, max: 1, default: 0, resolve: first });
  await pollUntil(() => plain.variables.announced().length === 4);
  await pollUntil(() => plain.registry.lookup('llm') !== undefined);
}, 60_000);
afterAll(async () => {
  for (const part of [client, programClient]) part.close();
  await Promise.all([server.stop(), programServer.stop()]);
  await stopAll([program, plain]);
  rmSync(directory, { recursive: true, force: true });
});

const coded = (code: string): unknown => expect.toSatisfy((error) => isQuorateError(error, code as 'STOPPED'));
const ask = (op: string, args: Record<string, Value> = {}): Promise<Value> => client.request(op, args);
const ofProgram = (name: string): unknown => program.variables.get(name)?.value;
const poll = (read: () => unknown): ReturnType<typeof expect.poll> => expect.poll(read, { timeout: 20_000 });

describe('variables through the control socket', () => {
  it('are listed with values, wherever they are defined', async () => {
    await program.variables.get('temperature')?.set(1.2);
    await poll(async () => (await ask('variables.get', { name: 'temperature' })) as unknown).toMatchObject({
      variable: { value: 1.2, contributions: 1, terms: { unit: '°C' }, definedBy: [program.id] },
      explanation: { source: 'contributions', counted: [{ node: program.id, share: 1 }] },
    });
    const { self, variables } = (await ask('variables')) as { self: string; variables: readonly Value[] };
    expect(self).toBe(plain.id);
    expect(variables).toMatchObject([
      { name: 'coded', obstacle: expect.stringContaining('custom(first)') },
      { name: 'limit', kind: 'integer', sync: 'strong', value: 1 },
      { name: 'model', value: 'fast', source: 'default' },
      { name: 'temperature', value: 1.2, contributions: 1 },
    ]);
    expect(variables[0]).not.toMatchObject({ value: expect.anything() });
    // Looking at them has written nothing.
    expect(plain.variables.status()).toEqual([]);
    expect(program.variables.announced().flatMap(({ definedBy }) => definedBy)).not.toContain(plain.id);
    const own = (await programClient.request('variables')) as { variables: readonly { name: string }[] };
    expect(own.variables.map(({ name }) => name)).toEqual(['coded', 'limit', 'model', 'temperature', 'alone']);
    expect(await programClient.request('variables.get', { name: 'coded' })).toMatchObject({ variable: { value: 0 } });
  });

  it('are contributed to until that is withdrawn', async () => {
    const set = await ask('variables.set', { name: 'model', value: 5, typed: '5' });
    expect(set).toMatchObject({ name: 'model', value: '5', adopted: true, isAgreed: false });
    await poll(() => ofProgram('model')).toBe('5');
    expect(await ask('variables.set', { name: 'model', value: 'fast', typed: 'fast' })).toMatchObject({
      adopted: false,
    });
    await poll(() => ofProgram('model')).toBe('fast');
    expect(await ask('variables.withdraw', { name: 'model' })).toMatchObject({ withdrawn: true, left: true });
    await poll(() => program.variables.get('model')?.contributions()).toEqual([]);
    expect(await ask('variables.withdraw', { name: 'model' })).toMatchObject({ withdrawn: false, left: false });
    // Of what a program has defined only the contribution goes.
    await program.variables.get('model')?.set('5');
    const own = await programClient.request('variables.withdraw', { name: 'model' });
    expect(own).toMatchObject({ withdrawn: true, left: false });
    expect(program.variables.get('model')?.contributions()).toEqual([]);
  });

  it('are taken part in as they are defined by now', async () => {
    const terms = { min: 0, max: 9, default: 1 };
    const first = program.variables.integer('evolving', terms);
    await poll(() => plain.variables.announced().some(({ name }) => name === 'evolving')).toBe(true);
    expect(await ask('variables.set', { name: 'evolving', value: 9 })).toMatchObject({ adopted: true });
    await poll(() => first.value).toBe(9);
    first[Symbol.dispose]();
    program.variables.integer('evolving', { ...terms, max: 99, version: 2 });
    await poll(() => plain.variables.announced().find(({ name }) => name === 'evolving')?.definedVersion).toBe(2);
    await ask('variables.set', { name: 'evolving', value: 50 });
    await poll(() => ofProgram('evolving')).toBe(50);
    await ask('variables.withdraw', { name: 'evolving' });
    program.variables.get('evolving')?.[Symbol.dispose]();
    await poll(() => plain.variables.announced().some(({ name }) => name === 'evolving')).toBe(false);
  });

  it('refuse what cannot be, and leave nothing behind', async () => {
    await expect(ask('variables.set', { name: 'temperature', value: 3 })).rejects.toThrow(coded('OUT_OF_RANGE'));
    await expect(ask('variables.set', { name: 'temperature', value: 'warm' })).rejects.toThrow(
      coded('INVALID_ARGUMENT'),
    );
    await expect(ask('variables.set', { name: 'temperature' })).rejects.toThrow(coded('INVALID_ARGUMENT'));
    await expect(ask('variables.set', { name: 'coded', value: 1 })).rejects.toThrow(coded('INVALID_ARGUMENT'));
    for (const op of ['get', 'withdraw', 'coordinate']) {
      await expect(ask(`variables.${op}`, { name: 'nothing' })).rejects.toThrow(coded('NOT_FOUND'));
    }
    await expect(ask('variables.get', {})).rejects.toThrow(coded('INVALID_ARGUMENT'));
    expect(plain.variables.status()).toEqual([]);
  });

  it('are agreed on, and say who has acknowledged it', async () => {
    const agreed = await ask('variables.coordinate', { name: 'temperature', value: 0.5, typed: '0.5' });
    expect(agreed).toMatchObject({
      value: 0.5,
      isAgreed: true,
      adopted: true,
      acknowledged: ['llm'],
      unacknowledged: [],
    });
    await poll(() => ofProgram('temperature')).toBe(0.5);
    const { version } = agreed as { version: number };
    const stale = ask('variables.coordinate', { name: 'temperature', ifVersion: version + 1 });
    await expect(stale).rejects.toThrow(coded('CONFLICT'));
    expect(await ask('variables.withdraw', { name: 'temperature' })).toMatchObject({ withdrawn: false, left: true });
    // Who only looks hears of it as well.
    expect(await ask('variables.get', { name: 'temperature' })).toMatchObject({
      variable: { value: 0.5, source: 'agreed', agreed: { version }, here: undefined },
    });
    const strong = await ask('variables.set', { name: 'limit', value: -3, ifVersion: 0 });
    expect(strong).toMatchObject({ value: -3, isAgreed: true });
    await poll(() => ofProgram('limit')).toBe(-3);
  });

  it('are watched: what is, then what changes, also when this node takes part meanwhile', async () => {
    const abort = new AbortController();
    const items = client.stream('variables.watch', { name: 'model' }, abort.signal)[Symbol.asyncIterator]();
    expect(await items.next()).toMatchObject({ value: { type: 'value', name: 'model', value: 'fast' } });
    await program.variables.get('model')?.set('5');
    expect(await items.next()).toMatchObject({ value: { type: 'change', value: '5', previous: 'fast' } });
    await ask('variables.set', { name: 'model', value: '5', typed: '5' });
    expect(await items.next()).toMatchObject({ value: { type: 'value', value: '5' } });
    const last = items.next();
    abort.abort();
    expect(await last).toMatchObject({ done: true });
    await expect(client.stream('variables.watch', { name: 'none' })[Symbol.asyncIterator]().next()).rejects.toThrow(
      coded('NOT_FOUND'),
    );
  });
});

describe('breakers, limits and monitors through the control socket', () => {
  it('are those of the node, and breakers obey', async () => {
    expect(await ask('breakers')).toEqual({ self: plain.id, breakers: [] });
    await expect(ask('breakers.trip', { id: 'llm' })).rejects.toThrow(coded('NOT_FOUND'));
    const breaker = plain.infrastructure.circuitBreaker({ agent: 'llm' });
    plain.infrastructure.rateLimiter({ id: 'requests', requestsPerSecond: 10 });
    const monitor = plain.infrastructure.monitor({ id: 'm', metric: 'own', thresholds: { critical: 10 } });
    monitor.record(20);
    const events: Value[] = [];
    const abort = new AbortController();
    const watching = (async () => {
      for await (const event of client.stream('watch', { agents: false, members: false }, abort.signal))
        events.push(event);
    })();
    expect(await ask('breakers.trip', { id: breaker.id, ms: 60_000 })).toMatchObject({ agents: [{ state: 'open' }] });
    expect(await ask('breakers')).toMatchObject({ breakers: [{ id: breaker.id, agents: [{ agent: 'llm' }] }] });
    expect(await ask('breakers.reset', { id: breaker.id })).toMatchObject({ agents: [{ state: 'closed' }] });
    await expect(ask('breakers.trip', { id: breaker.id, ms: -1 })).rejects.toThrow(coded('INVALID_ARGUMENT'));
    expect(await ask('limits')).toMatchObject({ limiters: [{ id: 'requests', requestsPerSecond: 10 }] });
    await poll(() => ask('monitors')).toMatchObject({ monitors: [{ id: 'm', level: 'critical', samples: 1 }] });
    await poll(() => events).toEqual(
      expect.arrayContaining([
        expect.objectContaining({ type: 'breaker', id: breaker.id, state: 'open' }),
        expect.objectContaining({ type: 'breaker', id: breaker.id, state: 'closed' }),
      ]),
    );
    abort.abort();
    await watching;
  });
});
