import { describe, expect, it } from 'vitest';
import type { NodeId } from '../../../src/node-id.ts';
import { PrematureClaims } from '../../../src/protocols/registry/premature-claims.ts';
import { ManualClock } from './harness.ts';

const author = 'author' as NodeId;

describe('PrematureClaims', () => {
  it('offers each claim once it is due, looking at most once a second', () => {
    const clock = new ManualClock();
    const offered: string[] = [];
    const claims = new PrematureClaims(clock, (_, id) => offered.push(id));
    for (let ms = 0; ms < 1_000; ms++) claims.add(author, `a${ms}`, (clock.wallNow() + 60_000 + ms) * 2048);
    claims.add(author, 'late', (clock.wallNow() + 200_000) * 2048);
    claims.delete(author, 'a5');
    expect(claims.size).toBe(1_000);
    clock.advance(999);
    expect(offered).toEqual([]);
    clock.advance(1_001);
    expect(offered).toHaveLength(999);
    expect(offered).not.toContain('a5');
    clock.advance(130_000);
    expect(offered).not.toContain('late');
    clock.advance(70_000);
    expect(offered).toContain('late');
    expect(claims.size).toBe(0);
  });

  it('can be offered what is still too early, and waits again', () => {
    const clock = new ManualClock();
    let offers = 0;
    const claims: PrematureClaims = new PrematureClaims(clock, (who, id) => {
      offers += 1;
      if (offers === 1) claims.add(who, id, (clock.wallNow() + 65_000) * 2048);
    });
    claims.add(author, 'x', (clock.wallNow() + 61_000) * 2048);
    clock.advance(3_000);
    expect([offers, claims.size]).toEqual([1, 1]);
    clock.advance(10_000);
    expect([offers, claims.size]).toEqual([2, 0]);
  });

  it('offers nothing after it was cleared', () => {
    const clock = new ManualClock();
    const claims = new PrematureClaims(clock, () => expect.unreachable());
    claims.add(author, 'x', (clock.wallNow() + 61_000) * 2048);
    claims.clear();
    clock.advance(100_000);
    expect(claims.size).toBe(0);
  });
});
