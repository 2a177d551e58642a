/** Streams: items in order, both ways, backpressure, leaving early, failures. */
import assert from 'node:assert/strict';
import type { CallContext } from '../protocols/messaging/messaging.ts';
import type { Value } from '../value.ts';
import { aborted, collect, gate, type MessagingCases } from './messaging-support.ts';
import { failure } from './suite.ts';

export const streamCases: MessagingCases = {
  'a streamed reply gives its items in order': async ({ messaging, register }) => {
    await register('range', async function* (count: number) {
      for (let index = 0; index < count; index++) yield index;
    });
    assert.deepEqual(await collect(messaging.stream('range', 500)), [...Array(500).keys()]);
    assert.deepEqual(await collect(messaging.stream('range', 0)), []);
  },

  'a method that streams is read by reference': async ({ messaging, register }) => {
    const api = {
      async *words(text: string) {
        yield* text.split(' ');
      },
    };
    await register('splitter', api);
    const words: string[] = await collect(messaging.ref<typeof api>('splitter').words.stream('to be or not'));
    assert.deepEqual(words, ['to', 'be', 'or', 'not']);
  },

  'a plain reply is a stream of one item': async ({ messaging, register }) => {
    await register('plain', (value: number) => value + 1);
    assert.deepEqual(await collect(messaging.stream('plain', 1)), [2]);
  },

  'a call to a handler that streams fails and says so': async ({ messaging, register }) => {
    let began = false;
    await register('streams', async function* () {
      began = true;
      yield 1;
    });
    const error = await failure('HANDLER_FAILED', () => messaging.call('streams', 1));
    assert.equal(error.data['reason'], 'streamed-reply');
    assert.equal(began, false);
  },

  'the caller streams in, the handler streams out': async ({ messaging, register }) => {
    await register('doubler', async function* (_message: unknown, { input }: CallContext) {
      for await (const item of input) yield (item as number) * 2;
    });
    async function* numbers(): AsyncGenerator<Value> {
      for (let index = 0; index < 300; index++) yield index;
    }
    const doubled = await collect(messaging.stream<number>('doubler', null, { input: numbers() }));
    assert.deepEqual(
      doubled,
      [...Array(300).keys()].map((index) => index * 2),
    );
  },

  'input is read to a single reply': async ({ messaging, register }) => {
    await register('sum', async (_message: unknown, { input }: CallContext) => {
      let sum = 0;
      for await (const item of input) sum += item as number;
      return sum;
    });
    async function* numbers(): AsyncGenerator<Value> {
      for (let index = 1; index <= 100; index++) yield index;
    }
    assert.deepEqual(await collect(messaging.stream('sum', null, { input: numbers() })), [5_050]);
  },

  'a reader that stops reading stops the producer': async ({ messaging, register }) => {
    let produced = 0;
    await register('firehose', async function* () {
      for (;;) {
        produced += 1;
        yield new Uint8Array(10_000);
      }
    });
    const stream = messaging.stream('firehose', null)[Symbol.asyncIterator]();
    await stream.next();
    // Other calls go back and forth meanwhile; whatever could be produced by then has been.
    await register('echo', (value: unknown) => value);
    for (let round = 0; round < 50; round++) await messaging.call('echo', round);
    assert.ok(produced < 200, `${produced} items were made for one that was read`);
    await stream.return?.();
  },

  'leaving the loop closes the handler': async ({ messaging, register }) => {
    const closed = gate<string>();
    await register('endless', async function* (_message: unknown, { signal }: CallContext) {
      try {
        for (let index = 0; ; index++) yield index;
      } finally {
        closed.open(signal.aborted ? 'closed and aborted' : 'closed');
      }
    });
    for await (const item of messaging.stream<number>('endless', null)) if (item === 3) break;
    assert.match(await closed.promise, /^closed/);
  },

  'items before a failure are read, then the failure is thrown': async ({ messaging, register }) => {
    await register('breaks', async function* () {
      yield 1;
      yield 2;
      throw new TypeError('third');
    });
    const items: unknown[] = [];
    const error = await failure('HANDLER_FAILED', async () => {
      for await (const item of messaging.stream('breaks', null)) items.push(item);
    });
    assert.deepEqual(items, [1, 2]);
    assert.equal(error.data['name'], 'TypeError');
  },

  'a stream to nobody is refused': async ({ messaging }) => {
    const error = await failure('REJECTED', () => collect(messaging.stream('nobody', null)));
    assert.equal(error.data['reason'], 'no-such-agent');
  },

  'each item has its deadline': async ({ messaging, register }) => {
    const told = gate();
    await register('stuck', async function* (_message: unknown, { signal }: CallContext) {
      yield 1;
      await aborted(signal);
      told.open();
    });
    const items: unknown[] = [];
    const error = await failure('UNKNOWN_OUTCOME', async () => {
      for await (const item of messaging.stream('stuck', null, { timeoutMs: 200 })) items.push(item);
    });
    assert.equal(error.data['reason'], 'deadline');
    assert.deepEqual(items, [1]);
    await told.promise;
  },

  'cancelling a stream ends it on both sides': async ({ messaging, register }) => {
    const told = gate();
    await register('ticking', async function* (_message: unknown, { signal }: CallContext) {
      try {
        yield 1;
        await aborted(signal);
      } finally {
        told.open();
      }
    });
    const controller = new AbortController();
    const stream = messaging.stream('ticking', null, { signal: controller.signal, timeoutMs: 60_000 });
    const iterator = stream[Symbol.asyncIterator]();
    assert.deepEqual(await iterator.next(), { done: false, value: 1 });
    const next = failure('UNKNOWN_OUTCOME', () => iterator.next());
    controller.abort();
    assert.equal((await next).data['reason'], 'cancelled');
    await told.promise;
    assert.deepEqual(await iterator.next(), { done: true, value: undefined });
  },

  'an input that throws throws at the handler, which decides what becomes of the stream': async ({
    messaging,
    register,
  }) => {
    await register('reader', async (patient: boolean, { input }: CallContext) => {
      try {
        for await (const _item of input);
      } catch (error) {
        if (patient) return String(error);
        throw error;
      }
      return 'nothing was thrown';
    });
    async function* broken(): AsyncGenerator<Value> {
      yield 1;
      throw new Error('input broke');
    }
    const [told] = await collect(messaging.stream<string>('reader', true, { input: broken() }));
    assert.match(told ?? '', /input broke/);
    const error = await failure('HANDLER_FAILED', () =>
      collect(messaging.stream('reader', false, { input: broken() })),
    );
    assert.match(error.message, /input broke/);
  },
};
