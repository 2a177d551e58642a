/** The main job on a small folder: the answer is right although a process was killed, and nothing is left behind. */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { DemoSummary } from '../../src/cli/demo/summary.ts';
import { exitCodes } from '../../src/cli/exit-codes.ts';
import { QuorateProcess, quorate } from './quorate-process.ts';

let folder: string;
let texts: string;
let runtime: string;

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'quorate-demo-'));
  texts = join(folder, 'texts');
  runtime = join(folder, 'run');
  mkdirSync(texts);
  const words = ['gossip', 'replica', 'quorum', 'witness', 'ledger', 'beacon', 'harbour', 'lantern'];
  for (let i = 0; i < 120; i++) {
    const text = words.filter((_, w) => (i * 7 + w * 3) % 5 < 2).join(' ');
    writeFileSync(join(texts, `f${i}.txt`), `${text} common text number unique${i}letters ${'filler '.repeat(40)}`);
  }
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

describe('the main job', () => {
  it('survives the kill of a process with the right answer', async () => {
    const run = new QuorateProcess(['demo', texts, '--json', '--pace', '20'], runtime);
    const { code, out, err } = await run.ended;
    expect({ code, err }).toEqual({ code: exitCodes.ok, err: '' });
    const summary = JSON.parse(out) as DemoSummary;
    expect(summary).toMatchObject({ ok: true, countsVerified: true, nodes: 6, agents: 5, files: 120 });
    expect(summary.kill).toMatchObject({ agent: expect.stringMatching(/^indexer-\d$/), noticedMs: expect.any(Number) });
    expect(summary.kill?.lostBatches).toBeGreaterThan(0);
    expect(summary.reindexedBatches).toBeGreaterThanOrEqual(summary.kill?.lostBatches ?? 1);
    expect(summary.reroutedCalls).toBeGreaterThan(0);
    expect(summary.searches.length).toBeGreaterThanOrEqual(2);
    expect(summary.searches.every(({ verified, files }) => verified && files > 0)).toBe(true);
    expect(summary.calls).toBeGreaterThanOrEqual(summary.batches + summary.reindexedBatches);
    expect(run.groupRuns).toBe(false);
  });

  it('tells its story in plain lines; --stay keeps the mesh up until Ctrl-C, to be joined and asked', async () => {
    const run = new QuorateProcess(['demo', texts, '--no-kill', '--stay'], runtime);
    const join = await run.line((line) => /npm run -s quorate -- (up .*)$/.exec(line)?.[1]);
    const joined = new QuorateProcess([...join.split(' '), '--json'], `${runtime}-2`);
    await joined.json({ event: 'agent-up' });
    const reply = await quorate(runtime, 'query', 'capabilities=index-text', '--json');
    expect(reply.out.trim().split('\n')).toHaveLength(5);
    const found = await quorate(runtime, 'call', 'search', 'Unique7letters', '--json');
    expect(JSON.parse(found.out)).toMatchObject({ files: 1, top: [{ path: 'f7.txt' }] });
    run.kill('SIGINT');
    const { code, out } = await run.ended;
    expect(code).toBe(exitCodes.ok);
    expect(out).toMatch(/5 agents found by what they can do/);
    expect(out).toMatch(/✓ every count of all [\d,]+ terms equals the single-process count/);
    expect(out).not.toContain('\x1b[');
    expect(run.groupRuns).toBe(false);
    await joined.destroy();
  });

  it.each([
    ['SIGINT', { code: 130, signal: null }],
    ['SIGKILL', { code: null, signal: 'SIGKILL' }],
  ] as const)('leaves no process behind after %s', async (signal, outcome) => {
    const run = new QuorateProcess(['demo', texts, '--pace', '2000'], runtime);
    await run.line((line) => (line.includes('agents found') ? true : undefined));
    run.kill(signal);
    expect(await run.ended).toMatchObject(outcome);
    await expect.poll(() => run.groupRuns, { timeout: 30_000 }).toBe(false);
  });

  it('fails when it cannot end in time, and on a folder without text', async () => {
    const late = await quorate(runtime, 'demo', texts, '--pace', '5000', '--deadline', '3');
    expect(late.code).not.toBe(0);
    expect(late.err).toContain('did not end within 3 s');
    mkdirSync(join(folder, 'empty'));
    expect(await quorate(runtime, 'demo', join(folder, 'empty'))).toMatchObject({ code: exitCodes.usage });
  });
});
