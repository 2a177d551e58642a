import { describe, expect, test } from 'vitest';
import { seededRng } from '../../../src/clock.ts';
import { createIdentity } from '../../../src/identity.ts';
import { Backoff } from '../../../src/protocols/membership/backoff.ts';
import { defaultLinkTimings, Links } from '../../../src/protocols/membership/links.ts';

const ids = Array.from({ length: 20 }, (_, n) => createIdentity(new Uint8Array(32).fill(n + 1)).id);

describe('Links', () => {
  const connected = (): Links => {
    const links = new Links(defaultLinkTimings, 0);
    for (const id of ids) links.connected(id);
    return links;
  };
  const needed = new Set(ids.slice(0, 4));

  test('surplus links go after ten seconds, a few at a time, and not below the minimum', () => {
    const links = connected();
    expect(links.takeSurplus(needed, 11_000)).toEqual([]);
    expect(links.takeSurplus(needed, 20_999)).toEqual([]);
    let now = 21_000;
    while (now < 200_000) {
      const closing = links.takeSurplus(needed, now);
      expect(closing.length).toBeLessThanOrEqual(defaultLinkTimings.prunePerRound);
      for (const peer of closing) links.disconnected(peer);
      now += 5_000;
    }
    expect(links.size).toBe(defaultLinkTimings.minLinks);
    for (const id of needed) expect(links.has(id)).toBe(true);
  });

  test('nothing is closed while the rings change', () => {
    const links = connected();
    for (let now = 0; now < 100_000; now += 5_000) {
      links.ringsChanged(now);
      expect(links.takeSurplus(needed, now + 4_000)).toEqual([]);
    }
  });

  test('a link in use stays, and for a minute after; one that is needed again starts anew', () => {
    const links = connected();
    const busy = ids[19]!;
    links.takeSurplus(needed, 0);
    for (let now = 0; now <= 60_000; now += 5_000) {
      links.used(busy, now);
      expect(links.takeSurplus(needed, now)).not.toContain(busy);
    }
    const onlyBusy = new Set(ids.slice(0, 19));
    expect(links.takeSurplus(onlyBusy, 119_999)).toEqual([]);
    expect(links.takeSurplus(onlyBusy, 120_000)).toEqual([busy]);
    expect(links.takeSurplus(new Set(ids), 121_000)).toEqual([]);
    expect(links.takeSurplus(onlyBusy, 122_000)).toEqual([]);
    expect(links.takeSurplus(onlyBusy, 132_000)).toEqual([busy]);
  });
});

describe('Backoff', () => {
  test('waits double up to the maximum, with jitter, and start again after a success', () => {
    const backoff = new Backoff(seededRng(1), 1_000, 60_000);
    const waits = Array.from({ length: 12 }, () => backoff.next());
    for (const [index, wait] of waits.entries()) {
      const base = Math.min(60_000, 1_000 * 2 ** index);
      expect(wait).toBeGreaterThanOrEqual(0.75 * base);
      expect(wait).toBeLessThanOrEqual(1.25 * base);
    }
    backoff.reset();
    expect(backoff.next()).toBeLessThanOrEqual(1_250);
    expect(backoff.next(15_000)).toBeGreaterThanOrEqual(11_250);
  });
});
