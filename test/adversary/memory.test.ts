/** What attackers leave behind in the memory of an honest process, and that it stays alive: round after round. */
import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { connect } from 'node:net';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Rng, seededRng } from '../../src/clock.ts';
import type { NodeId } from '../../src/node-id.ts';
import { encodeControlFrame } from '../../src/p2p/detector/frames.ts';
import { encodeOpen, encodeReply, encodeRequest } from '../../src/protocols/messaging/frames.ts';
import { snapshotPayload } from '../crdt/feed-harness.ts';
import { pollUntil } from '../mesh/poll.ts';
import { Attacker } from './attacker.ts';
import { registryEntry } from './claims.ts';
import type { RawStream } from './raw-stream.ts';

const mesh = 'memory';
const plain = { method: '', callerAgent: undefined, idempotencyKey: undefined, trace: undefined };
let child: ChildProcess;
let victim: NodeId;
let address: string;

beforeAll(async () => {
  child = fork(join(import.meta.dirname, 'victim-process.ts'), [mesh]);
  const [hello] = (await once(child, 'message')) as [{ id: NodeId; address: string }];
  ({ id: victim, address } = hello);
});
afterAll(() => {
  child.kill('SIGKILL');
});

interface Report {
  readonly liveBytes: number;
  readonly peers: number;
  readonly errors: readonly string[];
}

async function report(): Promise<Report> {
  expect(child.exitCode).toBeNull();
  child.send('report');
  const [answer] = (await once(child, 'message')) as [Report];
  expect(answer.errors).toEqual([]);
  return answer;
}

/** With nobody connected any more. */
async function settled(): Promise<number> {
  for (;;) {
    const { peers, liveBytes } = await report();
    if (peers === 0) return liveBytes;
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

type Attack = (attacker: Attacker, rng: Rng) => Promise<void>;

async function streams(attacker: Attacker, protocol: string, count: number): Promise<RawStream[]> {
  const opened: RawStream[] = [];
  for (let n = 0; n < count; n++) {
    const stream = await attacker.open(victim, protocol).catch(() => undefined);
    if (stream !== undefined) opened.push(stream);
  }
  return opened;
}

const attacks: Readonly<Record<string, Attack>> = {
  'frames over the limit and halves of frames': async (attacker) => {
    for (const protocol of ['/quorate/sync/1', '/quorate/bulk/1', '/quorate/stream/1']) {
      const [whole, half] = await streams(attacker, protocol, 2);
      whole?.frame(new Uint8Array(4_400_000));
      half?.raw(Buffer.concat([Uint8Array.of(0x80, 0x80, 0x80, 0x01), new Uint8Array(1_000_000)]));
    }
  },
  'calls that never end, with large messages': async (attacker) => {
    const [stream] = await streams(attacker, '/quorate/bulk/1', 1);
    for (let id = 0; id < 60; id++) {
      stream?.frame(encodeRequest(1, id, 'never', plain, 2 ** 30, new Uint8Array(500_000), 1_000_000));
    }
  },
  'calls whose large answers are not read': async (attacker) => {
    const [stream] = await streams(attacker, '/quorate/bulk/1', 1);
    stream?.stall();
    for (let id = 0; id < 100; id++) stream?.frame(encodeRequest(1, id, 'large', plain, 60_000, 1, 1_000));
  },
  'streams opened to the limit and not read': async (attacker) => {
    for (const stream of await streams(attacker, '/quorate/stream/1', 70)) {
      stream.stall();
      stream.frame(encodeOpen('fountain', plain, Number.POSITIVE_INFINITY, 0x7fff_ffff, 1, 1_000));
    }
  },
  'answers to calls that were never made': async (attacker) => {
    const [stream] = await streams(attacker, '/quorate/bulk/1', 1);
    for (let id = 0; id < 500; id++) stream?.frame(encodeReply(id * 7919, undefined, 'x'.repeat(5_000), 10_000));
  },
  'acks and words for others that nobody asked for': async (attacker, rng) => {
    const [stream] = await streams(attacker, '/quorate/control/1', 1);
    for (let seq = 0; seq < 2_000; seq++) {
      stream?.frame(encodeControlFrame({ type: 'ack', seq, lagMs: 60_000, digest: rng.bytes(8) }));
      stream?.frame(encodeControlFrame({ type: 'ping-reply', seq, ok: true }));
      stream?.frame(encodeControlFrame({ type: 'ping-req', seq, target: '0011223344556677' }));
    }
  },
  'envelopes that continue what does not exist': async (attacker, rng) => {
    for (let seq = 2; seq < 300; seq++) {
      const payload = snapshotPayload({ [`gap ${seq}`]: registryEntry(1) });
      attacker.publish(attacker.seal({ seq: seq * 3, payload, previous: rng.bytes(32) }).bytes);
    }
  },
  'sockets that begin and stay': async () => {
    const port = Number(address.split('/')[4]);
    const sockets = Array.from({ length: 100 }, () => connect(port, '127.0.0.1').on('error', () => undefined));
    for (const socket of sockets) socket.write('\x13/multistream/1.0');
    await Promise.all(sockets.map((socket) => (socket.connecting ? once(socket, 'connect') : undefined)));
    for (const socket of sockets) socket.destroy();
  },
};

async function strike(attack: Attack, rng: Rng): Promise<void> {
  const attacker = await Attacker.start({ mesh });
  try {
    await attacker.join(address);
    await attack(attacker, rng);
    // It has read all of it, or cut it off, when it answers on a stream that was opened later.
    const last = await attacker.open(victim, '/quorate/call/1').catch(() => undefined);
    last?.frame(encodeRequest(1, 1, 'echo', plain, 60_000, 'still there?', 1_000));
    await pollUntil(() => last === undefined || last.frames.length > 0 || last.over);
  } finally {
    await attacker.stop();
  }
}

describe('memory', () => {
  for (const [name, attack] of Object.entries(attacks)) {
    it(`of ${name}: nothing stays`, async () => {
      const rng = seededRng(41);
      for (let round = 0; round < 2; round++) await strike(attack, rng);
      const before = await settled();
      for (let round = 0; round < 5; round++) await strike(attack, rng);
      // One round holds tens of megabytes for some of these; a hundredth of that may be caches that fill.
      let grown = Number.POSITIVE_INFINITY;
      const end = Date.now() + 20_000;
      while (grown > 4_000_000 && Date.now() < end) grown = (await settled()) - before;
      expect(grown).toBeLessThan(4_000_000);
    });
  }
});
