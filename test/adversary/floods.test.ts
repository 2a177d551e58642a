/** Too much of everything: of what is valid, and of what is not. Others go on, the flood is bounded, counted and ended. */
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { seededRng } from '../../src/clock.ts';
import { defaultFeedLimits } from '../../src/crdt/limits.ts';
import { createIdentity } from '../../src/identity.ts';
import type { NodeId } from '../../src/node-id.ts';
import { controlProtocol, encodeControlFrame } from '../../src/p2p/detector/frames.ts';
import { encodeHelloFrame } from '../../src/p2p/handshake.ts';
import {
  callProtocol,
  decodeFrame,
  encodeCancel,
  encodeReply,
  encodeRequest,
} from '../../src/protocols/messaging/frames.ts';
import { encodeSync, syncProtocol } from '../../src/protocols/replication/sync-wire.ts';
import { snapshotPayload } from '../crdt/feed-harness.ts';
import { pollUntil } from '../mesh/poll.ts';
import { Attacker, authorOf } from './attacker.ts';
import { registryEntry } from './claims.ts';
import { HonestMesh } from './honest-mesh.ts';
import { framed } from './raw-stream.ts';

const mesh = 'floods';
const plain = { method: '', callerAgent: undefined, idempotencyKey: undefined, trace: undefined };
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

describe('floods', () => {
  it('of valid envelopes: taken no faster than the rate that every author has, while calls go on', async () => {
    const payload = snapshotPayload({ flood: registryEntry(Date.now() * 2_048) });
    let previous = new Uint8Array(32);
    const flood = Array.from({ length: 6_000 }, (_, n) => {
      const envelope = attacker.seal({ seq: n + 1, kind: 'snapshot', payload, previous });
      previous = new Uint8Array(envelope.hash);
      return envelope.bytes;
    });
    const start = Date.now();
    for (const envelope of flood) attacker.publishTo(victim, envelope);
    const head = (): number =>
      honest
        .node(0)
        .mesh.status()
        .feeds.find(({ author }) => author === attacker.id)?.seq ?? 0;
    await pollUntil(() => head() > 100);
    for (let n = 0; n < 10; n++) {
      await honest.node(1).mesh.call('worker-0', n, { timeoutMs: 20_000 });
      const { envelopeBurst, envelopesPerSecond } = defaultFeedLimits;
      expect(head()).toBeLessThanOrEqual(envelopeBurst + ((Date.now() - start) / 1_000) * envelopesPerSecond);
    }
  });

  it('of invalid envelopes: the sender is banned after a few', async () => {
    for (let n = 0; n < 200; n++) attacker.publishTo(victim, Buffer.concat([Uint8Array.of(1, 7), Buffer.from(`${n}`)]));
    await pollUntil(() => !attacker.isConnected(victim));
    expect(honest.refusals(0, attacker.id, /^banned/)).toBe(1);
  });

  it('of calls: those above the limit of one peer are refused, those of others answered', async () => {
    const running: AbortSignal[] = [];
    await honest.node(0).mesh.registry.register(
      'busy',
      (_message: unknown, { signal }: { signal: AbortSignal }) => {
        running.push(signal);
        return signal.aborted
          ? undefined
          : new Promise((resolve) => signal.addEventListener('abort', () => resolve(undefined)));
      },
      { capabilities: [] },
    );
    const stream = await attacker.open(victim, callProtocol);
    for (let id = 0; id < 6_000; id++) stream.frame(encodeRequest(1, id, 'busy', plain, 2 ** 30, id, 100));
    await pollUntil(() => stream.frames.length >= 6_000 - 64 - 1_024);
    const reasons = new Set(
      stream.frames.map((bytes) => {
        const frame = decodeFrame(bytes);
        return frame?.type === 5 ? frame.error.data['reason'] : frame?.type;
      }),
    );
    expect([...reasons].sort()).toEqual(['mailbox-full']);
    const mailbox = honest
      .node(0)
      .mesh.status()
      .calls.mailboxes.find(({ agent }) => agent === 'busy');
    expect(mailbox).toMatchObject({ running: 64, queued: 1_024 });
    for (let id = 0; id < 6_000; id++) stream.frame(encodeCancel(id));
    stream.abort();
    await pollUntil(() =>
      honest
        .node(0)
        .mesh.status()
        .calls.mailboxes.every(({ queued }) => queued === 0),
    );
    await pollUntil(() => running.every((signal) => signal.aborted));
  });

  it('of probes, acks and words for others: a few are read', async () => {
    const stream = await attacker.open(victim, controlProtocol);
    for (let seq = 0; seq < 5_000; seq++) {
      stream.frame(encodeControlFrame({ type: 'probe', seq, lagMs: 65_535 }));
      stream.frame(encodeControlFrame({ type: 'ack', seq, lagMs: 0, digest: new Uint8Array(8).fill(seq) }));
      stream.frame(encodeControlFrame({ type: 'ping-req', seq, target: 'ffffffffffffffff' }));
    }
    // Answered in order, so whatever it makes of the rest it has done when this comes back.
    const last = await attacker.open(victim, callProtocol);
    last.frame(encodeRequest(1, 1, 'worker-0', plain, 60_000, 1, 100));
    await pollUntil(() => last.frames.length > 0);
    expect(stream.frames.length).toBeLessThan(400);
  });

  it('of pings on the hello stream: the connection is over', async () => {
    const pings = framed(encodeHelloFrame({ type: 'ping' }));
    attacker.hello(victim).stall();
    attacker.hello(victim).raw(Buffer.concat(Array.from({ length: 50_000 }, () => pings)));
    await pollUntil(() => !attacker.isConnected(victim) && !honest.isConnected(0, attacker.id));
    expect(honest.refusals(0, attacker.id, /flood of frames/)).toBe(1);
  });

  it('of answers to nothing: counted as strays, and no call of others gets one', async () => {
    const stream = await attacker.open(victim, callProtocol);
    for (let id = 0; id < 3_000; id++) stream.frame(encodeReply(id, { epoch: 2 ** 50, seq: 2 ** 50 }, 'forged', 100));
    const answers = await Promise.all(
      Array.from({ length: 50 }, (_, n) => honest.node(0).mesh.call('worker-1', n, { timeoutMs: 20_000 })),
    );
    expect(answers).toEqual(Array.from({ length: 50 }, (_, n) => ({ agent: 'worker-1', message: n })));
  });

  it('of exchanges, with digests that never agree: served at their rate, the rest turned away', async () => {
    const rng = seededRng(31);
    const before = honest.counted(0, /too many exchanges/);
    for (let n = 0; n < 120; n++) {
      const stream = await attacker.open(victim, syncProtocol).catch(() => undefined);
      stream?.frame(encodeSync({ type: 'buckets', digests: rng.bytes(512) }));
      stream?.frame(encodeSync({ type: 'heads', buckets: new Set(), authors: [] }));
      stream?.frame(encodeSync({ type: 'end' }));
      await stream?.whenOver();
      stream?.abort();
    }
    expect(honest.counted(0, /too many exchanges/)).toBeGreaterThan(before);
  });

  it('of digests in acks that never agree: fewer and fewer exchanges are begun', async () => {
    const rng = seededRng(32);
    attacker.digest = () => rng.bytes(8);
    attacker.becomeMember();
    const asked = (): number => (attacker.inbound.get(syncProtocol) ?? []).length;
    await pollUntil(() => asked() > 2);
    // Whatever it says, it is asked at most once a second and node.
    const from = asked();
    const start = Date.now();
    await pollUntil(() => asked() > from + 1);
    expect(asked() - from).toBeLessThanOrEqual(3 + (3 * (Date.now() - start)) / 1_000);
  });

  it('of authors that nobody has met, from one connection', async () => {
    for (let n = 0; n < 100; n++) {
      const sybil = authorOf(mesh, createIdentity());
      sybil.set('registry', `sybil-${n}`, registryEntry(1));
      attacker.publishTo(victim, ...sybil.flush());
    }
    const heard = (): number => honest.node(2).mesh.status().feeds.length;
    await pollUntil(() => heard() > 100);
    // Without an entry of its own among the members, an author's agents are not shown.
    for (const { mesh: node } of honest.nodes) {
      expect(node.registry.query().filter(({ id }) => id.startsWith('sybil'))).toEqual([]);
    }
  });
});
