/** Meshes of real processes that are killed, stopped, and started again. */
import { spawnSync } from 'node:child_process';
import { chmod, mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { seededRng } from '../../src/clock.ts';
import { pollUntil } from '../mesh/poll.ts';
import { MeshProcess, together } from './mesh-process.ts';

let directory: string;
beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), 'quorate-process-'));
});
afterAll(() => rm(directory, { recursive: true, force: true }));

/** Four processes, each with an agent `worker-n`; the last has one that never answers, too. */
async function four(): Promise<[MeshProcess, MeshProcess, MeshProcess, MeshProcess]> {
  const a = await MeshProcess.start({}, ['worker-0']);
  const options = { bootstrap: [a.address] };
  const [b, c, d] = await Promise.all([
    MeshProcess.start(options, ['worker-1']),
    MeshProcess.start(options, ['worker-2']),
    MeshProcess.start(options, ['worker-3', 'silent']),
  ]);
  await together([a, b, c, d], ['worker-0', 'worker-1', 'worker-2', 'worker-3', 'silent']);
  return [a, b, c, d];
}

const condemned = ['unreachable', 'removed', 'left'];

describe('a process that is killed', () => {
  it('is unreachable everywhere, its agents are gone once, its calls fail now, and others take its place', async () => {
    const [a, b, c, d] = await four();
    const pending = a.call('silent', 600_000);
    // It was sent when a later call on the same channel is answered.
    expect(await a.call('worker-3')).toMatchObject({ value: 'worker-3' });
    await d.kill('SIGKILL');
    for (const left of [a, b, c]) {
      await pollUntil(() => left.stateOf(d) === 'unreachable');
      await pollUntil(() => !left.sees('worker-3') && !left.sees('silent'));
    }
    const outcome = await pending;
    expect(outcome).toMatchObject({ code: 'UNKNOWN_OUTCOME' });
    expect(['unreachable', 'connection-lost']).toContain(outcome.reason);
    for (const caller of [a, b, c]) {
      const answers = await Promise.all(Array.from({ length: 12 }, () => caller.call('*')));
      for (const { value } of answers) expect(['worker-0', 'worker-1', 'worker-2']).toContain(value);
      expect(await caller.call('worker-3')).toMatchObject({ code: 'REJECTED', reason: 'no-such-agent' });
      expect([caller.count('down', 'worker-3'), caller.count('down', 'silent')]).toEqual([1, 1]);
      for (const other of [a, b, c]) for (const state of condemned) expect(caller.statesOf(other)).not.toContain(state);
    }
  });

  it('starts again on the same port with the same data directory: the same node, without its old agents', async () => {
    const dataDir = join(directory, 'restart');
    const a = await MeshProcess.start({}, ['worker-0']);
    const first = await MeshProcess.start({ dataDir, bootstrap: [a.address] }, ['old']);
    await together([a, first], ['worker-0', 'old']);
    await first.kill('SIGKILL');
    const listen = [`/ip4/127.0.0.1/tcp/${first.port}`];
    const second = await MeshProcess.start({ dataDir, listen, bootstrap: [a.address] }, ['new']);
    expect(second.id).toBe(first.id);
    await together([a, second], ['worker-0', 'new']);
    await pollUntil(() => !a.sees('old'));
    expect(await a.call('new')).toMatchObject({ value: 'new' });
    expect(second.count('up', 'old')).toBe(0);
    expect(a.count('up', 'old')).toBe(1);
    // The port of a bootstrap address comes back too, and whoever lost it finds it again.
    await a.kill('SIGKILL');
    const again = await MeshProcess.start({ listen: [`/ip4/127.0.0.1/tcp/${a.port}`] }, ['back']);
    const third = await MeshProcess.start({ bootstrap: [again.address, second.address] }, ['third']);
    await together([third, second, again], ['new', 'back', 'third']);
  });
});

describe('a process that is stopped', () => {
  it('for 3 s: nobody is condemned. For 8 s: all know it, no bystander is accused, and it comes back by itself', async () => {
    const all = await four();
    const [a, b, c, d] = all;
    d.signal('SIGSTOP');
    await delay(3_000);
    d.signal('SIGCONT');
    await together(all, ['worker-3']);
    expect(await a.call('worker-3')).toMatchObject({ value: 'worker-3' });
    for (const reader of all) {
      for (const other of all) for (const state of condemned) expect(reader.statesOf(other)).not.toContain(state);
    }

    d.signal('SIGSTOP');
    const pending = b.call('silent', 600_000);
    await delay(8_000);
    for (const reader of [a, b, c]) {
      await pollUntil(() => reader.stateOf(d) === 'unreachable');
      await pollUntil(() => !reader.sees('worker-3'));
      expect(reader.count('down', 'worker-3')).toBe(1);
    }
    expect((await pending).code).toMatch(/^(UNKNOWN_OUTCOME|NOT_DELIVERED)$/);
    expect((await c.call('*')).value).toMatch(/^worker-[012]$/);
    d.signal('SIGCONT');
    await together(all, ['worker-0', 'worker-1', 'worker-2', 'worker-3', 'silent']);
    for (const caller of [a, b, c]) expect(await caller.call('worker-3')).toMatchObject({ value: 'worker-3' });
    for (const n of [0, 1, 2]) expect(await d.call(`worker-${n}`)).toMatchObject({ value: `worker-${n}` });
    for (const reader of [a, b, c]) {
      for (const other of [a, b, c]) for (const state of condemned) expect(reader.statesOf(other)).not.toContain(state);
    }
  });
});

describe('a port that anybody can write to', () => {
  it('garbage, halves of handshakes and silence are refused, and the mesh goes on', async () => {
    const a = await MeshProcess.start({}, ['worker-0']);
    const b = await MeshProcess.start({ bootstrap: [a.address] }, ['worker-1']);
    await together([a, b], ['worker-0', 'worker-1']);
    const rng = seededRng(3);
    const openings = [
      rng.bytes(5_000),
      Buffer.from('GET / HTTP/1.1\r\nHost: localhost\r\n\r\n'),
      Buffer.from('\x13/multistream/1.0.0\n'),
      Buffer.from('\x13/multistream/1.0.0\n\x0b/tls/1.0.0\n\x16\x03\x01\x02\x00\x01'),
      Buffer.from('\x13/multistream/1.0.0\n\x07/noise\n\xff\xff'),
      new Uint8Array(0),
    ];
    const sockets = Array.from({ length: 60 }, (_, n) => {
      const socket = connect(a.port, '127.0.0.1').on('error', () => undefined);
      socket.write(openings[n % openings.length] as Uint8Array);
      return socket;
    });
    const closed = sockets.map((socket) => new Promise((resolve) => socket.resume().once('close', resolve)));
    for (let n = 0; n < 10; n++) expect(await b.call('worker-0')).toMatchObject({ value: 'worker-0' });
    const late = await MeshProcess.start({ bootstrap: [a.address] }, ['worker-2']);
    await together([a, b, late], ['worker-0', 'worker-1', 'worker-2']);
    // Slow ones have their time, and no more.
    await Promise.all(closed);
    await a.hears(
      ({ type, reason }) => type === 'refused' && /does not speak libp2p|not be secured/.test(reason ?? ''),
    );
    expect(await b.call('worker-0')).toMatchObject({ value: 'worker-0' });
    expect(a.runs && b.runs).toBe(true);
  });
});

describe('a data directory that cannot be used', () => {
  async function failsToStart(dataDir: string): Promise<void> {
    const process = new MeshProcess({ dataDir });
    const said = await process.hears(({ type }) => type === 'failed' || type === 'ready');
    expect(said).toMatchObject({ type: 'failed', code: 'DATA_DIR_UNUSABLE' });
    expect(said.message).toContain(dataDir);
  }

  it('because it is a file', async () => {
    const path = join(directory, 'file');
    await writeFile(path, '');
    await failsToStart(path);
  });

  it('because the disk is full, now or at a later start', async (context) => {
    const path = join(directory, 'full');
    await mkdir(path, { mode: 0o700 });
    const mounted = spawnSync('mount', ['-t', 'tmpfs', '-o', 'size=4k,mode=700', 'tmpfs', path]).status === 0;
    if (!mounted) context.skip('only root may mount a file system of one page');
    try {
      await writeFile(join(path, 'filler'), new Uint8Array(4_096));
      await failsToStart(path);
    } finally {
      spawnSync('umount', [path]);
    }
  });

  it('because nothing may be written there', async (context) => {
    if (process.getuid?.() === 0) context.skip('root may write everywhere');
    const path = join(directory, 'read-only');
    await mkdir(path);
    await chmod(path, 0o500);
    await failsToStart(path);
  });
});
