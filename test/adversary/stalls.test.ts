/** Streams opened and left, credit that is not there, connections that never get anywhere. */
import { connect, type Socket } from 'node:net';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { NodeId } from '../../src/node-id.ts';
import { helloProtocol } from '../../src/p2p/handshake.ts';
import {
  bulkProtocol,
  callProtocol,
  encodeCredit,
  encodeItem,
  encodeOpen,
  encodeRequest,
  streamProtocol,
} from '../../src/protocols/messaging/frames.ts';
import { syncProtocol } from '../../src/protocols/replication/sync-wire.ts';
import { pollUntil } from '../mesh/poll.ts';
import { Attacker } from './attacker.ts';
import { HonestMesh } from './honest-mesh.ts';
import type { RawStream } from './raw-stream.ts';

const mesh = 'stalls';
const plain = { method: '', callerAgent: undefined, idempotencyKey: undefined, trace: undefined };
const forEver = Number.POSITIVE_INFINITY;
let honest: HonestMesh;
let attacker: Attacker;
let victim: NodeId;
beforeAll(async () => {
  honest = await HonestMesh.start(mesh);
  victim = honest.node(0).id;
});
beforeEach(async () => {
  attacker = await Attacker.start({ mesh });
  await attacker.join(...honest.addresses);
});
afterEach(async () => {
  await attacker.stop();
  await honest.isWell();
  honest.nobodyWasCondemned();
});
afterAll(() => honest.stop());

async function openMany(protocol: string, count: number): Promise<RawStream[]> {
  const streams: RawStream[] = [];
  for (let n = 0; n < count; n++) {
    const stream = await attacker.open(victim, protocol).catch(() => undefined);
    if (stream !== undefined) streams.push(stream);
  }
  return streams;
}

describe('stalls', () => {
  it('the most streams of every protocol, and not a byte on them: the others are served', async () => {
    const opened: RawStream[] = [];
    for (const protocol of [streamProtocol, callProtocol, bulkProtocol, syncProtocol, '/quorate/control/1']) {
      opened.push(...(await openMany(protocol, 80)));
    }
    await pollUntil(() => honest.refusals(0, attacker.id, /more than \d+ channels/) > 0);
    await honest.isWell();
    await honest.add();
    await honest.isWell();
    expect(opened.filter((stream) => !stream.over).length).toBeLessThan(100);
  });

  it('items without credit, and more credit than there can be: the stream is over, and then the peer is out', async () => {
    await honest
      .node(0)
      .mesh.registry.register(
        'patient',
        (_message: unknown, { signal }: { signal: AbortSignal }) =>
          signal.aborted
            ? undefined
            : new Promise((resolve) => signal.addEventListener('abort', () => resolve(undefined))),
        { capabilities: [] },
      );
    for (let round = 0; round < 40 && attacker.isConnected(victim); round++) {
      const stream = await attacker.open(victim, streamProtocol).catch(() => undefined);
      stream?.frame(encodeOpen('patient', plain, forEver, 1_000, 1, 1_000));
      if (round % 2 === 0) {
        for (let n = 0; n < 20; n++) stream?.frame(encodeItem('x'.repeat(50_000), 100_000));
      } else for (let n = 0; n < 3; n++) stream?.frame(encodeCredit(20, 0x7fff_ffff));
      await stream?.whenOver();
    }
    await pollUntil(() => !attacker.isConnected(victim));
    expect(honest.refusals(0, attacker.id, /^banned/)).toBe(1);
    expect(honest.counted(0, /item without credit/)).toBeGreaterThan(0);
    expect(honest.counted(0, /too much credit/)).toBeGreaterThan(0);
    await pollUntil(() =>
      honest
        .node(0)
        .mesh.status()
        .calls.mailboxes.every(({ running, queued }) => running + queued === 0),
    );
  });

  it('a reader that takes nothing holds up nobody else, nor the producer for long', async () => {
    let made = 0;
    await honest.node(0).mesh.registry.register(
      'fountain',
      async function* () {
        for (;;) {
          made += 1;
          yield 'x'.repeat(1_000);
        }
      },
      { capabilities: [] },
    );
    const streams = await openMany(streamProtocol, 10);
    for (const stream of streams) {
      stream.stall();
      stream.frame(encodeOpen('fountain', plain, forEver, 100_000, 1, 1_000));
    }
    await pollUntil(() => made >= 10 * 90);
    await honest.isWell();
    expect(made).toBeLessThanOrEqual(10 * 101);
    const calls = await attacker.open(victim, callProtocol);
    calls.stall();
    for (let id = 0; id < 3_000; id++)
      calls.frame(encodeRequest(1, id, 'worker-0', plain, 60_000, 'x'.repeat(1_000), 2_000));
    await honest.isWell();
  });

  it('sockets that say nothing, or half of something, end by themselves; others come in meanwhile', async () => {
    const port = Number((honest.addresses[0] as string).split('/')[4]);
    const openings = ['', '\x13/multistream/1.0.0\n', '\x13/multistream/1.0.0\n\x0b/tls/1.0.0\n', '\x13/multi'];
    const sockets: Socket[] = Array.from({ length: 80 }, (_, n) => {
      const socket = connect(port, '127.0.0.1').on('error', () => undefined);
      socket.write(openings[n % openings.length] as string);
      return socket;
    });
    // One byte at a time, the slowest handshake there is.
    const slow = sockets.slice(0, 10);
    const dripping = setInterval(() => {
      for (const socket of slow) if (socket.writable) socket.write('\x13');
    }, 50);
    const closed = sockets.map((socket) => new Promise((resolve) => socket.resume().once('close', resolve)));
    const stranger = await Attacker.start({ mesh });
    await stranger.dial(honest.addresses[0] as string);
    const hello = await stranger.open(victim, helloProtocol);
    hello.raw(Uint8Array.of(100));
    const newcomer = await honest.add();
    await honest.isWell();
    expect(newcomer.mesh.status().members.alive).toBeGreaterThanOrEqual(4);
    await Promise.all(closed);
    clearInterval(dripping);
    await pollUntil(() => !stranger.isConnected(victim));
    await stranger.stop();
  });
});
