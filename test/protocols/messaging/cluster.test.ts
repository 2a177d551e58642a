/** Two and more nodes: what happens to a call when something happens to its connection, its node or its agent. */
import { afterEach, describe, expect, test } from 'vitest';
import { type ErrorCode, QuorateError } from '../../../src/errors.ts';
import type { NodeId } from '../../../src/node-id.ts';
import type { ClusterMessagingStatus } from '../../../src/protocols/messaging/cluster.ts';
import type { CallContext } from '../../../src/protocols/messaging/messaging.ts';
import { MemoryCluster, type MemoryNode, type NodeOptions } from './harness.ts';

const hour = 3_600_000;
const clusters: MemoryCluster[] = [];

function nodes<Name extends string>(
  options: Readonly<Record<Name, NodeOptions>>,
): Record<Name, MemoryNode> & { cluster: MemoryCluster } {
  const cluster = new MemoryCluster();
  clusters.push(cluster);
  const made = Object.entries<NodeOptions>(options).map(([name, each]) => [name, cluster.node(name, each)] as const);
  return Object.assign(Object.fromEntries(made), { cluster }) as never;
}

afterEach(() => {
  for (const cluster of clusters.splice(0)) cluster.stop();
});

async function failure(action: Promise<unknown>, code: ErrorCode, reason?: string): Promise<QuorateError> {
  try {
    await action;
  } catch (error) {
    if (!(error instanceof QuorateError)) throw error;
    expect(`${error.code} ${error.data['reason']}`, error.message).toBe(`${code} ${reason}`);
    return error;
  }
  throw new Error(`expected ${code}, but it succeeded`);
}

async function collect(items: AsyncIterable<unknown>): Promise<unknown[]> {
  const collected: unknown[] = [];
  for await (const item of items) collected.push(item);
  return collected;
}

/** A handler that says when it began and waits until it is let go. */
function held(): { handler: () => Promise<string>; began: Promise<void>; letGo(): void; runs(): number } {
  const began = Promise.withResolvers<void>();
  const release = Promise.withResolvers<string>();
  let runs = 0;
  const handler = (): Promise<string> => {
    runs += 1;
    began.resolve();
    return release.promise;
  };
  return { handler, began: began.promise, letGo: () => release.resolve('done'), runs: () => runs };
}

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));
const status = (node: MemoryNode): ClusterMessagingStatus => node.messaging.status() as ClusterMessagingStatus;

describe('the outcomes of a call', () => {
  test('a node that cannot be reached: not delivered', async () => {
    const { a, b, cluster } = nodes({ a: {}, b: {} });
    b.register('agent', () => 1);
    cluster.unreachable.add(b.self);
    const error = await failure(a.messaging.call('agent', 1), 'NOT_DELIVERED', 'unreachable');
    expect(error.data['node']).toBe('b');
    await failure(a.messaging.cast('agent', 1), 'NOT_DELIVERED', 'unreachable');
    await failure(collect(a.messaging.stream('agent', 1)), 'NOT_DELIVERED', 'unreachable');
  });

  test('a connection lost after sending: unknown; the handler is told', async () => {
    const { a, b } = nodes({ a: {}, b: {} });
    const began = Promise.withResolvers<AbortSignal>();
    b.register('agent', (_message: unknown, { signal }: CallContext) => {
      began.resolve(signal);
      return new Promise(() => undefined);
    });
    const call = failure(a.messaging.call('agent', 1, { timeoutMs: hour }), 'UNKNOWN_OUTCOME', 'connection-lost');
    const signal = await began.promise;
    a.channels[0]?.abort(new Error('reset'));
    await call;
    await new Promise<void>((resolve) => {
      if (signal.aborted) resolve();
      else signal.addEventListener('abort', () => resolve());
    });
    expect(a.messaging.pendingCalls('agent')).toBe(0);
  });

  test('a connection lost while frames are held back: those are not delivered', async () => {
    const { a, b } = nodes({ a: {}, b: {} });
    const { handler, began } = held();
    b.register('agent', handler);
    const first = failure(a.messaging.call('agent', 1, { timeoutMs: hour }), 'UNKNOWN_OUTCOME', 'connection-lost');
    await began;
    // The callee reads no more: what follows fills the channel, and then waits here.
    b.channels[0]?.pause();
    const outcomes = Array.from({ length: 40 }, (_, index) =>
      a.messaging.call('agent', 'x'.repeat(12_000), { timeoutMs: hour }).then(
        () => 'reply',
        (error: QuorateError) => `${index < 10 ? 'early' : ''} ${error.code} ${error.data['reason']}`,
      ),
    );
    await turn();
    expect(status(a).queuedBytes).toBeGreaterThan(100_000);
    a.channels[0]?.abort(new Error('reset'));
    await first;
    const seen = await Promise.all(outcomes);
    expect(new Set(seen.slice(0, 10))).toEqual(new Set(['early UNKNOWN_OUTCOME connection-lost']));
    expect(seen.at(-1)).toBe(' NOT_DELIVERED connection-lost');
    expect(status(a).queuedBytes).toBe(0);
  });

  test('a node that becomes unreachable fails its calls and streams at once', async () => {
    const { a, b } = nodes({ a: {}, b: {} });
    const { handler, began } = held();
    b.register('agent', handler);
    b.register('stream', async function* () {
      yield 1;
      await new Promise(() => undefined);
    });
    const call = failure(a.messaging.call('agent', 1, { timeoutMs: hour }), 'UNKNOWN_OUTCOME', 'unreachable');
    await began;
    const stream = a.messaging.stream('stream', 1, { timeoutMs: hour })[Symbol.asyncIterator]();
    expect(await stream.next()).toEqual({ done: false, value: 1 });
    const next = failure(stream.next(), 'UNKNOWN_OUTCOME', 'unreachable');
    a.announce(b.self, 'unreachable');
    await call;
    await next;
  });

  test('a suspected node keeps its calls', async () => {
    const { a, b } = nodes({ a: {}, b: {} });
    const { handler, began, letGo } = held();
    b.register('agent', handler);
    const call = a.messaging.call('agent', 1, { timeoutMs: hour });
    await began;
    a.announce(b.self, 'suspect');
    letGo();
    expect(await call).toBe('done');
  });

  test('a deadline while the connection is being made: not delivered, and never sent', async () => {
    const { a, b, cluster } = nodes({ a: {}, b: {} });
    const { handler, runs } = held();
    b.register('agent', handler);
    const connected = Promise.withResolvers<void>();
    cluster.beforeOpen = () => connected.promise;
    await failure(a.messaging.call('agent', 1, { timeoutMs: 20 }), 'NOT_DELIVERED', 'deadline');
    connected.resolve();
    for (let i = 0; i < 10; i++) await turn();
    expect(runs()).toBe(0);
    expect(status(a).queuedBytes).toBe(0);
  });

  test('stopping fails what is under way', async () => {
    const { a, b } = nodes({ a: {}, b: {} });
    const { handler, began } = held();
    b.register('agent', handler);
    const call = a.messaging.call('agent', 1, { timeoutMs: hour }).catch((error: QuorateError) => error.code);
    await began;
    a.messaging.stop();
    expect(await call).toBe('UNKNOWN_OUTCOME');
    await failure(a.messaging.call('agent', 1), 'STOPPED');
  });
});

describe('payloads between nodes', () => {
  test('too large or unfit: refused here, before anything is sent', async () => {
    const { a, b } = nodes({ a: { limits: { maxMessageBytes: 10_000 } }, b: {} });
    const { handler, runs } = held();
    b.register('agent', handler);
    await failure(a.messaging.call('agent', new Uint8Array(20_000)), 'PAYLOAD_TOO_LARGE');
    await failure(a.messaging.call('agent', { run: () => 1 }), 'UNSUPPORTED_VALUE');
    await failure(a.messaging.cast('agent', new Uint8Array(20_000)), 'PAYLOAD_TOO_LARGE');
    await failure(collect(a.messaging.stream('agent', new Uint8Array(20_000))), 'PAYLOAD_TOO_LARGE');
    expect(runs()).toBe(0);
    expect(status(a).pending).toBe(0);
  });

  test('a reply that cannot travel is the failure of its handler', async () => {
    const { a, b } = nodes({ a: {}, b: { limits: { maxMessageBytes: 10_000 } } });
    b.register('agent', { odd: () => new Set([1]), huge: () => new Uint8Array(20_000) });
    const odd = await failure(a.messaging.call('agent', 1, { method: 'odd' }), 'HANDLER_FAILED');
    expect(odd.data['code']).toBe('UNSUPPORTED_VALUE');
    const huge = await failure(a.messaging.call('agent', 1, { method: 'huge' }), 'HANDLER_FAILED');
    expect(huge.data['code']).toBe('PAYLOAD_TOO_LARGE');
  });

  test('a large reply to a small call comes on the bulk channel', async () => {
    const { a, b } = nodes({ a: {}, b: {} });
    b.register('agent', () => new Uint8Array(1_000_000));
    expect((await a.messaging.call<Uint8Array>('agent', 1)).length).toBe(1_000_000);
    expect(b.channels.map((channel) => channel.protocol)).toEqual(['/quorate/call/1', '/quorate/bulk/1']);
    const largest = Math.max(...(b.channels[0]?.sent ?? []).map((frame) => frame.length), 0);
    expect(largest).toBeLessThan(1_000);
  });
});

describe('bounds', () => {
  test('more calls to one peer than allowed are refused at once', async () => {
    const { a, b } = nodes({ a: { limits: { maxOutgoingCallsPerPeer: 3 } }, b: {} });
    const { handler, letGo } = held();
    b.register('agent', handler);
    const calls = Array.from({ length: 3 }, () => a.messaging.call('agent', 1, { timeoutMs: hour }));
    await failure(a.messaging.call('agent', 1), 'REJECTED', 'overloaded');
    letGo();
    expect(await Promise.all(calls)).toEqual(['done', 'done', 'done']);
    expect(await a.messaging.call('agent', 1)).toBe('done');
  });

  test('a peer that does not read makes this node refuse, not grow', async () => {
    const { a, b } = nodes({ a: { limits: { maxOutgoingBytesPerPeer: 100_000 } }, b: {} });
    const { handler, began } = held();
    b.register('agent', handler);
    const first = a.messaging.call('agent', 1, { timeoutMs: hour }).catch(() => undefined);
    await began;
    b.channels[0]?.pause();
    const reasons: unknown[] = [];
    for (let index = 0; index < 100; index++) {
      a.messaging
        .call('agent', 'x'.repeat(10_000), { timeoutMs: hour })
        .catch((error: QuorateError) => reasons.push(error.data['reason']));
    }
    await turn();
    expect(new Set(reasons)).toEqual(new Set(['overloaded']));
    expect(status(a).queuedBytes).toBeLessThanOrEqual(100_000);
    a.messaging.stop();
    await first;
  });

  test('one peer cannot hold more calls of a node than allowed; others are served', async () => {
    const { a, b, c } = nodes({ a: {}, b: { limits: { maxInboundCallsPerPeer: 2 } }, c: {} });
    const { handler, letGo } = held();
    b.register('agent', handler);
    const calls = [1, 2].map((value) => a.messaging.call('agent', value, { timeoutMs: hour }));
    await failure(a.messaging.call('agent', 3), 'REJECTED', 'overloaded');
    const other = c.messaging.call('agent', 4, { timeoutMs: hour });
    letGo();
    expect(await Promise.all([...calls, other])).toEqual(['done', 'done', 'done']);
  });

  test.each(['maxOutgoingStreams', 'maxInboundStreamsPerPeer'])('streams are bounded by %s', async (limit) => {
    const { a, b } = nodes({ a: { limits: { [limit]: 1 } }, b: {} });
    b.register('agent', async function* () {
      for (;;) yield 'x'.repeat(10_000);
    });
    const open = a.messaging.stream('agent', 1)[Symbol.asyncIterator]();
    await open.next();
    await failure(collect(a.messaging.stream('agent', 1)), 'REJECTED', 'stream-limit');
    await open.return?.();
    const again = a.messaging.stream('agent', 1)[Symbol.asyncIterator]();
    expect((await again.next()).done).toBe(false);
    await again.return?.();
  });
});

describe('retries', () => {
  test('criteria choose another agent after one whose node is away', async () => {
    const { a, b, c, cluster } = nodes({ a: {}, b: {}, c: {} });
    b.register('one', () => 'one', { capabilities: ['work'] });
    c.register('two', () => 'two', { capabilities: ['work'] });
    cluster.unreachable.add('b' as NodeId);
    expect(await a.messaging.call({ capabilities: 'work' }, 1)).toBe('two');
    await failure(
      a.messaging.call({ capabilities: 'work' }, 1, { retries: 0 }) as never,
      'NOT_DELIVERED',
      'unreachable',
    );
    expect(status(a).retries).toBe(1);
  });

  test('with a key, a call whose connection was lost is asked again and runs once', async () => {
    const { a, b } = nodes({ a: {}, b: {} });
    const { handler, began, letGo, runs } = held();
    b.register('agent', handler);
    const call = a.messaging.call('agent', 1, { timeoutMs: hour, idempotencyKey: 'order-1' });
    await began;
    a.channels[0]?.abort(new Error('reset'));
    // The repeat arrives on a second channel while the first run goes on.
    while (a.channels.length < 2) await turn();
    letGo();
    expect(await call).toBe('done');
    expect(runs()).toBe(1);
  });

  test('without a key, a lost call is not repeated', async () => {
    const { a, b } = nodes({ a: {}, b: {} });
    const { handler, began, runs } = held();
    b.register('agent', handler);
    const call = failure(
      a.messaging.call('agent', 1, { timeoutMs: hour, retries: 5 }),
      'UNKNOWN_OUTCOME',
      'connection-lost',
    );
    await began;
    a.channels[0]?.abort(new Error('reset'));
    await call;
    expect(runs()).toBe(1);
  });

  test('the budget ends a storm of retries', async () => {
    const { a, b, cluster } = nodes({ a: { limits: { retryBurst: 3 } }, b: {} });
    b.register('agent', () => 1, { capabilities: ['work'] });
    b.register('agent2', () => 1, { capabilities: ['work'] });
    cluster.unreachable.add(b.self);
    for (let call = 0; call < 20; call++) {
      await a.messaging.call({ capabilities: 'work' }, 1).catch(() => undefined);
    }
    expect(status(a).retries).toBeLessThanOrEqual(3 + 2);
    expect(status(a).retries).toBeGreaterThanOrEqual(3);
  });
});

describe('stale routes', () => {
  test('call, cast and stream follow an agent that moved, and the handler sees the true caller', async () => {
    const { a, b, c } = nodes({ a: {}, b: {}, c: {} });
    const casts: unknown[] = [];
    c.register('agent', {
      who: (_message: unknown, { callerNode }: CallContext) => callerNode,
      note: (message: unknown) => void casts.push(message),
      async *items(_message: unknown, { callerNode }: CallContext) {
        yield callerNode;
      },
    });
    a.stale.set('agent', b.self);
    expect(await a.messaging.call('agent', 1, { method: 'who' })).toBe('a');
    await a.messaging.cast('agent', 'cast', { method: 'note' });
    expect(casts).toEqual(['cast']);
    expect(await collect(a.messaging.stream('agent', 1, { method: 'items' }))).toEqual(['a']);
  });

  test('an agent that came to the caller itself is called there', async () => {
    const { a, b } = nodes({ a: {}, b: {} });
    a.stale.set('agent', b.self);
    const call = a.messaging.call('agent', 1);
    a.register('agent', () => 'here');
    expect(await call).toBe('here');
  });

  test('a chase ends after two moves', async () => {
    const { a, b, c, d, e } = nodes({ a: {}, b: {}, c: {}, d: {}, e: {} });
    let asked = 0;
    e.register('agent', () => {
      asked += 1;
    });
    a.stale.set('agent', 'b' as NodeId);
    b.stale.set('agent', 'c' as NodeId);
    c.stale.set('agent', 'd' as NodeId);
    d.stale.set('agent', 'e' as NodeId);
    // Its own registry is believed first, so it must know nothing better either.
    await failure(a.messaging.call('agent', 1), 'REJECTED', 'no-such-agent');
    expect(asked).toBe(0);
  });

  test('a hint to a node that is no member is not followed', async () => {
    const { a, b, c, cluster } = nodes({ a: {}, b: {}, c: {} });
    c.register('agent', () => 'reached');
    a.stale.set('agent', 'b' as NodeId);
    b.stale.set('agent', 'c' as NodeId);
    cluster.members.delete('c' as NodeId);
    await failure(a.messaging.call('agent', 1), 'REJECTED', 'no-such-agent');
  });
});

describe('draining', () => {
  test('refuses what is new, finishes what runs, and lets running handlers call on', async () => {
    const { a, b } = nodes({ a: {}, b: {} });
    const release = Promise.withResolvers<void>();
    const began = Promise.withResolvers<void>();
    b.register('helper', () => 'helped');
    b.register('agent', async (_message: unknown, { mesh }: CallContext) => {
      began.resolve();
      await release.promise;
      return mesh.call('helper', 1);
    });
    const running = a.messaging.call('agent', 1, { timeoutMs: hour });
    await began.promise;
    let drained = false;
    const draining = b.messaging.drain().then((result) => {
      drained = true;
      return result;
    });
    await failure(a.messaging.call('agent', 2), 'REJECTED', 'draining');
    await failure(b.messaging.call('agent', 2), 'REJECTED', 'draining');
    await failure(a.messaging.cast('agent', 2), 'REJECTED', 'draining');
    await failure(collect(a.messaging.stream('agent', 2)), 'REJECTED', 'draining');
    expect(drained).toBe(false);
    release.resolve();
    expect(await running).toBe('helped');
    expect(await draining).toEqual({ unfinished: 0 });
  });

  test('criteria go elsewhere', async () => {
    const { a, b, c } = nodes({ a: {}, b: {}, c: {} });
    b.register('one', () => 'one', { capabilities: ['work'] });
    c.register('two', () => 'two', { capabilities: ['work'] });
    expect(await a.messaging.call({ capabilities: 'work' }, 1)).toBe('one');
    await b.messaging.drain();
    expect(await a.messaging.call({ capabilities: 'work' }, 1)).toBe('two');
  });

  test('gives up waiting when told to', async () => {
    const { a, b } = nodes({ a: {}, b: {} });
    const { handler, began } = held();
    b.register('agent', handler);
    const call = a.messaging.call('agent', 1, { timeoutMs: hour }).catch(() => undefined);
    await began;
    expect(await b.messaging.drain(AbortSignal.abort())).toEqual({ unfinished: 1 });
    a.messaging.stop();
    await call;
  });
});

describe('reading what a call made another node write', () => {
  function headsOf(written: { seq: number }): NonNullable<NodeOptions['heads']> {
    return { flush: () => undefined, head: () => ({ epoch: 1, seq: written.seq }), reached: () => undefined };
  }

  test('a call resolves only once the registry has what its handler registered', async () => {
    const known = { seq: 0 };
    const waiting: (() => void)[] = [];
    const asked: number[] = [];
    const written = { seq: 0 };
    let flushes = 0;
    const { a, b } = nodes({
      a: {
        heads: {
          flush: () => undefined,
          head: () => undefined,
          reached: (_node, { seq }) => {
            asked.push(seq);
            return known.seq >= seq ? undefined : new Promise((resolve) => waiting.push(resolve));
          },
        },
      },
      b: { heads: { ...headsOf(written), flush: () => void flushes++ } },
    });
    b.register('agent', (seq: number) => {
      written.seq = seq;
      return seq;
    });
    expect(await a.messaging.call('agent', 0)).toBe(0);
    let second: unknown;
    const call = a.messaging.call('agent', 7).then((value) => {
      second = value;
    });
    while (waiting.length === 0) await turn();
    // A later call whose handler wrote nothing must not overtake the one before it.
    const third = a.messaging.call('agent', 7);
    for (let i = 0; i < 10; i++) await turn();
    expect(second).toBeUndefined();
    known.seq = 7;
    for (const resolve of waiting) resolve();
    await call;
    expect(second).toBe(7);
    expect(await third).toBe(7);
    expect(await a.messaging.call('agent', 7)).toBe(7);
    // The head travels when it is news, and not again.
    expect(asked.filter((seq) => seq === 7).length).toBe(2);
    expect(flushes).toBeGreaterThan(0);
  });

  test('a registry that does not catch up delays the reply for a while, and does not lose it', async () => {
    const { a, b } = nodes({
      a: {
        limits: { catchUpMs: 30 },
        heads: { flush: () => undefined, head: () => undefined, reached: () => new Promise(() => undefined) },
      },
      b: { heads: headsOf({ seq: 1 }) },
    });
    b.register('agent', () => 'reply');
    expect(await a.messaging.call('agent', 1, { timeoutMs: hour })).toBe('reply');
  });
});
