import { describe, expect, test } from 'vitest';
import type { NodeId } from '../../../../src/node-id.ts';
import { rejected } from '../../../../src/protocols/messaging/outcome.ts';
import { maxWaiting } from '../../../../src/protocols/variables/affected/agent-teller.ts';
import { OneProcess, values } from './one-process.ts';

const news = (value: number) => ({ value, agreed: false });
const agreement = (value: number, at: number) => ({ value, agreed: true, at });
const never = () => new Promise(() => undefined);

describe('telling', () => {
  test('agents that are there, and those that come later, hear the present value and each change in order', async () => {
    const process = new OneProcess();
    const early = await process.agent('early');
    const audience = process.open({ capabilities: 'llm' });
    await process.world.run(1);
    for (const value of [1, 2, 3]) {
      process.present = news(value);
      audience.tell(process.present);
    }
    await process.world.run(1);
    const late = await process.agent('late');
    await process.world.run(1);
    audience.tell(news(4));
    await process.world.run(1);
    expect(values(early.told)).toEqual([0, 1, 2, 3, 4]);
    expect(values(late.told)).toEqual([3, 4]);
    const versions = early.told.map(({ version }) => version);
    expect(versions).toEqual([...new Set(versions)].sort((a, b) => a - b));
    expect(early.told[0]).toMatchObject({ variable: 'temperature', agreed: false, skipped: 0 });
    expect(audience.status()).toEqual({ affected: 2, untold: 0 });
    expect(process.errors).toEqual([]);
  });

  test('no handler runs before telling has returned, so an agent may cause the next change', async () => {
    const process = new OneProcess();
    const log: string[] = [];
    const { told } = await process.agent('a', ({ value }) => {
      log.push(`told ${value}`);
      if (value === 1) audience.tell(news(2));
    });
    const audience = process.open(['a']);
    await process.world.run(1);
    audience.tell(news(1));
    log.push('returned');
    await process.world.run(1);
    expect(log).toEqual(['told 0', 'returned', 'told 1', 'told 2']);
    expect(values(told)).toEqual([0, 1, 2]);
  });

  test('only those that are meant, by the method that was named', async () => {
    const process = new OneProcess();
    const meant = await process.agent('a', undefined, 'tune');
    const other = await process.agent('b', undefined, 'tune');
    process.open({ agents: ['a'], method: 'tune' });
    const nobody = process.open([]);
    await process.world.run(10);
    expect(meant.told).toHaveLength(1);
    expect(other.told).toEqual([]);
    expect(nobody.status()).toEqual({ affected: 0, untold: 0 });
  });

  test('nothing has been set: nothing is told yet', async () => {
    const process = new OneProcess();
    process.present = undefined;
    const { told } = await process.agent('a');
    const audience = process.open(['a']);
    await process.world.run(10);
    expect(told).toEqual([]);
    audience.tell(news(1));
    await process.world.run(10);
    expect(values(told)).toEqual([1]);
  });

  test('wrong criteria are refused at once', () => {
    const process = new OneProcess();
    expect(() => process.open([['kind', 'x', 'like']] as never)).toThrow(
      expect.objectContaining({ code: 'INVALID_CRITERIA' }),
    );
  });

  test('a handler that fails hears the same notice again, later and later, before the next', async () => {
    const process = new OneProcess();
    const times: number[] = [];
    const { told } = await process.agent('a', () => {
      times.push(process.world.now);
      if (times.length < 5) throw new Error('not yet');
    });
    const audience = process.open(['a']);
    audience.tell(news(1));
    await process.world.run(60_000);
    expect(values(told)).toEqual([0, 0, 0, 0, 0, 1]);
    expect(new Set(told.slice(0, 5).map(({ version }) => version)).size).toBe(1);
    const pauses = times.slice(1, 5).map((time, index) => time - (times[index] as number));
    for (const [index, ms] of pauses.entries()) {
      expect(ms).toBeGreaterThanOrEqual(50 * 2 ** index);
      expect(ms).toBeLessThanOrEqual(100 * 2 ** index);
    }
    expect(audience.status().untold).toBe(0);
  });

  test('a handler that always fails at one notice is told the next in the end, with a count of what was left out', async () => {
    const process = new OneProcess();
    const { told } = await process.agent('a', ({ value }) => {
      if (value === 0) throw new Error('never zero');
    });
    const audience = process.open(['a']);
    audience.tell(news(1));
    await process.world.run(600_000);
    expect(told.filter(({ value }) => value === 0)).toHaveLength(10);
    expect(told.at(-1)).toMatchObject({ value: 1, skipped: 1 });
    expect(process.errors).toHaveLength(1);
    expect(process.errors[0]).toContain("agent 'a' was left out");
  });

  test('a slow handler runs once for a notice, whose repeats join it', async () => {
    const process = new OneProcess();
    const { told } = await process.agent(
      'a',
      () => new Promise((resolve) => process.world.clock.after(12_000, () => resolve(1))),
    );
    const audience = process.open(['a']);
    await process.world.run(60_000);
    expect(values(told)).toEqual([0]);
    expect(audience.status().untold).toBe(0);
  });

  test('a fallback that answers while a breaker is open is not the agent', async () => {
    const process = new OneProcess();
    const { told } = await process.agent('a');
    const fallback = await process.agent('b');
    let open = true;
    process.messaging.setPolicy({
      admit: ({ agent }) => {
        if (open && agent === 'a') throw rejected('a', 'circuit-open', { fallbacks: ['b'] });
        return undefined;
      },
    });
    const audience = process.open(['a']);
    await process.world.run(1_000);
    expect(told).toEqual([]);
    expect(fallback.told).not.toEqual([]);
    expect(audience.status().untold).toBe(1);
    open = false;
    await process.world.run(10_000);
    expect(values(told)).toEqual([0]);
    expect(audience.status().untold).toBe(0);
  });

  test('a rate limit says when to come again', async () => {
    const process = new OneProcess();
    const { told } = await process.agent('a');
    let tries = 0;
    process.messaging.setPolicy({
      admit: () => {
        tries += 1;
        if (tries === 1) throw rejected('a', 'rate-limited', { retryAfterMs: 4_000 });
        return undefined;
      },
    });
    process.open(['a']);
    await process.world.run(3_999);
    expect(tries).toBe(1);
    await process.world.run(10);
    expect(values(told)).toEqual([0]);
  });

  test('an agent without the method is given up and told of once; anew when it is registered anew', async () => {
    const process = new OneProcess();
    const wrong = await process.agent('a', undefined, 'other');
    const audience = process.open(['a']);
    await process.world.run(1_000);
    audience.tell(news(1));
    await process.world.run(1_000);
    expect(process.errors).toHaveLength(1);
    expect(process.errors[0]).toContain("affects agent 'a'");
    expect(audience.status()).toEqual({ affected: 1, untold: 0 });
    const asked = await audience.tellAndWait(news(2), { timeoutMs: 1_000 });
    expect(asked.unacknowledged).toEqual([{ agent: 'a', reason: "it has no method 'variableChanged'" }]);
    await wrong.registration.unregister();
    process.present = news(2);
    const right = await process.agent('a');
    await process.world.run(1_000);
    expect(values(right.told)).toEqual([2]);
  });

  test('too slow for all of them: the oldest give way', async () => {
    const process = new OneProcess();
    let answer: () => void = () => undefined;
    const { told } = await process.agent('a', () => new Promise<void>((resolve) => (answer = resolve)));
    const audience = process.open(['a']);
    await process.world.run(1);
    for (let value = 1; value <= maxWaiting + 50; value++) audience.tell(news(value));
    expect(audience.status().untold).toBe(maxWaiting);
    answer();
    await process.world.run(1);
    expect(told[1]).toMatchObject({ value: 52, skipped: 51 });
  });

  test('gone agents cost nothing', async () => {
    const process = new OneProcess();
    const { registration } = await process.agent('a', never);
    const audience = process.open(['a']);
    audience.tell(news(1));
    await process.world.run(10);
    expect(audience.status()).toEqual({ affected: 1, untold: 2 });
    await registration.unregister();
    await process.world.run(10);
    expect(audience.status()).toEqual({ affected: 0, untold: 0 });
    audience.stop();
    expect(process.errors).toEqual([]);
  });
});

describe('who tells', () => {
  test('an agent is told here from when no other node defines the variable on its node', async () => {
    const process = new OneProcess();
    process.definers = ['another' as NodeId];
    const { told } = await process.agent('a');
    const audience = process.open(['a']);
    audience.tell(news(1));
    await process.world.run(10);
    expect(told).toEqual([]);
    expect(audience.status()).toEqual({ affected: 1, untold: 0 });
    process.definers = ['another' as NodeId, 'me' as NodeId];
    process.present = news(1);
    audience.definersChanged();
    audience.definersChanged();
    await process.world.run(10);
    expect(values(told)).toEqual([1]);
    // Once more: the last words of the one before may have come late.
    await process.world.run(5_000);
    expect(values(told)).toEqual([1, 1]);
    process.definers = [];
    audience.definersChanged();
    audience.tell(news(2));
    await process.world.run(10);
    expect(values(told)).toEqual([1, 1]);
  });

  test('one that told an agent of another looks again, and corrects itself until what it said is true', async () => {
    const process = new OneProcess();
    const { told } = await process.agent('a');
    const audience = process.open(['a']);
    await process.world.run(10);
    process.definers = ['another' as NodeId];
    audience.definersChanged();
    await process.world.run(500);
    process.present = news(1);
    audience.tell(process.present);
    await process.world.run(100);
    expect(values(told)).toEqual([0]);
    await process.world.run(500);
    expect(values(told)).toEqual([0, 1]);
    process.present = news(2);
    await process.world.run(1_100);
    expect(values(told)).toEqual([0, 1, 2]);
    await process.world.run(1_100);
    process.present = news(3);
    await process.world.run(60_000);
    expect(values(told)).toEqual([0, 1, 2]);
  });

  test('what a waiter of another node had told is held against the present value as well', async () => {
    const process = new OneProcess();
    process.definers = ['another' as NodeId];
    const { told } = await process.agent('a');
    const audience = process.open(['a']);
    await process.world.settled(audience.tellAndWait(agreement(5, 7), { timeoutMs: 1_000 }));
    process.present = news(6);
    await process.world.run(5_000);
    expect(values(told)).toEqual([5, 6]);
  });

  test('what waits when another takes over is not told here', async () => {
    const process = new OneProcess();
    let answer: () => void = () => undefined;
    const { told } = await process.agent('a', () => new Promise<void>((resolve) => (answer = resolve)));
    const audience = process.open(['a']);
    await process.world.run(1);
    audience.tell(news(1));
    process.definers = [];
    audience.definersChanged();
    answer();
    await process.world.run(100_000);
    expect(values(told)).toEqual([0]);
    expect(audience.status().untold).toBe(0);
  });
});

describe('tellAndWait', () => {
  test('names who acknowledged and who did not, with why', async () => {
    const process = new OneProcess();
    await process.agent('good');
    await process.agent('bad', () => {
      throw new Error('no thanks');
    });
    await process.agent('slow', never);
    process.present = undefined;
    const audience = process.open({ capabilities: 'llm' });
    const result = await process.world.settled(audience.tellAndWait(agreement(1, 7), { timeoutMs: 2_000 }));
    expect(result.acknowledged).toEqual(['good']);
    expect(result.unacknowledged.map(({ agent }) => agent)).toEqual(['bad', 'slow']);
    expect(result.unacknowledged[0]?.reason).toContain('no thanks');
    expect(result.unacknowledged[1]?.reason).toBe('no answer within 2000 ms');
  });

  test('asks those that another node tells, and one agreement is told once', async () => {
    const process = new OneProcess();
    process.present = undefined;
    const { told } = await process.agent('a');
    const audience = process.open(['a']);
    const wait = audience.tellAndWait(agreement(1, 7), { timeoutMs: 1_000 });
    audience.tell(agreement(1, 7));
    expect(await process.world.settled(wait)).toEqual({ acknowledged: ['a'], unacknowledged: [] });
    expect(told).toEqual([{ variable: 'temperature', value: 1, version: 7, agreed: true, skipped: 0 }]);
    process.definers = ['another' as NodeId];
    audience.definersChanged();
    await process.world.settled(audience.tellAndWait(agreement(2, 8), { timeoutMs: 1_000 }));
    expect(values(told)).toEqual([1, 2]);
  });

  test('does not wait out the pause of earlier failures', async () => {
    const process = new OneProcess();
    let up = false;
    const tries: number[] = [];
    await process.agent('a', () => {
      tries.push(process.world.now);
      if (!up) throw new Error('starting');
    });
    const audience = process.open(['a']);
    await process.world.run(60_000);
    // Pauses grow up to ten seconds.
    expect(tries.length).toBeGreaterThan(9);
    expect(process.world.now - (tries.at(-1) as number)).toBeLessThanOrEqual(10_000);
    expect((tries.at(-1) as number) - (tries.at(-2) as number)).toBeGreaterThanOrEqual(5_000);
    up = true;
    const before = process.world.now;
    const result = await process.world.settled(audience.tellAndWait(news(1), { timeoutMs: 1_000 }));
    expect(result.acknowledged).toEqual(['a']);
    expect(process.world.now - before).toBeLessThan(10);
  });

  test('ends when cancelled, when stopped, when the agent goes, and at once with nobody', async () => {
    const process = new OneProcess();
    process.present = undefined;
    const { registration } = await process.agent('a', never);
    const audience = process.open(['a']);
    const cancel = new AbortController();
    const cancelled = audience.tellAndWait(news(1), { timeoutMs: 60_000, signal: cancel.signal });
    cancel.abort();
    const late = audience.tellAndWait(news(1), { timeoutMs: 60_000, signal: cancel.signal });
    for (const { unacknowledged } of await Promise.all([cancelled, late])) {
      expect(unacknowledged).toEqual([{ agent: 'a', reason: 'the wait was cancelled' }]);
    }
    const left = audience.tellAndWait(news(1), { timeoutMs: 60_000 });
    await registration.unregister();
    expect((await left).unacknowledged).toEqual([{ agent: 'a', reason: 'it is gone (unregistered)' }]);
    const nobody = process.open({ capabilities: 'nobody has' });
    expect(await nobody.tellAndWait(news(1), { timeoutMs: 60_000 })).toEqual({
      acknowledged: [],
      unacknowledged: [],
    });
    // Who was named and is not there has not acknowledged it.
    expect(await audience.tellAndWait(news(1), { timeoutMs: 60_000 })).toEqual({
      acknowledged: [],
      unacknowledged: [{ agent: 'a', reason: 'no agent of that name is registered' }],
    });
    nobody.stop();
    await process.agent('a', never);
    const stopped = audience.tellAndWait(news(1), { timeoutMs: 60_000 });
    audience.stop();
    expect((await stopped).unacknowledged).toHaveLength(1);
    expect(audience.status()).toEqual({ affected: 0, untold: 0 });
    await process.world.run(100_000);
    expect(process.errors).toEqual([]);
  });
});
