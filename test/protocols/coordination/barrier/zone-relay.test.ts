import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { NodeId } from '../../../../src/node-id.ts';
import type { Channel } from '../../../../src/p2p/network.ts';
import { encodePayload } from '../../../../src/payload.ts';
import { zoneProtocol } from '../../../../src/protocols/coordination/barrier/network-zone-link.ts';
import { OrderedBarriers } from '../../../../src/protocols/coordination/barrier/ordered-barriers.ts';
import { BarrierReducer } from '../../../../src/protocols/coordination/barrier/reducer.ts';
import {
  decodeZoneFrame,
  encodeZoneFrame,
  type ZoneFrame,
} from '../../../../src/protocols/coordination/barrier/zone-frames.ts';
import { SelfZoneLink } from '../../../../src/protocols/coordination/barrier/zone-link.ts';
import { encodeCertificate } from '../../../../src/protocols/coordination/certificates/certificate-codec.ts';
import { localNode } from '../local-tools.ts';
import { verify } from './table.ts';
import { check, type ZoneNode, Zones } from './zones.ts';

const two = { north: 4, south: 4 };
const terms = { perZone: two, strategy: 'hierarchical', leaseMs: 9_000 } as const;

/** Another program at a node: the channel it opens to a peer, and what comes back. */
async function channelTo(
  zones: Zones,
  from: ZoneNode,
  to: ZoneNode,
): Promise<{ channel: Channel; heard: ZoneFrame[] }> {
  const channel = await zones.world.settled(from.network.open(to.id, zoneProtocol));
  const heard: ZoneFrame[] = [];
  channel.listen({
    onFrame: (bytes) => {
      const frame = decodeZoneFrame(bytes);
      if (frame !== undefined) heard.push(frame);
    },
    onClose: () => undefined,
  });
  return { channel, heard };
}

const north = (zones: Zones): ZoneNode[] => zones.nodes.filter(({ zone }) => zone === 'north');

describe('a hierarchical barrier', () => {
  test('one command for each zone, one certificate for each zone, and the same outcome for everybody', async () => {
    const zones = await Zones.make(two);
    const barriers = await zones.open(terms);
    const before = zones.total('toGroup');
    for (let generation = 1; generation <= 3; generation++) {
      const passages = await zones.world.settled(Promise.all(barriers.map((barrier) => barrier.arrive())));
      for (const passage of passages) expect(passage).toEqual(passages[0]);
      expect(passages[0]).toMatchObject({ generation, arrived: 8 });
    }
    expect(zones.total('relayCommands')).toBe(3 * 2);
    expect(zones.total('relayed')).toBe(3 * 8);
    expect(zones.total('arrivedDirectly')).toBe(0);
    expect(zones.total('refused')).toBe(0);
    // Two commands and two certificates a generation, where a flat one has eight commands.
    expect(zones.total('toGroup') - before).toBe(3 * 4);
  });

  test('a flat one costs one command for each participant', async () => {
    const zones = await Zones.make(two);
    const barriers = await zones.open({ perZone: two });
    const before = zones.total('toGroup');
    await zones.world.settled(Promise.all(barriers.map((barrier) => barrier.arrive())));
    expect(zones.total('toGroup') - before).toBe(8);
    expect(zones.total('toZone')).toBe(0);
  });

  test('where certificates cannot be checked, each node asks the group once it hears of an outcome', async () => {
    const zones = await Zones.make(two, { checks: false });
    const barriers = await zones.open(terms);
    const before = zones.total('toGroup');
    const passages = await zones.world.settled(Promise.all(barriers.map((barrier) => barrier.arrive())));
    for (const passage of passages) expect(passage).toEqual(passages[0]);
    expect(zones.total('arrivedDirectly')).toBe(0);
    expect(zones.total('toGroup') - before).toBe(2 + 6);
  });

  test('a zone that comes late is waited for, and who waits meanwhile keeps its place', async () => {
    const zones = await Zones.make(two);
    const barriers = await zones.open({ ...terms, onLost: 'break' });
    const early = barriers.slice(0, 5).map((barrier) => barrier.arrive({ timeoutMs: 60_000 }));
    await zones.world.run(30_000);
    const late = barriers.slice(5).map((barrier) => barrier.arrive());
    const passages = await zones.world.settled(Promise.all([...early, ...late]));
    for (const passage of passages) expect(passage).toEqual(passages[0]);
    expect(zones.total('arrivedDirectly')).toBe(0);
  });

  test('where nobody can know the share of a zone, whoever comes together is told together', async () => {
    const zones = await Zones.make(two);
    const barriers = await zones.open({ participants: 8, strategy: 'hierarchical' });
    const passages = await zones.world.settled(Promise.all(barriers.map((barrier) => barrier.arrive())));
    expect(new Set(passages.map(({ token }) => token)).size).toBe(1);
    expect(zones.total('relayCommands')).toBeLessThan(8);
    expect(zones.total('relayed')).toBe(8);
  });

  test('who gives up is taken back, whatever the aggregator still holds', async () => {
    const zones = await Zones.make(two);
    const barriers = await zones.open(terms);
    const abort = new AbortController();
    const gone = barriers[1]?.arrive({ signal: abort.signal });
    await zones.world.run(50);
    abort.abort(new Error('enough'));
    await expect(gone).rejects.toThrow('enough');
    await zones.world.run(2_000);
    const status = await zones.world.settled((barriers[2] as (typeof barriers)[0]).status());
    expect(status).toMatchObject({ arrivedCount: 0 });
  });

  test('alone in its zone and process, a node is its own aggregator', async () => {
    const { tools, clock } = localNode([new BarrierReducer(verify)]);
    const barriers = new OrderedBarriers(tools, { link: new SelfZoneLink(tools.self), check });
    const barrier = await barriers.barrier({ id: 'b', perZone: { test: 3 }, strategy: 'hierarchical' });
    const all = Promise.all(['a', 'b', 'c'].map((as) => barrier.arrive({ as })));
    await clock.advance(0);
    const passages = await all;
    expect(passages[1]).toEqual(passages[0]);
    expect(barriers.counters).toMatchObject({ arrivedDirectly: 0, relayed: 3, relayCommands: 1, toZone: 0 });
    barriers.stop();
  });
});

describe('when the aggregator fails', () => {
  test('it dies with arrivals in its hands: each participant tells the group itself, and none counts twice', async () => {
    const zones = await Zones.make(two);
    const barriers = await zones.open({ ...terms, onLost: 'proceed', minimum: 7 });
    const [aggregator] = zones.nodes as [ZoneNode];
    const others = barriers.slice(1).map((barrier) => barrier.arrive({ timeoutMs: 60_000 }));
    await zones.world.run(20);
    zones.world.crash(aggregator.network);
    zones.dead.add(aggregator.id);
    await zones.world.run(100);
    const status = await zones.world.settled((barriers[1] as (typeof barriers)[0]).status());
    expect(status).toMatchObject({ arrivedCount: 7, missingUnnamed: 1 });
    expect(zones.total('arrivedDirectly')).toBe(3);
    expect(others).toHaveLength(7);
    const eighth = {
      kind: 'barrier.arrive',
      at: { id: 'b', epoch: 1, generation: 1 },
      as: 'late',
      zone: 'north',
      attempt: 1,
    };
    zones.order.apply(encodePayload(eighth, 1_024), (zones.nodes[1] as ZoneNode).id);
    const passages = await zones.world.settled(Promise.all(others));
    for (const passage of passages) expect(passage).toMatchObject({ generation: 1, arrived: 8 });
  });

  test('it stands still: participants pass it by after a moment', async () => {
    const zones = await Zones.make(two);
    const barriers = await zones.open(terms);
    zones.world.pause((zones.nodes[0] as ZoneNode).network);
    const others = barriers.slice(1).map((barrier) => barrier.arrive({ timeoutMs: 60_000 }));
    await zones.world.run(400);
    expect(zones.total('arrivedDirectly')).toBe(3);
    zones.world.resume((zones.nodes[0] as ZoneNode).network);
    const last = (barriers[0] as (typeof barriers)[0]).arrive();
    const passages = await zones.world.settled(Promise.all([last, ...others]));
    expect(new Set(passages.map(({ token }) => token)).size).toBe(1);
    expect(passages[0]).toMatchObject({ arrived: 8 });
  });

  test('it misses the event: it looks after a gap, and otherwise its zone finds out', async () => {
    for (const gap of [true, false]) {
      const zones = await Zones.make(two);
      const barriers = await zones.open(terms);
      const [aggregator] = zones.nodes as [ZoneNode];
      zones.order.deafen(aggregator.id);
      const early = barriers.slice(0, 4).map((barrier) => barrier.arrive());
      await zones.world.run(50);
      const late = await zones.world.settled(Promise.all(barriers.slice(4).map((barrier) => barrier.arrive())));
      const start = zones.world.now;
      zones.order.undeafen(aggregator.id, { gap });
      const passages = await zones.world.settled(Promise.all(early));
      for (const passage of passages) expect(passage).toEqual(late[0]);
      expect(zones.world.now - start).toBeLessThan(gap ? 100 : 3_100);
    }
  });

  test('there is no connection to it: the way is direct', async () => {
    const zones = await Zones.make(two);
    const barriers = await zones.open(terms);
    const [aggregator] = zones.nodes as [ZoneNode];
    for (const { id } of north(zones).slice(1)) await aggregator.network.disconnect(id);
    await zones.world.run(10);
    const passages = await zones.world.settled(Promise.all(barriers.map((barrier) => barrier.arrive())));
    expect(passages[0]).toMatchObject({ arrived: 8 });
    expect(zones.total('arrivedDirectly')).toBe(3);
  });
});

describe('when the aggregator lies', () => {
  /** The lowest node of the north is another program: it answers what the test says. */
  async function withLiar(answer: (frame: ZoneFrame, from: NodeId, say: (frame: ZoneFrame) => void) => void) {
    const zones = await Zones.make({ north: 3, south: 1 });
    const barriers = await zones.open({ perZone: { north: 3, south: 1 }, strategy: 'hierarchical', leaseMs: 9_000 });
    const [liar, ...honest] = north(zones) as [ZoneNode, ZoneNode, ZoneNode];
    liar.barriers.stop();
    for (const { id, network } of honest) {
      // Channels of the liar to each: whoever is spoken to answers on the newest channel it knows.
      const channel = await zones.world.settled(liar.network.open(id, zoneProtocol));
      channel.listen({
        onFrame: (bytes) => {
          const frame = decodeZoneFrame(bytes);
          if (frame !== undefined) answer(frame, network.self, (said) => channel.send(encodeZoneFrame(said)));
        },
        onClose: () => undefined,
      });
    }
    await zones.world.run(50);
    const [, second, third, south] = barriers as [unknown, ...typeof barriers];
    const arrive = () => [second, third, south].map((barrier) => barrier?.arrive({ timeoutMs: 60_000 }));
    /** The liar's own participant comes as any may. */
    const complete = () => {
      const arrival = {
        kind: 'barrier.arrive',
        at: { id: 'b', epoch: 1, generation: 1 },
        as: 'liar',
        zone: 'north',
        attempt: 1,
      };
      zones.order.apply(encodePayload(arrival, 1_024), liar.id);
    };
    return { zones, arrive, complete, honest, liar };
  }

  const taken = (frame: ZoneFrame): ZoneFrame | undefined =>
    frame.t === 'arrive' ? { t: 'taken', at: frame.at, as: frame.as, attempt: frame.attempt } : undefined;

  test('takes and does nothing: found out at the next renewal, and passed by for a while', async () => {
    const { zones, arrive, complete } = await withLiar((frame, _from, say) => {
      const answer = taken(frame);
      if (answer !== undefined) say(answer);
    });
    const all = arrive();
    await zones.world.run(1_000);
    expect(zones.total('arrivedDirectly')).toBe(0);
    await zones.world.run(2_500);
    expect(zones.total('arrivedDirectly')).toBe(2);
    complete();
    const passages = await zones.world.settled(Promise.all(all));
    expect(passages.map((passage) => passage?.arrived)).toEqual([4, 4, 4]);
    const again = arrive();
    await zones.world.run(100);
    expect(zones.total('arrivedDirectly')).toBe(4);
    expect(again).toHaveLength(3);
  });

  test('tells the group and not its zone: twice may be chance, then it is passed by', async () => {
    const { zones, arrive, liar } = await withLiar((frame, from, say) => {
      if (frame.t !== 'arrive') return;
      const { at, as, attempt, zone, signature } = frame;
      const arrivals = [{ node: from, as, attempt, signature }];
      zones.order.apply(encodePayload({ kind: 'barrier.relay', at, zone, arrivals }, 4_096), liar.id);
      say(taken(frame) as ZoneFrame);
    });
    for (let generation = 1; generation <= 3; generation++) {
      const all = arrive();
      const at = { id: 'b', epoch: 1, generation };
      const own = { kind: 'barrier.arrive', at, as: 'liar', zone: 'north', attempt: generation };
      zones.order.apply(encodePayload(own, 1_024), liar.id);
      const passages = await zones.world.settled(Promise.all(all));
      expect(passages.map((passage) => passage?.generation)).toEqual([generation, generation, generation]);
      expect(zones.total('arrivedDirectly')).toBe(generation < 3 ? 0 : 2);
    }
  });

  test('says that it opened: nobody believes it, with a forged certificate or with none', async () => {
    for (const forged of [true, false]) {
      const { zones, arrive, complete, honest } = await withLiar((frame, _from, say) => {
        if (frame.t !== 'arrive') return;
        const { at } = frame;
        const outcome = {
          generation: 1,
          opened: true,
          reason: '',
          arrived: 4,
          missing: [],
          missingUnnamed: 0,
          token: 9,
        } as const;
        const bytes = new Uint8Array(32);
        const certificate = encodeCertificate({
          group: bytes,
          epoch: 0,
          query: bytes,
          statement: bytes,
          signatures: [],
          succession: [],
        });
        say(taken(frame) as ZoneFrame);
        say({ t: 'over', at, outcome: { ...outcome, missing: [] }, certificate: forged ? certificate : null });
      });
      const all = arrive();
      let opened = 0;
      for (const each of all) void each?.then(() => opened++);
      await zones.world.run(5_000);
      expect(opened).toBe(0);
      expect(honest.map(({ barriers }) => barriers.counters.refused)).toEqual(forged ? [1, 1] : [0, 0]);
      complete();
      const passages = await zones.world.settled(Promise.all(all));
      expect(passages[0]).toMatchObject({ arrived: 4 });
      expect(passages[0]?.token).not.toBe(9);
    }
  });
});

test('a liar that shows the certificate of an earlier generation is not believed', async () => {
  const zones = await Zones.make({ north: 2 });
  const barriers = await zones.open({ perZone: { north: 2 }, strategy: 'hierarchical', leaseMs: 9_000 });
  await zones.world.settled(Promise.all(barriers.map((barrier) => barrier.arrive())));
  const [liar, honest] = zones.nodes as [ZoneNode, ZoneNode];
  const earlier = { id: 'b', epoch: 1, generation: 1 };
  const certificate = encodeCertificate(await liar.tools.client.certify({ kind: 'barrier.outcome', at: earlier }));
  const before = honest.barriers.counters.refused;
  let opened = false;
  void barriers[1]?.arrive({ timeoutMs: 60_000 }).then(() => {
    opened = true;
  });
  await zones.world.run(100);
  const outcome = {
    generation: 2,
    opened: true,
    reason: '',
    arrived: 2,
    missing: [],
    missingUnnamed: 0,
    token: 9,
  } satisfies Extract<ZoneFrame, { t: 'over' }>['outcome'];
  const lie: ZoneFrame = { t: 'over', at: { ...earlier, generation: 2 }, outcome, certificate };
  liar.link.send(honest.id, encodeZoneFrame(lie));
  await zones.world.run(100);
  expect(opened).toBe(false);
  expect(honest.barriers.counters.refused).toBe(before + 1);
  await zones.world.settled((barriers[0] as (typeof barriers)[0]).arrive());
  await zones.world.until(() => opened, 1_000);
});

describe('what comes from the zone', () => {
  test('arrivals of another zone, forged ones and garbage are refused and counted', async () => {
    const zones = await Zones.make(two);
    const barriers = await zones.open(terms);
    const [aggregator, other] = north(zones) as [ZoneNode, ZoneNode];
    const { channel, heard } = await channelTo(zones, other, aggregator);
    const at = { id: 'b', epoch: 1, generation: 1 };
    const arrival = {
      t: 'arrive',
      at,
      as: 'x',
      attempt: 1,
      nonce: new Uint8Array(16),
      zone: 'north',
      signature: new Uint8Array(64),
      share: 4,
      patienceMs: 10,
    } as const;
    channel.send(encodeZoneFrame(arrival));
    channel.send(encodeZoneFrame({ ...arrival, zone: 'south' }));
    channel.send(new Uint8Array([1, 2, 3]));
    // Answers to nobody's question.
    channel.send(encodeZoneFrame({ t: 'taken', at, as: 'y', attempt: 1 }));
    await zones.world.run(50);
    // The other zone's at once, the forged one when the group had seen it.
    expect(heard.map(({ t }) => t)).toEqual(['taken', 'refused', 'refused']);
    expect(aggregator.barriers.counters).toMatchObject({ refused: 2, relayCommands: 1 });
    const status = await zones.world.settled((barriers[0] as (typeof barriers)[0]).status());
    expect(status).toMatchObject({ arrivedCount: 0 });
  });

  test('a flood is counted and not worked on', async () => {
    const zones = await Zones.make({ north: 2 });
    const [aggregator, other] = north(zones) as [ZoneNode, ZoneNode];
    const { channel } = await channelTo(zones, other, aggregator);
    for (let n = 0; n < 5_000; n++) channel.send(new Uint8Array([0]));
    await zones.world.run(1_000);
    expect(aggregator.link.counters.received).toBe(5_000);
    expect(aggregator.link.counters.overRate).toBeGreaterThan(2_000);
    expect(aggregator.barriers.counters.refused).toBe(5_000 - aggregator.link.counters.overRate);
  });

  test('no bytes throw, and what is read is what was written', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => {
        const frame = decodeZoneFrame(bytes);
        if (frame !== undefined) expect(decodeZoneFrame(encodeZoneFrame(frame))).toEqual(frame);
      }),
    );
    const at = fc.record({
      id: fc.string({ minLength: 1, maxLength: 20, unit: 'grapheme-ascii' }),
      epoch: fc.integer({ min: 1 }),
      generation: fc.integer({ min: 1 }),
    });
    const one = { at, as: fc.constant('x'), attempt: fc.integer({ min: 1 }) };
    const frames: fc.Arbitrary<ZoneFrame> = fc.oneof(
      fc.record({ t: fc.constantFrom('taken' as const, 'refused' as const), ...one }),
      fc.record({
        t: fc.constant('arrive' as const),
        ...one,
        nonce: fc.uint8Array({ minLength: 16, maxLength: 16 }),
        zone: fc.constant('z'),
        signature: fc.uint8Array({ minLength: 64, maxLength: 64 }),
        share: fc.nat({ max: 1_024 }),
        patienceMs: fc.nat({ max: 60_000 }),
      }),
    );
    fc.assert(
      fc.property(frames, fc.nat(), fc.nat({ max: 255 }), (frame, where, flip) => {
        const bytes = encodeZoneFrame(frame);
        expect(decodeZoneFrame(bytes)).toEqual(frame);
        const damaged = bytes.slice(0);
        damaged[where % damaged.length] = flip;
        expect(() => decodeZoneFrame(damaged)).not.toThrow();
        expect(decodeZoneFrame(bytes.subarray(0, where % bytes.length))).toBeUndefined();
      }),
    );
  });
});
