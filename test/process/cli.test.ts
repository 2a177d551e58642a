/** Two nodes in processes of their own, met and asked through the command line as a person would. */
import { mkdtempSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { exitCodes } from '../../src/cli/exit-codes.ts';
import { QuorateProcess, quorate } from './quorate-process.ts';

let folder: string;
let runtime: string;
let first: QuorateProcess;
let second: QuorateProcess;
let ready: { node: string; join: string; control: string; addresses: string[]; pid: number };
const name = `cli-${process.pid}`;

const jsonLines = (out: string): Record<string, never>[] =>
  out
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line));

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'quorate-process-'));
  runtime = join(folder, 'run');
  const dataDir = join(folder, 'data');
  first = new QuorateProcess(['up', '--json', '--name', name, '--zone', 'east', '--data-dir', dataDir], runtime);
  ready = (await first.json({ event: 'ready' })) as unknown as typeof ready;
  // What the first one printed is taken at its word; only the way to start it and what to print are added.
  const words = ready.join.replace('npm run -s quorate -- ', '').split(' ');
  const tuner = join(folder, 'tuner.mjs');
  writeFileSync(
    tuner,
    "export default (mesh) => void mesh.variables.float('temperature', { min: 0, max: 2, default: 0.7, unit: '°C' });",
  );
  const tuning = ['--echo', '--load', tuner, '--json'];
  second = new QuorateProcess([...words, '--zone', 'west', ...tuning], join(folder, 'run-2'));
  await second.json({ event: 'ready' });
  await first.json({ event: 'agent-up' });
});
afterAll(async () => {
  await first.destroy();
  await second.destroy();
  rmSync(folder, { recursive: true, force: true });
});

describe('a node in the foreground', () => {
  it('prints who it is and the line with which another joins', () => {
    expect(ready.node).toMatch(/^12D3KooW/);
    expect(ready.join).toBe(`npm run -s quorate -- up --name ${name} --bootstrap ${ready.addresses[0]}`);
    expect(ready.pid).toBe(first.pid);
  });

  it('has a control socket for its owner alone, and its key too', () => {
    expect(statSync(ready.control).mode & 0o777).toBe(0o600);
    expect(statSync(runtime).mode & 0o777).toBe(0o700);
  });

  it('is asked by the other commands', async () => {
    const members = await quorate(runtime, 'members', '--json');
    expect(members.code).toBe(exitCodes.ok);
    expect(jsonLines(members.out)).toHaveLength(2);
    expect(jsonLines(members.out)).toEqual(
      expect.arrayContaining([
        expect.objectContaining({ id: ready.node, state: 'alive', zone: 'east', self: true }),
        expect.objectContaining({ state: 'alive', zone: 'west', self: false }),
      ]),
    );
    const agents = await quorate(runtime, 'query', 'capabilities=echo', 'zone=west', '--json');
    expect(jsonLines(agents.out)).toMatchObject([{ id: 'echo', capabilities: ['echo'] }]);
    expect(await quorate(runtime, 'query', 'capabilities=sing')).toMatchObject({ code: exitCodes.noMatch });
  });

  it('calls an agent of the other process', async () => {
    const reply = await quorate(runtime, 'call', 'echo', '{"hello":"mesh"}', '--json');
    expect(reply).toMatchObject({ code: exitCodes.ok, out: '{"hello":"mesh"}\n' });
    expect(await quorate(runtime, 'call', 'nobody', '1')).toMatchObject({
      code: expect.toSatisfy((code) => code !== 0),
    });
  });

  it('shows and tunes a variable that only the other process has defined', async () => {
    await expect.poll(async () => (await quorate(runtime, 'variables')).out, { timeout: 20_000 }).toContain('0.7 °C');
    expect(await quorate(runtime, 'variables', 'set', 'temperature', '3')).toMatchObject({ code: exitCodes.failure });
    expect(await quorate(runtime, 'variables', 'set', 'temperature', '1.5')).toMatchObject({ code: exitCodes.ok });
    const there = async (): Promise<string> =>
      (await quorate(join(folder, 'run-2'), 'variables', 'get', 'temperature')).out;
    await expect.poll(there, { timeout: 20_000 }).toBe('1.5\n');
    expect(await quorate(runtime, 'variables', 'withdraw', 'temperature')).toMatchObject({ code: exitCodes.ok });
    await expect.poll(there, { timeout: 20_000 }).toBe('0.7\n');
  });

  it('survives garbage on its control socket', async () => {
    await new Promise<void>((resolve) => {
      const socket = connect(ready.control, () => socket.write(Buffer.alloc(100_000, 0x7f)));
      socket.on('error', () => undefined).once('close', () => resolve());
      socket.resume();
    });
    expect(await quorate(runtime, 'members')).toMatchObject({ code: exitCodes.ok });
  });

  it('is found well by the doctor', async () => {
    const { code, out } = await quorate(runtime, 'doctor', '--json');
    const checks = jsonLines(out);
    expect(checks.filter(({ level }) => level === 'fail')).toEqual([]);
    expect(checks.map(({ check }) => check)).toEqual(
      expect.arrayContaining(['running', 'control', 'data', 'lock', 'key', 'port']),
    );
    expect(code).toBe(exitCodes.ok);
  });
});

describe('when the other process is killed', () => {
  it('its node becomes unreachable, its agents go, and it can be asked who says so', async () => {
    second.kill('SIGKILL');
    const { member } = (await first.line((line) => {
      const event = JSON.parse(line) as { event: string; member?: { state: string } };
      return event.member?.state === 'unreachable' ? event : undefined;
    })) as unknown as { member: { id: string } };
    await first.json({ event: 'agent-down' });
    const why = await quorate(runtime, 'members', '--why', member.id, '--json');
    expect(jsonLines(why.out)).toMatchObject([
      { member: { state: 'unreachable' }, accusations: [{ accuser: ready.node, accused: member.id }] },
    ]);
    expect(await quorate(runtime, 'query', 'capabilities=echo')).toMatchObject({ code: exitCodes.noMatch });
  });

  it('its socket is no running node any more', async () => {
    expect(await quorate(join(folder, 'run-2'), 'members')).toMatchObject({ code: exitCodes.noNode });
    expect(readdirSync(join(folder, 'run-2')).filter((name) => name.endsWith('.sock'))).toEqual([]);
  });
});

describe('Ctrl-C', () => {
  it('ends the node with a goodbye, and nothing is left', async () => {
    first.kill('SIGINT');
    const { code, out, err } = await first.ended;
    expect({ code, err }).toEqual({ code: exitCodes.ok, err: '' });
    expect(jsonLines(out).at(-1)).toMatchObject({ event: 'stopped' });
    expect(readdirSync(runtime).filter((name) => name.endsWith('.sock'))).toEqual([]);
    expect(await quorate(runtime, 'members')).toMatchObject({ code: exitCodes.noNode });
  });
});
