/** Bytes on the channels of coordination that mean nothing, or something else than they should. */
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { type Rng, seededRng } from '../../src/clock.ts';
import { encodePayload } from '../../src/payload.ts';
import { zoneProtocol } from '../../src/protocols/coordination/barrier/network-zone-link.ts';
import { encodeGroupFrame, groupProtocol, maxGroupFrameBytes } from '../../src/protocols/coordination/group/frames.ts';
import { pbftProtocol } from '../../src/protocols/coordination/group/group-ordering.ts';
import { encodeMessage } from '../../src/protocols/pbft/encoding.ts';
import { pollUntil } from '../mesh/poll.ts';
import { BesiegedMesh, type Besieger } from './coordination-attacker.ts';
import { framed } from './raw-stream.ts';

let mesh: BesiegedMesh;
let hostile: Besieger;
beforeAll(async () => {
  mesh = await BesiegedMesh.start('siege-garbage');
});
beforeEach(async () => {
  hostile = await mesh.attacker();
});
afterEach(async () => {
  await hostile.stop();
  await mesh.works();
});
afterAll(() => mesh.stop());

const deep = new Uint8Array(10_000).fill(0x81);

function withFlippedBits(bytes: Uint8Array, rng: Rng): Uint8Array {
  const copy = bytes.slice();
  for (let flips = 1 + rng.below(3); flips > 0; flips--) {
    const at = rng.below(copy.length);
    copy[at] = (copy[at] as number) ^ (1 << rng.below(8));
  }
  return copy;
}

describe('garbage on the channels of coordination', () => {
  for (const protocol of [pbftProtocol, groupProtocol]) {
    it(`on ${protocol}: counted, and going on with it leads to a ban`, async () => {
      const rng = seededRng(41);
      const victim = mesh.honest.node(0);
      const frames = [rng.bytes(40), deep, new Uint8Array(0), encodePayload({ type: 'event' }, 100), rng.bytes(2_000)];
      for (let round = 0; round < 100 && hostile.attacker.isConnected(victim.id); round++) {
        const stream = await hostile.stream(victim, protocol).catch(() => undefined);
        stream?.frame(frames[round % frames.length] as Uint8Array);
      }
      await pollUntil(() => !hostile.attacker.isConnected(victim.id));
      expect(mesh.honest.refusals(0, hostile.id, /^banned/)).toBe(1);
      expect(mesh.honest.counted(0, /malformed/)).toBeGreaterThan(10);
    });
  }

  it('frames that are too long or cut off end their channel, and no memory is held for them', async () => {
    const limits = { [pbftProtocol]: 16 << 20, [groupProtocol]: maxGroupFrameBytes, [zoneProtocol]: 256 * 1024 };
    const victim = mesh.honest.node(1);
    for (const [protocol, limit] of Object.entries(limits)) {
      const stream = await hostile.attacker.open(victim.id, protocol);
      stream.raw(framed(new Uint8Array(limit + 1)).subarray(0, 4_096));
      await stream.whenOver();
      const endless = await hostile.attacker.open(victim.id, protocol);
      endless.raw(new Uint8Array(64).fill(0xff));
      await endless.whenOver();
      const cut = await hostile.attacker.open(victim.id, protocol);
      cut.raw(framed(new Uint8Array(1_000)).subarray(0, 500));
      cut.abort();
    }
    expect(mesh.honest.refusals(1, hostile.id)).toBeGreaterThanOrEqual(6);
  });

  it('bits flipped in real messages change nothing', async () => {
    const rng = seededRng(42);
    const victim = mesh.honest.node(2);
    const real = [
      encodeMessage(hostile.request({ kind: 'open' })),
      encodeMessage({ type: 'read', number: 1, query: encodePayload({ kind: 'counter.value', name: 'x' }, 100) }),
      encodeMessage({ type: 'fetchState', seq: 128, part: 0 }),
    ];
    const told = [
      encodeGroupFrame({ type: 'subscribe', topic: 'grant/x' }),
      encodeGroupFrame({
        type: 'certify',
        id: 1,
        query: encodePayload({ kind: 'names.grant', id: 'x', token: 1 }, 100),
      }),
      encodeGroupFrame({ type: 'health', id: 7 }),
    ];
    for (let n = 0; n < 300; n++) {
      const messages = await hostile.stream(victim, pbftProtocol).catch(() => undefined);
      messages?.frame(withFlippedBits(real[n % real.length] as Uint8Array, rng));
      const frames = await hostile.stream(victim, groupProtocol).catch(() => undefined);
      frames?.frame(withFlippedBits(told[n % told.length] as Uint8Array, rng));
      const zone = await hostile.stream(victim, zoneProtocol).catch(() => undefined);
      zone?.frame(rng.bytes(100));
    }
  });
});
