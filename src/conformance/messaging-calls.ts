/** Calls and casts: replies, errors, the three outcomes, deadlines, cancellation, mailboxes, repeats. */
import assert from 'node:assert/strict';
import type { CallContext } from '../protocols/messaging/messaging.ts';
import { aborted, gate, type MessagingCases } from './messaging-support.ts';
import { failure } from './suite.ts';

const hour = 3_600_000;

export const callCases: MessagingCases = {
  'a call gets the reply of the handler, synchronous or not': async ({ messaging, register }) => {
    await register('sync', (text: string) => text.length);
    await register('async', async (text: string) => text.toUpperCase());
    assert.equal(await messaging.call('sync', 'four'), 4);
    assert.equal(await messaging.call('async', 'four'), 'FOUR');
  },

  'every structured value arrives as it was sent': async ({ messaging, register }) => {
    await register('echo', (value: unknown) => value);
    const value = {
      nothing: null,
      missing: undefined,
      yes: true,
      numbers: [0, -1, 1.5, -0.1, 2 ** 40, -(2 ** 40), Number.MAX_SAFE_INTEGER, Number.POSITIVE_INFINITY],
      big: [0n, -1n, 2n ** 80n, -(2n ** 80n)],
      text: ['', 'plain', 'ünïcödé 🙂', 'x'.repeat(1_000)],
      bytes: Uint8Array.of(0, 1, 255),
      date: new Date(1_700_000_000_123),
      map: new Map<unknown, unknown>([
        ['key', 1],
        [2, { nested: [] }],
      ]),
    };
    const reply = await messaging.call<typeof value>('echo', value);
    assert.deepEqual({ ...reply, bytes: [...reply.bytes] }, { ...value, bytes: [...value.bytes] });
  },

  'a large message and a large reply arrive whole, and small calls are not held up': async ({
    messaging,
    register,
  }) => {
    await register('echo', (value: unknown) => value);
    const large = new Uint8Array(2_000_000).fill(7);
    const [echoed, small] = await Promise.all([
      messaging.call<Uint8Array>('echo', large, { timeoutMs: 30_000 }),
      messaging.call('echo', 'small'),
    ]);
    assert.equal(echoed.length, large.length);
    assert.ok(echoed.every((byte) => byte === 7));
    assert.equal(small, 'small');
  },

  'methods are told apart, and an unknown one is refused': async ({ messaging, register }) => {
    await register('counter', {
      add: ([a, b]: number[]) => (a ?? 0) + (b ?? 0),
      negate: (a: number) => -a,
    });
    assert.equal(await messaging.call('counter', [1, 2], { method: 'add' }), 3);
    assert.equal(await messaging.call('counter', 5, { method: 'negate' }), -5);
    const refused = await failure('REJECTED', () => messaging.call('counter', 5, { method: 'divide' }));
    assert.equal(refused.data['reason'], 'no-such-method');
    for (const method of ['constructor', 'toString', '__proto__', 'hasOwnProperty']) {
      await failure('REJECTED', () => messaging.call('counter', 5, { method }));
    }
  },

  'a reference calls the methods of its agent': async ({ messaging, register }) => {
    const api = { length: (text: string) => text.length, echo: async (value: number) => value };
    await register('typed', api);
    const ref = messaging.ref<typeof api>('typed');
    const length: number = await ref.length('three');
    assert.equal(length, 5);
    assert.equal(await ref.echo(9), 9);
    assert.equal(await Promise.resolve(ref), ref);
  },

  'the handler learns who calls and under which terms': async ({ messaging, register, callerNode }) => {
    await register('context', (_message: unknown, context: CallContext) => ({
      agent: context.agent,
      method: context.method,
      node: context.callerNode,
      from: context.callerAgent,
      key: context.idempotencyKey,
      trace: context.trace,
      remaining: context.remainingMs(),
      aborted: context.signal.aborted,
    }));
    const trace = { traceparent: '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01' };
    const options = { method: 'm', from: 'planner', idempotencyKey: 'k', trace, timeoutMs: hour };
    const seen = await messaging.call<Record<string, unknown>>('context', null, options);
    const { remaining, ...rest } = seen;
    assert.deepEqual(rest, {
      agent: 'context',
      method: 'm',
      node: callerNode,
      from: 'planner',
      key: 'k',
      trace,
      aborted: false,
    });
    assert.ok((remaining as number) > 0 && (remaining as number) <= hour);
  },

  'what a handler throws reaches the caller with name and message, without the stack': async ({
    messaging,
    register,
  }) => {
    await register('fails', {
      throws: () => {
        throw new RangeError('out of range');
      },
      rejects: async () => {
        throw Object.assign(new Error('disk full'), { code: 'ENOSPC' });
      },
      odd: () => Promise.reject('just text'),
    });
    const thrown = await failure('HANDLER_FAILED', () => messaging.call('fails', 0, { method: 'throws' }));
    assert.equal(thrown.data['name'], 'RangeError');
    assert.equal(thrown.data['message'], 'out of range');
    assert.match(thrown.message, /fails\.throws.*out of range/);
    const rejected = await failure('HANDLER_FAILED', () => messaging.call('fails', 0, { method: 'rejects' }));
    assert.equal(rejected.data['code'], 'ENOSPC');
    const odd = await failure('HANDLER_FAILED', () => messaging.call('fails', 0, { method: 'odd' }));
    assert.equal(odd.data['message'], 'just text');
    assert.equal(JSON.stringify(odd.data).includes('at '), false);
  },

  'a call to nobody is refused, or finds no match': async ({ messaging }) => {
    const refused = await failure('REJECTED', () => messaging.call('nobody', 1));
    assert.equal(refused.data['reason'], 'no-such-agent');
    await failure('NO_MATCH', () => messaging.call({ capabilities: 'no-such-capability' }, 1));
    await failure('REJECTED', () => messaging.cast('nobody', 1));
  },

  'criteria choose an agent that meets them': async ({ messaging, register }) => {
    await register('adder', ([a, b]: number[]) => (a ?? 0) + (b ?? 0), { capabilities: ['add'] });
    await register('other', () => 'wrong', { capabilities: ['multiply'] });
    assert.equal(await messaging.call({ capabilities: 'add' }, [2, 3]), 5);
  },

  'wrong options are refused before anything is sent': async ({ messaging, register }) => {
    let calls = 0;
    await register('counted', () => ++calls);
    const wrong = await failure('INVALID_ARGUMENT', () =>
      messaging.call('counted', 1, { timeoutMs: Number.POSITIVE_INFINITY, retries: -1 }),
    );
    assert.match(wrong.message, /timeoutMs.*retries/);
    await failure('INVALID_ARGUMENT', () => messaging.call('', 1));
    assert.equal(calls, 0);
  },

  'a deadline ends the call with an unknown outcome, and aborts the handler': async ({ messaging, register }) => {
    const told = gate<unknown>();
    await register('slow', async (_message: unknown, { signal }: CallContext) => {
      await aborted(signal);
      told.open(signal.reason);
    });
    const late = await failure('UNKNOWN_OUTCOME', () => messaging.call('slow', 1, { timeoutMs: 50 }));
    assert.equal(late.data['reason'], 'deadline');
    assert.ok((await told.promise) instanceof Error);
  },

  'a handler that ignores its deadline does not hold the caller': async ({ messaging, register }) => {
    const release = gate();
    await register('deaf', () => release.promise);
    await failure('UNKNOWN_OUTCOME', () => messaging.call('deaf', 1, { timeoutMs: 20 }));
    release.open();
  },

  'cancelling reaches the handler': async ({ messaging, register }) => {
    const started = gate();
    const told = gate();
    await register('long', async (_message: unknown, { signal }: CallContext) => {
      started.open();
      await aborted(signal);
      told.open();
    });
    const controller = new AbortController();
    const call = messaging.call('long', 1, { signal: controller.signal, timeoutMs: hour });
    const failed = failure('UNKNOWN_OUTCOME', () => call);
    await started.promise;
    controller.abort();
    assert.equal((await failed).data['reason'], 'cancelled');
    await told.promise;
    const before = await failure('NOT_DELIVERED', () => messaging.call('long', 1, { signal: controller.signal }));
    assert.equal(before.data['reason'], 'cancelled');
  },

  'calls made by a handler carry its deadline, its name and its cancellation': async ({ messaging, register }) => {
    const innerAborted = gate();
    await register('inner', async (_message: unknown, context: CallContext) => {
      const seen = { from: context.callerAgent, remaining: context.remainingMs() };
      if (_message !== 'wait') return seen;
      await aborted(context.signal);
      innerAborted.open();
      return seen;
    });
    await register('outer', (message: unknown, { mesh }: CallContext) =>
      mesh.call('inner', message, { timeoutMs: hour }),
    );
    const seen = await messaging.call<{ from: string; remaining: number }>('outer', 'now', { timeoutMs: 10_000 });
    assert.equal(seen.from, 'outer');
    assert.ok(seen.remaining <= 10_000, `${seen.remaining} ms are more than the caller had`);
    const controller = new AbortController();
    const failed = failure('UNKNOWN_OUTCOME', () =>
      messaging.call('outer', 'wait', { signal: controller.signal, timeoutMs: hour }),
    );
    // The inner handler must have begun, or there is nothing to cancel: it answers the call after it in order.
    await messaging.call('inner', 'now');
    controller.abort();
    await failed;
    await innerAborted.promise;
  },

  'an agent runs so many messages at a time, keeps so many waiting, and refuses the rest': async ({
    messaging,
    register,
  }) => {
    const release = gate();
    let running = 0;
    let most = 0;
    await register(
      'bounded',
      async (value: number) => {
        running += 1;
        most = Math.max(most, running);
        await release.promise;
        running -= 1;
        return value;
      },
      { maxConcurrent: 2, mailbox: 3 },
    );
    const calls = Array.from({ length: 8 }, (_, index) => messaging.call('bounded', index, { timeoutMs: hour }));
    const settled = Promise.allSettled(calls);
    const refusals = await Promise.all(calls.slice(5).map((call) => failure('REJECTED', () => call)));
    assert.deepEqual(new Set(refusals.map((error) => error.data['reason'])), new Set(['mailbox-full']));
    release.open();
    const values = (await settled).map((result) => (result.status === 'fulfilled' ? result.value : undefined));
    assert.deepEqual(values.slice(0, 5), [0, 1, 2, 3, 4]);
    assert.equal(most, 2);
  },

  'with one at a time, messages run in order of arrival': async ({ messaging, register }) => {
    const order: number[] = [];
    await register(
      'actor',
      async (value: number) => {
        await Promise.resolve();
        order.push(value);
      },
      { maxConcurrent: 1 },
    );
    await Promise.all(Array.from({ length: 20 }, (_, index) => messaging.call('actor', index)));
    assert.deepEqual(order, [...Array(20).keys()]);
  },

  'an idempotency key runs the handler once, for repeats at the same time and later': async ({
    messaging,
    register,
  }) => {
    let runs = 0;
    const release = gate();
    await register('once', async () => {
      runs += 1;
      await release.promise;
      return runs;
    });
    const options = { idempotencyKey: 'order-17', timeoutMs: hour };
    const together = [messaging.call('once', 1, options), messaging.call('once', 1, options)];
    release.open();
    assert.deepEqual(await Promise.all(together), [1, 1]);
    assert.equal(await messaging.call('once', 1, options), 1);
    assert.equal(await messaging.call('once', 1, { ...options, idempotencyKey: 'order-18' }), 2);
    assert.equal(await messaging.call('once', 1), 3);
  },

  'an agent that is unregistered aborts what runs and refuses what waits': async ({ messaging, register }) => {
    const started = gate();
    const unregister = await register(
      'leaving',
      async (_message: unknown, { signal }: CallContext) => {
        started.open();
        await aborted(signal);
        return 'aborted';
      },
      { maxConcurrent: 1 },
    );
    const running = messaging.call('leaving', 1, { timeoutMs: hour });
    await started.promise;
    const waiting = failure('REJECTED', () => messaging.call('leaving', 2, { timeoutMs: hour }));
    await failureFree(messaging.cast('leaving', 3));
    await unregister();
    assert.equal(await running, 'aborted');
    const reason = (await waiting).data['reason'];
    assert.ok(reason === 'agent-gone' || reason === 'no-such-agent', String(reason));
  },

  'a cast is handed over without waiting for the handler': async ({ messaging, register }) => {
    const release = gate();
    const received = gate<unknown>();
    await register('sink', async (message: unknown) => {
      received.open(message);
      await release.promise;
    });
    await messaging.cast('sink', { fire: 'and forget' });
    assert.deepEqual(await received.promise, { fire: 'and forget' });
    release.open();
  },

  'a cast can be cancelled while its handler runs': async ({ messaging, register }) => {
    const started = gate();
    const told = gate();
    await register('job', async (_message: unknown, { signal }: CallContext) => {
      started.open();
      await aborted(signal);
      told.open();
    });
    const controller = new AbortController();
    await messaging.cast('job', 1, { signal: controller.signal });
    await started.promise;
    controller.abort();
    await told.promise;
  },
};

async function failureFree(promise: Promise<void>): Promise<void> {
  assert.equal(await promise, undefined);
}
