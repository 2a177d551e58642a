import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { createIdentity } from '../../../src/identity.ts';
import type { NodeId } from '../../../src/node-id.ts';
import { accusationValue, accuseKey, selfKey, selfValue } from '../../../src/protocols/membership/entries.ts';
import type { MemberState } from '../../../src/protocols/membership/membership.ts';
import { MembershipView, type ViewChange } from '../../../src/protocols/membership/view.ts';
import type { Value } from '../../../src/value.ts';

const ids = Array.from({ length: 14 }, (_, n) => createIdentity(new Uint8Array(32).fill(n + 1)).id);
const self = ids[0] as NodeId;
const removeAfterMs = 30_000;

interface Entry {
  readonly author: NodeId;
  readonly key: string;
  readonly value: Value;
}

const info = (id: NodeId, incarnation = 1) => ({
  addresses: [`/ip4/127.0.0.1/tcp/1/p2p/${id}`],
  zone: 'z',
  roles: [],
  capacity: {},
  version: '1',
  incarnation,
  startedAt: 1,
});
const alive = (id: NodeId, incarnation = 1): Entry => ({
  author: id,
  key: selfKey,
  value: selfValue(info(id, incarnation), false),
});
const gone = (id: NodeId): Entry => ({ author: id, key: selfKey, value: selfValue(info(id), true) });
const accuses = (accuser: NodeId, accused: NodeId, incarnation = 1, accuserIncarnation = 1): Entry => ({
  author: accuser,
  key: accuseKey(accused),
  value: accusationValue({
    accuser,
    accused,
    incarnation,
    accuserIncarnation,
    evidence: 'missed-probes',
    at: 1,
    detail: 'd',
  }),
});
const retracts = (accuser: NodeId, accused: NodeId): Entry => ({
  author: accuser,
  key: accuseKey(accused),
  value: undefined,
});

class Bench {
  readonly view: MembershipView;
  now = 0;
  changes: ViewChange[] = [];

  constructor(members: number, liars = 1, me = self) {
    this.view = new MembershipView({ self: me, liars, removeAfterMs, maxMembers: 1_024, rttMs: () => undefined });
    this.give(...ids.slice(0, members).map((id) => alive(id)));
  }

  give(...entries: Entry[]): ViewChange[] {
    for (const { author, key, value } of entries) this.view.apply(author, key, value);
    return this.settle();
  }

  settle(): ViewChange[] {
    this.changes = this.view.settle({ now: this.now, wall: 1e12 + this.now });
    return this.changes;
  }

  pass(ms: number): ViewChange[] {
    this.now += ms;
    this.changes = this.view.expire({ now: this.now, wall: 1e12 + this.now });
    return this.changes;
  }

  state(id: NodeId): MemberState | undefined {
    return this.view.get(id)?.state;
  }

  states(): Record<string, MemberState> {
    return Object.fromEntries(this.view.members().map(({ id, state }) => [id, state]));
  }

  /** Observers of `id` that are not this node. */
  observers(id: NodeId): NodeId[] {
    return this.view.rings.observersOf(id).filter((observer) => observer !== self);
  }
}

const target = ids[5] as NodeId;

describe('verdicts', () => {
  test('one observer makes a suspect, two make it unreachable, time makes it removed', () => {
    const bench = new Bench(12);
    const [first, second] = bench.observers(target) as [NodeId, NodeId];
    bench.give(accuses(first, target));
    expect(bench.state(target)).toBe('suspect');
    expect(bench.give(accuses(second, target))).toMatchObject([
      { previous: 'suspect', member: { id: target, state: 'unreachable' } },
    ]);
    expect(bench.view.nextExpiry()).toBe(removeAfterMs);
    bench.pass(removeAfterMs - 1);
    expect(bench.state(target)).toBe('unreachable');
    expect(bench.pass(1)).toMatchObject([{ previous: 'unreachable', member: { id: target, state: 'removed' } }]);
    expect(bench.view.nextExpiry()).toBeUndefined();
    expect(bench.view.accusations(target).map(({ accuser }) => accuser)).toEqual([first, second]);
  });

  test.each([0, 1, 2, 3])('with %i liars one vote more is needed', (liars) => {
    const bench = new Bench(12, liars);
    const observers = bench.observers(target).slice(0, 4);
    for (const [index, observer] of observers.entries()) {
      bench.give(accuses(observer, target));
      expect(bench.state(target)).toBe(index + 1 >= liars + 1 ? 'unreachable' : 'suspect');
    }
  });

  test('back at once by a higher incarnation, from unreachable and from removed', () => {
    for (const waitMs of [0, 60_000]) {
      const bench = new Bench(12);
      bench.give(...bench.observers(target).map((observer) => accuses(observer, target)));
      bench.pass(waitMs);
      expect(bench.give(alive(target, 2))).toMatchObject([
        { renewed: true, member: { state: 'alive', incarnation: 2 } },
      ]);
      expect(bench.view.accusations(target)).toEqual([]);
    }
  });

  test('back when votes are retracted', () => {
    const bench = new Bench(12);
    const [first, second] = bench.observers(target) as [NodeId, NodeId];
    bench.give(accuses(first, target), accuses(second, target));
    bench.give(retracts(first, target));
    expect(bench.state(target)).toBe('suspect');
    bench.give(retracts(second, target));
    expect(bench.state(target)).toBe('alive');
  });

  test('accusations of another incarnation count when that incarnation comes, not before', () => {
    const bench = new Bench(12);
    bench.give(...bench.observers(target).map((observer) => accuses(observer, target, 5)));
    expect(bench.state(target)).toBe('alive');
    bench.give(alive(target, 5));
    expect(bench.state(target)).toBe('unreachable');
  });

  test('what an accuser said before it had to defend itself makes no verdict, but upholds one', () => {
    const bench = new Bench(12);
    const [first, second] = bench.observers(target) as [NodeId, NodeId];
    bench.give(accuses(first, target), alive(first, 2), accuses(second, target), alive(second, 2));
    expect(bench.state(target)).toBe('alive');
    bench.give(accuses(first, target, 1, 2), accuses(second, target, 1, 2));
    expect(bench.state(target)).toBe('unreachable');
    bench.give(alive(first, 3), alive(second, 3));
    expect(bench.state(target)).toBe('unreachable');
  });

  test('a verdict survives the fall of those who voted, and newcomers between them and the accused', () => {
    const bench = new Bench(10);
    const [first, second] = bench.observers(target) as [NodeId, NodeId];
    bench.give(accuses(first, target), accuses(second, target));
    for (const fallen of [first, second])
      bench.give(...bench.observers(fallen).map((observer) => accuses(observer, fallen)));
    bench.give(...ids.slice(10).map((id) => alive(id)));
    expect(bench.state(target)).toBe('unreachable');
  });

  test('accusers that are unreachable themselves do not count', () => {
    const bench = new Bench(12);
    const [first, second] = bench.observers(target) as [NodeId, NodeId];
    for (const fallen of [first, second])
      bench.give(...bench.observers(fallen).map((observer) => accuses(observer, fallen)));
    expect([bench.state(first), bench.state(second)]).toEqual(['unreachable', 'unreachable']);
    bench.give(accuses(first, target), accuses(second, target));
    expect(bench.state(target)).toBe('alive');
  });

  test('this node is never unreachable to itself, and sees who accuses it', () => {
    const bench = new Bench(12);
    bench.give(...ids.slice(1, 12).map((id) => accuses(id, self)));
    expect(bench.state(self)).toBe('alive');
    expect(bench.view.accusations(self)).toHaveLength(11);
  });

  test('who left has left, whatever is said of it, until it starts again', () => {
    const bench = new Bench(12);
    bench.give(gone(target), ...bench.observers(target).map((observer) => accuses(observer, target)));
    expect(bench.state(target)).toBe('left');
    expect(bench.view.rings.has(target)).toBe(false);
    bench.give(alive(target, 2));
    expect(bench.state(target)).toBe('alive');
  });

  test('a feed that disappears takes its member along; one that is replaced at once does not', () => {
    const bench = new Bench(12);
    expect(bench.give({ author: target, key: selfKey, value: undefined }, alive(target, 9))).toMatchObject([
      { previous: 'alive', renewed: true, member: { state: 'alive', incarnation: 9 } },
    ]);
    expect(bench.give({ author: target, key: selfKey, value: undefined })).toMatchObject([
      { previous: 'alive', member: { id: target, state: 'removed' } },
    ]);
    expect(bench.view.get(target)).toBeUndefined();
    expect(bench.view.rings.has(target)).toBe(false);
  });
});

describe("this node's own evidence", () => {
  test('local suspicion is no vote', () => {
    const bench = new Bench(12);
    bench.view.setSuspected(target, true);
    bench.settle();
    expect(bench.state(target)).toBe('suspect');
    bench.view.setSuspected(target, false);
    bench.settle();
    expect(bench.state(target)).toBe('alive');
  });

  test('with all others silent its own word is enough', () => {
    const bench = new Bench(4);
    const others = ids.slice(1, 4);
    bench.give(...others.map((other) => accuses(self, other)));
    expect(others.map((other) => bench.state(other))).toEqual(['unreachable', 'unreachable', 'unreachable']);
  });

  test('two cut off from three come to a verdict together', () => {
    const bench = new Bench(5);
    const [, friend, ...lost] = ids.slice(0, 5) as [NodeId, NodeId, ...NodeId[]];
    bench.give(...lost.flatMap((id) => [accuses(self, id), accuses(friend, id)]));
    expect(lost.map((id) => bench.state(id))).toEqual(['unreachable', 'unreachable', 'unreachable']);
    expect(bench.state(friend)).toBe('alive');
  });

  test('a lone accuser is not believed because we cannot reach the other witnesses, unless we miss the accused too', () => {
    const bench = new Bench(12);
    const [liar, ...rest] = bench.observers(target) as [NodeId, ...NodeId[]];
    for (const id of rest) bench.view.setUnanswering(id, true);
    bench.give(accuses(liar, target));
    const ours = bench.view.rings.observersOf(target).includes(self);
    expect(ours).toBe(false);
    expect(bench.state(target)).toBe('suspect');
    expect(bench.view.undecided()).toEqual([{ id: target, waitingFor: [], needsOwnEvidence: true }]);
    bench.view.setUnanswering(target, true);
    bench.settle();
    expect(bench.state(target)).toBe('unreachable');
    bench.view.setUnanswering(target, false);
    bench.settle();
    expect(bench.state(target)).toBe('suspect');
  });

  test('in isolation all others are unreachable, and afterwards as they were', () => {
    const bench = new Bench(12);
    bench.give(...bench.observers(target).map((observer) => accuses(observer, target)));
    bench.view.setIsolated(true);
    bench.settle();
    expect(new Set(Object.values(bench.states()))).toEqual(new Set(['alive', 'unreachable']));
    expect(bench.state(self)).toBe('alive');
    bench.view.setIsolated(false);
    bench.settle();
    const down = bench.view.members().filter(({ state }) => state !== 'alive');
    expect(down.map(({ id }) => id)).toEqual([target]);
  });
});

describe('properties', () => {
  const someId = fc.constantFrom(...ids);
  const small = fc.integer({ min: 1, max: 3 });
  const nonsense = fc.anything() as fc.Arbitrary<Value>;

  test('the order of entries does not matter while no accuser is accused', () => {
    const scenario = fc.record({
      accused: fc.subarray(ids.slice(1, 6)),
      accusers: fc.subarray(ids.slice(6)),
      leaving: fc.subarray(ids.slice(1, 8), { maxLength: 2 }),
      renewed: fc.subarray(ids.slice(1)),
      seed: fc.infiniteStream(fc.nat(1_000)),
    });
    fc.assert(
      fc.property(scenario, ({ accused, accusers, leaving, renewed, seed }) => {
        const entries = [
          ...ids.map((id) => (leaving.includes(id) ? gone(id) : alive(id, renewed.includes(id) ? 2 : 1))),
          ...accused.flatMap((x) =>
            accusers
              .filter(() => seed.next().value % 2 === 0)
              .map((y) => accuses(y, x, 1 + (seed.next().value % 2), renewed.includes(y) ? 2 : 1)),
          ),
        ];
        const shuffled = entries
          .map((entry) => ({ entry, rank: seed.next().value }))
          .sort((p, q) => p.rank - q.rank)
          .map(({ entry }) => entry);
        const inOrder = new Bench(0);
        inOrder.give(...entries);
        const together = new Bench(0);
        together.give(...shuffled);
        expect(together.states()).toEqual(inOrder.states());
      }),
    );
  });

  test('one author alone, whatever it writes, makes nobody else unreachable, whoever looks', () => {
    const liar = ids[3] as NodeId;
    const writes = fc.oneof(
      fc.tuple(someId, small, small).map(([x, i, j]) => accuses(liar, x, i, j)),
      small.map((incarnation) => alive(liar, incarnation)),
      fc.constant(gone(liar)),
      fc.tuple(someId, nonsense).map(([x, value]) => ({ author: liar, key: accuseKey(x), value })),
      fc
        .tuple(fc.constantFrom(selfKey, 'x', 'accuse/'), nonsense)
        .map(([key, value]) => ({ author: liar, key, value })),
    );
    const honest = someId.filter((id) => id !== liar);
    fc.assert(
      fc.property(
        fc.integer({ min: 4, max: 14 }),
        honest,
        fc.array(writes, { maxLength: 40 }),
        (members, me, entries) => {
          const bench = new Bench(members, 1, me);
          bench.give(alive(me));
          for (const entry of entries) {
            bench.give(entry);
            const down = bench.view
              .members()
              .filter(({ id, state }) => id !== liar && (state === 'unreachable' || state === 'removed'));
            expect(down).toEqual([]);
          }
        },
      ),
    );
  });

  test('two who do not observe a member cannot make it unreachable', () => {
    fc.assert(
      fc.property(fc.constantFrom(...ids.slice(1)), someId, someId, (x, p, q) => {
        const bench = new Bench(14);
        const observers = bench.view.rings.observersOf(x);
        fc.pre(!observers.includes(p) && !observers.includes(q) && p !== q);
        fc.pre(p !== self && q !== self && p !== x && q !== x);
        bench.give(accuses(p, x), accuses(q, x));
        expect(bench.state(x)).toBe('alive');
      }),
    );
  });

  test('any entries from anybody: this node stays, states fit the rule, nothing throws', () => {
    const entries = fc.oneof(
      fc.tuple(someId, someId, small, small).map(([x, y, i, j]) => accuses(x, y, i, j)),
      fc.tuple(someId, someId).map(([x, y]) => retracts(x, y)),
      fc.tuple(someId, small).map(([x, i]) => alive(x, i)),
      someId.filter((id) => id !== self).map(gone),
      fc
        .tuple(
          someId.filter((id) => id !== self),
          nonsense,
        )
        .map(([author, value]) => ({ author, key: selfKey, value })),
    );
    fc.assert(
      fc.property(fc.array(fc.tuple(entries, fc.nat(20_000)), { maxLength: 80 }), (steps) => {
        const bench = new Bench(6);
        for (const [entry, waitMs] of steps) {
          const before = new Map(bench.view.members().map((member) => [member.id, member]));
          for (const { member, previous } of bench.give(entry)) {
            expect(previous).toBe(before.get(member.id)?.state);
            expect(member).not.toEqual(before.get(member.id));
          }
          bench.pass(waitMs);
          expect(bench.state(self)).toBe('alive');
          for (const { id, state } of bench.view.members()) {
            expect(bench.view.rings.has(id)).toBe(state === 'alive' || state === 'suspect');
            if (state === 'unreachable') expect(bench.view.accusations(id).length).toBeGreaterThanOrEqual(2);
          }
        }
      }),
      { numRuns: 200 },
    );
  });

  test('accusations and members are bounded', () => {
    const view = new MembershipView({ self, liars: 1, removeAfterMs, maxMembers: 3, rttMs: () => 1 });
    expect(ids.slice(0, 5).map((id) => view.apply(id, selfKey, alive(id).value))).toEqual([
      true,
      true,
      true,
      false,
      false,
    ]);
    const many = Array.from(
      { length: 300 },
      (_, n) => createIdentity(new Uint8Array(32).fill(0).map((_, i) => (i === 0 ? n : i === 1 ? n >> 8 : 9))).id,
    );
    const accepted = many.filter((id) =>
      view.apply(ids[1] as NodeId, accuseKey(id), accuses(ids[1] as NodeId, id).value),
    );
    expect(accepted).toHaveLength(256);
  });
});
