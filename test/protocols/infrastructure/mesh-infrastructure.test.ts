/** How breakers, limits and meters act as one policy; each alone has its own tests. */
import { describe, expect, it } from 'vitest';
import { MeshInfrastructure } from '../../../src/protocols/infrastructure/mesh-infrastructure.ts';
import type { AttemptEnd, AttemptInfo, CallPolicy } from '../../../src/protocols/messaging/call-policy.ts';

type Admission = AttemptEnd | undefined | Promise<AttemptEnd | undefined>;

const attempt: AttemptInfo = { agent: 'a', method: '', deadlineAt: 1, signal: undefined };

/** A part that answers as the test says, and notes in `log` what it is asked and told. */
function part(log: string[], name: string, admission?: () => Promise<void> | Error | undefined) {
  const end: AttemptEnd = (error) =>
    void log.push(`${name} told ${error instanceof Error ? error.message : 'success'}`);
  return {
    circuitBreaker: () => undefined,
    rateLimiter: () => undefined,
    monitor: () => undefined,
    status: () => [],
    stop: () => void log.push(`${name} stopped`),
    admit(): Admission {
      log.push(`${name} asked`);
      const answer = admission?.();
      if (answer instanceof Error) throw answer;
      return answer === undefined ? end : answer.then(() => end);
    },
  };
}

function infrastructureOf(
  log: string[],
  limiter?: () => Promise<void> | Error | undefined,
  breaker?: () => Error | undefined,
): { readonly infrastructure: MeshInfrastructure; readonly policies: (CallPolicy | undefined)[] } {
  const policies: (CallPolicy | undefined)[] = [];
  const parts = {
    breakers: part(log, 'breaker', breaker),
    limiters: part(log, 'limiter', limiter),
    monitors: part(log, 'meter'),
  };
  const infrastructure = new MeshInfrastructure(
    parts as unknown as ConstructorParameters<typeof MeshInfrastructure>[0],
    (policy) => policies.push(policy),
  );
  return { infrastructure, policies };
}

describe('MeshInfrastructure as a policy', () => {
  it('asks breaker, limiter and meter in this order, and tells all how it ended', () => {
    const log: string[] = [];
    const end = infrastructureOf(log).infrastructure.admit(attempt) as AttemptEnd;
    end(undefined);
    expect(log).toEqual([
      'breaker asked',
      'limiter asked',
      'meter asked',
      'breaker told success',
      'limiter told success',
      'meter told success',
    ]);
  });

  it('uses up no limit for what a breaker refuses', () => {
    const log: string[] = [];
    const { infrastructure } = infrastructureOf(log, undefined, () => new Error('open'));
    expect(() => infrastructure.admit(attempt)).toThrow('open');
    expect(log).toEqual(['breaker asked']);
  });

  it('tells the breaker of an attempt that the limit refused, at once or after waiting', async () => {
    const log: string[] = [];
    expect(() => infrastructureOf(log, () => new Error('limited')).infrastructure.admit(attempt)).toThrow('limited');
    const waiting = infrastructureOf(log, () => Promise.reject(new Error('full'))).infrastructure.admit(attempt);
    await expect(waiting).rejects.toThrow('full');
    expect(log).toEqual([
      'breaker asked',
      'limiter asked',
      'breaker told limited',
      'breaker asked',
      'limiter asked',
      'breaker told full',
    ]);
  });

  it('starts the meter only when the turn has come', async () => {
    const log: string[] = [];
    const turn = Promise.withResolvers<void>();
    const admitted = infrastructureOf(log, () => turn.promise).infrastructure.admit(attempt);
    expect(log).toEqual(['breaker asked', 'limiter asked']);
    turn.resolve();
    ((await admitted) as AttemptEnd)(new Error('late'));
    expect(log.slice(2)).toEqual(['meter asked', 'breaker told late', 'limiter told late', 'meter told late']);
  });

  it('stands in the way of calls only once there is something to ask', () => {
    const { infrastructure, policies } = infrastructureOf([]);
    infrastructure.rateLimiter({ id: 'by hand', requestsPerSecond: 1 });
    infrastructure.monitor({ id: 'm', metric: 'cpu' });
    expect(policies).toEqual([]);
    infrastructure.monitor({ id: 'm', metric: 'callLatency' });
    infrastructure.rateLimiter({ id: 'l', requestsPerSecond: 1, agents: 'a' });
    infrastructure.circuitBreaker({ agent: 'a' });
    expect(policies).toEqual([infrastructure, infrastructure, infrastructure]);
    infrastructure.stop();
    expect(policies.at(-1)).toBeUndefined();
  });
});
