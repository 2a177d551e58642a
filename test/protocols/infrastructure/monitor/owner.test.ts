import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { NodeId } from '../../../../src/node-id.ts';
import { Ownership } from '../../../../src/protocols/infrastructure/monitor/owner.ts';

const nodes = fc.uniqueArray(fc.string({ minLength: 1 }) as unknown as fc.Arbitrary<NodeId>, {
  minLength: 2,
  maxLength: 20,
});

describe('the owner of a monitor', () => {
  test('is the same whatever the order, and moves only when it goes', () => {
    fc.assert(
      fc.property(fc.string(), nodes, fc.nat(), (id, all, n) => {
        const ownership = new Ownership(id);
        const owner = ownership.ownerOf(all);
        expect(new Ownership(id).ownerOf([...all].reverse())).toBe(owner);
        const rest = all.filter((_, k) => k !== n % all.length);
        if (rest.includes(owner)) expect(ownership.ownerOf(rest)).toBe(owner);
        expect(ownership.ownerOf(all)).toBe(owner);
      }),
    );
  });

  test('different monitors fall to different nodes', () => {
    const all = Array.from({ length: 10 }, (_, n) => `node-${n}` as NodeId);
    const counts = new Map<NodeId, number>();
    for (let n = 0; n < 1_000; n++) {
      const owner = new Ownership(`monitor-${n}`).ownerOf(all);
      counts.set(owner, (counts.get(owner) ?? 0) + 1);
    }
    for (const node of all) expect(counts.get(node)).toBeGreaterThan(50);
  });
});
