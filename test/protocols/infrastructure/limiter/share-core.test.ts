import fc from 'fast-check';
import { expect, test } from 'vitest';
import type { NodeId } from '../../../../src/node-id.ts';
import type { LimitEntry } from '../../../../src/protocols/infrastructure/limiter/limit-entries.ts';
import { ShareCore, type ShareView, settleMs } from '../../../../src/protocols/infrastructure/limiter/share-core.ts';
import type { Standing } from '../../../../src/protocols/sharing/shared-entries.ts';

const rate = 1_000;
const node = (name: string): NodeId => name as NodeId;
const core = (self = 'self') => new ShareCore({ self: node(self), rate, distribution: 'byDemand' });

interface Heard {
  readonly now: number;
  readonly others?: Readonly<Record<string, Partial<LimitEntry>>>;
  readonly live?: number;
  readonly demand?: number;
  readonly standing?: Standing;
  readonly reserved?: number;
}

function view({ now, others = {}, live, demand = rate, standing = 'gone', reserved = 0 }: Heard): ShareView {
  const entries = Object.entries(others).map(([name, entry]): [NodeId, LimitEntry] => [
    node(name),
    { share: 0, demand: rate, crowded: false, ...entry },
  ]);
  return {
    now,
    entries: new Map(entries),
    live: live ?? entries.length + 1,
    reserved,
    demand,
    standing: () => standing,
    capacityOf: () => undefined,
  };
}

/** Has looked after it settled, and taken what it may. */
function settled(others: NonNullable<Heard['others']>): ShareCore {
  const one = core();
  one.begin(view({ now: 0, others }));
  one.raise(one.look(view({ now: settleMs, others })).allowed);
  return one;
}

test('alone it has all of it at once', () => {
  const one = core();
  one.begin(view({ now: 0 }));
  expect(one.share).toBe(rate);
});

test('among others it begins with an equal part, and with nothing where they share it already', () => {
  const [first, late] = [core(), core()];
  first.begin(view({ now: 0, live: 4 }));
  late.begin(view({ now: 0, live: 4, others: { a: { share: 900 } } }));
  expect([first.share, late.share]).toEqual([250, 0]);
  expect(first.look(view({ now: settleMs - 1, live: 4 })).allowed).toBe(250);
  expect(first.look(view({ now: settleMs, live: 4 })).allowed).toBe(rate);
});

test('it takes only what the others have let go of', () => {
  const one = core();
  one.begin(view({ now: 0, others: { a: { share: rate } } }));
  one.look(view({ now: 1, others: { a: { share: rate } } }));
  expect(one.look(view({ now: settleMs - 1, others: { a: { share: 500 } } })).allowed).toBe(0);
  expect(one.look(view({ now: settleMs, others: { a: { share: 500 } } })).allowed).toBe(500);
});

test('it gives up at once what another is entitled to', () => {
  const one = settled({});
  expect(one.share).toBe(rate);
  one.look(view({ now: 1_000, others: { a: {} } }));
  expect(one.share).toBe(500);
});

test('a claim counts as high as what its node was entitled to in the last five seconds', () => {
  const one = settled({ a: { share: 500 } });
  const eager = { a: { share: 900, demand: rate } };
  expect(one.look(view({ now: 1_000, others: eager })).allowed).toBe(500);
  // The other wants nothing any more, and keeps what it had.
  const lying = { a: { share: 900, demand: 0 } };
  const held = one.look(view({ now: 2_000, others: lying }));
  expect(held.allowed).toBe(500);
  expect(held.lookAgainMs).toBe(5_000);
  expect(one.look(view({ now: 6_999, others: lying })).allowed).toBe(500);
  expect(one.look(view({ now: 7_000, others: lying })).allowed).toBeGreaterThan(900);
});

test('who is silent keeps its share, who is gone does not', () => {
  const one = settled({ a: { share: 500 } });
  expect(one.look(view({ now: 1_000, standing: 'silent' })).allowed).toBe(500);
  expect(one.look(view({ now: 60_000, standing: 'silent' })).allowed).toBe(500);
  expect(one.look(view({ now: 60_001, standing: 'gone' })).allowed).toBe(rate);
});

test('what is reserved is left alone', () => {
  const one = settled({});
  one.look(view({ now: 1_000, live: 2, reserved: 400 }));
  expect(one.share).toBe(600);
});

const claim = fc.record({
  share: fc.double({ min: 0, max: 1e9, noNaN: true }),
  demand: fc.double({ min: 0, max: 1e9, noNaN: true }),
});
const step = fc.record({
  after: fc.nat(3_000),
  others: fc.dictionary(fc.constantFrom('a', 'b', 'c', 'd'), claim),
  demand: fc.double({ min: 0, max: 1e6, noNaN: true }),
  standing: fc.constantFrom<Standing>('silent', 'gone', 'live', 'unknown'),
});

test('whatever is heard, the share is between nothing and the rate, and never over what it was allowed', () => {
  fc.assert(
    fc.property(fc.array(step, { maxLength: 30 }), (steps) => {
      const one = core();
      one.begin(view({ now: 0, live: 2 }));
      let now = 0;
      for (const { after, others, demand, standing } of steps) {
        now += after;
        const before = one.share;
        const { allowed, lookAgainMs } = one.look(view({ now, others, demand, standing }));
        expect(one.share).toBeLessThanOrEqual(before);
        expect(allowed).toBeGreaterThanOrEqual(one.share);
        expect(allowed).toBeLessThanOrEqual(rate * (1 + 1e-9));
        if (lookAgainMs !== undefined) expect(lookAgainMs).toBeGreaterThan(0);
        one.raise(allowed);
      }
    }),
  );
});
