import { describe, expect, test } from 'vitest';
import { createIdentity } from '../../../../src/identity.ts';
import type { NodeId } from '../../../../src/node-id.ts';
import { type Candidate, nextCandidate, Promotion } from '../../../../src/protocols/coordination/group/promotion.ts';
import { foundingGroup } from '../../../../src/protocols/pbft/group.ts';
import { ManualClock } from '../local-tools.ts';

const ids = Array.from({ length: 6 }, (_, index) => createIdentity(new Uint8Array(32).fill(index + 1)).id);
const group = foundingGroup(ids.slice(0, 3), 0);
const candidate = (index: number, startedAt: number, aliveMs = 60_000): Candidate => ({
  id: ids[index] as NodeId,
  startedAt,
  aliveMs,
});

describe('promotion', () => {
  test('takes the member that has run longest, never one that has just come, never beyond the target', () => {
    const candidates = [candidate(3, 200), candidate(4, 100), candidate(5, 50, 1_000), candidate(0, 1)];
    expect(nextCandidate(group, 5, candidates)).toBe(ids[4]);
    expect(nextCandidate(group, 5, [...candidates].reverse())).toBe(ids[4]);
    expect(nextCandidate(group, 3, candidates)).toBeUndefined();
    expect(nextCandidate(group, 5, [candidate(5, 50, 1_000)])).toBeUndefined();
  });

  test('only the primary proposes; what fails is told and tried again', async () => {
    const clock = new ManualClock();
    const proposed: (readonly NodeId[])[] = [];
    const errors: unknown[] = [];
    let leading = false;
    const promotion = new Promotion({
      clock,
      upTo: 4,
      candidates: () => [candidate(3, 1)],
      leading: () => (leading ? group : undefined),
      propose: async (validators, f) => {
        expect(f).toBe(0);
        proposed.push(validators);
        if (proposed.length === 1) throw new Error('no quorum');
      },
      onError: (error) => void errors.push(error),
    });
    await clock.advance(20_000);
    expect(proposed).toEqual([]);
    leading = true;
    await clock.advance(12_000);
    expect(proposed).toEqual([ids.slice(0, 4), ids.slice(0, 4)]);
    expect(errors.length).toBe(1);
    promotion.stop();
    await clock.advance(60_000);
    expect(proposed.length).toBe(2);
    expect(clock.timers).toBe(0);
  });
});
