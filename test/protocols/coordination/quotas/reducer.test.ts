import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { NodeId } from '../../../../src/node-id.ts';
import { decodePayload, encodePayload } from '../../../../src/payload.ts';
import { CoordinationMachine } from '../../../../src/protocols/coordination/machine/machine.ts';
import { maxClients, maxLimits } from '../../../../src/protocols/coordination/quotas/limits.ts';
import { QuotasReducer } from '../../../../src/protocols/coordination/quotas/reducer.ts';

const machine = (): CoordinationMachine => new CoordinationMachine([new QuotasReducer()]);

function run(on: CoordinationMachine, time: number, client: string, command: unknown): unknown {
  const answer = decodePayload(
    on.apply(encodePayload(command, 65_536), { seq: 1, time, client: client as NodeId, validators: [] }),
  );
  return answer.ok ? answer.value : undefined;
}

const take = (want: number, more: object = {}) => ({
  kind: 'quotas.take',
  limit: 'l',
  rate: 100,
  capacity: 10,
  want,
  ...more,
});

test('a bucket is full at first, and fills in agreed time', () => {
  const m = machine();
  expect(run(m, 1_000, 'a', take(4))).toEqual([[4, 0]]);
  expect(run(m, 1_000, 'a', take(10))).toMatchObject([[6, expect.any(Number)]]);
  expect(run(m, 1_000, 'a', take(1))).toMatchObject([[0, 10]]);
  expect(run(m, 1_010, 'a', take(1))).toEqual([[1, 0]]);
  expect(run(m, 900, 'a', take(1))).toMatchObject([[0, 10]]);
  expect(run(m, 9_000, 'a', take(10))).toEqual([[10, 0]]);
});

test('limits are independent, and in use with one rate and capacity', () => {
  const m = machine();
  expect(run(m, 1, 'a', take(10))).toEqual([[10, 0]]);
  expect(run(m, 1, 'a', take(10, { limit: 'other', rate: 5 }))).toEqual([[10, 0]]);
  expect(run(m, 1, 'b', take(1, { rate: 1e6 }))).toEqual(['CONFLICT', { name: 'l', rate: 100, capacity: 10 }]);
  const query = (limit: string) => {
    const answer = decodePayload(m.query(encodePayload({ kind: 'quotas.terms', limit }, 256)));
    return answer.ok ? answer.value : undefined;
  };
  expect([query('l'), query('none')]).toEqual([[[100, 10]], [undefined]]);
  // Forgotten a minute after its last use, and free for another rate.
  expect(run(m, 60_002, 'b', take(1, { rate: 7 }))).toEqual([[1, 0]]);
});

test('who got less comes before who got more, and half of the bucket is kept for it', () => {
  const m = machine();
  run(m, 1_000, 'greedy', take(10));
  expect(run(m, 1_020, 'modest', take(5))).toMatchObject([[2, expect.any(Number)]]);
  // Four more have come by then; none of them is for who got ten.
  expect(run(m, 1_060, 'greedy', take(10))).toMatchObject([[0, expect.any(Number)]]);
  expect(run(m, 1_060, 'modest', take(4))).toEqual([[4, 0]]);
  // Nobody else is hungry any more.
  expect(run(m, 1_100, 'greedy', take(4))).toEqual([[4, 0]]);
});

test('what is no such command is refused, and more limits than are kept', () => {
  const m = machine();
  for (const more of [
    { want: 0 },
    { want: 11 },
    { want: 1.5 },
    { rate: 0 },
    { rate: Number.NaN },
    { capacity: 0.5 },
    { limit: '' },
  ]) {
    expect(run(m, 1, 'a', take(1, more))).toMatchObject(['INVALID_ARGUMENT', {}]);
  }
  for (let at = 0; at < maxLimits; at++) run(m, 1, 'a', take(1, { limit: `l${at}` }));
  expect(run(m, 1, 'a', take(1, { limit: 'one more' }))).toMatchObject(['LIMIT_EXCEEDED', { limit: maxLimits }]);
});

const step = fc.record({
  after: fc.nat(300),
  client: fc.constantFrom('a', 'b', 'c'),
  want: fc.integer({ min: 1, max: 10 }),
});

describe('whoever asks, and however often', () => {
  test('between any two moments no more is granted than rate and capacity allow', () => {
    fc.assert(
      fc.property(fc.array(step, { maxLength: 80 }), (steps) => {
        const m = machine();
        let now = 1_000;
        const grants: { at: number; granted: number }[] = [];
        for (const { after, client, want } of steps) {
          now += after;
          const [[granted, retryAfterMs]] = run(m, now, client, take(want)) as [[number, number]];
          expect(granted).toBeLessThanOrEqual(want);
          expect(retryAfterMs === 0).toBe(granted === want);
          grants.push({ at: now, granted });
        }
        for (const [from, { at }] of grants.entries()) {
          let sum = 0;
          for (const later of grants.slice(from)) {
            sum += later.granted;
            expect(sum).toBeLessThanOrEqual(10 + ((later.at - at) * 100) / 1_000 + 1e-6);
          }
        }
      }),
    );
  });

  test('a replica that took over a snapshot goes on alike', () => {
    fc.assert(
      fc.property(fc.array(step, { maxLength: 40 }), fc.array(step, { maxLength: 20 }), (before, after) => {
        const [one, two] = [machine(), machine()];
        let now = 1_000;
        for (const { after: ms, client, want } of before) {
          now += ms;
          run(one, now, client, take(want));
        }
        two.restore(one.snapshot());
        expect(two.snapshot()).toEqual(one.snapshot());
        for (const { after: ms, client, want } of after) {
          now += ms;
          expect(run(two, now, client, take(want))).toEqual(run(one, now, client, take(want)));
        }
        expect(two.snapshot()).toEqual(one.snapshot());
      }),
    );
  });
});

test('only so many nodes are remembered for a limit', () => {
  const reducer = new QuotasReducer();
  const m = new CoordinationMachine([reducer]);
  for (let node = 0; node < 2 * maxClients; node++) run(m, 1_000, `n${node}`, take(1));
  const [bucket] = reducer.snapshot() as [readonly unknown[]];
  expect(bucket[5]).toHaveLength(maxClients);
});
