/** Bytes that are nothing, on every protocol: counted, answered by the end of the stream, and by a ban when it goes on. */
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { type Rng, seededRng } from '../../src/clock.ts';
import { encodeValue } from '../../src/codec.ts';
import { controlProtocol } from '../../src/p2p/detector/frames.ts';
import { encodeHelloFrame, helloProtocol } from '../../src/p2p/handshake.ts';
import { zoneProtocol } from '../../src/protocols/coordination/barrier/network-zone-link.ts';
import { groupProtocol } from '../../src/protocols/coordination/group/frames.ts';
import { pbftProtocol } from '../../src/protocols/coordination/group/group-ordering.ts';
import { bulkProtocol, callProtocol, encodeRequest, streamProtocol } from '../../src/protocols/messaging/frames.ts';
import { encodeSync, syncProtocol } from '../../src/protocols/replication/sync-wire.ts';
import { pollUntil } from '../mesh/poll.ts';
import { Attacker } from './attacker.ts';
import { gossipProtocols, graftRpc, ihaveRpc, iwantRpc, publishRpc } from './gossip-wire.ts';
import { HonestMesh } from './honest-mesh.ts';
import { framed, type RawStream } from './raw-stream.ts';

const mesh = 'garbage';
let honest: HonestMesh;
let attacker: Attacker;
beforeAll(async () => {
  honest = await HonestMesh.start(mesh);
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

/** 10,000 lists in each other: short, and deeper than any stack that reads it by recursion. */
const deep = new Uint8Array(10_000).fill(0x81);
/** A frame that says it will have 256 MB, and starts. */
const declared = Buffer.concat([Uint8Array.of(0xff, 0xff, 0xff, 0x7f), new Uint8Array(1_000)]);
/** A length that never ends. */
const endless = new Uint8Array(64).fill(0xff);
const plain = { method: '', callerAgent: undefined, idempotencyKey: undefined, trace: undefined };

/** A call frame whose message is replaced by other bytes. */
function requestWith(value: Uint8Array): Uint8Array {
  const request = encodeRequest(1, 1, 'worker-0', plain, 1_000, null, 100);
  return Buffer.concat([request.subarray(0, request.length - 1), value]);
}

function withFlippedBits(bytes: Uint8Array, rng: Rng): Uint8Array {
  const copy = bytes.slice();
  for (let flips = 1 + rng.below(3); flips > 0; flips--) {
    const at = rng.below(copy.length);
    copy[at] = (copy[at] as number) ^ (1 << rng.below(8));
  }
  return copy;
}

interface Attack {
  readonly protocol: string;
  readonly maxFrame: number;
  /** Decodes, but for the depth of what is in it. */
  readonly deep: Uint8Array;
  readonly valid: Uint8Array;
}

const attacks: readonly Attack[] = [
  { protocol: controlProtocol, maxFrame: 64, deep, valid: Uint8Array.of(1, 0, 0, 0, 1, 0, 0) },
  {
    protocol: syncProtocol,
    maxFrame: 4_325_377,
    deep: encodeSync({ type: 'envelope', bytes: deep }),
    valid: encodeSync({ type: 'buckets', digests: new Uint8Array(512) }),
  },
  {
    protocol: callProtocol,
    maxFrame: 18_432,
    deep: requestWith(deep),
    valid: requestWith(encodeValue({ a: [1, 'b'] })),
  },
  { protocol: bulkProtocol, maxFrame: 4_196_352, deep: requestWith(deep), valid: requestWith(encodeValue({ a: [1] })) },
  { protocol: streamProtocol, maxFrame: 4_196_352, deep: requestWith(deep), valid: requestWith(encodeValue({ a: 1 })) },
];

describe('garbage', () => {
  for (const { protocol, maxFrame, deep: nested, valid } of attacks) {
    it(`on ${protocol}: any of it is refused, and going on with it leads to a ban`, async () => {
      const victim = honest.node(0).id;
      const rng = seededRng(21);
      const once: readonly ((stream: RawStream) => void)[] = [
        (stream) => stream.frame(rng.bytes(40)),
        (stream) => stream.raw(declared),
        (stream) => stream.raw(endless),
        (stream) => stream.frame(nested),
        // Really sent, and above the limit by one.
        (stream) => stream.raw(framed(new Uint8Array(maxFrame + 1))),
        (stream) => stream.frame(new Uint8Array(0)),
        (stream) => stream.raw(framed(valid).subarray(0, 3)),
        (stream) => {
          for (let i = 0; i < 20; i++) stream.frame(withFlippedBits(valid, rng));
        },
      ];
      let refusedRounds = 0;
      // Some of it only meets a limit that honest nodes meet too, so it takes as many rounds as it takes.
      for (let round = 0; round < 1_000 && attacker.isConnected(victim); round++) {
        const stream = await attacker.open(victim, protocol).catch(() => undefined);
        if (stream === undefined) break;
        once[round % once.length]?.(stream);
        if (round % once.length < 5) {
          await stream.whenOver();
          refusedRounds += 1;
        } else stream.abort();
      }
      expect(refusedRounds).toBeGreaterThan(10);
      await pollUntil(() => !attacker.isConnected(victim) && !honest.isConnected(0, attacker.id));
      expect(honest.refusals(0, attacker.id)).toBeGreaterThan(0);
      expect(honest.refusals(0, attacker.id, /^banned/)).toBe(1);
    });
  }

  it('on the hello, before and after coming in: the connection is over at once', async () => {
    const rng = seededRng(22);
    const victim = honest.node(0).id;
    const hello = encodeHelloFrame({ type: 'hello', hello: attacker.greeting() });
    const bytes = [
      rng.bytes(50),
      deep.subarray(0, 1_000),
      hello.subarray(0, 50),
      encodeValue([1, { wireMin: -1 }]),
      deep,
    ];
    for (const each of bytes) {
      const stranger = await Attacker.start({ mesh });
      await stranger.dial(honest.addresses[0] as string);
      const stream = await stranger.open(victim, helloProtocol);
      stream.frame(each);
      await pollUntil(() => !stranger.isConnected(victim));
      expect(honest.refusals(0, stranger.id)).toBeGreaterThan(0);
      await stranger.stop();
    }
    const second = await attacker.open(victim, helloProtocol);
    await second.whenOver();
    expect(honest.refusals(0, attacker.id, /second hello stream/)).toBe(1);
    attacker.hello(victim).frame(hello);
    await pollUntil(() => !attacker.isConnected(victim));
    expect(honest.refusals(0, attacker.id, /second hello$/)).toBe(1);
  });

  it('on the gossip stream: no harm, and invalid messages lead to a ban', async () => {
    const rng = seededRng(23);
    const [victim, other] = [honest.node(0).id, honest.node(1).id];
    const { topic } = attacker;
    const ids = Array.from({ length: 5_000 }, () => rng.bytes(20));
    for (let round = 0; round < 10; round++) {
      const stream = await attacker.open(other, gossipProtocols);
      stream.frame(rng.bytes(200));
      stream.frame(ihaveRpc(topic, ids));
      stream.frame(iwantRpc(ids));
      for (let i = 0; i < 100; i++) stream.frame(graftRpc(`${topic}/${rng.below(1_000)}`));
      stream.frame(publishRpc('another topic', [rng.bytes(100)]));
      stream.frame(withFlippedBits(publishRpc(topic, [rng.bytes(300)]), rng));
      stream.raw(declared);
    }
    // Messages of a version that does not exist yet are nobody's fault; those of this one are.
    for (let i = 0; i < 40; i++) attacker.publishTo(victim, Buffer.concat([Uint8Array.of(1, 9), rng.bytes(170 + i)]));
    await pollUntil(() => !attacker.isConnected(victim));
    expect(honest.refusals(0, attacker.id, /^banned/)).toBe(1);
    expect(honest.counted(0, /^invalid/)).toBeGreaterThanOrEqual(20);
  });

  it('on protocols that nobody asked for, and before the hello: nothing is answered', async () => {
    const victim = honest.node(0).id;
    await expect(attacker.open(victim, '/quorate/gossip/9')).rejects.toThrow();
    const stranger = await Attacker.start({ mesh });
    await stranger.dial(honest.addresses[0] as string);
    const coordination = [pbftProtocol, groupProtocol, zoneProtocol];
    for (const protocol of [
      controlProtocol,
      syncProtocol,
      callProtocol,
      streamProtocol,
      ...coordination,
      ...gossipProtocols,
    ]) {
      const stream = await stranger.open(victim, protocol).catch(() => undefined);
      stream?.frame(requestWith(encodeValue('hello?')));
    }
    await pollUntil(() => !stranger.isConnected(victim)); // It has had its time for a hello.
    expect(stranger.inbound.size).toBe(0);
    await stranger.stop();
  });
});
