/** Commands about variables, breakers, limits and monitors, against a node in this process: what they print and the exit codes. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { describeEvent } from '../../src/cli/commands/watch.ts';
import { exitCodes } from '../../src/cli/exit-codes.ts';
import { runCli } from '../../src/cli/program.ts';
import { describeExplanation, describeVariables } from '../../src/cli/variable-view.ts';
import type { VariableRow } from '../../src/control/variable-operations.ts';
import { type ControlServer, createMesh, type Mesh, type NodeId, serveControl } from '../../src/index.ts';

let folder: string;
let mesh: Mesh;
let server: ControlServer;
let acknowledges: boolean;
const runtimeBefore = process.env['QUORATE_RUNTIME_DIR'];

interface Ran {
  readonly code: number;
  readonly out: string;
  readonly err: string;
}

async function runUntil(signal: AbortSignal, onOut: (out: string) => void, ...args: string[]): Promise<Ran> {
  let out = '';
  let err = '';
  const terminal = {
    out: (text: string) => {
      out += text;
      onOut(out);
    },
    err: (text: string) => {
      err += text;
    },
    isTty: false,
    columns: 100,
  };
  const code = await runCli(args, terminal, signal);
  return { code, out, err };
}

const run = (...args: string[]): Promise<Ran> => runUntil(new AbortController().signal, () => undefined, ...args);
const json = (out: string): Record<string, unknown>[] =>
  out
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line));

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'quorate-tune-'));
  process.env['QUORATE_RUNTIME_DIR'] = join(folder, 'run');
  mesh = await createMesh({ name: 'lab' });
  const variableChanged = (_notice: unknown, { signal }: { readonly signal: AbortSignal }): unknown =>
    acknowledges ? null : new Promise((_, reject) => signal.addEventListener('abort', () => reject(signal.reason)));
  await mesh.registry.register(
    'llm',
    { variableChanged, fail: () => Promise.reject(new Error('broken')) },
    { capabilities: ['llm'] },
  );
  mesh.variables.float('temperature', { min: -2, max: 2, default: 0.7, unit: '°C' });
  mesh.variables.choice('model', { choices: ['fast', '5'], default: 'fast' });
  mesh.variables.integer('told', { min: 0, max: 9, default: 1, sync: 'strong', affects: ['llm'] });
  server = await serveControl(mesh);
});
beforeEach(() => {
  acknowledges = true;
});
afterAll(async () => {
  await server.stop();
  await mesh.stop();
  if (runtimeBefore === undefined) delete process.env['QUORATE_RUNTIME_DIR'];
  else process.env['QUORATE_RUNTIME_DIR'] = runtimeBefore;
  rmSync(folder, { recursive: true, force: true });
});

describe('quorate variables', () => {
  it('lists, explains and shows the value alone', async () => {
    expect(await run('variables', 'set', 'temperature', '-1.5', '--weight', '0.5')).toMatchObject({
      code: exitCodes.ok,
      out: 'this node contributes -1.5 to temperature\n',
    });
    const { out } = await run('variables');
    expect(out).toMatch(/^VARIABLE +KIND +VALUE +RULE +SCOPE +CONTRIBUTE +DEFINED BY$/m);
    expect(out).toMatch(/^temperature +float +-1\.5 °C +weightedAverageByPerformance +cluster +1 +this node$/m);
    expect(out).toMatch(/^told +integer +1 +strong +cluster +0 +this node$/m);
    expect(json((await run('variables', 'list', '--json')).out).map(({ name }) => name)).toEqual([
      'model',
      'temperature',
      'told',
    ]);
    expect(await run('variables', 'get', 'temperature')).toEqual({ code: exitCodes.ok, out: '-1.5\n', err: '' });
    expect(json((await run('variables', 'get', 'temperature', '--json')).out)).toMatchObject([
      { name: 'temperature', value: -1.5, contributions: 1, terms: { max: 2 } },
    ]);
    const explained = (await run('variables', 'explain', 'temperature')).out;
    expect(explained).toMatch(/^temperature is -1\.5 °C\n.*the one contribution/);
    expect(explained).toMatch(/^….{8} \(this node\) +-1\.5 +0\.5 +– +100\.0 %$/m);
    expect(json((await run('variables', 'explain', 'temperature', '--json')).out)).toMatchObject([
      { name: 'temperature', source: 'contributions', counted: [{ weight: 0.5, share: 1 }] },
    ]);
    expect(await run('variables', 'withdraw', 'temperature')).toMatchObject({ code: exitCodes.ok, out: 'withdrawn\n' });
    expect((await run('variables', 'withdraw', 'temperature')).out).toContain('had contributed nothing');
    expect((await run('variables', 'get', 'temperature')).out).toBe('0.7\n');
  });

  it('agrees on values, and says by its exit code when an agent has not acknowledged', async () => {
    const agreed = await run('variables', 'coordinate', 'temperature', '1.25');
    expect(agreed).toMatchObject({
      code: exitCodes.ok,
      out: expect.stringMatching(/^agreed: temperature is 1\.25, version \d+\n$/),
    });
    const told = await run('variables', 'set', 'told', '4', '--if-version', '0');
    expect(told).toMatchObject({
      code: exitCodes.ok,
      out: expect.stringMatching(/version \d+\n {2}acknowledged by 1 agent: llm\n$/),
    });
    expect(await run('variables', 'set', 'told', '5', '--if-version', '0')).toMatchObject({
      code: exitCodes.failure,
      err: expect.stringContaining('CONFLICT'),
    });
    acknowledges = false;
    const untold = await run('variables', 'coordinate', 'told', '6', '--timeout', '300');
    expect(untold).toMatchObject({
      code: exitCodes.notInTime,
      out: expect.stringMatching(/not acknowledged by llm: /),
    });
    expect((await run('variables', 'get', 'told')).out).toBe('6\n');
  });

  it('takes what is typed for a choice at its word, and refuses what cannot be', async () => {
    expect(await run('variables', 'set', 'model', '5', '--json')).toMatchObject({ code: exitCodes.ok });
    expect((await run('variables', 'get', 'model')).out).toBe('5\n');
    expect(await run('variables', 'set', 'model', 'slow')).toMatchObject({
      code: exitCodes.failure,
      err: expect.stringContaining('OUT_OF_RANGE'),
    });
    expect(json((await run('variables', 'get', 'none', '--json')).err)).toMatchObject([
      { error: { code: 'NOT_FOUND' } },
    ]);
    expect(await run('variables', 'watch', 'none')).toMatchObject({ code: exitCodes.noMatch });
  });

  it('watches until it is interrupted', async () => {
    const ctrlC = new AbortController();
    let changed: Promise<unknown> | undefined;
    const onOut = (out: string): void => {
      if (out.includes('"value"')) changed ??= mesh.variables.get('temperature')?.set(0.25);
      if (out.includes('"change"')) ctrlC.abort();
    };
    const { code, out } = await runUntil(ctrlC.signal, onOut, 'variables', 'watch', 'temperature', '--json');
    expect(code).toBe(exitCodes.ok);
    expect(json(out)).toMatchObject([{ type: 'value' }, { type: 'change', value: 0.25, name: 'temperature' }]);
    await changed;
  });

  it.each([
    [['set', 'temperature']],
    [['set', 'temperature', '{"x']],
    [['set', 'temperature', 'warm']],
    [['set', 'temperature', '1', '--weight', 'much']],
    [['set', 'temperature', '1', '--weight', '2']],
    [['coordinate', 'temperature', '--if-version', 'last']],
    [['get']],
    [['explain']],
    [['get', 'temperature', '--loud']],
  ])('variables %j is wrong usage', async (args) => {
    expect(await run('variables', ...args)).toMatchObject({ code: exitCodes.usage, out: '' });
  });
});

it('keeps the help of each command to a screen', async () => {
  const commands = [
    'variables',
    'variables set',
    'variables coordinate',
    'breakers',
    'breakers trip',
    'limits',
    'monitors',
  ];
  for (const command of commands) {
    const { code, out } = await run(...command.split(' '), '--help');
    expect(code).toBe(exitCodes.ok);
    expect(out.split('\n').length).toBeLessThanOrEqual(60);
    expect(out).toContain('Exit codes: 0 done');
  }
});

describe('what is shown of variables that others define', () => {
  const self = '12D3KooWaaaaaaaaaaaa' as NodeId;
  const other = '12D3KooWbbbbbbbbbbbb' as NodeId;
  const row: VariableRow = {
    name: 'evil\u001b[2J\u202ename',
    kind: 'float',
    scope: 'cluster',
    zone: undefined,
    sync: 'eventual',
    rule: 'median\n',
    definedVersion: 2,
    terms: { unit: '\u0007C' },
    definedBy: [other, self],
    here: undefined,
    otherVersions: [1],
    conflicts: [{ node: other, difference: [{ field: 'max', stands: '2', differs: '5\u009b' }] }],
    isAgreed: false,
    obstacle: undefined,
    value: 'x\u001b',
    source: 'contributions',
    version: 0,
    agreed: undefined,
    contributions: 2,
    ignored: 1,
    conflict: undefined,
  };

  it('cannot steer the terminal', () => {
    const explanation = {
      value: 1,
      rule: 'median',
      source: 'contributions',
      counted: [{ node: other, value: '\u001b[31m', weight: 1, performance: 0.5, at: 1, share: 1 }],
      ignored: [{ node: self, reason: 'bad\u0000' }],
      summary: 'sum\u001b',
    } as const;
    const drawn = describeVariables(self, [row]) + describeExplanation({ self, variable: row, explanation });
    // biome-ignore lint/suspicious/noControlCharactersInRegex: these are what must not be there.
    expect(drawn.replaceAll('\n', '')).not.toMatch(/[\u0000-\u001f\u007f-\u009f\u202e]/);
  });

  it('says who contradicts it, which other versions there are, and why it cannot be shown', () => {
    const drawn = describeVariables(self, [
      row,
      { ...row, name: 'coded', obstacle: 'its rule is code', value: undefined },
    ]);
    expect(drawn).toContain('this node, …bbbbbbbb');
    expect(drawn).toContain('2 (1 ignored)');
    expect(drawn).toContain('…bbbbbbbb defines it differently, and does not count: max is 2, there 5');
    expect(drawn).toContain('shown is version 2; there is also 1');
    expect(drawn).toMatch(/^coded +float +– /m);
    expect(drawn).toContain('coded: its rule is code');
    expect(describeVariables(self, [])).toContain('No live node announces a variable.');
  });
});

describe('quorate breakers, limits, monitors, status and doctor', () => {
  it('say when there are none', async () => {
    for (const command of ['breakers', 'limits', 'monitors']) {
      expect(await run(command)).toMatchObject({ code: exitCodes.ok, out: expect.stringContaining('has made no') });
      expect(await run(command, '--json')).toMatchObject({ code: exitCodes.ok, out: '' });
    }
  });

  it('show what is not well, and what to do', async () => {
    mesh.infrastructure.circuitBreaker({
      agent: 'llm',
      method: 'fail',
      failureThreshold: 2,
      recoveryTimeMs: 60_000,
      scope: 'node',
    });
    const limit = mesh.infrastructure.rateLimiter({ id: 'requests', requestsPerSecond: 1, burst: 1, scope: 'node' });
    const thresholds = { warning: 1, critical: 10 };
    const monitor = mesh.infrastructure.monitor({ id: 'slow', metric: 'own', thresholds, scope: 'node' });
    for (let call = 0; call < 3; call++) await mesh.call('llm', 1, { method: 'fail' }).catch(() => undefined);
    for (let request = 0; request < 3; request++) limit.tryAcquire();
    monitor.record(20);
    await expect.poll(() => monitor.level, { timeout: 10_000 }).toBe('critical');

    expect((await run('breakers')).out).toMatch(
      /^llm\.fail +node +llm +open +\d of \d +60 s +2 failures at this node/m,
    );
    expect((await run('limits')).out).toMatch(/^requests +node +1\/s +1 +\S+ +1 +2 +0$/m);
    expect((await run('monitors')).out).toMatch(/^slow +own +p95 +node +\S+ +critical +1 +1$/m);
    expect(json((await run('monitors', '--json')).out)).toMatchObject([{ id: 'slow', level: 'critical' }]);
    const status = (await run('status')).out;
    expect(status).toMatch(
      /variables +3 here\n +breakers +1 here; 0 agents closed, 1 not\n +llm\.fail: open for llm, next probe in/,
    );
    expect(status).toMatch(
      /limit +requests: 1 of 1\/s here, 2 refused\n +monitors +1 here, 0 ok\n +slow: critical, p95 of own is/,
    );
    const doctor = await run('doctor');
    expect(doctor.code).toBe(exitCodes.failure);
    expect(doctor.out).toMatch(/✓ variables +3 announced, no conflict/);
    expect(doctor.out).toMatch(/! breakers .*llm\.fail.*\n +→ .*quorate breakers reset llm\.fail/);
    expect(doctor.out).toMatch(/! limits .*refused 2 of 3.*\n +→ /);
    expect(doctor.out).toMatch(/✗ monitors .*critical.*\n +→ /);

    expect(await run('breakers', 'reset', 'llm.fail')).toMatchObject({
      code: exitCodes.ok,
      out: expect.stringMatching(/closed/),
    });
    expect(await run('breakers', 'trip', 'llm.fail', '--ms', '5000', '--json')).toMatchObject({ code: exitCodes.ok });
    expect(await run('breakers', 'reset', 'none')).toMatchObject({
      code: exitCodes.noMatch,
      err: expect.stringContaining('llm.fail'),
    });
    expect(await run('breakers', 'trip', 'llm.fail', '--ms', 'long')).toMatchObject({ code: exitCodes.usage });
  });

  it('are described in a line each', () => {
    const conflict = {
      type: 'definitionConflict',
      variable: 'x\u001b',
      code: 'DEFINITION_CONFLICT',
      message: 'max is 2.',
    } as const;
    expect(describeEvent(conflict)).toBe('variable x\\u{1b} in conflict: max is 2.');
    const over = {
      type: 'alert',
      monitor: 'm',
      incident: 'i',
      level: 'ok',
      previous: 'critical',
      value: undefined,
      threshold: undefined,
      metric: 'cpu',
      aggregation: 'p95',
      scope: 'cluster',
      raisedBy: mesh.id,
      at: 0,
    } as const;
    expect(describeEvent(over)).toBe('alert  m is ok (was critical): no measurements');
  });

  it('are told of as things happen', async () => {
    const seen: string[] = [];
    const seenJson: string[] = [];
    const ctrlC = new AbortController();
    const watching = runUntil(ctrlC.signal, (out) => void seen.push(out), 'watch', '--events');
    const watchingJson = runUntil(ctrlC.signal, (out) => void seenJson.push(out), 'watch', '--events', '--json');
    // Until the watches have begun, what happens is not theirs to tell.
    const happen = async (seenBy: readonly string[]): Promise<string> => {
      await run('breakers', 'trip', 'llm.fail');
      await run('breakers', 'reset', 'llm.fail');
      return seenBy.at(-1) ?? '';
    };
    const patience = { timeout: 10_000 };
    await expect.poll(() => happen(seen), patience).toMatch(/breaker llm\.fail for llm is closed \(was open\)/);
    await expect.poll(() => happen(seenJson), patience).toContain('"breaker"');
    mesh.infrastructure.monitor({ id: 'late', metric: 'own', thresholds: { critical: 1 }, scope: 'node' }).record(2);
    await expect.poll(() => seen.at(-1), patience).toMatch(/alert +late is critical \(was ok\): p95 of own is/);
    await expect.poll(() => seenJson.at(-1), patience).toContain('"alert"');
    ctrlC.abort();
    expect(await watching).toMatchObject({ code: exitCodes.ok });
    expect(json((await watchingJson).out)).toMatchObject(
      expect.arrayContaining([
        expect.objectContaining({ type: 'breaker', state: 'open' }),
        expect.objectContaining({ type: 'alert', monitor: 'late', level: 'critical' }),
      ]),
    );
  });
});
