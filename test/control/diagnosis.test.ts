/** Each check says what it found, and where that is not well, what to do. */
import { chmodSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { checkDataDir, checkNodeVersion, diagnose, dial } from '../../src/control/diagnosis.ts';
import { createMesh, type Mesh, type MeshStatus, QuorateError } from '../../src/index.ts';

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'quorate-doctor-'));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

const signal = new AbortController().signal;
const levels = (checks: readonly { check: string; level: string }[]): Record<string, string> =>
  Object.fromEntries(checks.map(({ check, level }) => [check, level]));

describe('the data directory', () => {
  const make = (keyMode: number): string => {
    const directory = join(folder, 'data');
    mkdirSync(directory, { mode: 0o700 });
    writeFileSync(join(directory, 'node.key'), '');
    chmodSync(join(directory, 'node.key'), keyMode);
    return directory;
  };

  it('is well when only its owner can use it', () => {
    expect(levels(checkDataDir(make(0o600)))).toEqual({ data: 'ok', lock: 'ok', key: 'ok' });
  });

  it('is not when others can read the key or write the directory, or when it is missing', () => {
    const directory = make(0o644);
    chmodSync(directory, 0o777);
    const checks = checkDataDir(directory);
    expect(levels(checks)).toEqual({ data: 'warn', lock: 'ok', key: 'fail' });
    for (const { level, advice } of checks) expect(level === 'ok' || advice?.includes('chmod')).toBe(true);
    expect(levels(checkDataDir(join(folder, 'none')))).toEqual({ data: 'fail' });
  });

  it('tells who holds it', () => {
    const directory = make(0o600);
    writeFileSync(join(directory, `lock-${2 ** 22 + 1}-1-a`), '');
    expect(checkDataDir(directory)[1]?.found).toContain('is gone');
    writeFileSync(join(directory, `lock-${process.pid}-1-b`), '');
    expect(checkDataDir(directory)[1]).toMatchObject({ level: 'ok', found: `in use by process ${process.pid}` });
    writeFileSync(join(directory, `lock-${process.ppid}-1-c`), '');
    expect(checkDataDir(directory)[1]).toMatchObject({ level: 'warn' });
  });
});

describe('an address', () => {
  it('answers, refuses, or is none', async () => {
    const server = createServer();
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const { port } = server.address() as { port: number };
    expect(await dial(`/ip4/127.0.0.1/tcp/${port}/p2p/12D3KooW`, signal)).toMatchObject({ open: true });
    await new Promise((resolve) => server.close(resolve));
    expect(await dial(`/ip4/127.0.0.1/tcp/${port}`, signal)).toEqual({ open: false, why: 'ECONNREFUSED' });
    expect(await dial('/unix/tmp', signal)).toEqual({ open: false, why: 'no TCP address' });
  });
});

describe('a node', () => {
  let mesh: Mesh;
  beforeEach(async () => {
    mesh = await createMesh();
  });
  afterEach(() => mesh.stop());

  /** The mesh, saying something else of itself. */
  const saying = (changes: Partial<MeshStatus>): Mesh =>
    new Proxy(mesh, {
      get: (target, key) =>
        key === 'status' ? () => ({ ...target.status(), ...changes }) : Reflect.get(target, key, target),
    });
  const check = async (changes: Partial<MeshStatus>, bootstrap: readonly string[] = [], failed?: QuorateError) => {
    const joinFailures = new Map(failed === undefined ? [] : bootstrap.map((address) => [address, failed]));
    return diagnose(saying(changes), { options: { bootstrap }, joinFailures }, signal);
  };

  it('that is well has nothing to advise', async () => {
    const checks = await check({});
    expect(checks.every(({ level, advice }) => level === 'ok' && advice === undefined)).toBe(true);
  });

  it.each<[string, string, Partial<MeshStatus>]>([
    ['event loop', 'warn', { lag: { eventLoopMs: 400, feedsBehind: 0 } }],
    ['event loop', 'fail', { lag: { eventLoopMs: 4_000, feedsBehind: 0 } }],
    ['feeds', 'warn', { lag: { eventLoopMs: 0, feedsBehind: 3 } }],
    ['port', 'fail', { mode: 'cluster' }],
    ['members', 'warn', { members: { alive: 3, suspect: 0, unreachable: 1, removed: 0, left: 0 } }],
    ['members', 'fail', { mode: 'cluster', members: { alive: 3, suspect: 0, unreachable: 0, removed: 0, left: 0 } }],
    ['refused', 'warn', { refused: { WRONG_MESH: 2 } }],
  ])('%s: %s', async (name, level, changes) => {
    const found = (await check(changes)).find((one) => one.check === name);
    expect(found).toMatchObject({ level, advice: expect.any(String) });
  });

  const tuned = (part: Record<string, unknown>): Partial<MeshStatus> =>
    ({ infrastructure: { breakers: [], limiters: [], monitors: [], ...part } }) as unknown as Partial<MeshStatus>;
  const limit = { id: 'l', refused: 3, admitted: 7, share: 5, requestsPerSecond: 10 };
  const monitor = { id: 'm', metric: 'cpu', aggregation: 'p95', value: 0.9, samples: 4, nodes: ['a'] };
  const open = { agent: 'a', state: 'open', reason: 'five failures', retryAfterMs: 2_000 };

  it.each<[string, string, string, Partial<MeshStatus>]>([
    ['variables', 'fail', 'counts nowhere', { variables: [{ name: 'x', conflict: 'Defined differently.' } as never] }],
    ['breakers', 'warn', 'five failures', tuned({ breakers: [{ id: 'b', agents: [open] }] })],
    ['limits', 'warn', 'refused 3 of 10', tuned({ limiters: [{ ...limit, demand: 9 }] })],
    ['limits', 'warn', 'refused 3 of 10', tuned({ limiters: [{ ...limit, demand: 1 }] })],
    ['monitors', 'warn', 'p95 of cpu is 0.9', tuned({ monitors: [{ ...monitor, level: 'warning' }] })],
    ['monitors', 'fail', 'p95 of cpu is 0.9', tuned({ monitors: [{ ...monitor, level: 'critical' }] })],
  ])('%s: %s (%s)', async (name, level, said, changes) => {
    const found = (await check(changes)).filter((one) => one.check === name);
    expect(found).toMatchObject([{ level, found: expect.stringContaining(said), advice: expect.any(String) }]);
  });

  it('with variables, breakers, limits and monitors that are well says so, and nothing of what it has not', async () => {
    mesh.variables.boolean('x');
    const well = tuned({
      breakers: [{ id: 'b', agents: [{ ...open, state: 'closed' }] }],
      limiters: [{ ...limit, refused: 0, demand: 1 }],
      monitors: [{ ...monitor, level: 'ok' }],
    });
    const checks = await check(well);
    expect(levels(checks)).toMatchObject({ variables: 'ok', breakers: 'ok', limits: 'ok', monitors: 'ok' });
    mesh.variables.get('x')?.[Symbol.dispose]();
    const none = (await check({})).map((one) => one.check);
    for (const name of ['variables', 'breakers', 'limits', 'monitors']) expect(none).not.toContain(name);
  });

  it('with more findings than anybody reads tells ten, and how many more', async () => {
    const agents = Array.from({ length: 30 }, (_, index) => ({ ...open, agent: `a${index}` }));
    const found = (await check(tuned({ breakers: [{ id: 'b', agents }] }))).filter((one) => one.check === 'breakers');
    expect(found).toHaveLength(11);
    expect(found.at(-1)?.found).toBe('20 more like these');
  });

  it('tells why it could not join by an address', async () => {
    const refused = new QuorateError('WRONG_MESH', 'That node belongs to mesh lab.');
    const [found] = (await check({}, ['/ip4/127.0.0.1/tcp/1'], refused)).filter((one) => one.check === 'bootstrap');
    expect(found).toMatchObject({ level: 'warn', found: expect.stringContaining('WRONG_MESH') });
  });

  it('wants a Node.js that libp2p runs on', () => {
    expect(checkNodeVersion('24.1.0').level).toBe('ok');
    expect(checkNodeVersion('20.20.2')).toMatchObject({ level: 'fail', advice: expect.stringContaining('22') });
  });
});
