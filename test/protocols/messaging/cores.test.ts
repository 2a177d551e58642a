/** The pure cores: deadlines, mailbox, deduplication, retry budget, stream credit. */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { RetryBudget } from '../../../src/protocols/messaging/budget.ts';
import { Deadline, DeadlineWheel, tickMs } from '../../../src/protocols/messaging/deadlines.ts';
import { type DedupEntry, DedupWindow } from '../../../src/protocols/messaging/dedup.ts';
import { Mailbox } from '../../../src/protocols/messaging/mailbox.ts';
import { LatencyHistogram } from '../../../src/protocols/messaging/stats.ts';
import { ReceiveWindow, SendCredit } from '../../../src/protocols/messaging/stream-flow.ts';

class Entry extends Deadline {
  override onDeadline(): void {}
}

describe('the wheel of deadlines', () => {
  test('each entry comes out once, never early, at most a tick late, unless it was removed', () => {
    const step = fc.record({
      advanceMs: fc.integer({ min: 0, max: 30_000 }),
      add: fc.array(fc.integer({ min: -10, max: 60_000 }), { maxLength: 5 }),
      remove: fc.nat(),
    });
    fc.assert(
      fc.property(fc.array(step, { maxLength: 40 }), (steps) => {
        let now = 1_000;
        const wheel = new DeadlineWheel(now);
        const live = new Map<Entry, number>();
        for (const { advanceMs, add, remove } of steps) {
          for (const inMs of add) {
            const entry = new Entry();
            wheel.add(entry, now + inMs, now);
            // One that was due before it was added cannot be late before that.
            live.set(entry, now + Math.max(inMs, 0));
          }
          const victim = [...live.keys()][remove % 7];
          if (victim !== undefined) {
            wheel.remove(victim);
            wheel.remove(victim);
            live.delete(victim);
          }
          now += advanceMs;
          for (const entry of wheel.expire(now) as Entry[]) {
            expect(live.get(entry)).toBeLessThanOrEqual(now);
            live.delete(entry);
          }
          expect(wheel.size).toBe(live.size);
          for (const dueAt of live.values()) expect(dueAt).toBeGreaterThan(now - 2 * tickMs);
          const look = wheel.nextLookAt();
          if (live.size === 0) expect(look).toBeUndefined();
          else expect(look).toBeLessThanOrEqual(Math.max(Math.min(...live.values()), now) + 2 * tickMs);
        }
      }),
    );
  });

  test('an entry that is added again moves', () => {
    const wheel = new DeadlineWheel(0);
    const entry = new Entry();
    wheel.add(entry, 100, 0);
    wheel.add(entry, 1_000, 0);
    expect(wheel.expire(500)).toEqual([]);
    expect(wheel.expire(1_010)).toEqual([entry]);
    expect(wheel.size).toBe(0);
  });
});

describe('the mailbox', () => {
  test('never runs or keeps more than it may, keeps the order, loses nothing', () => {
    type Item = { withdrawn: boolean; number: number };
    const actions = fc.array(fc.constantFrom('offer', 'offer', 'offer', 'finish', 'withdraw', 'clear'), {
      maxLength: 200,
    });
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 4 }), fc.integer({ min: 1, max: 6 }), actions, (most, capacity, list) => {
        const mailbox = new Mailbox<Item>(most, capacity);
        let running = 0;
        let waiting: Item[] = [];
        let number = 0;
        for (const action of list) {
          if (action === 'offer') {
            const item = { withdrawn: false, number: number++ };
            const answer = mailbox.offer(item);
            const expected = running < most ? 'run' : waiting.length < capacity ? 'wait' : 'full';
            expect(answer).toBe(expected);
            if (answer === 'run') running += 1;
            if (answer === 'wait') waiting.push(item);
          } else if (action === 'finish' && running > 0) {
            const next = mailbox.finish();
            expect(next).toBe(waiting.shift());
            if (next === undefined) running -= 1;
          } else if (action === 'withdraw' && waiting.length > 0) {
            const [item] = waiting.splice(Math.floor(waiting.length / 2), 1);
            mailbox.withdraw(item as Item);
            mailbox.withdraw(item as Item);
          } else if (action === 'clear') {
            expect(mailbox.clear()).toEqual(waiting);
            waiting = [];
          }
          expect([mailbox.running, mailbox.queued]).toEqual([running, waiting.length]);
        }
      }),
    );
  });
});

describe('the deduplication window', () => {
  const limits = { keepMs: 1_000, entries: 20, entriesPerCaller: 8, bytes: 500 };

  test('stays within its bounds, never forgets what runs, and never gives one caller the outcome of another', () => {
    const step = fc.record({
      caller: fc.constantFrom('a', 'b', 'c'),
      key: fc.integer({ min: 0, max: 15 }).map(String),
      settle: fc.boolean(),
      bytes: fc.integer({ min: 1, max: 200 }),
      advanceMs: fc.integer({ min: 0, max: 300 }),
    });
    fc.assert(
      fc.property(fc.array(step, { maxLength: 200 }), (steps) => {
        const window = new DedupWindow<string, string>(limits);
        const running = new Map<string, DedupEntry<string, string>>();
        let now = 0;
        for (const { caller, key, settle, bytes, advanceMs } of steps) {
          now += advanceMs;
          const name = `${caller}/${key}`;
          const answer = window.find(caller, key, now);
          expect(answer.kind === 'running').toBe(running.has(name));
          if (answer.kind === 'running') expect(answer.run).toBe(name);
          if (answer.kind === 'settled') expect(answer.outcome).toBe(`reply to ${name}`);
          if (answer.kind === 'unknown') {
            const entry = window.begin(caller, key, name);
            if (entry !== undefined) running.set(name, entry);
            else expect([...running.keys()].filter((each) => each.startsWith(caller)).length).toBeGreaterThan(0);
          }
          const entry = running.get(name);
          if (settle && entry !== undefined) {
            window.settle(entry, `reply to ${name}`, bytes, now);
            running.delete(name);
          }
          expect(window.entries).toBeLessThanOrEqual(limits.entries);
          expect(window.bytes).toBeLessThanOrEqual(limits.bytes);
        }
      }),
    );
  });

  test('a caller with nothing but runs under way gets no further key, others do', () => {
    const window = new DedupWindow<string, string>(limits);
    for (let key = 0; key < limits.entriesPerCaller; key++) expect(window.begin('a', `${key}`, 'run')).toBeDefined();
    expect(window.begin('a', 'more', 'run')).toBeUndefined();
    expect(window.begin('b', 'more', 'run')).toBeDefined();
  });

  test('an abandoned run is a first try again; an outcome too large to keep is forgotten', () => {
    const window = new DedupWindow<string, string>(limits);
    const first = window.begin('a', 'k', 'run');
    if (first === undefined) throw new Error('no room');
    window.abandon(first);
    expect(window.find('a', 'k', 0).kind).toBe('unknown');
    const second = window.begin('a', 'k', 'run');
    if (second === undefined) throw new Error('no room');
    window.settle(second, 'huge', 501, 0);
    expect(window.find('a', 'k', 0).kind).toBe('unknown');
    expect(window.entries).toBe(0);
  });

  test('outcomes are forgotten after their time', () => {
    const window = new DedupWindow<string, string>(limits);
    const entry = window.begin('a', 'k', 'run');
    if (entry === undefined) throw new Error('no room');
    window.settle(entry, 'reply', 1, 100);
    expect(window.find('a', 'k', 1_099).kind).toBe('settled');
    expect(window.find('a', 'k', 1_100).kind).toBe('unknown');
  });
});

describe('the retry budget', () => {
  test('lets a tenth of the calls be retried, after a first burst', () => {
    const budget = new RetryBudget(0.1, 10);
    let retries = 0;
    for (let call = 0; call < 1_000; call++) {
      budget.onCall();
      while (budget.take()) retries += 1;
    }
    expect(retries).toBeGreaterThanOrEqual(109);
    expect(retries).toBeLessThanOrEqual(110);
  });

  test('saves up no more than the burst', () => {
    const budget = new RetryBudget(0.1, 10);
    for (let call = 0; call < 10_000; call++) budget.onCall();
    let retries = 0;
    while (budget.take()) retries += 1;
    expect(retries).toBe(10);
  });
});

describe('stream credit', () => {
  test('a sender that keeps to its credit is never refused, and what waits is bounded by window and one item', () => {
    const window = 1_000;
    const most = 300;
    fc.assert(
      fc.property(
        fc.array(fc.integer({ min: 1, max: most }), { maxLength: 300 }),
        fc.array(fc.boolean()),
        (costs, reads) => {
          const credit = new SendCredit();
          const receiver = new ReceiveWindow(window);
          expect(credit.add(window)).toBe(true);
          const buffered: number[] = [];
          let at = 0;
          let turn = 0;
          while (at < costs.length) {
            const mayRead = reads[turn++ % Math.max(1, reads.length)] ?? true;
            if (credit.open) {
              const cost = costs[at++] as number;
              credit.spend(cost);
              expect(receiver.onArrival(cost)).toBe(true);
              buffered.push(cost);
            }
            expect(buffered.reduce((sum, cost) => sum + cost, 0)).toBeLessThanOrEqual(window + most);
            if (mayRead || !credit.open) {
              const taken = buffered.shift();
              if (taken !== undefined) expect(credit.add(receiver.onTaken(taken))).toBe(true);
            }
          }
        },
      ),
    );
  });

  test('items without credit and absurd credit are refused', () => {
    const receiver = new ReceiveWindow(100);
    expect(receiver.onArrival(150)).toBe(true);
    expect(receiver.onArrival(1)).toBe(false);
    const credit = new SendCredit();
    expect(credit.add(0x7fff_ffff)).toBe(true);
    expect(credit.add(1)).toBe(false);
  });
});

describe('the latency histogram', () => {
  test('tells quantiles to within a step', () => {
    const histogram = new LatencyHistogram();
    expect(histogram.summary()).toEqual({ count: 0, meanMs: 0, p50Ms: 0, p99Ms: 0, maxMs: 0 });
    for (let ms = 1; ms <= 1_000; ms++) histogram.record(ms);
    const { p50Ms, p99Ms, maxMs, meanMs } = histogram.summary();
    expect(p50Ms / 500).toBeGreaterThan(0.99);
    expect(p50Ms / 500).toBeLessThan(1.2);
    expect(p99Ms).toBeGreaterThanOrEqual(990);
    expect(maxMs).toBe(1_000);
    expect(meanMs).toBeCloseTo(500.5);
  });
});
