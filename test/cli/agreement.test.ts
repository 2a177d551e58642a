/** Commands about what is agreed on, against a node in this process: what they print and the exit codes. */
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { exitCodes } from '../../src/cli/exit-codes.ts';
import { runCli } from '../../src/cli/program.ts';
import {
  type ControlServer,
  certificateFromJson,
  createMesh,
  encodeCertificate,
  type Mesh,
  serveControl,
} from '../../src/index.ts';

let folder: string;
let mesh: Mesh;
let server: ControlServer;
const runtimeBefore = process.env['QUORATE_RUNTIME_DIR'];

interface Ran {
  readonly code: number;
  readonly out: string;
  readonly err: string;
}

async function runUntil(signal: AbortSignal, ...args: string[]): Promise<Ran> {
  let out = '';
  let err = '';
  const terminal = {
    out: (text: string) => {
      out += text;
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

const run = (...args: string[]): Promise<Ran> => runUntil(new AbortController().signal, ...args);
const file = (name: string): string => join(folder, name);
/** A command for the lock; what it does with the environment it was given shows in a file. */
const script = (source: string): string[] => ['--', process.execPath, '-e', source];
const writes = (name: string, what: string): string =>
  `require('node:fs').writeFileSync(${JSON.stringify(file(name))}, String(${what}));`;

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'quorate-agree-'));
  process.env['QUORATE_RUNTIME_DIR'] = join(folder, 'run');
  mesh = await createMesh({ name: 'lab', zone: 'east' });
  for (const agent of ['ada', 'bo', 'cy']) await mesh.registry.register(agent, () => null, { capabilities: ['vote'] });
  server = await serveControl(mesh);
});
afterAll(async () => {
  await server.stop();
  await mesh.stop();
  if (runtimeBefore === undefined) delete process.env['QUORATE_RUNTIME_DIR'];
  else process.env['QUORATE_RUNTIME_DIR'] = runtimeBefore;
  rmSync(folder, { recursive: true, force: true });
});

describe('quorate status and validators', () => {
  it('show the node and those who decide', async () => {
    const { code, out } = await run('status');
    expect(code).toBe(exitCodes.ok);
    expect(out).toContain(`Node ${mesh.id}`);
    expect(out).toMatch(/mesh +lab \(one process, no network\), zone east/);
    expect(out).toMatch(/agents +3 here, 3 in all/);
    expect(out).toMatch(/^VALIDATOR +VIEW +SEQUENCE +LAG +LOG +STATE$/m);
    expect(out).toMatch(/\(this node\) +primary +0 +\d+ +0 .* well$/m);
    const { validators, ...status } = JSON.parse((await run('status', '--json')).out);
    expect(status).toMatchObject({ id: mesh.id, coordination: { f: 0 } });
    expect(validators).toMatchObject({ set: { validators: [mesh.id] } });
  });

  it('list by default, and refuse what cannot be changed', async () => {
    expect((await run('validators')).out).toContain('1 of 1 answer, 1 are needed.');
    expect(JSON.parse((await run('validators', '--json')).out)).toMatchObject({ self: mesh.id });
    expect(await run('validators', 'list', '--timeout', 'soon')).toMatchObject({ code: exitCodes.usage });
    expect(await run('validators', 'remove', `…${mesh.id.slice(-8)}`)).toMatchObject({
      code: exitCodes.failure,
      err: expect.stringContaining('NOT_PERMITTED'),
    });
    expect(await run('validators', 'add', 'nobody')).toMatchObject({ code: exitCodes.noMatch });
    expect(await run('validators', 'replace', 'one')).toMatchObject({ code: exitCodes.usage });
  });
});

describe('quorate lock', () => {
  it('runs a command under the lock, with its token, and ends as it does', async () => {
    const holds = `${writes('token', 'process.env.QUORATE_TOKEN')} process.exitCode = 7`;
    expect(await run('lock', 'x', ...script(holds))).toEqual({ code: 7, out: '', err: '' });
    expect(Number(readFileSync(file('token'), 'utf8'))).toBeGreaterThan(0);
    expect(await run('lock', 'inspect', 'x')).toMatchObject({ code: exitCodes.noMatch });
    expect(await run('lock', 'x', ...script("process.kill(process.pid, 'SIGKILL')"))).toMatchObject({ code: 137 });
  });

  it('says what cannot be run, and gives the lock back', async () => {
    const { code, err } = await run('lock', 'x', '--', file('no-such-command'));
    expect({ code, err }).toEqual({ code: 127, err: expect.stringContaining('there is no such command') });
    writeFileSync(file('plain'), '');
    expect(await run('lock', 'x', '--', file('plain'))).toMatchObject({ code: 126 });
    expect(await run('lock', 'inspect', 'x', '--json')).toMatchObject({ code: exitCodes.noMatch, out: 'null\n' });
    expect(await run('lock', 'x')).toMatchObject({ code: exitCodes.usage, err: expect.stringContaining('-- command') });
  });

  it('does not run it when the lock is not to be had', async () => {
    const lock = await mesh.coordination.lock('taken');
    const never = script(writes('never', 'true'));
    expect(await run('lock', 'taken', '--no-wait', ...never)).toMatchObject({ code: exitCodes.notInTime });
    expect(await run('lock', 'taken', '--timeout', '20', ...never)).toMatchObject({ code: exitCodes.notInTime });
    const impatient = new AbortController();
    const interrupted = runUntil(impatient.signal, 'lock', 'taken', ...never);
    await expect.poll(() => mesh.coordination.inspect('taken')).toMatchObject({ waiting: 1 });
    impatient.abort();
    expect(await interrupted).toMatchObject({ code: exitCodes.interrupted });
    await expect.poll(() => mesh.coordination.inspect('taken')).toMatchObject({ waiting: 0 });
    expect((await run('lock', 'inspect', 'taken')).out).toMatch(/holds it +\d+/);
    await lock.release();
    expect(existsSync(file('never'))).toBe(false);
  });

  it('asks its command to end when it is interrupted, and keeps the lock until it has', async () => {
    const ctrlC = new AbortController();
    const patient = `process.once('SIGTERM', () => process.exit(3)); setInterval(() => {}, 1000); ${writes('ready', 'true')}`;
    const running = runUntil(ctrlC.signal, 'lock', 'x', ...script(patient));
    await expect.poll(() => existsSync(file('ready')), { timeout: 10_000 }).toBe(true);
    ctrlC.abort();
    expect(await running).toMatchObject({ code: 3 });
    expect(await mesh.coordination.inspect('x')).toBeUndefined();
  });

  it('ends its command, with force if need be, when the lock is lost', async () => {
    const folderOfTwin = file('twin');
    const twin = await createMesh({ name: 'twin' });
    const control = await serveControl(twin, { directory: folderOfTwin });
    process.env['QUORATE_RUNTIME_DIR'] = folderOfTwin;
    try {
      const deaf = `process.on('SIGTERM', () => {}); setInterval(() => {}, 1000); ${writes('deaf', 'process.pid')}`;
      const running = run('lock', 'x', '--kill-after', '50', ...script(deaf));
      await expect
        .poll(() => existsSync(file('deaf')) && readFileSync(file('deaf'), 'utf8'), { timeout: 10_000 })
        .toMatch(/\d/);
      await control.stop();
      expect(await running).toMatchObject({ code: exitCodes.lost, err: expect.stringContaining('GRANT_LOST') });
      const pid = Number(readFileSync(file('deaf'), 'utf8'));
      expect(() => process.kill(pid, 0)).toThrow('ESRCH');
    } finally {
      process.env['QUORATE_RUNTIME_DIR'] = join(folder, 'run');
      await twin.stop();
    }
  });
});

describe('quorate barrier', () => {
  it('opens when all have come', async () => {
    const both = await Promise.all(['a', 'b'].map((as) => run('barrier', 'two', '--participants', '2', '--as', as)));
    const opened = { code: exitCodes.ok, out: expect.stringMatching(/^open: 'two', generation 1, 2 came/) };
    expect(both).toMatchObject([opened, opened]);
    const zones = ['--per-zone', 'east=1', '--hierarchical', '--json'];
    expect(JSON.parse((await run('barrier', 'zoned', ...zones)).out)).toMatchObject({ generation: 1, arrived: 1 });
  });

  it('says who is missing, and tells late from broken', async () => {
    const terms = ['--participants', 'ada,bo', '--on-lost', 'break'];
    expect((await run('barrier', 'names', ...terms, '--status')).out).toMatch(/0 of 2 .*\n +missing +ada, bo/);
    const late = await run('barrier', 'names', ...terms, '--as', 'ada', '--timeout', '30');
    expect(late).toMatchObject({ code: exitCodes.notInTime });
    const broken = await run('barrier', 'soon', '--participants', '2', '--deadline', '30');
    expect(broken).toMatchObject({ code: exitCodes.lost, err: expect.stringContaining('BARRIER_BROKEN') });
  });

  it.each([
    [['b']],
    [['b', '--participants', '2', '--per-zone', 'a=1']],
    [['b', '--per-zone', 'a']],
    [['b', '--per-zone', 'a=0']],
    [['b', '--participants', 'a,,b']],
    [['b', '--participants', '2', '--on-lost', 'weep']],
  ])('%j is wrong usage', async (args) => {
    expect(await run('barrier', ...args)).toMatchObject({ code: exitCodes.usage, out: '' });
  });
});

describe('quorate propose, vote, proposals and verify', () => {
  const participants = ['--participants', 'ada,bo,cy'];

  it('decide by vote, and prove it to who was not there', async () => {
    const certificate = file('decision.json');
    const proposed = run('propose', '{"task":1}', ...participants, '--id', 'p1', '--certificate', certificate);
    await expect.poll(async () => (await run('proposals')).out).toMatch(/^p1 .* majority +0\/3 .*\{"task":1\}$/m);
    expect(await run('vote', 'p1', 'accept', '--as', 'ada')).toMatchObject({ code: exitCodes.ok });
    const alternative = ['--value', '{"task":2}', '--reason', 'better', '--json'];
    expect(await run('vote', 'p1', 'accept', '--as', 'bo', ...alternative)).toMatchObject({ code: exitCodes.ok });
    expect(await run('vote', 'p1', 'accept', '--as', 'bo')).toMatchObject({ code: exitCodes.failure });
    expect(await run('proposals', 'p1')).toMatchObject({ code: exitCodes.notInTime });
    await run('vote', 'p1', 'accept', '--as', 'cy');
    const { code, out, err } = await proposed;
    expect(code).toBe(exitCodes.ok);
    expect(out).toMatch(/^accepted: \{"task":1\}\n.*\n {2}ada accepts .*\n {2}bo accepts \{"task":2\}: better\n/);
    expect(err).toContain('quorate vote p1 accept');

    const proved = await run('verify', certificate, '--local', mesh.id);
    expect(proved).toMatchObject({ code: exitCodes.ok, out: expect.stringMatching(/^genuine, .*\nproposal p1: /) });
    const binary = file('decision.cert');
    writeFileSync(binary, encodeCertificate(certificateFromJson(JSON.parse(readFileSync(certificate, 'utf8')))));
    const read = JSON.parse((await run('verify', binary, '--local', mesh.id, '--json')).out);
    expect(read).toMatchObject({ id: 'p1', accepted: true, signers: [mesh.id] });
    writeFileSync(certificate, readFileSync(certificate, 'utf8').replace(/"signature": "./, '"signature": "-'));
    expect(await run('verify', certificate, '--local', mesh.id)).toMatchObject({ code: exitCodes.failure, out: '' });
    expect(await run('verify', binary, '--validators', mesh.id)).toMatchObject({ code: exitCodes.failure, out: '' });
  });

  it('tell a refusal from a failure', async () => {
    const proposed = run('propose', 'lunch', ...participants, '--id', 'p2', '--rule', 'unanimous', '--json');
    await expect.poll(() => run('vote', 'p2', 'reject', '--as', 'ada')).toMatchObject({ code: exitCodes.ok });
    const { code, out } = await proposed;
    expect(code).toBe(exitCodes.notAccepted);
    expect(JSON.parse(out)).toMatchObject({ id: 'p2', accepted: false, outcome: 'rejected' });
    expect(await run('proposals', 'p2')).toMatchObject({ code: exitCodes.notAccepted });
    expect(await run('proposals', 'none')).toMatchObject({ code: exitCodes.noMatch });
  });

  it('withdraw with Ctrl-C', async () => {
    const ctrlC = new AbortController();
    const proposed = runUntil(ctrlC.signal, 'propose', 'lunch', ...participants, '--id', 'p3');
    await expect.poll(async () => (await run('proposals', '--agent', 'ada')).out).toContain('p3');
    ctrlC.abort();
    expect(await proposed).toMatchObject({ code: exitCodes.interrupted });
    const { outcome } = JSON.parse((await run('proposals', 'p3', '--timeout', '20000', '--json')).out);
    expect(outcome).toBe('withdrawn');
  });

  it.each([
    [['propose', 'x']],
    [['propose', '{"x', '--participants', 'ada']],
    [['propose', 'x', '--participants', 'ada', '--rule', 'loudest']],
    [['propose', 'x', '--participants', 'ada=heavy']],
    [['vote', 'p1', 'maybe', '--as', 'ada']],
    [['vote', 'p1', 'accept']],
    [['verify', '/nowhere', '--local', 'me']],
    [['verify', '/nowhere']],
    [['verify', '/nowhere', '--validators', '12D3KooW']],
  ])('%j is wrong usage', async (args) => {
    expect(await run(...args)).toMatchObject({ code: exitCodes.usage, out: '' });
  });

  it('a file that is no certificate proves nothing', async () => {
    for (const text of ['', '{', '{"format":1}', 'quorate']) {
      writeFileSync(file('none'), text);
      const { code, err } = await run('verify', file('none'), '--local', mesh.id);
      expect({ code, err }).toEqual({ code: exitCodes.failure, err: expect.stringContaining('CERTIFICATE_INVALID') });
    }
  });
});

describe('quorate auction', () => {
  it('sells at the second price, and proves it', async () => {
    const terms = ['--id', 'a1', '--reserve', '10', '--bidders', 'ada,bo', '--bid', '60000'];
    expect(await run('auction', 'open', '{"gpu":7}', ...terms)).toMatchObject({ code: exitCodes.ok, out: 'a1\n' });
    expect((await run('auction', 'list')).out).toMatch(/^a1 +sealedBidSecondPrice +bidding .* those named$/m);
    expect(await run('auction', 'bid', 'a1', '30', '--as', 'cy')).toMatchObject({ code: exitCodes.failure });
    expect((await run('auction', 'bid', 'a1', '30', '--as', 'ada')).out).toContain('ada bids 30');
    expect((await run('auction', 'show', 'a1')).out).toContain('ada bid (sealed)');
  });

  it('sells at a falling price, or not at all', async () => {
    const dutch = ['--mechanism', 'dutch', '--start', '100', '--step', '50'];
    await run('auction', 'open', 'gold', '--id', 'd1', ...dutch, '--every', '60000');
    const certificate = file('auction.json');
    const result = run('auction', 'result', 'd1', '--certificate', certificate);
    expect(JSON.parse((await run('auction', 'bid', 'd1', '120', '--as', 'bo', '--json')).out)).toMatchObject({
      amount: 100,
    });
    expect(await result).toMatchObject({ code: exitCodes.ok, out: expect.stringContaining('sold to bo') });
    expect((await run('verify', certificate, '--local', mesh.id)).out).toMatch(
      /auction d1: "gold"\nsold to bo .* for 100/,
    );
    await run('auction', 'open', 'gold', '--id', 'd2', ...dutch, '--every', '10');
    expect(await run('auction', 'result', 'd2')).toMatchObject({ code: exitCodes.notAccepted, out: 'not sold\n' });
  });

  it('takes rising bids', async () => {
    await run('auction', 'open', 'gold', '--id', 'e1', '--mechanism', 'english', '--bid', '60000', '--increment', '5');
    await run('auction', 'bid', 'e1', '7', '--as', 'bo');
    expect(await run('auction', 'bid', 'e1', '9', '--as', 'ada')).toMatchObject({
      code: exitCodes.failure,
      err: expect.stringContaining('at least 12'),
    });
    expect((await run('auction', 'show', 'e1')).out).toMatch(/least worth bidding: 12\n {2}bo bid 7/);
    expect(await run('auction', 'result', 'e1', '--timeout', '20')).toMatchObject({ code: exitCodes.notInTime });
  });

  it.each([
    [['open', 'gold', '--mechanism', 'raffle']],
    [['open', 'gold', '--mechanism', 'dutch']],
    [['open', 'gold', '--reserve', 'low']],
    [['open', 'gold', '--step', '5']],
    [['bid', 'a1', 'much', '--as', 'ada']],
    [['bid', 'a1', '1.5', '--as', 'ada']],
  ])('%j is wrong usage', async (args) => {
    expect(await run('auction', ...args)).toMatchObject({ code: exitCodes.usage, out: '' });
  });

  it('finds no auction that is none', async () => {
    expect(await run('auction', 'result', 'none')).toMatchObject({ code: exitCodes.noMatch });
  });
});

describe('founding', () => {
  it('is explained where keys are made, and wrong groups are refused before anything happens', async () => {
    expect((await run('keygen', '--help')).out).toContain('--validators ID1,ID2,ID3,ID4');
    expect(await run('up', '--validators', 'me')).toMatchObject({
      code: exitCodes.usage,
      err: expect.stringContaining('coordination.validators'),
    });
    expect(await run('up', '--validators', 'self')).toMatchObject({
      code: exitCodes.usage,
      err: expect.stringContaining('dataDir'),
    });
    expect(await run('up', '--f', 'none')).toMatchObject({ code: exitCodes.usage });
  });

  it('keeps the help of each command to a screen', async () => {
    const commands = ['status', 'validators', 'lock', 'barrier', 'propose', 'vote', 'proposals', 'verify', 'auction'];
    for (const args of [[], ...commands.map((name) => [name]), ['auction', 'open'], ['lock', 'inspect']]) {
      const { out } = await run(...args, '--help');
      expect(out.split('\n').length).toBeLessThanOrEqual(60);
      expect(out).toContain('Exit codes: 0 done');
    }
  });
});
