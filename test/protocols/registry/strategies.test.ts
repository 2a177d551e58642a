import { describe, expect, it } from 'vitest';
import { seededRng } from '../../../src/clock.ts';
import { compileCriteria } from '../../../src/crdt/registry-criteria.ts';
import { type AgentRecord, completeFields, makeRecord, type RecordFields } from '../../../src/crdt/registry-record.ts';
import type { NodeId } from '../../../src/node-id.ts';
import { Strategies } from '../../../src/protocols/registry/strategies.ts';

const agent = (id: string, fields: Partial<RecordFields> = {}, node = id): AgentRecord =>
  makeRecord(id, node as NodeId, completeFields(fields, 'z'), 1);

function createStrategies(
  pending: Readonly<Record<string, number>> = {},
  free: Readonly<Record<string, Readonly<Record<string, number>>>> = {},
): Strategies {
  const rng = seededRng(7);
  return new Strategies({
    self: 'self' as NodeId,
    zone: 'z',
    rttMs: () => undefined,
    freeCapacity: (node) => free[node] ?? {},
    pendingCalls: (id) => pending[id] ?? 0,
    random: () => rng.float(),
  });
}

/** How often each was chosen. */
function tally(
  strategies: Strategies,
  name: 'leastLoaded' | 'nearestHealthy',
  candidates: AgentRecord[],
): Record<string, number> {
  const counts: Record<string, number> = Object.fromEntries(candidates.map(({ id }) => [id, 0]));
  for (let i = 0; i < 3_000; i++) {
    const id = strategies.choose(name, candidates, [])?.record?.id ?? 'none';
    counts[id] = (counts[id] ?? 0) + 1;
  }
  return counts;
}

describe('leastLoaded', () => {
  it('of two always takes the one with fewer pending calls for its size', () => {
    const choose = (pending: Record<string, number>, ...candidates: AgentRecord[]): Record<string, number> =>
      tally(createStrategies(pending), 'leastLoaded', candidates);
    expect(choose({ a: 3, b: 2 }, agent('a'), agent('b'))).toEqual({ a: 0, b: 3_000 });
    expect(choose({ a: 3, b: 2 }, agent('a', { capacity: { cpu: 4 } }), agent('b'))).toEqual({ a: 3_000, b: 0 });
    expect(choose({ a: 1 }, agent('a'), agent('b', { health: 'degraded' }))).toEqual({ a: 3_000, b: 0 });
    expect(choose({}, agent('a', { capacity: { cpu: 0 } }), agent('b'))).toEqual({ a: 0, b: 3_000 });
  });

  it('takes what a node announces as free for the size of agents that name none', () => {
    const free = { a: { cpu: 0.2 }, b: { cpu: 0.9 } };
    const choose = (...candidates: AgentRecord[]): Record<string, number> =>
      tally(createStrategies({}, free), 'leastLoaded', candidates);
    expect(choose(agent('a'), agent('b'))).toEqual({ a: 0, b: 3_000 });
    expect(choose(agent('a', { capacity: { cpu: 4 } }), agent('b'))).toEqual({ a: 3_000, b: 0 });
    expect(choose(agent('b'), agent('c'))).toEqual({ b: 0, c: 3_000 });
  });

  it('never takes the most loaded of three, and herds to nobody', () => {
    const counts = tally(
      createStrategies({ a: 9, b: 1 }),
      'leastLoaded',
      ['a', 'b', 'c'].map((id) => agent(id)),
    );
    expect(counts['a']).toBe(0);
    // c wins two of the three pairs, b the third.
    expect(counts['b']).toBeGreaterThan(800);
    expect(counts['c']).toBeGreaterThan(1_800);
  });
});

describe('nearestHealthy', () => {
  it('spreads evenly over equals', () => {
    const counts = tally(createStrategies(), 'nearestHealthy', [
      agent('far', { zone: 'elsewhere' }),
      ...['a', 'b', 'c'].map((id) => agent(id, {}, 'self')),
      agent('other'),
    ]);
    expect(counts).toMatchObject({ far: 0, other: 0 });
    for (const id of ['a', 'b', 'c']) expect(counts[id]).toBeGreaterThan(850);
  });
});

describe('roundRobin', () => {
  it('remembers a bounded number of criteria', () => {
    const strategies = createStrategies();
    const candidates = [agent('a'), agent('b')];
    const next = (kind: string): string | undefined =>
      strategies.choose('roundRobin', candidates, compileCriteria({ kind }))?.record?.id;
    expect([next('k0'), next('k0')]).toEqual(['a', 'b']);
    expect(next('k0')).toBe('a');
    for (let other = 1; other <= 1024; other++) next(`k${other}`);
    expect(next('k0')).toBe('a'); // forgotten: it would have been b
  });

  it('takes criteria that JSON cannot express', () => {
    const tests = compileCriteria({ custom: { big: 5n, at: new Date(1), map: new Map([[1, 2]]) } });
    expect(createStrategies().choose('roundRobin', [agent('a')], tests)?.record?.id).toBe('a');
  });
});
