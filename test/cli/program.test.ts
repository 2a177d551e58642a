/** Commands against a running node, in this process: what they print and the exit codes. */

import { once } from 'node:events';
import { chmodSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { exitCodes } from '../../src/cli/exit-codes.ts';
import { runCli } from '../../src/cli/program.ts';
import { type CallContext, type ControlServer, createMesh, type Mesh, serveControl } from '../../src/index.ts';

let folder: string;
let mesh: Mesh;
let server: ControlServer;
const runtimeBefore = process.env['QUORATE_RUNTIME_DIR'];

interface Ran {
  readonly code: number;
  readonly out: string;
  readonly err: string;
  /** Standard output as JSON lines. */
  readonly lines: Record<string, never>[];
}

async function run(...args: string[]): Promise<Ran> {
  return runUntil(new AbortController().signal, () => undefined, ...args);
}

async function runUntil(signal: AbortSignal, onOut: (out: string) => void, ...args: string[]): Promise<Ran> {
  let out = '';
  let err = '';
  const code = await runCli(
    args,
    {
      out: (text) => {
        out += text;
        onOut(out);
      },
      err: (text) => {
        err += text;
      },
      isTty: false,
      columns: 100,
    },
    signal,
  );
  const json = args.includes('--json') ? out.split('\n').filter((line) => line !== '') : [];
  return { code, out, err, lines: json.map((line) => JSON.parse(line)) };
}

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'quorate-cli-'));
  process.env['QUORATE_RUNTIME_DIR'] = join(folder, 'run');
  mesh = await createMesh({ name: 'lab', zone: 'east' });
  for (const [id, cpu] of [
    ['small', 1],
    ['large', 8],
  ] as const) {
    await mesh.registry.register(
      id,
      {
        echo: (message: unknown) => message,
        letters: async function* (text: string) {
          yield* text;
        },
        fail: () => {
          throw new Error('the handler said no');
        },
        hang: (_message: unknown, { signal }: CallContext) => once(signal, 'abort'),
      },
      { capabilities: ['work'], capacity: { cpu } },
    );
  }
  server = await serveControl(mesh);
});
afterAll(async () => {
  await server.stop();
  await mesh.stop();
  if (runtimeBefore === undefined) delete process.env['QUORATE_RUNTIME_DIR'];
  else process.env['QUORATE_RUNTIME_DIR'] = runtimeBefore;
  rmSync(folder, { recursive: true, force: true });
});

describe('quorate members', () => {
  it('lists them', async () => {
    const { code, out } = await run('members');
    expect(code).toBe(exitCodes.ok);
    expect(out).toMatch(/^NODE +STATE +FOR +ZONE +RTT +ADDRESSES$/m);
    expect(out).toContain(`…${mesh.id.slice(-8)}  alive`);
    expect((await run('members', '--json')).lines).toMatchObject([
      { id: mesh.id, state: 'alive', zone: 'east', self: true },
    ]);
  });

  it('says who accuses a member', async () => {
    const id = `…${mesh.id.slice(-8)}`;
    expect((await run('members', '--why', id)).out).toContain('Nobody accuses it.');
    expect((await run('members', '--why', id, '--json')).lines).toMatchObject([
      { member: { id: mesh.id }, accusations: [] },
    ]);
    expect(await run('members', '--why', 'nobody')).toMatchObject({ code: exitCodes.noMatch });
  });
});

describe('quorate agents and query', () => {
  it('list, filter, sort and limit', async () => {
    expect((await run('agents')).out).toMatch(/^large +work +healthy +east +…\w{8} +cpu=8$/m);
    const sorted = await run('agents', '--json', '--order', 'capacity.cpu', '--desc');
    expect(sorted.lines).toMatchObject([{ id: 'large' }, { id: 'small' }]);
    expect((await run('agents', '--json', '--limit', '1')).lines).toHaveLength(1);
    expect((await run('query', 'capability=work', 'capacity.cpu>=4', '--json')).lines).toMatchObject([{ id: 'large' }]);
  });

  it('exit 4 when a query finds nobody, 2 when it makes no sense', async () => {
    expect(await run('query', 'capabilities=sing')).toMatchObject({
      code: exitCodes.noMatch,
      out: 'No agent matches.\n',
    });
    expect(await run('query', 'capabilities=sing', '--json')).toMatchObject({ code: exitCodes.noMatch, out: '' });
    expect(await run('agents', 'capabilities=sing')).toMatchObject({ code: exitCodes.ok });
    expect(await run('query', 'nonsense')).toMatchObject({ code: exitCodes.usage });
    expect(await run('query', '[["a",1,"near"]]')).toMatchObject({ code: exitCodes.usage });
    expect(await run('query', 'a=1', '--limit', 'many')).toMatchObject({ code: exitCodes.usage });
    expect(await run('query')).toMatchObject({ code: exitCodes.usage });
  });
});

describe('quorate call', () => {
  it('prints the reply', async () => {
    expect(await run('call', 'small', '{"hello":"mesh"}', '--method', 'echo')).toMatchObject({
      code: exitCodes.ok,
      out: '{\n  "hello": "mesh"\n}\n',
    });
    expect((await run('call', 'small', 'hello mesh', '--method', 'echo')).out).toBe('hello mesh\n');
    expect((await run('call', 'small', 'hello', '--method', 'echo', '--json')).out).toBe('"hello"\n');
  });

  it('chooses by what agents can do', async () => {
    const where = ['--where', 'capacity.cpu>=4', '--method', 'echo'];
    expect(await run('call', 'hi', ...where)).toMatchObject({ code: exitCodes.ok, out: 'hi\n' });
    expect(await run('call', 'hi', '--where', 'capabilities=sing')).toMatchObject({ code: exitCodes.noMatch });
    expect(await run('call', 'small', 'hi', ...where)).toMatchObject({ code: exitCodes.usage });
  });

  it('streams', async () => {
    expect((await run('call', 'small', 'abc', '--method', 'letters', '--stream')).out).toBe('a\nb\nc\n');
  });

  it('tells failures apart by exit code', async () => {
    expect(await run('call', 'small', '--method', 'fail')).toMatchObject({ code: exitCodes.failure });
    expect(await run('call', 'small', '--method', 'hang', '--timeout', '30')).toMatchObject({
      code: exitCodes.unknownOutcome,
    });
    expect(await run('call', 'small', '{"open":', '--method', 'echo')).toMatchObject({ code: exitCodes.usage });
    expect(await run('call')).toMatchObject({ code: exitCodes.usage });
    const { err } = await run('call', 'small', '--method', 'fail', '--json');
    expect(JSON.parse(err)).toMatchObject({ error: { code: 'HANDLER_FAILED' } });
  });
});

describe('quorate watch', () => {
  it('prints what is there and what changes, until it is interrupted', async () => {
    const interrupt = new AbortController();
    let registered: Promise<unknown> | undefined;
    const { code, lines } = await runUntil(
      interrupt.signal,
      (out) => {
        if (out.includes('"small"'))
          registered ??= mesh.registry.register('late', () => null, { capabilities: ['work'] });
        if (out.includes('"late"')) interrupt.abort();
      },
      'watch',
      '--json',
    );
    expect(code).toBe(exitCodes.ok);
    expect(lines.map(({ type }) => type)).toEqual(['member', 'up', 'up', 'up']);
    await registered;
  });
});

describe('quorate doctor', () => {
  it('finds nothing wrong', async () => {
    const { code, lines } = await run('doctor', '--json');
    expect(lines.filter(({ level }) => level === 'fail')).toEqual([]);
    expect(code).toBe(exitCodes.ok);
    expect((await run('doctor')).out).toMatch(/✓ control +.*0600/);
  });

  it('says what is wrong and what to do', async () => {
    const { code, out } = await run('doctor', '--data-dir', join(folder, 'nowhere'), '--bootstrap', '127.0.0.1:1');
    expect(code).toBe(exitCodes.failure);
    expect(out).toMatch(/✗ data +.*nowhere/);
    expect(out).toMatch(/✗ bootstrap .*ECONNREFUSED\n +→ Is that node up/);
  });
});

describe('which node', () => {
  it('is asked for when several meshes run here, and said when several nodes of one do', async () => {
    const other = await createMesh({ name: 'other' });
    const twin = await createMesh({ name: 'lab' });
    const otherServer = await serveControl(other);
    expect(await run('members')).toMatchObject({ code: exitCodes.noNode, err: expect.stringContaining('--node') });
    expect(await run('members', '--json', '--node', 'other')).toMatchObject({ lines: [{ id: other.id }] });
    expect(await run('members', '--json', '--node', mesh.id.slice(-6))).toMatchObject({ lines: [{ id: mesh.id }] });
    await otherServer.stop();
    const twinServer = await serveControl(twin);
    expect(await run('members')).toMatchObject({
      code: exitCodes.ok,
      err: expect.stringContaining("2 nodes of mesh 'lab'"),
    });
    expect(await run('members', '--node', 'nobody')).toMatchObject({ code: exitCodes.noNode });
    await twinServer.stop();
    await other.stop();
    await twin.stop();
  });

  it('is none when none runs', async () => {
    const before = process.env['QUORATE_RUNTIME_DIR'];
    process.env['QUORATE_RUNTIME_DIR'] = join(folder, 'empty');
    try {
      expect(await run('members')).toMatchObject({
        code: exitCodes.noNode,
        err: expect.stringContaining('quorate up'),
      });
      expect((await run('doctor')).out).toContain('no node of this user runs here');
    } finally {
      process.env['QUORATE_RUNTIME_DIR'] = before;
    }
  });
});

describe('quorate keygen', () => {
  it('makes network keys, on request in a file that only the user reads and that is never overwritten', async () => {
    const { out } = await run('keygen', '--network');
    expect(out).toMatch(/^[0-9a-f]{64}\n$/);
    const file = join(folder, 'network.key');
    const written = await run('keygen', '--network', '--out', file);
    expect(written.out).not.toMatch(/[0-9a-f]{64}/);
    expect(statSync(file).mode & 0o777).toBe(0o600);
    const before = readFileSync(file, 'utf8');
    expect(await run('keygen', '--network', '--out', file)).toMatchObject({ code: exitCodes.usage });
    expect(readFileSync(file, 'utf8')).toBe(before);
    expect(await run('keygen')).toMatchObject({ code: exitCodes.usage });
  });
});

describe('quorate keygen --data-dir', () => {
  it('makes the key of a node once, and prints its id', async () => {
    const dataDir = join(folder, 'node');
    const { code, out } = await run('keygen', '--data-dir', dataDir);
    expect({ code, out }).toEqual({ code: exitCodes.ok, out: expect.stringMatching(/^12D3KooW\w+\n$/) });
    expect(statSync(join(dataDir, 'node.key')).mode & 0o777).toBe(0o600);
    expect((await run('keygen', '--data-dir', dataDir, '--json')).lines).toEqual([{ node: out.trim(), dataDir }]);
    expect(await run('keygen', '--data-dir', dataDir, '--network')).toMatchObject({ code: exitCodes.usage });
  });
});

describe('quorate up', () => {
  it('refuses a network key that others can read, or that is none, without showing it', async () => {
    const file = join(folder, 'open.key');
    writeFileSync(file, 'ab'.repeat(32));
    chmodSync(file, 0o644);
    expect(await run('up', '--network-key-file', file)).toMatchObject({
      code: exitCodes.failure,
      err: expect.stringContaining('chmod 600'),
    });
    writeFileSync(file, 'secret-but-wrong');
    chmodSync(file, 0o600);
    const { code, err } = await run('up', '--network-key-file', file);
    expect(code).toBe(exitCodes.failure);
    expect(err).not.toContain('secret-but-wrong');
  });

  it('names every wrong option', async () => {
    const { code, err } = await run('up', '--name', 'no spaces', '--listen', 'nowhere');
    expect(code).toBe(exitCodes.usage);
    expect(err).toMatch(/name: .*\n.*listen/);
  });
});

describe('quorate', () => {
  it('helps, with the exit codes', async () => {
    for (const args of [[], ['--help'], ['call', '--help']]) {
      const { code, out } = await run(...args);
      expect(code).toBe(exitCodes.ok);
      expect(out).toContain('Exit codes: 0 done');
    }
    expect((await run('--version')).out).toMatch(/^\d+\.\d+\.\d+\n$/);
  });

  it.each([[['fly']], [['members', '--wings']], [['query']]])('%j is wrong usage', async (args) => {
    expect(await run(...args)).toMatchObject({ code: exitCodes.usage, out: '' });
  });
});
