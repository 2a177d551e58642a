/** The parts that decide when something is done, on virtual time. */
import { describe, expect, it } from 'vitest';
import { seededRng } from '../../../src/clock.ts';
import type { NodeId } from '../../../src/node-id.ts';
import { SimulatedWorld } from '../../../src/p2p/simulated/world.ts';
import { Allowance } from '../../../src/protocols/replication/allowance.ts';
import { HeldEnvelopes } from '../../../src/protocols/replication/held-envelopes.ts';
import { defaultPeerDigestOptions, PeerDigests } from '../../../src/protocols/replication/peer-digests.ts';
import { defaultSchedulerOptions, SyncScheduler } from '../../../src/protocols/replication/sync-scheduler.ts';

const peers = ['p0', 'p1', 'p2', 'p3', 'p4', 'p5'] as NodeId[];
const [peer] = peers as [NodeId];

describe('SyncScheduler', () => {
  function scheduler(run: (peer: NodeId) => Promise<string>) {
    const world = new SimulatedWorld({ seed: 1 });
    return { world, scheduler: new SyncScheduler(world.clock, seededRng(1), defaultSchedulerOptions, run) };
  }

  it('runs few at a time and one per peer, and none is forgotten', async () => {
    const ends: (() => void)[] = [];
    const started: NodeId[] = [];
    const { world, scheduler: each } = scheduler((which) => {
      started.push(which);
      return new Promise((resolve) => ends.push(() => resolve('')));
    });
    for (const which of [...peers, ...peers]) each.request(which, 'urgent');
    await world.run(1);
    expect(started).toEqual(peers.slice(0, 3));
    expect(each.running).toBe(3);
    while (started.length < 9) {
      ends.splice(0).forEach((end) => {
        end();
      });
      await world.run(200);
    }
    expect(started.slice(3, 6).sort()).toEqual(peers.slice(3));
    // Asked again while they ran: what came too late for the first run is in the second.
    expect(started.slice(6).sort()).toEqual(peers.slice(0, 3));
  });

  it('keeps an interval, doubled with each fruitless run and short again after a fruitful one', async () => {
    const times: number[] = [];
    let state = 'same';
    const { world, scheduler: each } = scheduler(async () => {
      times.push(world.now);
      return state;
    });
    const gapOfNext = async (): Promise<number> => {
      const before = times.length;
      each.request(peer, 'relaxed');
      await world.until(() => times.length > before, 100_000);
      return (times.at(-1) as number) - (times.at(-2) ?? Number.NaN);
    };
    await gapOfNext();
    const first = await gapOfNext();
    expect(first).toBeGreaterThanOrEqual(1_000);
    expect(first).toBeLessThanOrEqual(1_200);
    await gapOfNext();
    const third = await gapOfNext();
    expect(third).toBeGreaterThanOrEqual(4_000);
    for (let i = 0; i < 8; i++) await gapOfNext();
    expect(await gapOfNext()).toBeLessThanOrEqual(36_000);
    state = 'new';
    await gapOfNext();
    expect(await gapOfNext()).toBeLessThanOrEqual(1_200);
  });

  it('lets an urgent reason overtake a relaxed one, and drops what is gone', async () => {
    let runs = 0;
    const { world, scheduler: each } = scheduler(async () => `${runs++}`);
    each.request(peer, 'urgent');
    await world.run(1);
    each.request(peer, 'relaxed');
    each.request(peer, 'urgent');
    await world.run(150);
    expect(runs).toBe(2);
    each.request(peer, 'urgent');
    each.drop(peer);
    await world.run(10_000);
    expect(runs).toBe(2);
    each.stop();
    each.request(peer, 'urgent');
    await world.run(10_000);
    expect(runs).toBe(2);
  });
});

describe('PeerDigests', () => {
  function digests() {
    const world = new SimulatedWorld({ seed: 1 });
    const differing: NodeId[] = [];
    const each = new PeerDigests(
      { clock: world.clock, rng: seededRng(1), options: defaultPeerDigestOptions },
      Uint8Array.of(0),
      (which) => differing.push(which),
    );
    return { world, differing, each };
  }

  it('tells of a difference only when it lasts', async () => {
    const { world, differing, each } = digests();
    each.heard(peer, Uint8Array.of(0));
    each.heard(peer, Uint8Array.of(1));
    await world.run(100);
    each.ownChanged(Uint8Array.of(1));
    await world.run(1_000);
    expect(differing).toEqual([]);
    each.heard(peer, Uint8Array.of(2));
    expect(each.behind).toBe(1);
    await world.run(299);
    expect(differing).toEqual([]);
    await world.run(101);
    expect(differing).toEqual([peer]);
  });

  it('takes a digest that was ours a moment ago for a message under way, but not for long', async () => {
    const { world, differing, each } = digests();
    each.ownChanged(Uint8Array.of(1));
    each.heard(peer, Uint8Array.of(0));
    await world.run(1_000);
    expect(differing).toEqual([]);
    each.heard(peer, Uint8Array.of(0));
    await world.run(1_000);
    expect(differing).toEqual([peer]);
    each.heard(peer, Uint8Array.of(9));
    each.drop(peer);
    await world.run(1_000);
    expect(differing).toEqual([peer]);
  });
});

describe('HeldEnvelopes', () => {
  it('gives back what fits, once, and keeps a bounded number', () => {
    const held = new HeldEnvelopes();
    for (let seq = 1; seq <= 300; seq++) held.hold(peer, 'registry', 1, seq, new Uint8Array(10));
    expect(held.count).toBe(256);
    expect(held.take(peer, 'registry', 1, 1)).toBeUndefined();
    expect(held.take(peer, 'registry', 1, 300)).toHaveLength(10);
    expect(held.take(peer, 'registry', 1, 300)).toBeUndefined();
    for (let seq = 1; seq <= 100; seq++) held.hold(peer, 'members', 1, seq, new Uint8Array(60_000));
    expect(held.count).toBeLessThanOrEqual(17);
    held.hold(peer, 'members', 1, 999, new Uint8Array(2_000_000));
    expect(held.take(peer, 'members', 1, 999)).toBeUndefined();
  });
});

describe('Allowance', () => {
  it('gives a burst, then the rate', async () => {
    const world = new SimulatedWorld({ seed: 1 });
    const allowance = new Allowance(world.clock, 2, 5);
    allowance.take(7);
    expect(allowance.left).toBe(-2);
    await world.run(2_000);
    expect(allowance.left).toBeCloseTo(2);
    await world.run(60_000);
    expect(allowance.left).toBe(5);
  });
});
