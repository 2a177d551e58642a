import fc from 'fast-check';
import { expect, test } from 'vitest';
import type { NodeId } from '../../../../src/node-id.ts';
import { Rota, settleMs, slotMs } from '../../../../src/protocols/infrastructure/breaker/rota.ts';

const nodes = Array.from({ length: 5 }, (_, index) => `node-${index}` as NodeId);
const candidates = fc.uniqueArray(
  fc.record({ node: fc.constantFrom(...nodes), since: fc.integer({ min: 0, max: 20_000 }) }),
  { selector: ({ node }) => node },
);

test('all who know of a wish in time choose the same one, in whatever order they heard', () => {
  fc.assert(
    fc.property(candidates, candidates, fc.nat(40), (known, late, slot) => {
      const rota = new Rota('x', 1_000);
      const inTime = known.filter(({ since }) => since <= rota.startOf(slot) - settleMs);
      const tooLate = late
        .filter(({ node }) => !known.some((candidate) => candidate.node === node))
        .map(({ node }) => ({ node, since: rota.startOf(slot) - settleMs + 1 }));
      const chosen = new Rota('x', 1_000).prober(slot, inTime);
      expect(rota.prober(slot, [...tooLate, ...known].reverse())).toBe(chosen);
      if (inTime.length > 0) expect(inTime.map(({ node }) => node)).toContain(chosen);
      else expect(chosen).toBeUndefined();
      // One that was not chosen changes nothing by going away.
      for (const gone of inTime) {
        const rest = inTime.filter((candidate) => candidate !== gone);
        if (gone.node !== chosen) expect(rota.prober(slot, rest)).toBe(chosen);
      }
    }),
  );
});

test('every one of them has its turns', () => {
  const rota = new Rota('x', 0);
  const all = nodes.map((node) => ({ node, since: -settleMs }));
  const turns = new Map<NodeId | undefined, number>();
  for (let slot = 0; slot < 1_000; slot++) {
    const prober = rota.prober(slot, all);
    turns.set(prober, (turns.get(prober) ?? 0) + 1);
  }
  for (const node of nodes) expect(turns.get(node)).toBeGreaterThan(100);
  expect(rota.slotAt(rota.startOf(7))).toBe(7);
  expect(rota.slotAt(rota.startOf(7) + slotMs - 1)).toBe(7);
});
