/** What every rate limiter must do, as cases for any test runner; in one process and across nodes. */
import assert from 'node:assert/strict';
import type { Infrastructure } from '../protocols/infrastructure/infrastructure.ts';
import type { RateLimiter } from '../protocols/infrastructure/limiter/limiter.ts';
import { type Cases, type ConformanceOptions, declareCases, failure } from './suite.ts';

export interface LimiterSubject {
  /** At least one; those of one mesh share their limits, of which there are none yet. */
  readonly nodes: readonly [LimitedNode, ...LimitedNode[]];
  /** Must be idempotent. */
  stop(): Promise<void>;
}

export interface LimitedNode {
  readonly infrastructure: Pick<Infrastructure, 'rateLimiter'>;
  /** For calls that pass a limit. */
  register(agent: string, handler: () => Promise<string>): Promise<unknown>;
  call(agent: string): Promise<unknown>;
}

export type LimiterConformanceOptions = ConformanceOptions<LimiterSubject>;

/** Declares all cases with `test`. */
export function limiterConformance(options: LimiterConformanceOptions): void {
  declareCases(options, cases);
}

const count = (limiter: RateLimiter, requests: number, key?: string): number =>
  Array.from({ length: requests }, () => limiter.tryAcquire({ key })).filter(({ allowed }) => allowed).length;

/** No token comes during a test: one in more than a quarter of an hour. */
const slowly = 0.001;

async function until(what: string, holds: () => boolean): Promise<void> {
  for (let tries = 0; !holds(); tries++) {
    assert.ok(tries < 3_000, `it did not come to pass: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}

const cases: Cases<LimiterSubject> = {
  'of 200 requests at once against a limit of 100 exactly 100 pass': async ({ nodes: [{ infrastructure }] }) => {
    const limiter = infrastructure.rateLimiter({ id: 'l', requestsPerSecond: slowly, burst: 100, scope: 'node' });
    assert.equal(count(limiter, 200), 100);
    const { admitted, refused } = limiter.status();
    assert.deepEqual({ admitted, refused }, { admitted: 100, refused: 100 });
  },

  'keys are independent': async ({ nodes: [{ infrastructure }] }) => {
    const limiter = infrastructure.rateLimiter({ id: 'l', requestsPerSecond: slowly, burst: 100, scope: 'node' });
    assert.deepEqual([count(limiter, 200, 'a'), count(limiter, 50, 'b'), count(limiter, 200, 'b')], [100, 50, 50]);
    assert.equal(limiter.status().keys, 2);
  },

  'what was used comes back with time, and no sooner than it says': async ({ nodes: [{ infrastructure }] }) => {
    const slow = infrastructure.rateLimiter({ id: 's', requestsPerSecond: 0.01, burst: 2, scope: 'node' });
    assert.equal(count(slow, 2), 2);
    const refused = slow.tryAcquire();
    assert.ok(!refused.allowed && refused.retryAfterMs > 0 && refused.retryAfterMs <= 100_000);
    const limiter = infrastructure.rateLimiter({ id: 'l', requestsPerSecond: 20, burst: 2, scope: 'node' });
    await limiter.acquire({ tokens: 2 });
    await limiter.acquire();
    await limiter.acquire({ tokens: 2 });
  },

  'those who wait pass in the order of their coming': async ({ nodes: [{ infrastructure }] }) => {
    const limiter = infrastructure.rateLimiter({ id: 'l', requestsPerSecond: 200, burst: 1, scope: 'node' });
    const order: number[] = [];
    await Promise.all(Array.from({ length: 20 }, (_, at) => limiter.acquire().then(() => order.push(at))));
    assert.deepEqual(
      order,
      Array.from({ length: 20 }, (_, at) => at),
    );
  },

  'nobody waits for ever': async ({ nodes: [{ infrastructure }] }) => {
    const options = { id: 'l', requestsPerSecond: 0.1, burst: 1, scope: 'node', maxQueue: 1 } as const;
    const limiter = infrastructure.rateLimiter(options);
    await limiter.acquire();
    const late = await failure('RATE_LIMITED', limiter.acquire({ maxWaitMs: 20 }));
    assert.ok((late.data['retryAfterMs'] as number) > 20);
    const abort = new AbortController();
    const waiting = limiter.acquire({ maxWaitMs: 60_000, signal: abort.signal });
    await failure('RATE_LIMITED', limiter.acquire({ maxWaitMs: 60_000 }));
    const reason = new Error('enough');
    abort.abort(reason);
    await assert.rejects(waiting, reason);
    const last = limiter.acquire({ maxWaitMs: 60_000 });
    limiter[Symbol.dispose]();
    await failure('STOPPED', last);
    await failure('STOPPED', () => limiter.tryAcquire());
  },

  'the same options give the same limiter, others are refused': async ({ nodes: [{ infrastructure }] }) => {
    const options = { id: 'l', requestsPerSecond: 10 };
    assert.equal(infrastructure.rateLimiter(options), infrastructure.rateLimiter({ ...options }));
    await failure('ALREADY_EXISTS', () => infrastructure.rateLimiter({ ...options, requestsPerSecond: 11 }));
    const wrong = await failure('INVALID_ARGUMENT', () =>
      infrastructure.rateLimiter({ id: '', requestsPerSecond: -1, burst: 0, maxKeys: 1.5 }),
    );
    assert.deepEqual(Object.keys(wrong.data['fields'] as object).sort(), [
      'burst',
      'id',
      'maxKeys',
      'requestsPerSecond',
    ]);
    const limiter = infrastructure.rateLimiter(options);
    await failure('INVALID_ARGUMENT', () => limiter.tryAcquire({ tokens: 2 }));
    await failure('INVALID_ARGUMENT', () => limiter.tryAcquire({ tokens: Number.NaN }));
  },

  'calls pass the limit of their agent, and no others': async ({ nodes: [node] }) => {
    await node.register('limited', async () => 'done');
    await node.register('free', async () => 'done');
    node.infrastructure.rateLimiter({ id: 'l', requestsPerSecond: slowly, burst: 2, scope: 'node', agents: 'limited' });
    assert.equal(await node.call('limited'), 'done');
    assert.equal(await node.call('limited'), 'done');
    const { data } = await failure('REJECTED', node.call('limited'));
    assert.equal(data['reason'], 'rate-limited');
    assert.ok((data['retryAfterMs'] as number) > 0);
    for (let call = 0; call < 5; call++) assert.equal(await node.call('free'), 'done');
  },

  'calls wait for their turn where that is wanted': async ({ nodes: [node] }) => {
    await node.register('limited', async () => 'done');
    const options = { id: 'l', requestsPerSecond: 100, burst: 1, scope: 'node', whenExceeded: 'wait' } as const;
    const limiter = node.infrastructure.rateLimiter({ ...options, agents: { id: 'limited' } });
    const answers = await Promise.all(Array.from({ length: 10 }, () => node.call('limited')));
    assert.deepEqual(answers, Array(10).fill('done'));
    assert.equal(limiter.status().admitted, 10);
  },

  'a strict limit gives all nodes together what it has, and no more': async ({ nodes }) => {
    const options = { id: 'l', requestsPerSecond: slowly, burst: 10, strict: true } as const;
    const limiters = nodes.map(({ infrastructure }) => infrastructure.rateLimiter(options));
    const results = await Promise.allSettled(
      limiters.flatMap((limiter) => Array.from({ length: 10 }, () => limiter.acquire({ maxWaitMs: 1_000 }))),
    );
    const passed = results.filter(({ status }) => status === 'fulfilled').length;
    assert.ok(passed <= 10, `${passed} passed`);
    // A quota that comes too late is lost, so not every one can be counted on; but not all are.
    let served = false;
    for (let key = 0; !served && key < 100; key++) {
      const [first] = await Promise.allSettled([limiters[0]?.acquire({ key: `${key}`, maxWaitMs: 1_000 })]);
      served = first.status === 'fulfilled';
    }
    assert.ok(served, 'nothing passed');
    const refused = await failure('RATE_LIMITED', limiters[0]?.acquire({ maxWaitMs: 100 }) ?? Promise.resolve());
    assert.ok((refused.data['retryAfterMs'] as number) > 0);
  },

  'all nodes together have the rate and no more': async ({ nodes }) => {
    const limiters = nodes.map(({ infrastructure }) => infrastructure.rateLimiter({ id: 'l', requestsPerSecond: 100 }));
    const sum = (): number => limiters.reduce((total, limiter) => total + limiter.status().share, 0) / copies;
    // Where one node stands for several, its limiter is counted as often.
    const copies = limiters.length / new Set(limiters).size;
    await until('the whole rate is given out', () => sum() >= 98);
    assert.ok(sum() <= 100.001, `${sum()} were given out`);
  },

  'what one does not need is lent to another, within a second or so': async ({ nodes }) => {
    const limiters = nodes.map(({ infrastructure }) => infrastructure.rateLimiter({ id: 'l', requestsPerSecond: 100 }));
    await until('one that asks for more than its part gets it', () => {
      limiters[0]?.tryAcquire();
      limiters[0]?.tryAcquire();
      limiters[0]?.tryAcquire();
      return (limiters[0]?.status().share ?? 0) > 60;
    });
  },
};
