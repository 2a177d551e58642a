/** What every `BarrierProvider` must do, as cases for any test runner; in one process and across nodes. */
import assert from 'node:assert/strict';
import type { Barrier, BarrierOptions, BarrierProvider } from '../protocols/coordination/barrier/barrier.ts';
import { type ConformanceOptions, declareCases, failure } from './suite.ts';

/** One node of a fresh mesh, or one process that stands for all. */
export interface BarrierSubjectNode {
  readonly barriers: Pick<BarrierProvider, 'barrier'>;
  readonly zone: string;
}

export interface BarrierSubject {
  /** At least one; those of one mesh meet at the same barriers. No agent is registered. */
  readonly nodes: readonly [BarrierSubjectNode, ...BarrierSubjectNode[]];
  /** Must be idempotent. */
  stop(): Promise<void>;
}

export type BarrierConformanceOptions = ConformanceOptions<BarrierSubject>;

/** Declares all cases with `test`. */
export function barrierConformance(options: BarrierConformanceOptions): void {
  declareCases(options, cases);
}

/** The barrier as three participants see it, spread over the nodes. */
async function three({ nodes }: BarrierSubject, options: BarrierOptions): Promise<[Barrier, Barrier, Barrier]> {
  const at = (index: number): Promise<Barrier> =>
    (nodes[index % nodes.length] as BarrierSubjectNode).barriers.barrier(options);
  return [await at(0), await at(1), await at(2)];
}

const generousMs = 30_000;
const patient = { timeoutMs: generousMs };

async function until(holds: () => Promise<boolean>): Promise<void> {
  const end = performance.now() + generousMs;
  while (!(await holds())) {
    assert.ok(performance.now() < end, 'it did not come about');
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

const cases: Readonly<Record<string, (subject: BarrierSubject) => Promise<void>>> = {
  'nobody passes before everybody has come, and all get the same': async (subject) => {
    const [a, b, c] = await three(subject, { id: 'b', participants: ['a', 'b', 'c'] });
    let token = 0;
    for (let generation = 1; generation <= 3; generation++) {
      let passed = false;
      const early = [a.arrive({ as: 'a', ...patient }), b.arrive({ as: 'b', ...patient })];
      void Promise.race(early).then(() => {
        passed = true;
      });
      await until(async () => (await c.status()).arrivedCount >= 2);
      assert.equal(passed, false);
      assert.deepEqual((await c.status()).missing, ['c']);
      const last = await c.arrive({ as: 'c', ...patient });
      for (const passage of await Promise.all(early)) assert.deepEqual(passage, last);
      assert.equal(last.generation, generation);
      assert.equal(last.arrived, 3);
      assert.ok(last.token > token);
      token = last.token;
    }
  },

  'a barrier that counts takes whoever comes, and cannot name who is missing': async (subject) => {
    const [a, b, c] = await three(subject, { id: 'b', participants: 3 });
    const early = a.arrive({ as: 'x', ...patient });
    await until(async () => (await a.status()).arrivedCount >= 1);
    const { arrived, missing, missingUnnamed } = await b.status();
    assert.deepEqual({ arrived, missing, missingUnnamed }, { arrived: ['x'], missing: [], missingUnnamed: 2 });
    const rest = [b.arrive({ as: 'y', ...patient }), c.arrive({ as: 'z', ...patient })];
    assert.deepEqual(await early, await rest[0]);
    assert.deepEqual(await early, await rest[1]);
  },

  'flat or hierarchical, the zones meet': async (subject) => {
    const perZone: Record<string, number> = {};
    for (const { zone } of subject.nodes) perZone[zone] = (perZone[zone] ?? 0) + 2;
    for (const strategy of ['flat', 'hierarchical'] as const) {
      const arrivals = subject.nodes.flatMap(({ barriers }, index) =>
        ['x', 'y'].map(async (name) => {
          const barrier = await barriers.barrier({ id: strategy, perZone, strategy });
          return barrier.arrive({ as: `${name}${index}`, ...patient });
        }),
      );
      const passages = await Promise.all(arrivals);
      for (const passage of passages) assert.deepEqual(passage, passages[0]);
      assert.equal(passages[0]?.arrived, 2 * subject.nodes.length);
    }
  },

  'a deadline breaks it for everybody alike, and the next generation is whole': async (subject) => {
    const [a, b, c] = await three(subject, { id: 'b', participants: ['a', 'b', 'c'], deadlineMs: 1_500 });
    const early = [a.arrive({ as: 'a', ...patient }), b.arrive({ as: 'b', ...patient })];
    const failures = await Promise.all(early.map((each) => failure('BARRIER_BROKEN', () => each)));
    for (const { data } of failures) {
      assert.deepEqual(data, failures[0]?.data);
      assert.equal(data['reason'], 'deadline');
      assert.deepEqual(data['missing'], ['c']);
    }
    const all = [
      a.arrive({ as: 'a', ...patient }),
      b.arrive({ as: 'b', ...patient }),
      c.arrive({ as: 'c', ...patient }),
    ];
    for (const { generation } of await Promise.all(all)) assert.equal(generation, 2);
  },

  'with proceed, those who have come by the deadline go on': async (subject) => {
    const options = { id: 'b', participants: 3, onLost: 'proceed', minimum: 2, deadlineMs: 1_500 } as const;
    const [a, b] = await three(subject, options);
    const early = [a.arrive({ as: 'a', ...patient }), b.arrive({ as: 'b', ...patient })];
    const [first, second] = await Promise.all(early);
    assert.deepEqual(first, second);
    assert.equal(first?.arrived, 2);
    assert.equal(first?.missingUnnamed, 1);
  },

  'who times out or aborts is taken back, and can come again': async (subject) => {
    const [a, b, c] = await three(subject, { id: 'b', participants: 2 });
    await failure('TIMED_OUT', () => a.arrive({ as: 'a', timeoutMs: 200 }));
    const abort = new AbortController();
    const aborted = b.arrive({ as: 'b', signal: abort.signal, ...patient });
    await until(async () => (await c.status()).arrivedCount >= 1);
    abort.abort(new Error('enough'));
    await assert.rejects(aborted, /enough/);
    await until(async () => (await c.status()).arrivedCount === 0);
    const both = await Promise.all([a.arrive({ as: 'a', ...patient }), b.arrive({ as: 'b', ...patient })]);
    assert.deepEqual(both[0], both[1]);
    assert.equal(both[0]?.generation, 1);
  },

  'strangers, repeated names, other terms and senseless terms are refused': async (subject) => {
    const [a] = await three(subject, { id: 'b', participants: ['a', 'b'] });
    await failure('NOT_PERMITTED', () => a.arrive({ as: 'stranger' }));
    await failure('INVALID_ARGUMENT', () => a.arrive());
    const abort = new AbortController();
    const waiting = a.arrive({ as: 'a', signal: abort.signal, ...patient });
    await failure('INVALID_ARGUMENT', () => a.arrive({ as: 'a' }));
    abort.abort();
    await assert.rejects(waiting);
    const { barriers } = subject.nodes[0];
    const conflict = await failure('ALREADY_EXISTS', () => barriers.barrier({ id: 'b', participants: 2 }));
    assert.ok('existing' in conflict.data && 'wanted' in conflict.data);
    await failure('INVALID_ARGUMENT', () => barriers.barrier({ id: 'c' }));
    await failure('INVALID_ARGUMENT', () => barriers.barrier({ id: 'c', participants: 2, perZone: { z: 2 } }));
    await failure('INVALID_ARGUMENT', () => barriers.barrier({ id: 'c', participants: 0 }));
    await failure('INVALID_ARGUMENT', () => barriers.barrier({ id: '', participants: 2 }));
  },
};
