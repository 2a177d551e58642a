/** What every circuit breaker must do, as cases for any test runner; in one process and across nodes. */
import assert from 'node:assert/strict';
import { isQuorateError, type QuorateError } from '../errors.ts';
import type { BreakerOptions, CircuitBreaker } from '../protocols/infrastructure/breaker/breaker.ts';
import type { Infrastructure } from '../protocols/infrastructure/infrastructure.ts';
import type { AnsweredBy } from '../protocols/messaging/call-policy.ts';
import type { Messaging } from '../protocols/messaging/messaging.ts';
import { type Cases, type ConformanceOptions, declareCases, failure } from './suite.ts';

export interface BreakerSubject {
  /** At least one; those of one mesh know each other, and up to one of them may lie. */
  readonly nodes: readonly [BreakerNode, ...BreakerNode[]];
  /** Must be idempotent. */
  stop(): Promise<void>;
}

export interface BreakerNode {
  readonly infrastructure: Pick<Infrastructure, 'circuitBreaker'>;
  readonly messaging: Pick<Messaging, 'call' | 'cast' | 'stream'>;
  /** On this node; resolves once all nodes know the agent. `handler` is given the method. */
  register(agent: string, handler: (method: string) => unknown): Promise<unknown>;
}

export type BreakerConformanceOptions = ConformanceOptions<BreakerSubject>;

/** Declares all cases with `test`. */
export function breakerConformance(options: BreakerConformanceOptions): void {
  declareCases(options, cases);
}

async function until(what: string, holds: () => boolean): Promise<void> {
  for (let tries = 0; !holds(); tries++) {
    assert.ok(tries < 3_000, `it did not come to pass: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}

/** An agent that does as it is told, and counts how often. */
class Worker {
  fails = true;
  runs = 0;
  readonly handle = (method: string): unknown => {
    this.runs += 1;
    if (this.fails && method !== 'fine') throw new Error('out of order');
    return 'done';
  };
}

const agent = 'worker';
/** Nothing opens or closes by itself during a case unless it says so. */
const slowly = { failureThreshold: 3, windowMs: 3_600_000, recoveryTimeMs: 3_600_000 } as const;

async function setUp(
  nodes: BreakerSubject['nodes'],
  options: Partial<BreakerOptions> = {},
): Promise<{ worker: Worker; breakers: CircuitBreaker[]; fail(node: number, times: number): Promise<void> }> {
  const worker = new Worker();
  await nodes[0].register(agent, worker.handle);
  const breakers = nodes.map((node) => node.infrastructure.circuitBreaker({ agent, ...slowly, ...options }));
  const fail = async (node: number, times: number): Promise<void> => {
    for (let time = 0; time < times; time++) await outcome(nodes[node] as BreakerNode);
  };
  return { worker, breakers, fail };
}

async function outcome({ messaging }: BreakerNode, method = 'work'): Promise<string> {
  try {
    return await messaging.call<string>(agent, '', { method });
  } catch (error) {
    assert.ok(isQuorateError(error));
    return `${error.code} ${error.data['reason'] ?? ''}`.trim();
  }
}

const cases: Cases<BreakerSubject> = {
  'failures that reach the threshold open it; calls, casts and streams are refused and reach nobody': async ({
    nodes,
  }) => {
    const { worker, breakers, fail } = await setUp(nodes);
    const [{ messaging }] = nodes;
    await fail(0, 2);
    assert.equal(breakers[0]?.state(), 'closed');
    await fail(0, 1);
    assert.equal(breakers[0]?.state(), 'open');
    const read = async (): Promise<void> => {
      for await (const item of messaging.stream(agent, '')) assert.fail(`an item came: ${String(item)}`);
    };
    for (const sent of [messaging.call(agent, ''), messaging.cast(agent, ''), read()]) {
      const refused: QuorateError = await failure('REJECTED', sent);
      assert.equal(refused.data['reason'], 'circuit-open');
      assert.ok((refused.data['retryAfterMs'] as number) > 0);
    }
    assert.equal(worker.runs, 3);
    assert.equal(breakers[0]?.status().refused, 3);
  },

  'successes keep it closed while most calls succeed': async ({ nodes }) => {
    const { breakers, fail } = await setUp(nodes);
    for (let time = 0; time < 10; time++) assert.equal(await outcome(nodes[0], 'fine'), 'done');
    await fail(0, 9);
    assert.equal(breakers[0]?.state(), 'closed');
    await fail(0, 1);
    assert.equal(breakers[0]?.state(), 'open');
  },

  'what the caller does wrong, and what is ignored, moves nothing': async ({ nodes }) => {
    const { breakers } = await setUp(nodes, { failureThreshold: 1, classify: () => 'ignore' });
    await outcome(nodes[0]);
    assert.equal(breakers[0]?.state(), 'closed');
    const caller = nodes.at(-1) as BreakerNode;
    const usual = caller.infrastructure.circuitBreaker({ agent, ...slowly, id: 'usual', failureThreshold: 1 });
    await failure('NOT_DELIVERED', caller.messaging.call(agent, '', { signal: AbortSignal.abort() }));
    await failure('REJECTED', caller.messaging.call(agent, '', { method: 'missing' }));
    if (nodes.length > 1) await failure('UNSUPPORTED_VALUE', caller.messaging.call(agent, Symbol('x')));
    assert.equal(usual.state(), 'closed');
    const counts = usual.status().agents.map(({ failures, successes }) => [failures, successes]);
    assert.deepEqual(counts, [[0, 0]]);
  },

  'after the recovery time a probe that succeeds closes it': async ({ nodes }) => {
    const { worker, breakers, fail } = await setUp(nodes, { recoveryTimeMs: 50 });
    const states: string[] = [];
    breakers[0]?.onChange(({ state, previous }) => states.push(`${previous} → ${state}`));
    await fail(0, 3);
    await until('it is half-open', () => breakers[0]?.state() === 'halfOpen');
    worker.fails = false;
    await until('a probe passes', () => {
      void outcome(nodes[0]);
      return breakers[0]?.state() === 'closed';
    });
    assert.deepEqual(states, ['closed → open', 'open → halfOpen', 'halfOpen → closed']);
    assert.equal(breakers[0]?.status().probes, 1);
    assert.equal(await outcome(nodes[0]), 'done');
  },

  'a probe that fails opens it again, for longer': async ({ nodes }) => {
    const { breakers, fail } = await setUp(nodes, { recoveryTimeMs: 1_000 });
    await fail(0, 3);
    await until('it is half-open', () => breakers[0]?.state() === 'halfOpen');
    assert.equal(await outcome(nodes[0]), 'HANDLER_FAILED');
    assert.equal(breakers[0]?.state(), 'open');
    const [status] = breakers[0]?.status().agents ?? [];
    const retryAfterMs = status?.retryAfterMs ?? 0;
    assert.ok(retryAfterMs > 1_000 && retryAfterMs <= 2_000, String(retryAfterMs));
  },

  'while it is open fallbacks are called in order, and the answer says so': async ({ nodes }) => {
    const { breakers, fail } = await setUp(nodes, { fallbackAgents: ['missing', 'spare'] });
    await (nodes.at(-1) as BreakerNode).register('spare', () => 'spare');
    await fail(0, 3);
    const answers: AnsweredBy[] = [];
    const onAnswered = (by: AnsweredBy): void => void answers.push(by);
    assert.equal(await nodes[0].messaging.call(agent, '', { onAnswered }), 'spare');
    assert.deepEqual(answers, [{ agent: 'spare', fallbackFor: agent, attempts: 2 }]);
    assert.equal(breakers[0]?.status().fallbacks, 1);
  },

  'opened by hand until it is reset, or for a time': async ({ nodes }) => {
    const { worker, breakers } = await setUp(nodes);
    worker.fails = false;
    breakers[0]?.trip();
    assert.equal(await outcome(nodes[0]), 'REJECTED circuit-open');
    breakers[0]?.reset();
    assert.equal(await outcome(nodes[0]), 'done');
    breakers[0]?.trip({ ms: 50 });
    assert.equal(breakers[0]?.state(), 'open');
    await until('its time is over', () => breakers[0]?.state() === 'closed');
  },

  'one caller whose calls fail by its own fault leaves the others calling': async ({ nodes }) => {
    const { breakers } = await setUp(nodes, {
      failureThreshold: 3,
      classify: (error) => (error === undefined ? 'success' : 'failure'),
    });
    if (nodes.length < 3) return;
    await Promise.all(nodes.slice(1).map((node) => outcome(node, 'fine')));
    for (let time = 0; time < 6; time++) await outcome(nodes[0]);
    assert.equal(breakers[0]?.state(), 'open');
    for (const [index, node] of nodes.entries()) {
      if (index === 0) continue;
      assert.equal(await outcome(node, 'fine'), 'done');
      assert.equal(breakers[index]?.state(), 'closed');
    }
  },

  'failures at several nodes open it for all; one probe, in the whole mesh, closes it for all': async ({ nodes }) => {
    const { worker, breakers, fail } = await setUp(nodes, { failureThreshold: 4, recoveryTimeMs: 1_000 });
    if (nodes.length < 3) return;
    await fail(1, 2);
    await fail(2, 2);
    await until('it is open at all nodes', () => breakers.every((breaker) => breaker.state() !== 'closed'));
    worker.fails = false;
    const before = worker.runs;
    let atClosing: number | undefined;
    for (const breaker of breakers) {
      breaker.onChange(({ state }) => {
        if (state === 'closed') atClosing ??= worker.runs - before;
      });
    }
    await until('a probe passes', () => {
      for (const node of nodes) if (atClosing === undefined) void outcome(node);
      return atClosing !== undefined;
    });
    assert.equal(atClosing, 1);
    await until('it is closed at all nodes', () => breakers.every((breaker) => breaker.state() === 'closed'));
    assert.equal(
      breakers.reduce((sum, breaker) => sum + breaker.status().probes, 0),
      1,
    );
  },
};
