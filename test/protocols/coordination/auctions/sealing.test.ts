/** What a sealed bid hides, binds and keeps. */
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { seededRng } from '../../../../src/clock.ts';
import { createIdentity } from '../../../../src/identity.ts';
import { sealedBytes } from '../../../../src/protocols/coordination/auctions/commands.ts';
import { commitmentOf, sealBid, unsealBid } from '../../../../src/protocols/coordination/auctions/sealing.ts';

const rng = seededRng(3);
const me = createIdentity(rng.bytes(32));
const other = createIdentity(rng.bytes(32));
const binding = { id: 'a', opening: 7, agent: 'trainer', node: me.id };
const opened = { amount: 250, nonce: rng.bytes(32) };
const commitment = commitmentOf(binding, opened);
const sealed = sealBid(me.sign, rng, binding, opened);

test('the node that sealed a bid opens it, also when it has forgotten everything but its key', () => {
  const sameNode = createIdentity(me.seed);
  expect(unsealBid(sameNode.sign, binding, sealed, commitment)).toEqual(opened);
});

test('nobody else opens it, nor as a bid of another agent, auction or opening', () => {
  expect(unsealBid(other.sign, binding, sealed, commitment)).toBeUndefined();
  for (const wrong of [{ id: 'b' }, { opening: 8 }, { agent: 'renderer' }, { node: other.id }]) {
    expect(unsealBid(me.sign, { ...binding, ...wrong }, sealed, commitment)).toBeUndefined();
    expect(commitmentOf({ ...binding, ...wrong }, opened)).not.toEqual(commitment);
  }
});

test('an opening that does not belong to the commitment is none', () => {
  expect(unsealBid(me.sign, binding, sealed, commitmentOf(binding, { ...opened, amount: 251 }))).toBeUndefined();
});

test('any amount comes back, and the box is as long for each', () => {
  fc.assert(
    fc.property(fc.maxSafeNat(), fc.integer(), (amount, seed) => {
      const random = seededRng(seed);
      const opening = { amount, nonce: random.bytes(32) };
      const box = sealBid(me.sign, random, binding, opening);
      expect(box).toHaveLength(sealedBytes);
      expect(unsealBid(me.sign, binding, box, commitmentOf(binding, opening))).toEqual(opening);
    }),
    { numRuns: 50 },
  );
});

test('no bytes make it throw, and a changed bit is noticed', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 100 }), (bytes) => {
      expect(unsealBid(me.sign, binding, bytes, commitment)).toBeUndefined();
    }),
    { numRuns: 50 },
  );
  fc.assert(
    fc.property(fc.nat(sealedBytes * 8 - 1), (bit) => {
      const changed = Uint8Array.from(sealed);
      changed[bit >> 3] = (changed[bit >> 3] as number) ^ (1 << (bit & 7));
      expect(unsealBid(me.sign, binding, changed, commitment)).toBeUndefined();
    }),
    { numRuns: 50 },
  );
});
