/** What one process alone decides: limits of agents, keys, deadlines in the queue, failures nobody waits for. */
import { afterEach, describe, expect, expectTypeOf, test } from 'vitest';
import type { QuorateError } from '../../../src/errors.ts';
import { SimulatedWorld } from '../../../src/p2p/simulated/world.ts';
import type { MessagingLimits } from '../../../src/protocols/messaging/limits.ts';
import type { CallContext } from '../../../src/protocols/messaging/messaging.ts';
import { MemoryCluster, type MemoryNode } from './harness.ts';

const hour = 3_600_000;
let cluster: MemoryCluster | undefined;
afterEach(() => cluster?.stop());

/** On virtual time: nothing here waits for a real clock. */
function process(limits: Partial<MessagingLimits> = {}): { node: MemoryNode; world: SimulatedWorld } {
  const world = new SimulatedWorld({ seed: 1 });
  cluster = new MemoryCluster(world.clock);
  return { node: cluster.node('self', { local: true, limits }), world };
}

const codeOf = (promise: Promise<unknown>): Promise<string> =>
  promise.then(
    () => 'reply',
    (error: QuorateError) => `${error.code} ${error.data['reason']}`,
  );

describe('deadlines', () => {
  test('a message that waits too long was not delivered; one that runs too long is unknown', async () => {
    const { node, world } = process({ maxConcurrent: 1 });
    const seen: unknown[] = [];
    node.register('agent', (message: unknown) => {
      seen.push(message);
      return new Promise(() => undefined);
    });
    const running = codeOf(node.messaging.call('agent', 'first', { timeoutMs: 1_000 }));
    const waiting = codeOf(node.messaging.call('agent', 'second', { timeoutMs: 500 }));
    await world.run(2_000);
    expect(await Promise.all([running, waiting])).toEqual(['UNKNOWN_OUTCOME deadline', 'NOT_DELIVERED deadline']);
    expect(seen).toEqual(['first']);
  });

  test('five seconds unless said otherwise; a handler that hangs keeps its place', async () => {
    const { node, world } = process({ maxConcurrent: 1, mailbox: 1 });
    node.register('agent', () => new Promise(() => undefined));
    let ended = '';
    void codeOf(node.messaging.call('agent', 1)).then((code) => {
      ended = code;
    });
    await world.run(4_999);
    expect(ended).toBe('');
    await world.run(20);
    expect(ended).toBe('UNKNOWN_OUTCOME deadline');
    expect(node.messaging.status().mailboxes).toEqual([{ agent: 'agent', running: 1, queued: 0 }]);
    const queued = codeOf(node.messaging.call('agent', 2, { timeoutMs: 100 }));
    expect(await codeOf(node.messaging.call('agent', 3))).toBe('REJECTED mailbox-full');
    await world.run(200);
    expect(await queued).toBe('NOT_DELIVERED deadline');
    expect(node.messaging.status().mailboxes).toEqual([{ agent: 'agent', running: 1, queued: 0 }]);
  });

  test('a handler that ends after its deadline changes nothing and frees its place', async () => {
    const { node, world } = process({ maxConcurrent: 1 });
    const release = Promise.withResolvers<string>();
    node.register('agent', (message: unknown) => (message === 1 ? release.promise : 'second'));
    const first = codeOf(node.messaging.call('agent', 1, { timeoutMs: 100 }));
    await world.run(200);
    const second = node.messaging.call('agent', 2);
    release.resolve('late');
    expect(await first).toBe('UNKNOWN_OUTCOME deadline');
    expect(await second).toBe('second');
  });
});

describe('idempotency keys', () => {
  test('a run refused by a full mailbox is a first try again', async () => {
    const { node } = process({ maxConcurrent: 1, mailbox: 1 });
    const release = Promise.withResolvers<void>();
    let runs = 0;
    node.register('agent', async () => {
      runs += 1;
      await release.promise;
      return runs;
    });
    const others = [node.messaging.call('agent', 1), node.messaging.call('agent', 2)];
    const key = { idempotencyKey: 'k', retries: 0 };
    expect(await codeOf(node.messaging.call('agent', 3, key))).toBe('REJECTED mailbox-full');
    release.resolve();
    await Promise.all(others);
    expect(await node.messaging.call('agent', 3, key)).toBe(3);
    expect(await node.messaging.call('agent', 3, key)).toBe(3);
    expect(runs).toBe(3);
  });

  test('who joins a run has its own deadline, and the run lasts for the latest', async () => {
    const { node, world } = process();
    const signals: AbortSignal[] = [];
    const release = Promise.withResolvers<string>();
    node.register('agent', (_message: unknown, { signal }: CallContext) => {
      signals.push(signal);
      return release.promise;
    });
    const key = { idempotencyKey: 'k', retries: 0 };
    const short = codeOf(node.messaging.call('agent', 1, { ...key, timeoutMs: 100 }));
    const long = node.messaging.call('agent', 1, { ...key, timeoutMs: 10_000 });
    await world.run(200);
    expect(await short).toBe('UNKNOWN_OUTCOME deadline');
    expect(signals.map((signal) => signal.aborted)).toEqual([false]);
    release.resolve('done');
    expect(await long).toBe('done');
  });

  test('the failure of the handler is remembered as well, for its window', async () => {
    const { node, world } = process({ dedupMs: 1_000 });
    let runs = 0;
    node.register('agent', () => {
      runs += 1;
      throw new Error(`run ${runs}`);
    });
    const failed = async (): Promise<string> => {
      try {
        await node.messaging.call('agent', 1, { idempotencyKey: 'k' });
      } catch (error) {
        return String((error as QuorateError).data['message']);
      }
      return 'no failure';
    };
    expect(await failed()).toBe('run 1');
    expect(await failed()).toBe('run 1');
    await world.run(1_001);
    expect(await failed()).toBe('run 2');
  });

  test('all who wait for a run cancel it together, one alone does not', async () => {
    const { node } = process();
    let signal: AbortSignal | undefined;
    node.register('agent', (_message: unknown, context: CallContext) => {
      signal = context.signal;
      return new Promise(() => undefined);
    });
    const [first, second] = [new AbortController(), new AbortController()];
    const key = { idempotencyKey: 'k', retries: 0, timeoutMs: hour };
    const calls = [first, second].map((each) =>
      codeOf(node.messaging.call('agent', 1, { ...key, signal: each.signal })),
    );
    await Promise.resolve();
    first.abort();
    expect(await calls[0]).toBe('UNKNOWN_OUTCOME cancelled');
    expect(signal?.aborted).toBe(false);
    second.abort();
    expect(await calls[1]).toBe('UNKNOWN_OUTCOME cancelled');
    expect(signal?.aborted).toBe(true);
  });
});

describe('the rest', () => {
  test('a handler never runs inside its caller', async () => {
    const { node } = process();
    const order: string[] = [];
    node.register('agent', () => {
      order.push('handler');
    });
    const call = node.messaging.call('agent', 1);
    order.push('caller');
    await call;
    expect(order).toEqual(['caller', 'handler']);
  });

  test('what the handler of a cast throws is reported', async () => {
    const { node } = process();
    node.register('agent', () => {
      throw new Error('nobody waits');
    });
    await node.messaging.cast('agent', 1);
    expect(node.errors.map((error) => (error as QuorateError).data['message'])).toEqual(['nobody waits']);
  });

  test('limits of an agent are checked, and hold from its next idle moment', async () => {
    const { node } = process();
    expect(() => node.messaging.setAgentLimits('agent', { maxConcurrent: 0 })).toThrow(/at least 1/);
    const release = Promise.withResolvers<void>();
    let running = 0;
    let most = 0;
    node.register('agent', async () => {
      running += 1;
      most = Math.max(most, running);
      await release.promise;
      running -= 1;
    });
    const first = [1, 2].map((each) => node.messaging.call('agent', each));
    await Promise.resolve();
    node.messaging.setAgentLimits('agent', { maxConcurrent: 1 });
    release.resolve();
    await Promise.all(first);
    expect(most).toBe(2);
    most = 0;
    await Promise.all([1, 2, 3].map((each) => node.messaging.call('agent', each)));
    expect(most).toBe(1);
  });

  test('an agent registered anew does not get the messages of the one before', async () => {
    const { node } = process();
    const unregister = node.register('agent', () => 'old');
    const call = codeOf(node.messaging.call('agent', 1));
    unregister();
    node.register('agent', () => 'new');
    expect(await call).toBe('REJECTED agent-gone');
    expect(await node.messaging.call('agent', 1)).toBe('new');
  });

  test('a class is a handler; what begins with an underscore is its own business', async () => {
    class Account {
      #balance = 10;
      deposit(amount: number): number {
        this.#balance += amount;
        return this.#balance;
      }
      _audit(): string {
        return 'private';
      }
    }
    const { node } = process();
    node.register('account', new Account() as never);
    expect(await node.messaging.call('account', 5, { method: 'deposit' })).toBe(15);
    expect(await codeOf(node.messaging.call('account', 5, { method: '_audit' }))).toBe('REJECTED no-such-method');
  });

  test('references have the types of the handler', () => {
    const { node } = process();
    interface Api {
      add(numbers: readonly number[]): Promise<number>;
      list(prefix: string, context: CallContext): AsyncIterable<Date>;
    }
    const ref = node.messaging.ref<Api>('agent');
    expectTypeOf(ref.add).parameter(0).toEqualTypeOf<readonly number[]>();
    expectTypeOf(ref.add).returns.resolves.toEqualTypeOf<number>();
    expectTypeOf(ref.list.stream('x')).toEqualTypeOf<AsyncIterable<Date>>();
    type Called = typeof ref.list extends (...args: never[]) => unknown ? 'by a call' : 'by a stream only';
    expectTypeOf<Called>().toEqualTypeOf<'by a stream only'>();
  });
});
