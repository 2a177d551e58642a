/**
 * Whatever is submitted, in whatever order: each generation ends once and is told once; an opened one has everybody its terms ask for; tokens rise;
 * replicas that are fed alike are alike, also when one of them was restored in between; what is no command changes nothing.
 */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { encodePayload } from '../../../../src/payload.ts';
import type { BarrierOptions } from '../../../../src/protocols/coordination/barrier/barrier.ts';
import type { Outcome } from '../../../../src/protocols/coordination/barrier/commands.ts';
import { tickCommand } from '../../../../src/protocols/coordination/machine/machine.ts';
import { At, identityOf, nobody, Table } from './table.ts';

const nodes = [1, 2, 3].map(identityOf);
const names = ['a', 'b', 'c'];
const zones = ['north', 'south'];

type Step =
  | {
      readonly do: 'arrive' | 'withdraw' | 'renew';
      node: number;
      as: number;
      zone: number;
      attempt: number;
      back: number;
    }
  | { readonly do: 'report'; node: number; as: number; back: number }
  | {
      readonly do: 'relay';
      by: number;
      zone: number;
      told: { node: number; as: number; forged: boolean }[];
      attempt: number;
    }
  | { readonly do: 'pass'; ms: number };

const below = (n: number) => fc.integer({ min: 0, max: n - 1 });
const attempt = fc.integer({ min: 1, max: 4 });
/** Now and then for a generation that is over. */
const back = fc.oneof({ weight: 5, arbitrary: fc.constant(0) }, { weight: 1, arbitrary: below(3) });
const step: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.record({
      do: fc.constantFrom('arrive' as const),
      node: below(3),
      as: below(3),
      zone: below(2),
      attempt,
      back,
    }),
  },
  {
    weight: 2,
    arbitrary: fc.record({
      do: fc.constantFrom('withdraw' as const, 'renew' as const),
      node: below(3),
      as: below(3),
      zone: below(2),
      attempt,
      back,
    }),
  },
  { weight: 1, arbitrary: fc.record({ do: fc.constantFrom('report' as const), node: below(3), as: below(3), back }) },
  {
    weight: 2,
    arbitrary: fc.record({
      do: fc.constantFrom('relay' as const),
      by: below(3),
      zone: below(2),
      attempt,
      told: fc.array(fc.record({ node: below(3), as: below(3), forged: fc.boolean() }), { minLength: 1, maxLength: 4 }),
    }),
  },
  {
    weight: 2,
    arbitrary: fc.record({ do: fc.constantFrom('pass' as const), ms: fc.constantFrom(1, 400, 1_000, 2_500) }),
  },
);

const options: fc.Arbitrary<Omit<BarrierOptions, 'id'>> = fc
  .record({
    who: fc.constantFrom<Omit<BarrierOptions, 'id'>>(
      { participants: names },
      { participants: 2 },
      { participants: 3 },
      { perZone: { north: 1, south: 2 } },
    ),
    onLost: fc.constantFrom('wait' as const, 'break' as const, 'proceed' as const),
    deadlineMs: fc.constantFrom(undefined, 700, 3_000),
    minimum: fc.constantFrom(1, 2),
  })
  .map(({ who, onLost, deadlineMs, minimum }) => ({
    ...who,
    onLost,
    leaseMs: 1_000,
    ...(deadlineMs === undefined ? {} : { deadlineMs }),
    ...(onLost === 'proceed' ? { minimum } : {}),
  }));

const node = (n: number) => nodes[n] as (typeof nodes)[0];

function run(table: Table, at: At, todo: Step): unknown {
  const current = at.status()['generation'] as number | undefined;
  at.generation = Math.max(1, (current ?? 1) - ('back' in todo ? todo.back : 0));
  switch (todo.do) {
    case 'pass':
      return table.pass(todo.ms);
    case 'report':
      return at.report(node(todo.node).id, names[todo.as] as string);
    case 'relay': {
      const zone = zones[todo.zone] as string;
      const told = todo.told.map((each) => {
        const good = at.signed(node(each.node), names[each.as] as string, zone, todo.attempt);
        return each.forged ? { ...good, node: node((each.node + 1) % 3).id } : good;
      });
      return at.relay(node(todo.by).id, zone, told);
    }
    default: {
      at.attempt = todo.attempt;
      const [who, as] = [node(todo.node).id, names[todo.as] as string];
      if (todo.do === 'arrive') return at.arrive(who, as, { zone: zones[todo.zone] as string });
      return todo.do === 'withdraw' ? at.withdraw(who, as) : at.renew(who, as);
    }
  }
}

const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex');

describe('any commands', () => {
  test('each generation ends once, as its terms say, and replicas stay alike', () => {
    fc.assert(
      fc.property(options, fc.array(step, { maxLength: 60 }), fc.nat(), (terms, steps, cut) => {
        const table = new Table();
        const twin = new Table();
        const at = new At(table, table.open(terms));
        const twinAt = new At(twin, twin.open(terms));
        let restored = new Table();
        let restoredAt: At | undefined;
        for (const [index, todo] of steps.entries()) {
          if (index === cut % (steps.length + 1)) {
            restored = new Table();
            restored.machine.restore(table.machine.snapshot());
            restored.time = table.time;
            restoredAt = new At(restored, at.ref.epoch);
          }
          const answer = run(table, at, todo);
          expect(run(twin, twinAt, todo)).toEqual(answer);
          expect(hex(twin.machine.snapshot())).toBe(hex(table.machine.snapshot()));
          if (restoredAt === undefined) continue;
          expect(run(restored, restoredAt, todo)).toEqual(answer);
          expect(hex(restored.machine.snapshot())).toBe(hex(table.machine.snapshot()));
        }
        expect(twin.events).toEqual(table.events);
        expect(restored.events).toEqual(table.events.slice(table.events.length - restored.events.length));
        checkOutcomes(table, at, terms);
      }),
      { numRuns: 150 },
    );
  });

  test('what is no command of barriers is refused and changes nothing', () => {
    const table = new Table();
    const at = new At(table, table.open({ participants: names }));
    at.arrive(node(0).id, 'a');
    const before = hex(table.machine.snapshot());
    const good = { kind: 'barrier.arrive', at: at.ref, as: 'b', zone: 'z', attempt: 1 };
    const field = fc.constantFrom('at', 'as', 'zone', 'attempt', 'extra');
    const junk = fc.oneof(
      fc.constant(undefined),
      fc.constant(null),
      fc.constant(-1),
      fc.constant(0.5),
      fc.constant(''),
      fc.constant('x'.repeat(257)),
      fc.constant([]),
      fc.constant({}),
    );
    fc.assert(
      fc.property(
        fc.oneof(
          fc.uint8Array({ maxLength: 64 }),
          fc.tuple(field, junk).map(([key, value]) => encodePayload({ ...good, [key]: value }, 4_096)),
        ),
        (bytes) => {
          if (hex(bytes) === hex(tickCommand)) return;
          expect(table.apply(nobody, bytes)).toMatchObject({ code: 'INVALID_ARGUMENT' });
          expect(hex(table.machine.snapshot())).toBe(before);
        },
      ),
    );
  });
});

function checkOutcomes(table: Table, at: At, terms: Omit<BarrierOptions, 'id'>): void {
  const outcomes = table.events.map((event) => (event as { outcome: Outcome }).outcome);
  let token = 0;
  for (const [index, outcome] of outcomes.entries()) {
    expect(outcome.generation).toBe(index + 1);
    const expected = terms.perZone !== undefined || terms.participants !== 2 ? 3 : 2;
    expect(outcome.arrived + outcome.missing.length + outcome.missingUnnamed).toBe(expected);
    expect(outcome.opened).toBe(outcome.reason === '');
    if (!outcome.opened) {
      expect(outcome.token).toBe(0);
      if (terms.onLost === 'wait') expect(outcome.reason).toBe('deadline');
      continue;
    }
    expect(outcome.token).toBeGreaterThan(token);
    token = outcome.token;
    expect(outcome.arrived).toBeGreaterThanOrEqual(terms.onLost === 'proceed' ? (terms.minimum ?? 1) : expected);
  }
  // What was told is what is answered.
  for (const outcome of outcomes.slice(-4)) {
    at.generation = outcome.generation;
    expect(at.outcome()).toEqual({ state: 'over', outcome });
  }
}
