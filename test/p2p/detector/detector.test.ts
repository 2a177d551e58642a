import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { createIdentity } from '../../../src/identity.ts';
import type { NodeId } from '../../../src/node-id.ts';
import { FailureDetector } from '../../../src/p2p/detector/detector.ts';
import type { DetectorEffect, DetectorInput } from '../../../src/p2p/detector/io.ts';
import { probePeriodMs } from '../../../src/p2p/detector/timings.ts';

const [x, a, b, c] = [1, 2, 3, 4].map((n) => createIdentity(new Uint8Array(32).fill(n)).id) as [
  NodeId,
  NodeId,
  NodeId,
  NodeId,
];
const nameOf = new Map([
  [x, 'x'],
  [a, 'a'],
  [b, 'b'],
  [c, 'c'],
]);

/** A detector on a hand-driven clock that writes down, as short lines, what it does. */
class Bench {
  now = 0;
  readonly detector = new FailureDetector(0);
  readonly log: string[] = [];
  readonly effects: DetectorEffect[] = [];
  /** Peers that answer each probe, and helpers' word on each ping-req, at once. */
  answering = new Set<NodeId>();
  affirming = new Set<NodeId>();
  denying = new Set<NodeId>();

  give(input: DetectorInput): void {
    const effects = this.detector.step(input, this.now);
    this.effects.push(...effects);
    for (const effect of effects) {
      this.log.push(`${Math.round(this.now)} ${line(effect)}`);
      if (effect.type === 'send') this.#answer(effect);
    }
  }

  #answer({ to, frame }: DetectorEffect & { type: 'send' }): void {
    if (frame.type === 'probe' && this.answering.has(to)) {
      this.give({ type: 'frame', peer: to, frame: { type: 'ack', seq: frame.seq, lagMs: 0 } });
    }
    if (frame.type !== 'ping-req') return;
    const ok = this.affirming.has(to);
    if (ok || this.denying.has(to))
      this.give({ type: 'frame', peer: to, frame: { type: 'ping-reply', seq: frame.seq, ok } });
  }

  /** Lets time pass as a driver would. */
  run(forMs: number): void {
    const end = this.now + forMs;
    while (this.now < end) {
      this.now = Math.min(end, Math.max(this.now + 1, this.detector.nextWakeAt()));
      this.give({ type: 'tick', lateMs: 0 });
    }
  }

  watch(...ids: NodeId[]): void {
    this.give({
      type: 'subjects',
      subjects: ids.map((id, index) => ({
        id,
        helpers: [a, b, c].filter((other) => other !== id),
        periodMs: 2_000,
        phaseMs: 300 * index,
      })),
    });
  }

  connect(...ids: NodeId[]): void {
    for (const peer of ids) this.give({ type: 'connected', peer });
  }

  said(type: DetectorEffect['type'] | 'trust', peer: NodeId): number[] {
    return this.log
      .filter((entry) => entry.includes(` ${type} ${nameOf.get(peer)}`))
      .map((entry) => Number.parseInt(entry, 10));
  }
}

function line(effect: DetectorEffect): string {
  if (effect.type === 'send') return `${effect.frame.type} ${nameOf.get(effect.to)}`;
  const what = effect.type === 'suspect' && !effect.on ? 'trust' : effect.type;
  return `${what} ${nameOf.get(effect.peer)}${effect.type === 'accuse' ? ` ${effect.evidence}` : ''}`;
}

function watching(): Bench {
  const bench = new Bench();
  bench.connect(x, a, b, c);
  bench.watch(x, a, b, c);
  bench.answering = new Set([x, a, b, c]);
  bench.run(10_000);
  bench.log.length = 0;
  return bench;
}

describe('silence', () => {
  test('an answering subject is probed once a period and never doubted', () => {
    const bench = watching();
    bench.run(20_000);
    expect(bench.log.filter((entry) => entry.includes('probe x'))).toHaveLength(10);
    expect(bench.log.every((entry) => entry.includes(' probe '))).toBe(true);
    expect(bench.detector.rttMs(x)).toBe(0);
  });

  test('probe, probe again and ask others, suspect, accuse after 3.5 s from the first unanswered probe', () => {
    const bench = watching();
    bench.answering.delete(x);
    bench.denying = new Set([a, b, c]);
    bench.run(8_000);
    const probes = bench.log.filter((entry) => entry.includes('probe x')).map((entry) => Number.parseInt(entry, 10));
    const asked = bench.log.filter((entry) => entry.includes('ping-req')).map((entry) => Number.parseInt(entry, 10));
    const first = probes[0]!;
    expect(probes.slice(0, 3).map((at) => at - first)).toEqual([0, 250, 750]);
    expect(asked.slice(0, 3).map((at) => at - first)).toEqual([250, 250, 250]);
    expect(bench.said('suspect', x)).toEqual([first + 750]);
    expect(bench.said('accuse', x)).toEqual([first + 3_500]);
    const accusation = bench.effects.find(({ type }) => type === 'accuse');
    expect(accusation).toMatchObject({
      evidence: 'missed-probes',
      detail: expect.stringMatching(/probes unanswered for 3\.5 s; 9|1\d indirect probes failed/),
    });
    expect(bench.detector.status(x)).toBe('accused');
  });

  test('a silence of 3 s is no accusation; one that ends later is retracted at the first frame', () => {
    const bench = watching();
    bench.answering.delete(x);
    bench.run(3_000);
    bench.give({ type: 'heard', peer: x });
    expect(bench.said('accuse', x)).toEqual([]);
    expect(bench.said('trust', x)).toEqual([bench.now]);
    bench.run(8_000);
    expect(bench.said('accuse', x)).toHaveLength(1);
    bench.give({ type: 'frame', peer: x, frame: { type: 'probe', seq: 9, lagMs: 0 } });
    expect(bench.said('retract', x)).toEqual([bench.now]);
    expect(bench.detector.accused()).toEqual([]);
  });

  test('any frame counts as life', () => {
    const bench = watching();
    bench.answering.delete(x);
    for (let i = 0; i < 40; i++) {
      bench.run(500);
      bench.give({ type: 'heard', peer: x });
    }
    expect(bench.said('suspect', x)).toEqual([]);
  });

  test('whom two others reach is suspected here and not accused', () => {
    const bench = watching();
    bench.answering.delete(x);
    bench.affirming = new Set([a, b]);
    bench.run(120_000);
    expect(bench.said('accuse', x)).toEqual([]);
    expect(bench.detector.status(x)).toBe('suspect');
  });

  test('the word of a single helper is believed for a while only', () => {
    const bench = watching();
    bench.answering.delete(x);
    bench.affirming = new Set([c]);
    bench.run(30_000);
    expect(bench.said('accuse', x)).toEqual([]);
    bench.run(20_000);
    expect(bench.said('accuse', x)).toHaveLength(1);
  });

  test('hearing nothing from anybody, it takes twice the time before it accuses', () => {
    const bench = watching();
    bench.answering.clear();
    bench.run(6_500);
    expect(bench.detector.accused()).toEqual([]);
    bench.run(5_000);
    expect(bench.detector.accused()).toHaveLength(4);
  });

  test('a refutation clears, and doubles the patience until the subject is heard', () => {
    const bench = watching();
    bench.answering.delete(x);
    bench.run(6_000);
    expect(bench.said('accuse', x)).toHaveLength(1);
    bench.give({ type: 'refuted', peer: x });
    const refutedAt = bench.now;
    expect(bench.said('retract', x)).toEqual([refutedAt]);
    bench.run(20_000);
    expect(bench.said('accuse', x).slice(1)).toEqual([refutedAt + 7_000]);
  });

  test('a subject that says it is slow gets that much more time', () => {
    const bench = watching();
    bench.give({ type: 'frame', peer: x, frame: { type: 'probe', seq: 1, lagMs: 2_400 } });
    bench.answering.delete(x);
    bench.run(4_900);
    expect(bench.said('accuse', x)).toEqual([]);
    bench.run(5_000);
    expect(bench.said('accuse', x)).toHaveLength(1);
  });
});

describe('our own stops', () => {
  test('after we stood still for 8 s nobody is accused, though all were silent before', () => {
    const bench = watching();
    bench.answering.clear();
    bench.run(3_000);
    bench.now += 8_000;
    bench.give({ type: 'tick', lateMs: 8_000 });
    expect(bench.detector.health).toBe(7);
    expect(bench.detector.lagMs).toBeGreaterThanOrEqual(7_500);
    bench.answering = new Set([x, a, b, c]);
    bench.run(20_000);
    expect(bench.said('accuse', x)).toEqual([]);
    expect(bench.detector.health).toBe(0);
    expect(bench.detector.lagMs).toBe(0);
  });

  test.each([1_000, 3_000, 8_000, 60_000])(
    'whichever input comes first after a stop of %i ms, it is no evidence',
    (stopMs) => {
      fc.assert(
        fc.property(
          fc.constantFrom<DetectorInput>(
            { type: 'tick', lateMs: 0 },
            { type: 'heard', peer: a },
            { type: 'disconnected', peer: x },
            { type: 'dial-failed', peer: x, refused: true },
            { type: 'frame', peer: b, frame: { type: 'ping-req', seq: 1, target: x } },
          ),
          fc.integer({ min: 0, max: 3_400 }),
          (input, silentMs) => {
            const bench = watching();
            bench.answering.clear();
            bench.run(silentMs);
            bench.now += stopMs + bench.detector.timings.tickMs;
            bench.give(input);
            expect(bench.detector.accused()).toEqual([]);
          },
        ),
        { numRuns: 40 },
      );
    },
  );
});

describe('lost connections', () => {
  test('two refused re-dials accuse within a tenth of a second', () => {
    const bench = watching();
    const lostAt = bench.now;
    bench.give({ type: 'disconnected', peer: x });
    expect(bench.said('dial', x)).toEqual([lostAt]);
    bench.give({ type: 'dial-failed', peer: x, refused: true });
    expect(bench.said('suspect', x)).toEqual([lostAt]);
    bench.run(100);
    expect(bench.said('dial', x)).toEqual([lostAt, lostAt + 100]);
    bench.give({ type: 'dial-failed', peer: x, refused: true });
    expect(bench.log.at(-1)).toBe(`${lostAt + 100} accuse x connection-reset`);
  });

  test('a re-dial that succeeds clears it', () => {
    const bench = watching();
    bench.give({ type: 'disconnected', peer: x });
    bench.give({ type: 'dial-failed', peer: x, refused: true });
    bench.connect(x);
    bench.run(20_000);
    expect(bench.said('accuse', x)).toEqual([]);
    expect(bench.detector.status(x)).toBe('ok');
  });

  test('dials that time out are silence, not a reset', () => {
    const bench = watching();
    const lostAt = bench.now;
    bench.give({ type: 'disconnected', peer: x });
    bench.run(1_000);
    bench.give({ type: 'dial-failed', peer: x, refused: false });
    bench.run(500);
    bench.give({ type: 'dial-failed', peer: x, refused: false });
    expect(bench.said('accuse', x)).toEqual([]);
    bench.run(2_000);
    expect(bench.said('accuse', x)).toEqual([lostAt + 3_500]);
    expect(bench.effects.find(({ type }) => type === 'accuse')).toMatchObject({ evidence: 'missed-probes' });
  });

  test('a subject that was never reached is not accused for two refused dials', () => {
    const bench = new Bench();
    bench.connect(a, b);
    bench.answering = new Set([a, b]);
    bench.watch(x, a, b);
    for (let dials = 1; dials <= 5; dials++) {
      bench.give({ type: 'dial-failed', peer: x, refused: true });
      bench.run(500);
    }
    expect(bench.said('accuse', x)).toEqual([]);
    bench.run(2_000);
    expect(bench.said('accuse', x)).toHaveLength(1);
  });

  test('who comes and goes all the time is soon judged by silence only', () => {
    const bench = watching();
    for (let round = 0; round < 20; round++) {
      bench.give({ type: 'disconnected', peer: x });
      bench.give({ type: 'dial-failed', peer: x, refused: true });
      bench.run(100);
      bench.give({ type: 'dial-failed', peer: x, refused: true });
      bench.connect(x);
    }
    expect(bench.said('accuse', x)).toHaveLength(3);
  });

  test('the accused is dialled ever more rarely, and for ever', () => {
    const bench = watching();
    bench.give({ type: 'disconnected', peer: x });
    bench.give({ type: 'dial-failed', peer: x, refused: true });
    bench.run(100);
    bench.give({ type: 'dial-failed', peer: x, refused: true });
    const before = bench.said('dial', x).length;
    for (let i = 0; i < 600; i++) {
      bench.run(1_000);
      bench.give({ type: 'dial-failed', peer: x, refused: true });
    }
    const dials = bench.said('dial', x).slice(before);
    expect(dials.length).toBeGreaterThan(15);
    expect(dials.length).toBeLessThan(40);
  });
});

describe('helping others', () => {
  test('a ping-req makes us probe at once, and the answer is passed on', () => {
    const bench = watching();
    bench.give({ type: 'frame', peer: a, frame: { type: 'ping-req', seq: 42, target: x } });
    const sent = bench.effects.filter(({ type }) => type === 'send').slice(-2);
    expect(sent).toMatchObject([
      { to: x, frame: { type: 'probe' } },
      { to: a, frame: { type: 'ping-reply', seq: 42, ok: true } },
    ]);
  });

  test('a silent target is denied, and that was our own first probe too', () => {
    const bench = watching();
    bench.run(500);
    bench.answering.delete(x);
    const askedAt = bench.now;
    bench.give({ type: 'frame', peer: a, frame: { type: 'ping-req', seq: 42, target: x } });
    bench.run(600);
    expect(bench.effects.filter(({ type }) => type === 'send')).toContainEqual({
      type: 'send',
      to: a,
      frame: { type: 'ping-reply', seq: 42, ok: false },
    });
    bench.run(4_000);
    expect(bench.said('accuse', x)).toEqual([askedAt + 3_500]);
  });

  test('unknown targets, unconnected ones, and too many at once are refused', () => {
    const bench = watching();
    bench.give({ type: 'frame', peer: a, frame: { type: 'ping-req', seq: 1, target: undefined } });
    expect(bench.effects.at(-1)).toMatchObject({ to: a, frame: { type: 'ping-reply', seq: 1, ok: false } });
    bench.answering.clear();
    for (let seq = 2; seq < 100; seq++)
      bench.give({ type: 'frame', peer: a, frame: { type: 'ping-req', seq, target: b } });
    expect(bench.effects.at(-1)).toMatchObject({ to: a, frame: { type: 'ping-reply', seq: 99, ok: false } });
  });
});

test('accused ones are found out anew after a recheck', () => {
  const bench = watching();
  bench.answering.delete(x);
  bench.run(8_000);
  expect(bench.said('accuse', x)).toHaveLength(1);
  bench.give({ type: 'recheck' });
  expect(bench.detector.accused()).toEqual([]);
  bench.run(8_000);
  expect(bench.said('accuse', x)).toHaveLength(2);
  bench.give({ type: 'recheck' });
  bench.answering.add(x);
  bench.run(3_000);
  expect(bench.said('retract', x)).toHaveLength(1);
});

test('observers of one subject probe it every 400 ms together, and a lone one often enough', () => {
  expect([1, 2, 3, 4, 5].map(probePeriodMs)).toEqual([800, 800, 1_200, 1_600, 2_000]);
});

test('any sequence of inputs: accusations and retractions alternate, silence alone never accuses before its time', () => {
  const peers = fc.constantFrom(x, a, b, c);
  const frame = fc.oneof(
    fc.record({ type: fc.constant('probe' as const), seq: fc.nat(50), lagMs: fc.nat(65_535) }),
    fc.record({ type: fc.constant('ack' as const), seq: fc.nat(50), lagMs: fc.nat(65_535) }),
    fc.record({
      type: fc.constant('ping-req' as const),
      seq: fc.nat(50),
      target: fc.option(peers, { nil: undefined }),
    }),
    fc.record({ type: fc.constant('ping-reply' as const), seq: fc.nat(50), ok: fc.boolean() }),
  );
  const inputs = fc.oneof(
    fc.record({ type: fc.constant('connected' as const), peer: peers }),
    fc.record({ type: fc.constant('disconnected' as const), peer: peers }),
    fc.record({ type: fc.constant('dial-failed' as const), peer: peers, refused: fc.boolean() }),
    fc.record({ type: fc.constant('heard' as const), peer: peers }),
    fc.record({ type: fc.constant('refuted' as const), peer: peers }),
    fc.record({ type: fc.constant('recheck' as const) }),
    fc.record({ type: fc.constant('frame' as const), peer: peers, frame }),
  );
  fc.assert(
    fc.property(fc.array(fc.tuple(inputs, fc.nat(3_000)), { maxLength: 60 }), (steps) => {
      const bench = new Bench();
      bench.watch(x, a, b, c);
      for (const [input, waitMs] of steps) {
        bench.give(input);
        bench.run(waitMs);
      }
      for (const peer of [x, a, b, c]) {
        const name = nameOf.get(peer);
        const words = bench.effects.filter(
          (each) => (each.type === 'accuse' || each.type === 'retract') && each.peer === peer,
        );
        const retractions = words.filter(({ type }) => type === 'retract').length;
        expect(words.length === 0 || words[0]!.type === 'accuse', `first word on ${name}`).toBe(true);
        for (let i = 1; i < words.length; i++)
          if (words[i]!.type === 'retract') expect(words[i - 1]!.type).toBe('accuse');
        expect(retractions).toBeLessThanOrEqual(words.length - retractions);
      }
      const probes = bench.log.filter((entry) => / (probe|dial) /.test(entry));
      // At most every 250 ms to each of four, and one for each input.
      expect(probes.length).toBeLessThanOrEqual((4 * bench.now) / 250 + 4 * (steps.length + 1));
    }),
    { numRuns: 200 },
  );
});
