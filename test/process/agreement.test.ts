/** Three nodes in processes of their own found a group by the command line, and shell commands agree through it. */
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { exitCodes } from '../../src/cli/exit-codes.ts';
import { type Ended, QuorateProcess, quorate } from './quorate-process.ts';

const numbers = [0, 1, 2] as const;
const agents = ['ada', 'bo', 'cy'] as const;
const name = `agree-${process.pid}`;
let folder: string;
let ids: string[];
const nodes: QuorateProcess[] = [];

const runtime = (node: number): string => join(folder, `run-${node}`);
const ask = (node: number, ...args: string[]): Promise<Ended> => quorate(runtime(node), ...args);
const file = (what: string): string => join(folder, what);

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'quorate-agree-'));
  const data = numbers.map((node) => join(folder, `data-${node}`));
  const keys = await Promise.all(data.map((dataDir) => quorate(folder, 'keygen', '--data-dir', dataDir)));
  ids = keys.map(({ out }) => out.trim());
  const agentsModule = file('agent.mjs');
  writeFileSync(
    agentsModule,
    "export default (mesh) => mesh.registry.register(process.env.AGENT, () => null, { capabilities: ['vote'] });",
  );
  let bootstrap: string[] = [];
  for (const node of numbers) {
    const founding = ['--data-dir', data[node] as string, '--validators', ids.join(','), '--f', '0'];
    const args = ['up', '--json', '--name', name, ...founding, '--load', agentsModule, ...bootstrap];
    const started = new QuorateProcess(args, runtime(node), { AGENT: agents[node] });
    nodes.push(started);
    const { addresses } = (await started.json({ event: 'ready' })) as unknown as { addresses: [string] };
    bootstrap = ['--bootstrap', addresses[0]];
  }
  // All know all agents, so that whoever proposes knows where their votes come from.
  for (const node of numbers) {
    for (const other of numbers.filter((at) => at !== node)) await known(node, agents[other] as string);
  }
});
afterAll(async () => {
  for (const node of nodes) await node.destroy();
  rmSync(folder, { recursive: true, force: true });
});

async function known(node: number, agent: string): Promise<void> {
  await nodes[node]?.line((line) => {
    const { event, record } = JSON.parse(line) as { event: string; record?: { id: string } };
    return event === 'agent-up' && record?.id === agent ? true : undefined;
  });
}

/** A command for the lock: it says its token and process id in a file, and stays. */
const staying = (path: string): string[] => [
  process.execPath,
  '-e',
  `require('node:fs').writeFileSync(${JSON.stringify(path)}, process.env.QUORATE_TOKEN + ' ' + process.pid); setInterval(() => {}, 1000);`,
];
const fileSays =
  (path: string): (() => string) =>
  () =>
    existsSync(path) ? readFileSync(path, 'utf8') : '';

describe('a group founded by the command line', () => {
  it('is the same at all its nodes, and each says how the others are', async () => {
    const answers = await Promise.all(numbers.map((node) => ask(node, 'validators', '--json', '--timeout', '20000')));
    for (const { code, out } of answers) {
      expect(code).toBe(exitCodes.ok);
      const { set, health } = JSON.parse(out);
      expect(set).toMatchObject({ validators: ids.toSorted(), f: 0, quorum: 2, epoch: 0 });
      expect(health.filter((entry: { health?: object }) => entry.health !== undefined)).toHaveLength(3);
      expect(health.filter((entry: { primary: boolean }) => entry.primary)).toHaveLength(1);
    }
    expect((await ask(0, 'status')).out).toMatch(/3 validators, crashes only/);
  });

  it('locks for one command at a time, whatever node it asks', async () => {
    const log = file('log');
    const critical = `const fs = require('node:fs');
      fs.appendFileSync(${JSON.stringify(log)}, 'in ' + process.env.QUORATE_TOKEN + '\\n');
      setTimeout(() => fs.appendFileSync(${JSON.stringify(log)}, 'out\\n'), 100);`;
    const all = [0, 1, 2, 0].map((node) =>
      ask(node, 'lock', 'one', '--timeout', '60000', '--', process.execPath, '-e', critical),
    );
    expect((await Promise.all(all)).map(({ code }) => code)).toEqual([0, 0, 0, 0]);
    const lines = readFileSync(log, 'utf8').trim().split('\n');
    expect(lines.filter((_, at) => at % 2 === 1)).toEqual(['out', 'out', 'out', 'out']);
    const tokens = lines.filter((_, at) => at % 2 === 0).map((line) => Number(line.replace('in ', '')));
    expect(tokens).toEqual([...new Set(tokens)].sort((a, b) => a - b));
    expect(tokens).toHaveLength(4);
  });

  it('frees the lock of a command line that was killed, long before its lease ends', async () => {
    const held = file('held');
    const holder = new QuorateProcess(['lock', 'two', '--lease', '600000', '--', ...staying(held)], runtime(0));
    await expect.poll(fileSays(held), { timeout: 30_000 }).toMatch(/\d \d/);
    expect(await ask(1, 'lock', 'two', '--no-wait', '--', 'true')).toMatchObject({ code: exitCodes.notInTime });
    holder.kill('SIGKILL');
    const tells = 'process.stdout.write(process.env.QUORATE_TOKEN)';
    const next = await ask(1, 'lock', 'two', '--timeout', '60000', '--', process.execPath, '-e', tells);
    expect(next).toMatchObject({ code: exitCodes.ok });
    const [token = Number.NaN, pid = Number.NaN] = fileSays(held)().split(' ').map(Number);
    expect(Number(next.out)).toBeGreaterThan(token);
    // Its command lives on, in a group of its own: only the token keeps it out. Here it ends with the test.
    process.kill(pid, 'SIGKILL');
    await holder.ended;
  });

  it('opens a barrier for two command lines', async () => {
    const both = await Promise.all([0, 1].map((node) => ask(node, 'barrier', 'b', '--participants', '2', '--json')));
    expect(both.map(({ code }) => code)).toEqual([0, 0]);
    const [one, other] = both.map(({ out }) => JSON.parse(out));
    expect(one).toMatchObject({ generation: 1, arrived: 2 });
    expect(other).toEqual(one);
  });

  it('decides by votes from several nodes, and proves it offline', async () => {
    const certificate = file('decision.json');
    const terms = ['--participants', agents.join(','), '--id', 'p', '--timeout', '60000', '--certificate', certificate];
    const proposed = ask(0, 'propose', '{"task":"parser"}', ...terms);
    await expect
      .poll(async () => (await ask(1, 'proposals', '--agent', 'bo')).out, { timeout: 30_000 })
      .toContain('parser');
    expect(await ask(0, 'vote', 'p', 'accept', '--as', 'bo')).toMatchObject({ code: exitCodes.failure });
    expect(await ask(1, 'vote', 'p', 'accept', '--as', 'bo')).toMatchObject({ code: exitCodes.ok });
    expect(await ask(2, 'vote', 'p', 'accept', '--as', 'cy')).toMatchObject({ code: exitCodes.ok });
    expect(await proposed).toMatchObject({
      code: exitCodes.ok,
      out: expect.stringContaining('accepted: {"task":"parser"}'),
    });

    // Founders in any order; somebody else's mesh, or a founder exchanged, proves nothing.
    const trust = ['--name', name, '--f', '0', '--validators'];
    const nowhere = file('nowhere');
    const genuine = await quorate(nowhere, 'verify', certificate, ...trust, ids.toReversed().join(','));
    expect(genuine).toMatchObject({ code: exitCodes.ok, out: expect.stringContaining('genuine') });
    expect(await quorate(nowhere, 'verify', certificate, ...trust, ids.slice(1).join(','))).toMatchObject({
      code: exitCodes.failure,
      err: expect.stringContaining('CERTIFICATE_INVALID'),
    });
  });
});

describe('when a validator is killed', () => {
  it('the others say so, go on, and vote it out', async () => {
    const lost = ids[2] as string;
    nodes[2]?.kill('SIGKILL');
    await nodes[2]?.ended;
    expect(await ask(0, 'lock', 'three', '--timeout', '60000', '--', 'true')).toMatchObject({ code: exitCodes.ok });
    const { out } = await ask(1, 'validators');
    expect(out).toMatch(new RegExp(`…${lost.slice(-8)} .*does not answer`));
    expect(out).toContain('2 of 3 answer, 2 are needed.');
    const first = await ask(0, 'validators', 'remove', lost.slice(-8), '--json');
    expect(JSON.parse(first.out)).toMatchObject({ state: 'voted', needed: 2 });
    const second = await ask(1, 'validators', 'remove', lost.slice(-8), '--json');
    expect(JSON.parse(second.out)).toMatchObject({ state: 'decided', validators: ids.slice(0, 2).toSorted() });
  });

  it('and without a quorum nothing is promised', async () => {
    nodes[1]?.kill('SIGKILL');
    await nodes[1]?.ended;
    const refused = await ask(0, 'lock', 'four', '--timeout', '2000', '--', 'true');
    expect(refused.code).not.toBe(exitCodes.ok);
    expect(refused.err).toMatch(/NO_QUORUM|TIMED_OUT|UNKNOWN_OUTCOME/);
    expect((await ask(0, 'validators')).out).toContain('nothing can be decided');
  });
});
