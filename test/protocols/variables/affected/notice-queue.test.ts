import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { NoticeQueue } from '../../../../src/protocols/variables/affected/notice-queue.ts';
import type { VariableNotice } from '../../../../src/protocols/variables/variables.ts';

const news = (value: number) => ({ value, agreed: false });
const agreement = (value: number, at: number) => ({ value, agreed: true, at });

function drain(queue: NoticeQueue): VariableNotice[] {
  const notices: VariableNotice[] = [];
  for (let head = queue.begin(); head !== undefined; head = queue.begin()) {
    notices.push(head.notice);
    queue.acknowledged();
  }
  return notices;
}

const values = (notices: readonly VariableNotice[]) => notices.map(({ value }) => value);

test('in order, one at a time, until acknowledged', () => {
  const queue = new NoticeQueue('v', 10);
  queue.tell(news(1), 100);
  queue.tell(news(2), 50);
  const first = queue.begin();
  expect(first?.notice).toEqual({ variable: 'v', value: 1, version: 100, agreed: false, skipped: 0 });
  expect(queue.begin()).toBeUndefined();
  queue.failed();
  expect(queue.begin()).toEqual(first);
  queue.acknowledged();
  expect(queue.begin()?.notice).toMatchObject({ value: 2, version: 101 });
});

test('what is pushed out is counted in the next, and never what is on its way', () => {
  const queue = new NoticeQueue('v', 3);
  queue.tell(news(0), 1);
  queue.begin();
  for (let value = 1; value <= 6; value++) queue.tell(news(value), 1);
  expect(queue.length).toBe(3);
  queue.acknowledged();
  expect(drain(queue).map(({ value, skipped }) => [value, skipped])).toEqual([
    [5, 4],
    [6, 0],
  ]);
});

test('what was given up last is counted in whatever comes', () => {
  const queue = new NoticeQueue('v', 3);
  queue.tell(news(1), 1);
  queue.begin();
  queue.skip('hopeless');
  queue.tell(news(2), 1);
  expect(queue.begin()?.notice).toMatchObject({ value: 2, skipped: 1 });
});

describe('waiters', () => {
  test('are told by the acknowledgement, once, and after what came before', () => {
    const queue = new NoticeQueue('v', 10);
    const settled: (string | undefined)[] = [];
    queue.tell(news(1), 1);
    queue.wait(news(2), 1, (reason) => settled.push(reason));
    queue.begin();
    queue.acknowledged();
    expect(settled).toEqual([]);
    queue.begin();
    queue.acknowledged();
    queue.abandon('gone');
    expect(settled).toEqual([undefined]);
  });

  test('share the notice of one agreement with what is owed, in either order', () => {
    const queue = new NoticeQueue('v', 10);
    const settled: (string | undefined)[] = [];
    const settle = (reason: string | undefined): void => void settled.push(reason);
    queue.tell(agreement(1, 7), 9);
    const cancel = queue.wait(agreement(1, 7), 9, settle);
    cancel();
    expect(queue.length).toBe(1);
    queue.wait(agreement(1, 7), 9, settle);
    expect(values(drain(queue))).toEqual([1]);
    queue.wait(agreement(1, 7), 9, settle);
    queue.tell(agreement(1, 7), 9);
    expect(queue.length).toBe(0);
    expect(settled).toEqual([undefined, undefined]);
  });

  test('an agreement that shows again after something else is told again', () => {
    const queue = new NoticeQueue('v', 10);
    queue.tell(agreement(1, 7), 9);
    queue.tell(news(2), 9);
    queue.tell(agreement(1, 7), 9);
    expect(values(drain(queue))).toEqual([1, 2, 1]);
    queue.release();
    queue.tell(agreement(1, 7), 9);
    expect(values(drain(queue))).toEqual([1]);
  });

  test('what nobody waits for any more, and nobody owes, is dropped; not what is on its way', () => {
    const queue = new NoticeQueue('v', 10);
    const settle = (): void => expect.unreachable();
    const first = queue.wait(news(1), 1, settle);
    const second = queue.wait(news(2), 1, settle);
    queue.begin();
    first();
    second();
    expect(queue.length).toBe(1);
    queue.failed();
    expect(queue.length).toBe(0);
  });

  test('another node owes from now on: only what is waited for stays', () => {
    const queue = new NoticeQueue('v', 10);
    queue.tell(news(1), 1);
    const cancel = queue.wait(news(2), 1, () => undefined);
    queue.tell(news(3), 1);
    queue.release();
    expect(queue.length).toBe(1);
    cancel();
    expect(queue.length).toBe(0);
  });
});

type Step =
  | { readonly kind: 'tell' | 'wait'; readonly agreed: boolean; readonly stamp: number }
  | { readonly kind: 'begin' | 'acknowledge' | 'fail' | 'cancel' };

const step: fc.Arbitrary<Step> = fc.oneof(
  fc.record({
    kind: fc.constantFrom('tell' as const, 'wait' as const),
    agreed: fc.boolean(),
    stamp: fc.integer({ min: 0, max: 50 }),
  }),
  fc.record({ kind: fc.constantFrom('begin' as const, 'acknowledge' as const, 'fail' as const, 'cancel' as const) }),
);

test('whatever happens: versions rise, the order holds, each notice is told or counted as skipped, each waiter settled once', () => {
  fc.assert(
    fc.property(fc.array(step, { maxLength: 60 }), fc.integer({ min: 2, max: 5 }), (steps, limit) => {
      const queue = new NoticeQueue('v', limit);
      const acknowledged: VariableNotice[] = [];
      const owed = new Set<number>();
      const settled = new Map<number, number>();
      const cancels: (() => void)[] = [];
      let waits = 0;
      let cancelled = 0;
      let onItsWay: VariableNotice | undefined;
      const end = (): void => {
        if (onItsWay === undefined) return;
        acknowledged.push(onItsWay);
        onItsWay = undefined;
        queue.acknowledged();
      };
      for (const [value, one] of steps.entries()) {
        if (one.kind === 'tell' || one.kind === 'wait') {
          const said = one.agreed ? agreement(value, value) : news(value);
          if (one.kind === 'tell') {
            owed.add(value);
            queue.tell(said, one.stamp);
          } else {
            const number = waits++;
            const cancel = queue.wait(said, one.stamp, () => settled.set(number, (settled.get(number) ?? 0) + 1));
            cancels.push(() => {
              if (!settled.has(number)) {
                cancelled += 1;
                settled.set(number, 1);
              }
              cancel();
            });
          }
        } else if (one.kind === 'begin') onItsWay = queue.begin()?.notice ?? onItsWay;
        else if (one.kind === 'acknowledge') end();
        else if (one.kind === 'cancel') cancels.pop()?.();
        else if (onItsWay !== undefined) {
          onItsWay = undefined;
          queue.failed();
        }
        expect(queue.length).toBeLessThanOrEqual(limit);
      }
      end();
      // Whatever was left out last is counted in what comes next.
      owed.add(steps.length);
      queue.tell(news(steps.length), 0);
      acknowledged.push(...drain(queue));
      for (const [index, notice] of acknowledged.entries()) {
        const before = acknowledged[index - 1];
        if (before !== undefined) expect(notice.version).toBeGreaterThan(before.version);
        if (before !== undefined) expect(notice.value).toBeGreaterThan(before.value as number);
      }
      const told = new Set(acknowledged.map(({ value }) => value as number));
      const skipped = acknowledged.reduce((sum, notice) => sum + notice.skipped, 0);
      const missing = [...owed].filter((value) => !told.has(value)).length;
      // Waited-for notices may be pushed out as well, so it is a bound.
      expect(skipped).toBeGreaterThanOrEqual(missing);
      expect(skipped).toBeLessThanOrEqual(missing + waits);
      expect(settled.size).toBe(waits);
      for (const times of settled.values()) expect(times).toBe(1);
      expect(cancelled).toBeLessThanOrEqual(waits);
    }),
    { numRuns: 500 },
  );
});
