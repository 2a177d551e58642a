/**
 * Three participants, replies that are lost, commands that run late, events that are not heard, callers that give up. Whatever happens: who hears of a
 * generation hears the same; and one that opened had everybody, so nobody was counted whose arrival was confirmed to be taken back.
 */
import { describe, expect, test } from 'vitest';
import { type Rng, seededRng } from '../../../../src/clock.ts';
import { QuorateError } from '../../../../src/errors.ts';
import type { NodeId } from '../../../../src/node-id.ts';
import type { Barrier, BarrierPassage } from '../../../../src/protocols/coordination/barrier/barrier.ts';
import { OrderedBarriers } from '../../../../src/protocols/coordination/barrier/ordered-barriers.ts';
import { BarrierReducer } from '../../../../src/protocols/coordination/barrier/reducer.ts';
import { ManualClock, SharedOrder } from '../local-tools.ts';
import { identityOf, verify } from './table.ts';

type End =
  | { readonly kind: 'passed'; readonly passage: BarrierPassage }
  | { readonly kind: 'broken'; readonly data: unknown; readonly generation: unknown }
  | { readonly kind: 'withdrawn' | 'uncertain' };

function endOf(arrival: Promise<BarrierPassage>): Promise<End> {
  return arrival.then(
    (passage): End => ({ kind: 'passed', passage }),
    (error: unknown): End => {
      if (!(error instanceof QuorateError)) throw error;
      const { code, data } = error;
      if (code === 'BARRIER_BROKEN') return { kind: 'broken', data, generation: data['generation'] };
      if (code === 'TIMED_OUT') return { kind: data['withdrawn'] === true ? 'withdrawn' : 'uncertain' };
      expect(['NO_QUORUM', 'UNKNOWN_OUTCOME']).toContain(code);
      return { kind: 'uncertain' };
    },
  );
}

interface Person {
  readonly id: NodeId;
  readonly barrier: Barrier;
  readonly ends: End[];
}

async function round(order: SharedOrder, rng: Rng, people: readonly Person[]): Promise<void> {
  let pending = people.length;
  for (const { id, barrier, ends } of people) {
    order.heal(id);
    const faults = Array.from(
      { length: rng.below(3) },
      () => (['before', 'after', 'later'] as const)[rng.below(3)] ?? 'after',
    );
    order.fail(id, ...faults);
    if (rng.below(3) === 0) order.deafen(id);
    else order.undeafen(id, { gap: rng.below(2) === 0 });
    const timeoutMs = rng.below(3) === 0 ? 200 + rng.below(1_000) : 20_000;
    void endOf(barrier.arrive({ timeoutMs })).then((end) => {
      ends.push(end);
      pending -= 1;
    });
    await (order.clock as ManualClock).advance(rng.below(100));
  }
  for (let step = 0; step < 500 && pending > 0; step++) {
    await order.clock.advance(100);
    if (rng.below(4) === 0) order.runLate();
    order.tick();
  }
  expect(pending).toBe(0);
}

function check(people: readonly Person[]): number {
  const opened = new Map<number, BarrierPassage>();
  const broken = new Map<unknown, unknown>();
  for (const end of people.flatMap(({ ends }) => ends)) {
    if (end.kind === 'passed') {
      const { generation } = end.passage;
      expect(end.passage).toEqual(opened.get(generation) ?? end.passage);
      expect(broken.has(generation)).toBe(false);
      opened.set(generation, end.passage);
    } else if (end.kind === 'broken') {
      expect(end.data).toEqual(broken.get(end.generation) ?? end.data);
      broken.set(end.generation, end.data);
    }
  }
  for (const generation of [...opened.keys(), ...broken.keys()])
    expect(opened.has(generation as number) && broken.has(generation)).toBe(false);
  for (const [generation, { arrived }] of opened) {
    expect(arrived).toBe(3);
    for (const { ends } of people) {
      const heard = ends.some((end) => end.kind === 'passed' && end.passage.generation === generation);
      expect(heard || ends.some(({ kind }) => kind === 'uncertain')).toBe(true);
    }
  }
  return opened.size;
}

describe('barriers among faults', () => {
  test('who hears of a generation hears the same, and none opens without everybody', async () => {
    let opened = 0;
    for (let seed = 1; seed <= 40; seed++) {
      const rng = seededRng(seed);
      const order = new SharedOrder([new BarrierReducer(verify)], new ManualClock());
      const people: Person[] = [];
      const onLost = seed % 2 === 0 ? 'wait' : 'break';
      for (let n = 0; n < 3; n++) {
        const tools = order.node(identityOf(n));
        const options = { id: 'b', participants: 3, onLost, leaseMs: 3_000, deadlineMs: 8_000 } as const;
        people.push({ id: tools.self, barrier: await new OrderedBarriers(tools).barrier(options), ends: [] });
      }
      try {
        for (let rounds = 0; rounds < 6; rounds++) await round(order, rng, people);
        opened += check(people);
      } catch (error) {
        throw new Error(`Seed ${seed}`, { cause: error });
      }
    }
    expect(opened).toBeGreaterThan(40);
  });
});
