import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { type NodeId, nodeIdFromPublicKey } from '../../../src/node-id.ts';
import { Rings, ringCount } from '../../../src/p2p/detector/rings.ts';

function id(number: number): NodeId {
  const key = new Uint8Array(32);
  new DataView(key.buffer).setUint32(0, number);
  return nodeIdFromPublicKey(key);
}

function ringsOf(ids: Iterable<NodeId>): Rings {
  const rings = new Rings();
  for (const each of ids) rings.add(each);
  return rings;
}

const numbers = fc.uniqueArray(fc.nat(10_000), { minLength: 1, maxLength: 40 });

describe('Rings', () => {
  test('every node has min(K, n - 1) distinct observers, never itself', () => {
    fc.assert(
      fc.property(numbers, fc.nat(10_000), (members, asked) => {
        const rings = ringsOf(members.map(id));
        const others = members.filter((member) => member !== asked).length;
        const observers = rings.observersOf(id(asked));
        expect(new Set(observers).size).toBe(Math.min(ringCount, others));
        expect(observers).not.toContain(id(asked));
        expect(observers.every((observer) => rings.has(observer))).toBe(true);
      }),
    );
  });

  test('subjectsOf is the inverse of observersOf, also for a node that is no member', () => {
    fc.assert(
      fc.property(numbers, fc.nat(10_000), (members, asked) => {
        const rings = ringsOf(members.map(id));
        const self = id(asked);
        const withSelf = ringsOf([...members.map(id), self]);
        const expected = members
          .map(id)
          .filter((member) => member !== self && withSelf.observersOf(member).includes(self));
        expect(rings.subjectsOf(self)).toEqual(expected.sort());
        expect(rings.size).toBe(members.length);
      }),
    );
  });

  test('the order in which members came and went does not matter', () => {
    fc.assert(
      fc.property(numbers, fc.infiniteStream(fc.boolean()), (members, leave) => {
        const gone = members.filter(() => leave.next().value);
        const rings = ringsOf(members.map(id));
        for (const member of gone) rings.remove(id(member));
        const rest = members.filter((member) => !gone.includes(member)).reverse();
        const direct = ringsOf(rest.map(id));
        for (const member of members) expect(rings.observersOf(id(member))).toEqual(direct.observersOf(id(member)));
      }),
    );
  });

  test('with 1,000 members each watches about five, and nobody more than a few times that', () => {
    const ids = Array.from({ length: 1_000 }, (_, number) => id(number));
    const rings = ringsOf(ids);
    const counts = new Map<NodeId, number>();
    for (const each of ids)
      for (const observer of rings.observersOf(each)) counts.set(observer, (counts.get(observer) ?? 0) + 1);
    expect([...counts.values()].reduce((a, b) => a + b, 0)).toBe(5_000);
    expect(Math.max(...counts.values())).toBeLessThan(15);
    for (const each of ids.slice(0, 50)) expect(rings.subjectsOf(each)).toHaveLength(counts.get(each) ?? 0);
  });

  test('adding and removing twice says so', () => {
    const rings = new Rings();
    expect([rings.add(id(1)), rings.add(id(1)), rings.remove(id(1)), rings.remove(id(1))]).toEqual([
      true,
      false,
      true,
      false,
    ]);
  });
});
