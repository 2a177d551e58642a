import { describe, expect, test } from 'vitest';
import { seededRng } from '../../../../src/clock.ts';
import { QuorateError } from '../../../../src/errors.ts';
import type { NodeId } from '../../../../src/node-id.ts';
import { MachineQuotas } from '../../../../src/protocols/coordination/quotas/machine-quotas.ts';
import type { Quotas } from '../../../../src/protocols/coordination/quotas/quotas.ts';
import { QuotasReducer } from '../../../../src/protocols/coordination/quotas/reducer.ts';
import type { RateLimiterOptions } from '../../../../src/protocols/infrastructure/limiter/limiter.ts';
import { Limiters } from '../../../../src/protocols/infrastructure/limiter/limiters.ts';
import type { LimitersTools } from '../../../../src/protocols/infrastructure/limiter/limiters-tools.ts';
import { quotaTerms } from '../../../../src/protocols/infrastructure/limiter/quota-terms.ts';
import type { AttemptInfo } from '../../../../src/protocols/messaging/call-policy.ts';
import type { AgentRecord } from '../../../../src/protocols/registry/records.ts';
import { LocalEntries } from '../../../../src/protocols/sharing/local-entries.ts';
import { ManualClock, rethrow, SharedOrder, settle } from '../../coordination/local-tools.ts';

function local(more: Partial<LimitersTools> = {}, clock = new ManualClock()) {
  const entries = new LocalEntries({ self: 'me' as NodeId, zone: 'z', onError: rethrow });
  const limiters = new Limiters({
    entries,
    zone: 'z',
    clock,
    rng: seededRng(1),
    liars: 0,
    registry: { lookup: () => undefined, query: () => [] },
    messaging: { call: () => Promise.reject(new Error('no calls')) } as unknown as LimitersTools['messaging'],
    quotas: undefined,
    capacityOf: () => undefined,
    onError: rethrow,
    ...more,
  });
  return { clock, entries, limiters };
}

const attempt = (agent: string, more: Partial<AttemptInfo> = {}): AttemptInfo => ({
  agent,
  method: '',
  deadlineAt: Infinity,
  signal: undefined,
  ...more,
});

const limit = (more: Partial<RateLimiterOptions> = {}): RateLimiterOptions => ({
  id: 'l',
  requestsPerSecond: 100,
  burst: 100,
  ...more,
});

describe('alone', () => {
  test('of 200 at once 100 pass, keys are independent, and a second later it is so again', async () => {
    const { limiters, clock } = local();
    const limiter = limiters.rateLimiter(limit());
    const passed = (key?: string) =>
      Array.from({ length: 200 }, () => limiter.tryAcquire({ key })).filter(({ allowed }) => allowed).length;
    expect([passed(), passed(), passed('a'), passed('b'), passed('a')]).toEqual([100, 0, 100, 100, 0]);
    await clock.advance(1_000);
    expect([passed(), passed('a')]).toEqual([100, 100]);
  });

  test('nothing runs when nothing is asked for, and idle keys are not kept', async () => {
    const { limiters, clock, entries } = local();
    const limiter = limiters.rateLimiter(limit({ burst: 10 }));
    for (const key of ['a', 'b']) limiter.tryAcquire({ key });
    expect(limiter.status().keys).toBe(2);
    await clock.advance(5_000);
    expect(limiter.status().keys).toBe(0);
    expect([...entries.keys()]).toEqual(['limit/l']);
    expect(clock.timers).toBe(0);
  });

  test('of too many keys the one unused for longest is forgotten', () => {
    const { limiters } = local();
    const limiter = limiters.rateLimiter(limit({ burst: 1, requestsPerSecond: 0.001, maxKeys: 3, scope: 'node' }));
    const take = (key: string) => limiter.tryAcquire({ key }).allowed;
    expect(['a', 'b', 'c', 'a', 'd'].map(take)).toEqual([true, true, true, false, true]);
    expect(limiter.status().keys).toBe(3);
    expect([take('a'), take('b')]).toEqual([false, true]);
  });

  test('who waits passes in order, and nobody overtakes', async () => {
    const { limiters, clock } = local();
    const limiter = limiters.rateLimiter(limit({ burst: 2, requestsPerSecond: 10 }));
    await limiter.acquire({ tokens: 2 });
    const passed: string[] = [];
    for (const [name, tokens] of [
      ['a', 1],
      ['b', 2],
      ['c', 1],
    ] as const) {
      void limiter.acquire({ tokens }).then(() => passed.push(name));
    }
    await clock.advance(99);
    expect(passed).toEqual([]);
    await clock.advance(2);
    expect(passed).toEqual(['a']);
    // One token has come, and is for the one that wants two.
    await clock.advance(100);
    expect(limiter.tryAcquire()).toMatchObject({ allowed: false });
    await clock.advance(101);
    expect(passed).toEqual(['a', 'b']);
    await clock.advance(101);
    expect(passed).toEqual(['a', 'b', 'c']);
    expect(limiter.status()).toMatchObject({ admitted: 6, refused: 1, waiting: 0 });
  });

  test('one that gives up makes way for the next', async () => {
    const { limiters, clock } = local();
    const limiter = limiters.rateLimiter(limit({ burst: 10, requestsPerSecond: 1 }));
    await limiter.acquire({ tokens: 10 });
    await clock.advance(2_000);
    const abort = new AbortController();
    const large = limiter.acquire({ tokens: 10, maxWaitMs: 60_000, signal: abort.signal });
    const small = limiter.acquire({ maxWaitMs: 60_000 });
    abort.abort(new Error('enough'));
    await expect(large).rejects.toThrow('enough');
    await small;
  });

  test('waiting is bounded in time and in number', async () => {
    const { limiters, clock } = local();
    const limiter = limiters.rateLimiter(limit({ burst: 1, requestsPerSecond: 1, maxQueue: 1 }));
    await limiter.acquire();
    await expect(limiter.acquire({ maxWaitMs: 900 })).rejects.toMatchObject({
      code: 'RATE_LIMITED',
      data: { limit: 'l', retryAfterMs: 1_000 },
    });
    const waits = limiter.acquire({ maxWaitMs: 1_000 });
    await expect(limiter.acquire()).rejects.toMatchObject({ code: 'RATE_LIMITED', data: { retryAfterMs: 2_000 } });
    await clock.advance(1_000);
    await waits;
    await expect(limiter.acquire({ maxWaitMs: -1 })).rejects.toMatchObject({ code: 'INVALID_ARGUMENT' });
  });
});

describe('calls', () => {
  const record = (id: string, capabilities: string[]) => ({ id, capabilities }) as unknown as AgentRecord;

  test('pass the limits that apply to their agent and method', () => {
    const lookup = (id: string) => record(id, id === 'model' ? ['llm'] : []);
    const { limiters } = local({ registry: { lookup, query: () => [] } });
    limiters.rateLimiter(limit({ id: 'by-id', burst: 2, requestsPerSecond: 0.001, agents: 'a', method: 'ask' }));
    limiters.rateLimiter(limit({ id: 'llm', burst: 1, requestsPerSecond: 0.001, agents: { capabilities: 'llm' } }));
    const data = expect.objectContaining({ reason: 'rate-limited', retryAfterMs: expect.any(Number) });
    const refused = { code: 'REJECTED', data };
    for (let call = 0; call < 2; call++) expect(limiters.admit(attempt('a', { method: 'ask' }))).toBeUndefined();
    expect(() => limiters.admit(attempt('a', { method: 'ask' }))).toThrow(expect.objectContaining(refused));
    expect(limiters.admit(attempt('a', { method: 'other' }))).toBeUndefined();
    expect(limiters.admit(attempt('model'))).toBeUndefined();
    expect(() => limiters.admit(attempt('model'))).toThrow(expect.objectContaining(refused));
    expect(limiters.admit(attempt('b'))).toBeUndefined();
  });

  test('refused by one limit, they use up nothing of another', () => {
    const { limiters } = local();
    const wide = limiters.rateLimiter(limit({ id: 'wide', burst: 10, requestsPerSecond: 0.001, agents: 'a' }));
    limiters.rateLimiter(limit({ id: 'narrow', burst: 1, requestsPerSecond: 0.001, agents: 'a' }));
    expect(limiters.admit(attempt('a'))).toBeUndefined();
    for (let call = 0; call < 5; call++) expect(() => limiters.admit(attempt('a'))).toThrow();
    expect(wide.status().admitted).toBe(1);
    expect(wide.tryAcquire({ tokens: 9 }).allowed).toBe(true);
  });

  test('are limited by key, and wait until their deadline at most', async () => {
    const { limiters, clock } = local();
    const options = limit({
      burst: 1,
      requestsPerSecond: 1,
      agents: 'a',
      whenExceeded: 'wait',
      key: ({ method }) => method,
    });
    limiters.rateLimiter(options);
    await limiters.admit(attempt('a', { method: 'x' }));
    await limiters.admit(attempt('a', { method: 'y' }));
    const deadlineAt = clock.now() + 500;
    await expect(limiters.admit(attempt('a', { method: 'x', deadlineAt }))).rejects.toMatchObject({
      code: 'REJECTED',
      data: { reason: 'rate-limited', retryAfterMs: 1_000 },
    });
    const waits = limiters.admit(attempt('a', { method: 'x' }));
    await clock.advance(1_000);
    await waits;
  });

  test('a function that names no key is told by a code, and its call is not sent', () => {
    const thrown = new Error('no tenant');
    const fails = (key: () => string): unknown => {
      const { limiters } = local();
      limiters.rateLimiter(limit({ agents: 'a', key }));
      try {
        return limiters.admit(attempt('a'));
      } catch (error) {
        return error;
      }
    };
    const fault = (): never => {
      throw thrown;
    };
    expect(fails(fault)).toMatchObject({ code: 'INVALID_ARGUMENT', data: { limit: 'l' }, cause: thrown });
    expect(fails(() => 5 as unknown as string)).toMatchObject({ code: 'INVALID_ARGUMENT', data: { limit: 'l' } });
  });
});

test('what comes later with other options is refused; after disposal anything goes', () => {
  const { limiters } = local();
  const one = limiters.rateLimiter(limit());
  expect(limiters.rateLimiter(limit())).toBe(one);
  expect(() => limiters.rateLimiter(limit({ burst: 5 }))).toThrow(expect.objectContaining({ code: 'ALREADY_EXISTS' }));
  one[Symbol.dispose]();
  expect(limiters.rateLimiter(limit({ burst: 5 })).status().share).toBe(100);
  limiters.stop();
  expect(() => limiters.rateLimiter(limit())).toThrow(expect.objectContaining({ code: 'STOPPED' }));
});

test('every wrong option is named', () => {
  const { limiters } = local();
  const wrong = { id: 5, requestsPerSecond: 0, scope: 'world', agents: [['x']], surprise: 1, key: 'k' };
  expect(() => limiters.rateLimiter(wrong as unknown as RateLimiterOptions)).toThrow(
    expect.objectContaining({
      code: 'INVALID_ARGUMENT',
      data: {
        fields: expect.objectContaining(
          Object.fromEntries(Object.keys(wrong).map((field) => [field, expect.any(String)])),
        ),
      },
    }),
  );
});

describe('strict', () => {
  const options = limit({ strict: true, requestsPerSecond: 100, burst: 40 });

  test('without coordination nothing passes', async () => {
    const { limiters } = local();
    const limiter = limiters.rateLimiter(options);
    expect(limiter.tryAcquire().allowed).toBe(false);
    await expect(limiter.acquire()).rejects.toMatchObject({ code: 'NO_VALIDATORS' });
  });

  test('several nodes pass no more than the limit in any second, and nearly all of it', async () => {
    const order = new SharedOrder([new QuotasReducer()]);
    const nodes = Array.from({ length: 4 }, () => local({ quotas: new MachineQuotas(order.node()) }, order.clock));
    const strict = nodes.map(({ limiters }) => limiters.rateLimiter(options));
    const passed: number[] = [];
    for (let ms = 0; ms < 6_000; ms += 5) {
      for (const limiter of strict) if (limiter.tryAcquire().allowed) passed.push(ms);
      await order.clock.advance(5);
    }
    for (const [at, from] of passed.entries()) {
      const within = passed.slice(at).filter((ms) => ms < from + 1_000).length;
      expect(within).toBeLessThanOrEqual(140);
    }
    expect(passed.length).toBeGreaterThan(0.8 * 600);
    for (const limiter of strict) expect(limiter.status().admitted).toBeGreaterThan(60);
  });

  test('who waits is served from the quotas, and told when there is no quorum', async () => {
    const order = new SharedOrder([new QuotasReducer()]);
    const tools = order.node();
    const reported: unknown[] = [];
    const { limiters } = local(
      { quotas: new MachineQuotas(tools), onError: (error) => reported.push(error) },
      order.clock,
    );
    const limiter = limiters.rateLimiter(options);
    const all = Promise.all(Array.from({ length: 50 }, () => limiter.acquire()));
    await order.clock.advance(1_000);
    await all;
    expect(limiter.status().admitted).toBe(50);
    await order.clock.advance(3_000);
    order.fail(tools.self, 'before');
    await expect(limiter.acquire()).rejects.toMatchObject({ code: 'NO_QUORUM' });
    expect(reported).toHaveLength(1);
    await order.clock.advance(1_000);
    await limiter.acquire();
  });

  test('validators that do not answer are named as the reason; what was asked of them in vain is not the caller’s doubt', async () => {
    const clock = new ManualClock();
    const reported: unknown[] = [];
    const quotas: Quotas = {
      take: (_request, { timeoutMs = 0 } = {}) =>
        new Promise((_resolve, reject) => {
          const silent = new QuorateError('UNKNOWN_OUTCOME', 'sent', { silent: ['v'] });
          clock.after(timeoutMs, () => reject(silent));
        }),
    };
    const { limiters } = local({ quotas, onError: (error) => reported.push(error) }, clock);
    const limiter = limiters.rateLimiter(options);
    const short = expect(limiter.acquire({ maxWaitMs: 500 })).rejects.toMatchObject({
      code: 'RATE_LIMITED',
      message: expect.stringContaining('the validators, who give out its quotas, do not answer'),
    });
    const long = expect(limiter.acquire()).rejects.toMatchObject({ code: 'NO_QUORUM', data: { silent: ['v'] } });
    await clock.advance(5_000);
    await Promise.all([short, long]);
    const again = expect(limiter.acquire({ maxWaitMs: 20_000 })).rejects.toMatchObject({ code: 'NO_QUORUM' });
    await clock.advance(20_000);
    await again;
    expect(reported).toMatchObject([{ code: 'NO_QUORUM' }]);
    limiters.stop();
  });

  test('what the validators hold is had at once, however slowly it comes', async () => {
    const order = new SharedOrder([new QuotasReducer()]);
    const { limiters } = local({ quotas: new MachineQuotas(order.node()) }, order.clock);
    const limiter = limiters.rateLimiter(limit({ strict: true, requestsPerSecond: 0.01, burst: 10 }));
    const waits = Array.from({ length: 9 }, () => limiter.acquire({ maxWaitMs: 100 }));
    await order.clock.advance(100);
    await Promise.all(waits);
    const refused = expect(limiter.acquire({ maxWaitMs: 300 })).rejects.toMatchObject({ code: 'RATE_LIMITED' });
    await order.clock.advance(301);
    await refused;
  });

  test('a quota that was not used in time is lost, and an idle limit asks for none', async () => {
    const order = new SharedOrder([new QuotasReducer()]);
    const { limiters, clock } = local({ quotas: new MachineQuotas(order.node()) }, order.clock);
    const limiter = limiters.rateLimiter(options);
    expect(limiter.tryAcquire({ tokens: 5 }).allowed).toBe(false);
    await settle();
    expect(limiter.status().share).toBe(5);
    await clock.advance(quotaTerms({ rate: 100, burst: 40 }).lifetimeMs + 5_000);
    expect(limiter.status().share).toBe(0);
    expect(clock.timers).toBe(0);
  });
});
