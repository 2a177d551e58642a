/** What stands between a call and its sending: asked once for each attempt, told its end once, and fallbacks. */
import { afterEach, describe, expect, test } from 'vitest';
import { isQuorateError, type QuorateError } from '../../../src/errors.ts';
import type { AnsweredBy, AttemptInfo, CallPolicy } from '../../../src/protocols/messaging/call-policy.ts';
import type { CallContext } from '../../../src/protocols/messaging/messaging.ts';
import { rejected } from '../../../src/protocols/messaging/outcome.ts';
import { MemoryCluster, type MemoryNode } from './harness.ts';

let cluster: MemoryCluster | undefined;
afterEach(() => cluster?.stop());

/** Writes down what it is asked and told; refuses the agents in `open`. */
class Recorder implements CallPolicy {
  readonly asked: string[] = [];
  readonly ends: string[] = [];
  readonly open = new Map<string, readonly string[]>();
  readonly limited = new Set<string>();
  wait: Promise<void> | undefined;

  admit({ agent, method, insteadOf }: AttemptInfo): ReturnType<CallPolicy['admit']> {
    const name = method === '' ? agent : `${agent}.${method}`;
    this.asked.push(insteadOf === undefined ? name : `${name} instead`);
    const fallbacks = this.open.get(agent);
    if (fallbacks !== undefined) throw rejected(agent, 'circuit-open', { fallbacks });
    if (this.limited.has(agent)) throw rejected(agent, 'rate-limited', { retryAfterMs: 10 });
    const end = (error: unknown): void => {
      const how = isQuorateError(error) ? `${error.code} ${error.data['reason'] ?? ''}`.trim() : String(error);
      this.ends.push(`${name}: ${how}`);
    };
    return this.wait?.then(() => end) ?? end;
  }
}

function setUp(local: boolean): { caller: MemoryNode; callee: MemoryNode; policy: Recorder } {
  cluster = new MemoryCluster();
  const caller = cluster.node('caller');
  const callee = local ? caller : cluster.node('callee');
  const policy = new Recorder();
  caller.messaging.setPolicy(policy);
  return { caller, callee, policy };
}

const failureOf = async (promise: Promise<unknown>): Promise<QuorateError> => {
  try {
    await promise;
  } catch (error) {
    return error as QuorateError;
  }
  throw new Error('it succeeded');
};

describe.each([
  { where: 'in one process', local: true },
  { where: 'between two nodes', local: false },
])('$where', ({ local }) => {
  test('a call, a cast and a stream: each asks once and tells its end once', async () => {
    const { caller, callee, policy } = setUp(local);
    callee.register('agent', {
      echo: (message: unknown) => message,
      async *items() {
        yield 1;
        yield 2;
      },
    });
    const { messaging } = caller;
    expect(await messaging.call('agent', 'hello', { method: 'echo' })).toBe('hello');
    await messaging.cast('agent', 'hello', { method: 'echo' });
    const items: unknown[] = [];
    for await (const item of messaging.stream('agent', '', { method: 'items' })) items.push(item);
    expect(items).toEqual([1, 2]);
    expect(policy.asked).toEqual(['agent.echo', 'agent.echo', 'agent.items']);
    expect(policy.ends).toEqual(['agent.echo: undefined', 'agent.echo: undefined', 'agent.items: undefined']);
  });

  test('failures are told as the caller sees them', async () => {
    const { caller, callee, policy } = setUp(local);
    callee.register('agent', {
      fail: () => {
        throw new Error('no');
      },
      async *half() {
        yield 1;
        throw new Error('no');
      },
    });
    const { messaging } = caller;
    await failureOf(messaging.call('agent', '', { method: 'fail' }));
    await failureOf(messaging.call('agent', '', { method: 'missing' }));
    await failureOf(messaging.call('nobody', ''));
    await failureOf(messaging.cast('nobody', ''));
    const read = async (): Promise<void> => {
      for await (const item of messaging.stream('agent', '', { method: 'half' })) expect(item).toBe(1);
    };
    await failureOf(read());
    expect(policy.ends).toEqual([
      'agent.fail: HANDLER_FAILED',
      'agent.missing: REJECTED no-such-method',
      'nobody: REJECTED no-such-agent',
      'nobody: REJECTED no-such-agent',
      'agent.half: HANDLER_FAILED',
    ]);
  });

  test('a reader that leaves a stream has had what it wanted', async () => {
    const { caller, callee, policy } = setUp(local);
    callee.register('agent', async function* items() {
      for (let item = 0; ; item++) yield item;
    });
    for await (const item of caller.messaging.stream('agent', '')) if (item === 3) break;
    expect(policy.ends).toEqual(['agent: undefined']);
  });

  test('an open breaker without fallbacks refuses, and nothing is sent', async () => {
    const { caller, callee, policy } = setUp(local);
    const seen: unknown[] = [];
    callee.register('agent', (message: unknown) => seen.push(message));
    policy.open.set('agent', []);
    for (const sent of [caller.messaging.call('agent', 1), caller.messaging.cast('agent', 1)]) {
      expect((await failureOf(sent)).data).toMatchObject({ reason: 'circuit-open' });
    }
    const read = async (): Promise<void> => {
      for await (const item of caller.messaging.stream('agent', '')) expect(item).toBe('never');
    };
    expect((await failureOf(read())).data).toMatchObject({ reason: 'circuit-open' });
    expect(seen).toEqual([]);
    expect(policy.ends).toEqual([]);
  });

  test('fallbacks are tried in order, each is asked for, and the answer says so', async () => {
    const { caller, callee, policy } = setUp(local);
    callee.register('second', (message: unknown) => `second: ${message}`);
    policy.open.set('agent', ['missing', 'closed-too', 'second', 'third']).set('closed-too', ['third']);
    const answers: AnsweredBy[] = [];
    const onAnswered = (by: AnsweredBy): void => void answers.push(by);
    expect(await caller.messaging.call('agent', 'x', { onAnswered })).toBe('second: x');
    expect(policy.asked).toEqual(['agent', 'missing instead', 'closed-too instead', 'second instead']);
    expect(policy.ends).toEqual(['missing: REJECTED no-such-agent', 'second: undefined']);
    await caller.messaging.cast('agent', 'x', { onAnswered });
    for await (const item of caller.messaging.stream('agent', 'x', { onAnswered })) expect(item).toBe('second: x');
    expect(answers).toEqual(Array(3).fill({ agent: 'second', fallbackFor: 'agent', attempts: 2 }));
  });

  test('when no fallback can take it: what the breaker said, and what each of them said', async () => {
    const { caller, policy } = setUp(local);
    policy.open.set('agent', ['one', 'two']);
    policy.limited.add('two');
    const error = await failureOf(caller.messaging.call('agent', 'x'));
    expect(error.code).toBe('REJECTED');
    expect(error.data).toMatchObject({ agent: 'agent', reason: 'circuit-open' });
    const errors = error.data['fallbackErrors'] as { agent: string; error: QuorateError }[];
    expect(errors.map(({ agent, error: { data } }) => [agent, data['reason']])).toEqual([
      ['one', 'no-such-agent'],
      ['two', 'rate-limited'],
    ]);
  });

  test('a fallback that ran has given the answer, also when it failed, and is not followed by another', async () => {
    const { caller, callee, policy } = setUp(local);
    const runs: string[] = [];
    for (const name of ['one', 'two']) {
      callee.register(name, () => {
        runs.push(name);
        throw new Error('no');
      });
    }
    policy.open.set('agent', ['one', 'two']);
    const failed = caller.messaging.call('agent', '', { idempotencyKey: 'k', retries: 3 });
    expect((await failureOf(failed)).code).toBe('HANDLER_FAILED');
    expect(runs).toEqual(['one']);
  });

  test('by criteria, agents with open breakers are passed over without using up attempts', async () => {
    const { caller, callee, policy } = setUp(local);
    for (const name of ['a', 'b', 'c']) callee.register(name, () => name, { capabilities: ['x'] });
    policy.open.set('a', []).set('b', []);
    const answers: AnsweredBy[] = [];
    const options = { retries: 0, onAnswered: (by: AnsweredBy) => void answers.push(by) };
    for (let call = 0; call < 10; call++) {
      expect(await caller.messaging.call({ capabilities: 'x' }, '', options)).toBe('c');
    }
    expect(answers).toEqual(Array(10).fill({ agent: 'c', fallbackFor: undefined, attempts: 1 }));
    expect(caller.messaging.status().retries).toBe(0);
    policy.open.set('c', []);
    const refused = await failureOf(caller.messaging.call({ capabilities: 'x' }, '', options));
    expect(refused.data).toMatchObject({ reason: 'circuit-open' });
  });

  test('calls made by a handler are asked for as well, and their cancellation is seen', async () => {
    const { caller, policy } = setUp(local);
    let signal: AbortSignal | undefined;
    caller.register('outer', (message: string, { mesh }: CallContext) => mesh.call('inner', message));
    caller.register('inner', (message: string) => `inner ${message}`);
    const { admit } = policy;
    policy.admit = (attempt) => {
      if (attempt.agent === 'inner') ({ signal } = attempt);
      return admit.call(policy, attempt);
    };
    expect(await caller.messaging.call('outer', 'x')).toBe('inner x');
    expect(policy.asked).toEqual(['outer', 'inner']);
    expect(signal?.aborted).toBe(false);
  });
});

test('whoever waits for its turn and is cancelled meanwhile gives the turn back, and nothing is sent', async () => {
  const { caller, policy } = setUp(true);
  const seen: unknown[] = [];
  caller.register('agent', (message: unknown) => seen.push(message));
  const turn = Promise.withResolvers<void>();
  policy.wait = turn.promise;
  const controller = new AbortController();
  const call = failureOf(caller.messaging.call('agent', 1, { signal: controller.signal }));
  controller.abort();
  turn.resolve();
  expect((await call).data).toMatchObject({ reason: 'cancelled' });
  expect(policy.ends).toEqual(['agent: NOT_DELIVERED cancelled']);
  expect(seen).toEqual([]);
});

test('a stream left while it waits for its turn never begins', async () => {
  const { caller, policy } = setUp(true);
  const seen: unknown[] = [];
  caller.register('agent', (message: unknown) => seen.push(message));
  const turn = Promise.withResolvers<void>();
  policy.wait = turn.promise;
  const items = caller.messaging.stream('agent', 1)[Symbol.asyncIterator]();
  const first = items.next();
  await expect.poll(() => policy.asked).toEqual(['agent']);
  await items.return?.();
  turn.resolve();
  expect(await first).toEqual({ done: true, value: undefined });
  expect(policy.ends).toEqual(['agent: NOT_DELIVERED cancelled']);
  expect(seen).toEqual([]);
});

test('a listener that throws spoils no call', async () => {
  const { caller } = setUp(true);
  caller.register('agent', () => 'reply');
  caller.messaging.setPolicy(undefined);
  const onAnswered = (): void => {
    throw new Error('listener');
  };
  expect(await caller.messaging.call('agent', '', { onAnswered })).toBe('reply');
  const wrong = failureOf(caller.messaging.call('agent', '', { onAnswered: 'x' as never }));
  expect((await wrong).code).toBe('INVALID_ARGUMENT');
});
