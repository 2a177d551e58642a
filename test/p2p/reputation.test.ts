import { describe, expect, it } from 'vitest';
import type { NodeId } from '../../src/node-id.ts';
import { Bans } from '../../src/p2p/bans.ts';
import { Reputation, rejectionsTolerated } from '../../src/p2p/reputation.ts';

const peer = 'peer' as NodeId;

function clockAt() {
  const clock = {
    time: 0,
    now: () => clock.time,
    wallNow: () => clock.time,
    after: () => ({ cancel: () => undefined }),
  };
  return clock;
}

describe('Reputation', () => {
  it('tolerates a few rejections and cuts off at more', () => {
    const reputation = new Reputation(clockAt());
    for (let n = 0; n < rejectionsTolerated; n++) expect(reputation.rejected(peer)).toBe(false);
    expect(reputation.rejected(peer)).toBe(true);
  });

  it('forgives with time', () => {
    const clock = clockAt();
    const reputation = new Reputation(clock);
    for (let n = 0; n < 10 * rejectionsTolerated; n++) {
      expect(reputation.rejected(peer)).toBe(false);
      clock.time += 10_000;
    }
  });

  it('counts each neighbour for itself', () => {
    const reputation = new Reputation(clockAt());
    for (let n = 0; n < 100 * rejectionsTolerated; n++) expect(reputation.rejected(`peer ${n}` as NodeId)).toBe(false);
  });
});

describe('Bans', () => {
  it('end after their time', () => {
    const clock = clockAt();
    const bans = new Bans(clock);
    bans.add(peer, 1_000);
    expect(bans.has(peer)).toBe(true);
    clock.time = 1_000;
    expect(bans.has(peer)).toBe(false);
  });

  it('are bounded: the oldest ends early', () => {
    const bans = new Bans(clockAt());
    bans.add(peer, 1_000);
    for (let n = 0; n < 10_000; n++) bans.add(`peer ${n}` as NodeId, 1_000);
    expect(bans.has(peer)).toBe(false);
    expect(bans.has('peer 0' as NodeId)).toBe(true);
  });
});
