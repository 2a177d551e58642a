/** What a node's breakers do with options, outcomes and what others say; many nodes and liars are simulated in test/simulation/infrastructure. */
import { describe, expect, test } from 'vitest';
import { QuorateError } from '../../../../src/errors.ts';
import { breakerKey } from '../../../../src/protocols/infrastructure/breaker/agent-breaker.ts';
import type { BreakerOptions, CircuitBreaker } from '../../../../src/protocols/infrastructure/breaker/breaker.ts';
import { Breakers } from '../../../../src/protocols/infrastructure/breaker/breakers.ts';
import { handlerFailed, rejected } from '../../../../src/protocols/messaging/outcome.ts';
import type { AgentRecord } from '../../../../src/protocols/registry/records.ts';
import type { SharedNode } from '../../../simulation/sharing/shared-world.ts';
import { SharedWorld } from '../../../simulation/sharing/shared-world.ts';

const failed = handlerFailed('agent', '', new Error('no'));
const agent = 'agent';

class World {
  readonly shared = new SharedWorld({ seed: 1 });
  readonly errors: string[] = [];
  readonly records = new Map<string, AgentRecord>();

  node(zone = 'default', liars = 1): { node: SharedNode; breakers: Breakers } {
    const node = this.shared.join(zone);
    const breakers = new Breakers({
      entries: node,
      zone,
      clock: node.clock,
      rng: node.rng,
      liars,
      registry: { lookup: (id) => this.records.get(id), query: () => [] },
      messaging: { call: () => Promise.reject(new Error('no calls here')) },
      onError: (error, where) => this.errors.push(`${where}: ${error instanceof Error ? error.message : error}`),
    });
    return { node, breakers };
  }

  register(id: string, fields: Partial<AgentRecord>): void {
    this.records.set(id, { id, capabilities: [], ...fields } as unknown as AgentRecord);
  }

  run(ms: number): Promise<void> {
    return this.shared.time.run(ms);
  }
}

/** One call that ends so; false when it was refused. */
function call(breakers: Breakers, error: unknown, to = agent, method = ''): boolean {
  let end: ((error: unknown) => void) | undefined;
  try {
    end = breakers.admit({ agent: to, method, deadlineAt: Number.POSITIVE_INFINITY, signal: undefined });
  } catch (_refused) {
    return false;
  }
  end?.(error);
  return true;
}

const fail = (breakers: Breakers, times: number): void => {
  for (let time = 0; time < times; time++) call(breakers, failed);
};

const codeOf = (action: () => unknown): string => {
  try {
    action();
  } catch (error) {
    if (error instanceof QuorateError) return error.code;
    throw error;
  }
  return 'nothing';
};

describe('outcomes', () => {
  test('the threshold and the share of failures both have to be reached', () => {
    const { breakers } = new World().node();
    const breaker = breakers.circuitBreaker({ agent, failureThreshold: 3, failureRatio: 0.5 });
    for (let time = 0; time < 4; time++) call(breakers, undefined);
    fail(breakers, 3);
    expect(breaker.state()).toBe('closed');
    fail(breakers, 1);
    expect(breaker.state()).toBe('open');
    expect(breaker.status().agents[0]).toMatchObject({ failures: 4, successes: 4, retryAfterMs: 30_000 });
  });

  test('failures older than the window are forgotten', async () => {
    const world = new World();
    const { breakers } = world.node();
    const breaker = breakers.circuitBreaker({ agent, failureThreshold: 3, windowMs: 1_000 });
    fail(breakers, 2);
    await world.run(1_001);
    fail(breakers, 2);
    expect(breaker.state()).toBe('closed');
    fail(breakers, 1);
    expect(breaker.state()).toBe('open');
  });

  test("slow calls are failures, ignored ones nothing; a classifier of one's own decides", async () => {
    const world = new World();
    const { breakers } = world.node();
    const seen: unknown[] = [];
    const breaker = breakers.circuitBreaker({
      agent,
      failureThreshold: 2,
      slowCallMs: 100,
      classify: (error, { method, ms }) => {
        seen.push([error, method, ms]);
        if (method === 'throws') throw new Error('classify');
        if (method === 'odd') return 'maybe' as never;
        return error === failed ? 'ignore' : 'success';
      },
    });
    fail(breakers, 5);
    const end = breakers.admit({ agent, method: 'slow', deadlineAt: 1e9, signal: undefined });
    await world.run(101);
    end?.(undefined);
    expect(breaker.status().agents[0]).toMatchObject({ failures: 1, successes: 0 });
    expect(seen.at(-1)).toEqual([undefined, 'slow', 101]);
    // What classifies badly is reported, and the usual judgement holds.
    call(breakers, undefined, agent, 'throws');
    call(breakers, undefined, agent, 'odd');
    expect(world.errors).toHaveLength(2);
    expect(breaker.status().agents[0]).toMatchObject({ failures: 1, successes: 2 });
  });

  test('a call from before the opening says nothing, neither while it is open nor after', async () => {
    const world = new World();
    const { breakers } = world.node();
    const breaker = breakers.circuitBreaker({ agent, failureThreshold: 2, recoveryTimeMs: 1_000 });
    const early = Array.from({ length: 5 }, () =>
      breakers.admit({ agent, method: '', deadlineAt: 1e9, signal: undefined }),
    );
    fail(breakers, 2);
    early[0]?.(undefined);
    expect(breaker.state()).toBe('open');
    await world.run(1_000);
    expect(breaker.state()).toBe('halfOpen');
    expect(call(breakers, undefined)).toBe(true);
    expect(breaker.state()).toBe('closed');
    for (const end of early.slice(1)) end?.(failed);
    expect(breaker.state()).toBe('closed');
  });

  test('a probe whose outcome is ignored moves nothing, and the next call probes', async () => {
    const world = new World();
    const { breakers } = world.node();
    const breaker = breakers.circuitBreaker({ agent, failureThreshold: 1, recoveryTimeMs: 1_000 });
    fail(breakers, 1);
    await world.run(1_000);
    expect(call(breakers, rejected(agent, 'no-such-method'))).toBe(true);
    expect(breaker.state()).toBe('halfOpen');
    const end = breakers.admit({ agent, method: '', deadlineAt: 1e9, signal: undefined });
    expect(call(breakers, undefined)).toBe(false);
    end?.(undefined);
    expect(breaker.state()).toBe('closed');
    expect(breaker.status()).toMatchObject({ probes: 2, refused: 1 });
  });
});

describe('what is protected', () => {
  test('one method, the others not', () => {
    const { breakers } = new World().node();
    const breaker = breakers.circuitBreaker({ agent, method: 'run', failureThreshold: 1 });
    expect(breaker.id).toBe('agent.run');
    call(breakers, failed, agent, 'other');
    expect(breaker.state()).toBe('closed');
    call(breakers, failed, agent, 'run');
    expect([call(breakers, undefined, agent, 'run'), call(breakers, undefined, agent, 'other')]).toEqual([false, true]);
  });

  test('each agent that matches has a state of its own', () => {
    const world = new World();
    world.register('a', { capabilities: ['llm'] });
    world.register('b', { capabilities: ['llm'] });
    world.register('c', { capabilities: ['db'] });
    const { breakers } = world.node();
    const breaker = breakers.circuitBreaker({ agent: { capabilities: 'llm' }, failureThreshold: 1 });
    for (const id of ['a', 'c', 'unknown']) call(breakers, failed, id);
    expect(['a', 'b', 'c', 'unknown'].map((id) => call(breakers, undefined, id))).toEqual([false, true, true, true]);
    expect(breaker.status().agents.map(({ agent: id, state }) => [id, state])).toEqual([
      ['a', 'open'],
      ['b', 'closed'],
    ]);
    expect(codeOf(() => breaker.state())).toBe('INVALID_ARGUMENT');
    expect([breaker.state('a'), breaker.state('b')]).toEqual(['open', 'closed']);
    breaker.reset('a');
    expect(breaker.state('a')).toBe('closed');
  });

  test('two breakers on one agent: both are told, and one that refuses costs the other nothing', async () => {
    const world = new World();
    const { breakers } = world.node();
    const strict = breakers.circuitBreaker({ agent, id: 'strict', failureThreshold: 1, recoveryTimeMs: 1_000 });
    const lax = breakers.circuitBreaker({ agent, id: 'lax', failureThreshold: 3, recoveryTimeMs: 10 });
    fail(breakers, 1);
    expect([strict.state(), lax.state()]).toEqual(['open', 'closed']);
    lax.trip({ ms: 10 });
    await world.run(11);
    expect(call(breakers, undefined)).toBe(false);
    expect(lax.status().agents[0]).toMatchObject({ failures: 1, successes: 0, state: 'closed' });
  });

  test('the refusal says what to do; a fallback that answers is counted', () => {
    const { breakers } = new World().node();
    const breaker = breakers.circuitBreaker({ agent, failureThreshold: 1, fallbackAgents: ['x', 'y'] });
    fail(breakers, 1);
    let refusal: unknown;
    try {
      breakers.admit({ agent, method: '', deadlineAt: 1e9, signal: undefined });
    } catch (error) {
      refusal = error;
    }
    expect((refusal as QuorateError).toJSON()).toMatchObject({
      code: 'REJECTED',
      data: { reason: 'circuit-open', breaker: agent, retryAfterMs: 30_000, fallbacks: ['x', 'y'] },
    });
    for (const error of [failed, undefined]) {
      breakers.admit({ agent: 'x', method: '', deadlineAt: 1e9, signal: undefined, insteadOf: refusal })?.(error);
    }
    expect(breaker.status()).toMatchObject({ fallbacks: 1, refused: 1 });
  });
});

describe('options', () => {
  test('every wrong one is named', () => {
    const { breakers } = new World().node();
    const wrong = {
      agent: '',
      id: 'x'.repeat(301),
      failureThreshold: 1.5,
      failureRatio: 2,
      windowMs: 0,
      recoveryTimeMs: Number.NaN,
      slowCallMs: -1,
      scope: 'world',
      fallbackAgents: ['a', 3],
      classify: 1,
    } as unknown as BreakerOptions;
    let error: unknown;
    try {
      breakers.circuitBreaker(wrong);
    } catch (thrown) {
      error = thrown;
    }
    expect((error as QuorateError).code).toBe('INVALID_ARGUMENT');
    for (const name of Object.keys(wrong)) expect((error as QuorateError).message).toContain(name);
    expect(codeOf(() => breakers.circuitBreaker(undefined as never))).toBe('INVALID_ARGUMENT');
    expect(() => breakers.circuitBreaker({} as never)).toThrow('agent must be an agent id, or criteria');
    const misspelt = { agent, failureTreshold: 1 } as unknown as BreakerOptions;
    expect(() => breakers.circuitBreaker(misspelt)).toThrow('failureTreshold is no option of a breaker');
    const upsideDown = { agent, recoveryTimeMs: 100, maxRecoveryTimeMs: 50 };
    expect(codeOf(() => breakers.circuitBreaker(upsideDown))).toBe('INVALID_ARGUMENT');
  });

  test('the same again is the same; another of that id is not made', () => {
    const { breakers } = new World().node();
    const breaker = breakers.circuitBreaker({ agent });
    expect(breakers.circuitBreaker({ agent, failureThreshold: 5 })).toBe(breaker);
    expect(codeOf(() => breakers.circuitBreaker({ agent, failureThreshold: 6 }))).toBe('ALREADY_EXISTS');
    expect(breakers.get(agent)).toBe(breaker);
    breaker[Symbol.dispose]();
    const next = breakers.circuitBreaker({ agent, failureThreshold: 6 });
    expect(next).not.toBe(breaker);
    // The former one protects nothing and touches nothing.
    expect(breaker.state()).toBe('closed');
    expect(codeOf(() => breaker.trip())).toBe('STOPPED');
    expect(codeOf(() => next.trip({ ms: -1 }))).toBe('INVALID_ARGUMENT');
    expect(codeOf(() => next.state('somebody else'))).toBe('INVALID_ARGUMENT');
    breakers.stop();
    expect(codeOf(() => breakers.circuitBreaker({ agent }))).toBe('STOPPED');
    expect(call(breakers, failed)).toBe(true);
  });

  test('there may be a thousand', () => {
    const { breakers } = new World().node();
    for (let index = 0; index < 1_000; index++) breakers.circuitBreaker({ agent: `a${index}` });
    expect(codeOf(() => breakers.circuitBreaker({ agent }))).toBe('LIMIT_EXCEEDED');
  });

  test('ids of any kind make keys that are short enough and differ', () => {
    const ids = ['a', 'a/b', 'a%b', 'ä'.repeat(100), 'ö'.repeat(100), '/', '%'];
    const keys = new Set(ids.map((id) => breakerKey(id, 'x'.repeat(256))));
    expect(keys.size).toBe(ids.length);
    for (const key of keys) expect(Buffer.byteLength(key)).toBeLessThanOrEqual(512);
    expect(breakerKey('a/b', 'c')).not.toBe(breakerKey('a', 'b/c'));
  });
});

describe('with other nodes', () => {
  const both = (world: World, options: Partial<BreakerOptions> = {}, liars = 1): [CircuitBreaker, CircuitBreaker] => {
    const [one, other] = [world.node('default', liars), world.node('default', liars)];
    return [one.breakers.circuitBreaker({ agent, ...options }), other.breakers.circuitBreaker({ agent, ...options })];
  };

  test('a reset anywhere closes it everywhere', async () => {
    const world = new World();
    const [one, other] = [world.node(), world.node()];
    const breakers = [one, other].map((node) => node.breakers.circuitBreaker({ agent, failureThreshold: 4 }));
    fail(one.breakers, 2);
    fail(other.breakers, 2);
    await world.run(50);
    expect(breakers.map((breaker) => breaker.state())).toEqual(['open', 'open']);
    expect(breakers[0]?.status().agents[0]?.counted.reporters).toHaveLength(2);
    breakers[1]?.reset();
    await world.run(50);
    expect(breakers.map((breaker) => breaker.state())).toEqual(['closed', 'closed']);
  });

  test('one node that trips it does so for itself; the node of the agent, and any two, for all', async () => {
    const world = new World();
    const [one, other] = both(world);
    one.trip();
    await world.run(50);
    expect([one.state(), other.state()]).toEqual(['open', 'closed']);
    one.reset();
    world.register(agent, { node: world.shared.nodes[0]?.self as AgentRecord['node'] });
    one.trip({ ms: 1_000 });
    await world.run(50);
    expect([one.state(), other.state()]).toEqual(['open', 'open']);
    await world.run(1_000);
    expect([one.state(), other.state()]).toEqual(['closed', 'closed']);
    world.records.clear();
    const third = world.node().breakers.circuitBreaker({ agent });
    one.trip();
    other.trip();
    await world.run(50);
    expect(third.state()).toBe('open');
    third.reset();
    await world.run(50);
    expect([one.state(), other.state(), third.state()]).toEqual(['closed', 'closed', 'closed']);
  });

  test('what is open by hand says so for as long as it is', async () => {
    const world = new World();
    const [one, other] = both(world);
    one.reset();
    one.trip();
    expect(one.status().agents[0]).toMatchObject({ state: 'open', reason: 'it was opened by hand' });
    world.register(agent, { node: world.shared.nodes[0]?.self as AgentRecord['node'] });
    await world.run(50);
    for (const { agents } of [one.status(), other.status()]) {
      expect(agents[0]).toMatchObject({ state: 'open', reason: 'it was opened by hand' });
    }
    one.reset();
    expect(one.status().agents[0]).toMatchObject({ state: 'closed', reason: undefined });
  });

  test('one that is open by hand at a node stays so there when a probe of others has closed it', async () => {
    const world = new World();
    const nodes = [world.node(), world.node(), world.node()];
    const options = { agent, failureThreshold: 4, recoveryTimeMs: 1_000 };
    const breakers = nodes.map((node) => node.breakers.circuitBreaker(options));
    const callers = nodes.slice(1);
    breakers[0]?.trip();
    for (const { breakers: caller } of callers) fail(caller, 2);
    await world.run(50);
    expect(breakers.map((breaker) => breaker.state())).toEqual(['open', 'open', 'open']);
    for (let turn = 0; turn < 100; turn++) {
      for (const { breakers: caller } of callers) call(caller, undefined);
      await world.run(50);
    }
    expect(breakers.map((breaker) => breaker.state())).toEqual(['open', 'closed', 'closed']);
    breakers[2]?.reset();
    await world.run(50);
    expect(breakers[0]?.state()).toBe('closed');
  });

  test('in a mesh that trusts all its nodes one that trips it does so for all', async () => {
    const world = new World();
    const [one, other] = both(world, {}, 0);
    one.trip();
    await world.run(50);
    expect(other.state()).toBe('open');
  });

  test('one that nobody calls any more is forgotten, also what it has said', async () => {
    const world = new World();
    const nodes = [world.node(), world.node(), world.node()];
    const options = { agent, failureThreshold: 4, recoveryTimeMs: 1_000, maxRecoveryTimeMs: 4_000 };
    const breakers = nodes.map((node) => node.breakers.circuitBreaker(options));
    // Two open it for all; then all wish to call once more, and have gone.
    for (const { breakers: callers } of nodes.slice(0, 2)) fail(callers, 2);
    await world.run(50);
    for (const { breakers: callers } of nodes) expect(call(callers, undefined)).toBe(false);
    await world.run(1_000);
    expect(breakers.map((breaker) => breaker.state())).toEqual(['halfOpen', 'halfOpen', 'halfOpen']);
    await world.run(100_000);
    expect(breakers.map((breaker) => breaker.state())).toEqual(['closed', 'closed', 'closed']);
    // The same for what is open at one node alone.
    fail(nodes[0]?.breakers as Breakers, 4);
    await world.run(1_000);
    expect(breakers.map((breaker) => breaker.state())).toEqual(['halfOpen', 'closed', 'closed']);
    await world.run(100_000);
    expect(breakers.map((breaker) => breaker.state())).toEqual(['closed', 'closed', 'closed']);
    expect(nodes.map(({ node }) => node.written.size)).toEqual([0, 0, 0]);
  });

  test('a zone keeps to itself', async () => {
    const world = new World();
    const nodes = ['a', 'a', 'b', 'b'].map((zone) => world.node(zone));
    const options = { agent, failureThreshold: 4, scope: 'zone' } as const;
    const breakers = nodes.map((node) => node.breakers.circuitBreaker(options));
    for (const node of nodes.slice(0, 2)) fail(node.breakers, 2);
    await world.run(50);
    expect(breakers.map((breaker) => breaker.state())).toEqual(['open', 'open', 'closed', 'closed']);
  });

  test('of scope node: nothing is said, nothing heard', async () => {
    const world = new World();
    const [one, other] = [world.node(), world.node()];
    const options = { agent, failureThreshold: 1, scope: 'node' } as const;
    const breakers = [one, other].map((node) => node.breakers.circuitBreaker(options));
    fail(one.breakers, 1);
    breakers[0]?.trip();
    await world.run(50);
    expect(breakers.map((breaker) => breaker.state())).toEqual(['open', 'closed']);
    expect(one.node.sent).toBe(0);
  });

  test('rubbish is counted and ignored; what is taken back at the stop is gone', async () => {
    const world = new World();
    const { breakers } = world.node();
    breakers.circuitBreaker({ agent });
    const liar = world.node().node;
    liar.set(breakerKey(agent, agent), 'rubbish');
    await world.run(50);
    liar.set(breakerKey(agent, agent), { g: 1 });
    await world.run(50);
    expect(breakers.malformed).toBe(2);
    const { node, breakers: others } = world.node();
    others.circuitBreaker({ agent });
    fail(others, 1);
    expect(node.written.size).toBe(1);
    others.stop();
    others.stop();
    expect(node.written.size).toBe(0);
  });

  test('a store that takes no more leaves a breaker for this node', () => {
    const world = new World();
    const { node, breakers } = world.node();
    const breaker = breakers.circuitBreaker({ agent, failureThreshold: 2 });
    node.set = () => {
      throw new QuorateError('LIMIT_EXCEEDED', 'full');
    };
    fail(breakers, 2);
    expect(breaker.state()).toBe('open');
    expect(world.errors[0]).toContain('full');
  });
});
