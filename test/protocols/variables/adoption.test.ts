/** Looking at what others have defined, and taking part in it. */
import { describe, expect, it } from 'vitest';
import { isQuorateError } from '../../../src/errors.ts';
import type { CompositeOptions } from '../../../src/protocols/variables/variables.ts';
import { Fleet, type FleetNode } from '../../simulation/variables/fleet.ts';

const temperature = { min: 0, max: 2, step: 0.1, default: 0.7 };
const anything: CompositeOptions<never>['schema'] = {
  '~standard': { version: 1, vendor: 'test', validate: (value: unknown) => ({ value }) },
} as never;

async function pair(): Promise<{ fleet: Fleet; definer: FleetNode; other: FleetNode }> {
  const fleet = new Fleet({ seed: 1 });
  const [definer, other] = [fleet.join(), fleet.join()];
  await fleet.run(100);
  return { fleet, definer, other };
}

const coded = (code: string): unknown => expect.toSatisfy((error) => isQuorateError(error, code as 'STOPPED'));

describe('an observed variable', () => {
  it('shows what it would show if it were defined here, and writes nothing', async () => {
    const { fleet, definer, other } = await pair();
    const variable = definer.variables.float('temperature', temperature);
    await fleet.run(100);
    using observed = other.variables.observe('temperature');
    expect(observed.value).toBe(0.7);
    const changes = observed.watch()[Symbol.asyncIterator]();
    await variable.set(1.2);
    await fleet.run(100);
    expect(observed.value).toBe(1.2);
    expect(observed.explain().counted).toMatchObject([{ node: definer.shared.self, share: 1 }]);
    expect(await changes.next()).toMatchObject({ value: { value: 1.2, previous: 0.7, cause: definer.shared.self } });
    expect([other.shared.sent, other.variables.status(), variable.contributions().length]).toEqual([0, [], 1]);
  });

  it('is shared by who looks at it, and ends with the last of them', async () => {
    const { fleet, definer, other } = await pair();
    definer.variables.float('temperature', temperature);
    await fleet.run(100);
    const [one, two] = [other.variables.observe('temperature'), other.variables.observe('temperature')];
    const changes = two.watch()[Symbol.asyncIterator]();
    one[Symbol.dispose]();
    one[Symbol.dispose]();
    const next = changes.next();
    two[Symbol.dispose]();
    expect(await next).toMatchObject({ done: true });
  });

  it('ends when this node defines it, which is then what is observed', async () => {
    const { fleet, definer, other } = await pair();
    definer.variables.float('temperature', temperature);
    await fleet.run(100);
    const before = other.variables.observe('temperature');
    const next = before.watch()[Symbol.asyncIterator]().next();
    const own = other.variables.float('temperature', temperature);
    expect(await next).toMatchObject({ done: true });
    await own.set(1);
    expect(other.variables.observe('temperature').value).toBe(1);
    before[Symbol.dispose]();
    expect(own.value).toBe(1);
  });

  it('follows a later version', async () => {
    const { fleet, definer, other } = await pair();
    const first = definer.variables.float('temperature', temperature);
    await fleet.run(100);
    const old = other.variables.observe('temperature');
    const ended = old.watch()[Symbol.asyncIterator]().next();
    first[Symbol.dispose]();
    definer.variables.float('temperature', { ...temperature, max: 9, version: 2 });
    await fleet.run(100);
    const renewed = other.variables.observe('temperature');
    expect(await ended).toMatchObject({ done: true });
    await definer.variables.get('temperature')?.set(5);
    await fleet.run(100);
    expect(renewed.value).toBe(5);
  });

  it('cannot be had when nobody announces it, or part of it is code', async () => {
    const { fleet, definer, other } = await pair();
    definer.variables.composite('shape', { schema: anything, default: 1 as never });
    definer.variables.float('own', { ...temperature, resolve: { name: 'first', resolve: ([one]) => one?.value ?? 0 } });
    await fleet.run(100);
    expect(() => other.variables.observe('nothing')).toThrow(coded('NOT_FOUND'));
    for (const name of ['shape', 'own']) {
      expect(() => other.variables.observe(name)).toThrow(coded('INVALID_ARGUMENT'));
      expect(() => other.variables.adopt(name)).toThrow(coded('INVALID_ARGUMENT'));
    }
    expect(other.variables.announced().map(({ obstacle }) => obstacle)).toEqual([
      expect.stringContaining("rule 'custom(first)' is code"),
      expect.stringContaining('schema'),
    ]);
    other.variables.stop();
    expect(() => other.variables.observe('own')).toThrow(coded('STOPPED'));
    expect(() => other.variables.adopt('own')).toThrow(coded('STOPPED'));
  });
});

describe('an adopted variable', () => {
  it.each([
    ['float', (node: FleetNode) => node.variables.float('x', { ...temperature, unit: '°C', affects: undefined }), 1.5],
    [
      'integer',
      (node: FleetNode) => node.variables.integer('x', { min: -3, max: 9, default: 0, resolve: 'median' }),
      -2,
    ],
    ['boolean', (node: FleetNode) => node.variables.boolean('x', { default: true, maxWeight: 3 }), false],
    [
      'choice',
      (node: FleetNode) =>
        node.variables.choice('x', { choices: ['a', 'b'], default: 'a', threshold: 0.1, cooldownMs: 5 }),
      'b',
    ],
  ] as const)('is defined as others have it: %s', async (_kind, define, value) => {
    const { fleet, definer, other } = await pair();
    const variable = define(definer);
    await fleet.run(100);
    const adopted = other.variables.adopt('x');
    await adopted.set(value);
    await fleet.run(100);
    expect(variable.value).toBe(value);
    expect(variable.contributions()).toMatchObject([{ node: other.shared.self }]);
    expect(definer.variables.announced()).toMatchObject([
      { definedBy: [definer.shared.self, other.shared.self], conflicts: [] },
    ]);
    expect([definer.conflicts, other.conflicts, adopted.conflict]).toEqual([[], [], undefined]);
  });

  it('refuses numbers out of range, and is the same for whoever asks again', async () => {
    const { fleet, definer, other } = await pair();
    definer.variables.float('x', temperature);
    await fleet.run(100);
    const adopted = other.variables.adopt('x');
    expect(other.variables.adopt('x')).toBe(adopted);
    expect(other.variables.announced()[0]?.here).toBe('adopted');
    await expect(adopted.set(3)).rejects.toThrow(coded('OUT_OF_RANGE'));
    // The program defines it after all: then it is the program's.
    expect(other.variables.float('x', temperature)).toBe(adopted);
    expect(other.variables.announced()[0]?.here).toBe('defined');
    expect(definer.variables.adopt('x')).toBe(definer.variables.get('x'));
    expect(definer.variables.announced()[0]?.here).toBe('defined');
  });
});
