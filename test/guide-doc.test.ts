/** Every program of docs/guide.md runs, as its reader would run it, and prints what the guide says. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';

const root = join(import.meta.dirname, '..');
const guide = readFileSync(join(root, 'docs/guide.md'), 'utf8');
const blocks = (language: string): Map<string, string> =>
  new Map(
    [...guide.matchAll(new RegExp(`^\`\`\`${language} (\\S+)\\n([\\s\\S]*?)^\`\`\`$`, 'gm'))].map(
      ([, name = '', body = '']) => [name, body],
    ),
  );
const programs = blocks('ts');
const printed = blocks('text');

let directory: string;
const children = new Set<ChildProcess>();

beforeAll(() => {
  directory = mkdtempSync(join(tmpdir(), 'quorate-guide-'));
  mkdirSync(join(directory, 'node_modules'));
  symlinkSync(root, join(directory, 'node_modules/quorate'));
  writeFileSync(join(directory, 'package.json'), '{"type":"module"}');
  for (const [name, body] of programs) writeFileSync(join(directory, name), body);
});

afterEach(async () => {
  for (const child of children) if (child.kill('SIGKILL')) await once(child, 'exit');
  children.clear();
});

afterAll(() => rmSync(directory, { recursive: true, force: true }));

interface Program {
  readonly child: ChildProcess;
  /** The next line it prints; undefined at its end. */
  line(): Promise<string | undefined>;
  /** All that it prints from now on, until it ends. */
  rest(): Promise<string>;
}

function run(name: string, args: readonly string[] = [], env: NodeJS.ProcessEnv = {}): Program {
  const child = spawn(process.execPath, ['--conditions=quorate-source', name, ...args], {
    cwd: directory,
    env: { ...process.env, NO_COLOR: '1', QUORATE_RUNTIME_DIR: join(directory, 'run'), ...env },
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  children.add(child);
  child.once('exit', () => children.delete(child));
  const lines = createInterface({ input: child.stdout as NodeJS.ReadableStream })[Symbol.asyncIterator]();
  const line = async (): Promise<string | undefined> => (await lines.next()).value;
  return {
    child,
    line,
    async rest() {
      let text = '';
      for (let next = await line(); next !== undefined; next = await line()) text += `${next}\n`;
      return text;
    },
  };
}

async function stop({ child }: Program): Promise<void> {
  const ended = once(child, 'exit');
  child.kill('SIGTERM');
  expect((await ended)[0]).toBe(0);
}

describe('docs/guide.md', () => {
  test.each([
    'hello.ts',
    'counter.ts',
    'choose.ts',
    'lock.ts',
    'leader.ts',
    'shared.ts',
    'together.ts',
    'decide.ts',
    'auction.ts',
    'accounts.ts',
    'group.ts',
    'tune.ts',
    'protect.ts',
  ])('%s prints what the guide says', async (name) => {
    expect(await run(name).rest()).toBe(printed.get(name));
  });

  test('the client finds and calls the worker in another process', async () => {
    const worker = run('worker.ts');
    const address = (await worker.line()) as string;
    expect(await run('client.ts', [address]).rest()).toBe(printed.get('client.ts'));
    await stop(worker);
  });

  test('a killed worker is told of, by whom it was missed', async () => {
    const worker = run('worker.ts');
    const address = (await worker.line()) as string;
    const watch = run('watch.ts', [address]);
    expect(await watch.line()).toBe('up');
    worker.child.kill('SIGKILL');
    const told = (await watch.rest()).trim().split('\n').sort();
    expect(told).toEqual(['down: node-down', 'unreachable: connection-reset']);
  });

  test('a node for real use starts, and stops when asked to', async () => {
    const node = run('node.ts', [], { PORT: '0', NODE_DIR: join(directory, 'node') });
    expect(`${await node.line()}\n`).toBe(printed.get('node.ts'));
    await stop(node);
  });

  test('no program of the guide is left out', () => {
    expect([...programs.keys()].sort()).toEqual(
      [
        'choose.ts',
        'client.ts',
        'counter.ts',
        'hello.ts',
        'node.ts',
        'watch.ts',
        'worker.ts',
        'lock.ts',
        'leader.ts',
        'shared.ts',
        'together.ts',
        'decide.ts',
        'auction.ts',
        'accounts.ts',
        'group.ts',
        'tune.ts',
        'protect.ts',
      ].sort(),
    );
  });
});
