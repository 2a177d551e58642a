/** Variables of several nodes, over simulated entries. */
import fc from 'fast-check';
import * as v from 'valibot';
import { describe, expect, it } from 'vitest';
import { encodeValue } from '../../../src/codec.ts';
import type { NodeId } from '../../../src/node-id.ts';
import type { Value } from '../../../src/value.ts';
import { Fleet } from '../../simulation/variables/fleet.ts';

const temperature = { min: 0, max: 2, default: 0.7 } as const;
const liar = 'node-999' as NodeId;

describe('definitions', () => {
  it('that differ and were made at once: the later counts nowhere, until the earlier is gone', async () => {
    const fleet = new Fleet({ seed: 1 });
    const [one, two, three] = [fleet.join(), fleet.join(), fleet.join()];
    const first = one.variables.float('temperature', temperature);
    await fleet.run(0.5);
    const second = two.variables.float('temperature', { ...temperature, max: 1, step: 0.1 });
    await first.set(1.5);
    await second.set(0.3);
    await fleet.run(100);
    expect(first.conflict).toBeUndefined();
    expect(first.contributions().map(({ value }) => value)).toEqual([1.5]);
    expect(first.explain().ignored).toEqual([{ node: two.shared.self, reason: 'defined differently' }]);
    expect(two.conflicts).toEqual(['temperature']);
    expect(second.conflict).toMatchObject({
      code: 'DEFINITION_CONFLICT',
      data: {
        node: one.shared.self,
        difference: [
          { field: 'max', here: '1', there: '2' },
          { field: 'step', here: '0.1', there: 'undefined' },
        ],
      },
    });
    await expect(second.set(0.4)).rejects.toMatchObject({ code: 'DEFINITION_CONFLICT' });
    expect(() => second.report(1)).toThrowError(expect.objectContaining({ code: 'DEFINITION_CONFLICT' }));
    expect(() => three.variables.float('temperature', { ...temperature, max: 1, step: 0.1 })).toThrowError(
      /max is 1 here and 2 there/,
    );
    fleet.world.leave(one.shared);
    await fleet.run(100);
    expect(second.conflict).toBeUndefined();
    expect(second.value).toBe(0.3);
    await second.set(0.4);
    expect(second.value).toBe(0.4);
  });

  it('of a new version live beside the old one, and take its contributions over', async () => {
    const fleet = new Fleet({ seed: 2 });
    const [old, young] = [fleet.join(), fleet.join()];
    const percent = old.variables.float('share', { min: 0, max: 100, default: 50, resolve: 'median' });
    await percent.set(20);
    await fleet.run(100);
    const terms = { min: 0, max: 1, default: 0.5, version: 2, resolve: 'median' } as const;
    const share = young.variables.float('share', { ...terms, migrate: (value) => Number(value) / 100 });
    expect(share.value).toBe(0.2);
    await share.set(0.4);
    await fleet.run(100);
    expect(share.value).toBeCloseTo(0.3);
    expect(percent.value).toBe(20);
    expect(percent.explain().ignored).toEqual([{ node: young.shared.self, reason: 'of version 2, later than ours' }]);
  });

  it('of choices have the type of the choices, whatever the default is', () => {
    const { variables } = new Fleet({ seed: 20 }).join();
    const model = variables.choice('model', { choices: ['small', 'large'], default: 'small' });
    const shown: 'small' | 'large' = model.value;
    expect(shown).toBe('small');
    // @ts-expect-error A default that is no choice makes no choice of itself.
    const define = (): unknown => variables.choice('size', { choices: ['small', 'large'], default: 'tiny' });
    expect(define).toThrowError(/default must be an allowed value, and is none of the choices/);
  });

  it('in a zone concern that zone', async () => {
    const fleet = new Fleet({ seed: 3 });
    const [east, west, near] = [fleet.join('east'), fleet.join('west'), fleet.join('east')];
    const variables = [east, west, near].map(({ variables: of }) =>
      of.float('temperature', { ...temperature, scope: 'zone' }),
    );
    await variables[0]?.set(1);
    await fleet.run(100);
    expect(variables.map(({ value }) => value)).toEqual([1, 0.7, 1]);
    // Another zone may define it as it likes.
    variables[1]?.[Symbol.dispose]();
    await fleet.run(100);
    expect(west.variables.float('temperature', { ...temperature, max: 1, scope: 'zone' }).conflict).toBeUndefined();
    await fleet.run(100);
    expect(variables.map(({ conflict }) => conflict)).toEqual([undefined, undefined, undefined]);
  });

  it('are bounded in number', () => {
    const { variables } = new Fleet({ seed: 4 }).join();
    for (let index = 0; index < 1_000; index++) variables.boolean(`flag ${index}`, { scope: 'node' });
    expect(() => variables.boolean('one more')).toThrowError(expect.objectContaining({ code: 'LIMIT_EXCEEDED' }));
  });
});

describe('what is sent', () => {
  it('nothing in silence, at once after it, and seldom for who never stops', async () => {
    const fleet = new Fleet({ seed: 5 });
    const [one, two] = [fleet.join(), fleet.join()];
    const writer = one.variables.float('temperature', { ...temperature, resolve: 'lastWriter' });
    const reader = two.variables.float('temperature', { ...temperature, resolve: 'lastWriter' });
    await fleet.run(60_000);
    const before = one.shared.sent;
    let last = 0;
    for (let ms = 0; ms < 60_000; ms += 10) {
      last = (ms % 1_999) / 1_000;
      await writer.set(last);
      await fleet.run(10);
    }
    // The first 200, and ten a second.
    expect(one.shared.sent - before).toBeLessThan(200 + 60 * 10 + 2);
    await fleet.run(1_000);
    expect([writer.value, reader.value]).toEqual([last, last]);
    const after = one.shared.sent;
    await fleet.run(60_000);
    expect(one.shared.sent).toBe(after);
  });

  it('nothing of a variable that was disposed of', async () => {
    const fleet = new Fleet({ seed: 6 });
    const [one, two] = [fleet.join(), fleet.join()];
    const [mine, theirs] = [one, two].map(({ variables }) => variables.float('temperature', temperature));
    await mine?.set(1);
    await fleet.run(100);
    mine?.[Symbol.dispose]();
    await fleet.run(100);
    expect(theirs?.value).toBe(0.7);
    expect([...two.shared.keys()].map((key) => [...two.shared.of(key).keys()])).toEqual([[two.shared.self]]);
    expect(mine?.value).toBe(1);
  });
});

describe('entries of a liar', () => {
  const anything = fc.anything({ withBigInt: true, withDate: true, withMap: true }).filter((value) => {
    try {
      encodeValue(value);
      return true;
    } catch {
      return false;
    }
  }) as fc.Arbitrary<Value>;

  it('whatever they are, change nothing and throw nothing', async () => {
    const fleet = new Fleet({ seed: 7 });
    const { variables, shared, errors } = fleet.join();
    const variable = variables.choice('model', { choices: ['a', 'b'], default: 'a', threshold: 0.1 });
    await variable.set('b');
    fc.assert(
      fc.property(anything, fc.constantFrom('c/model', 'd/model', 'a/model'), (value, key) => {
        shared.take(liar, [[key, value]]);
        expect([variable.value, variable.conflict, errors.length]).toEqual(['b', undefined, 0]);
      }),
    );
  });

  it('a contribution from the future counts when it is time, and costs a timer at most', async () => {
    const fleet = new Fleet({ seed: 8 });
    const { variables, shared, hlc } = fleet.join();
    const variable = variables.float('temperature', temperature);
    await variable.set(1);
    const own = shared.own('c/temperature') as Record<string, Value>;
    shared.take(liar, [['c/temperature', { ...own, v: 2, t: hlc.now() + 90_000 * 2048 }]]);
    expect(variable.explain().ignored).toEqual([{ node: liar, reason: 'its clock is too far ahead' }]);
    await fleet.run(29_000);
    expect(variable.value).toBe(1);
    await fleet.run(2_000);
    expect(variable.value).toBe(1.5);
    shared.take(liar, [['c/temperature', { ...own, v: 2, t: Number.MAX_SAFE_INTEGER }]]);
    await fleet.run(60_000);
    expect(variable.value).toBe(1);
  });

  it('what it says to hold decides between near-ties only', async () => {
    const fleet = new Fleet({ seed: 9 });
    const { variables, shared, hlc } = fleet.join();
    const terms = { choices: ['a', 'b', 'c'], default: 'a', threshold: 0.1, maxWeight: 10 } as const;
    const variable = variables.choice('model', terms);
    await variable.set('b', { weight: 10 });
    const own = shared.own('c/model') as Record<string, Value>;
    const say = (voted: string, shown: string): void =>
      shared.take(liar, [['c/model', { ...own, v: voted, w: 9.5, h: { v: shown, s: hlc.now() } }]]);
    say('a', 'a');
    expect(variable.value).toBe('a');
    say('a', 'c');
    expect(variable.value).not.toBe('c');
    say('a', 'none of them');
    expect(['a', 'b']).toContain(variable.value);
  });
});

describe('composites', () => {
  const schema = v.object({ temperature: v.number(), model: v.string() });
  const options = {
    schema,
    default: { temperature: 0.7, model: 'small' },
    constraints: {
      'large is cool': ({ temperature, model }: { temperature: number; model: string }) =>
        model !== 'large' || temperature <= 1,
    },
    resolve: { fields: { temperature: 'median', model: 'majority' } },
  } as const;

  it('are resolved by field, and what one node allows another checks again', async () => {
    const fleet = new Fleet({ seed: 12 });
    const nodes = [fleet.join(), fleet.join(), fleet.join()];
    const variables = nodes.map(({ variables: of }) => of.composite('sampling', options));
    await variables[0]?.set({ temperature: 0.2, model: 'large' });
    await variables[1]?.set({ temperature: 0.4, model: 'small' });
    await variables[2]?.set({ temperature: 1.9, model: 'small' });
    await fleet.run(100);
    for (const variable of variables) expect(variable.value).toEqual({ temperature: 0.4, model: 'small' });
    await expect(variables[0]?.set({ temperature: 1.5, model: 'large' })).rejects.toMatchObject({
      code: 'OUT_OF_RANGE',
    });
    const own = nodes[0]?.shared.own('c/sampling') as Record<string, Value>;
    nodes[1]?.shared.take(liar, [['c/sampling', { ...own, v: { temperature: 1.5, model: 'large' } }]]);
    expect(variables[1]?.explain().ignored).toEqual([
      { node: liar, reason: 'constraint "large is cool" does not hold' },
    ]);
  });

  it('show the latest contribution where a mixture would not be allowed', async () => {
    const fleet = new Fleet({ seed: 13 });
    const variables = [fleet.join(), fleet.join(), fleet.join()].map(({ variables: of }) =>
      of.composite('sampling', options),
    );
    await variables[0]?.set({ temperature: 1.5, model: 'small' });
    await variables[1]?.set({ temperature: 0.1, model: 'large' });
    await fleet.run(10);
    await variables[2]?.set({ temperature: 0.9, model: 'large' });
    await fleet.run(100);
    // By field 0.9 and large, which may be.
    for (const variable of variables) expect(variable.value).toEqual({ temperature: 0.9, model: 'large' });
    await variables[1]?.set({ temperature: 1.8, model: 'small' });
    variables[0]?.withdraw();
    await fleet.run(100);
    // Between 0.9 and 1.8, with a tie of models: 1.35 and large may not be.
    for (const variable of variables) expect(variable.value).toEqual({ temperature: 1.8, model: 'small' });
  });
});

describe('readers', () => {
  it('too slow for all changes miss the oldest', async () => {
    const { variables } = new Fleet({ seed: 10 }).join();
    const variable = variables.integer('count', { min: 0, max: 10_000, default: 0, historySize: 3, scope: 'node' });
    const changes = variable.watch()[Symbol.asyncIterator]();
    for (let count = 1; count <= 5_000; count++) await variable.set(count);
    const seen: number[] = [];
    while (seen.at(-1) !== 5_000) seen.push((await changes.next()).value.value);
    expect(seen).toEqual(Array.from({ length: 1_000 }, (_, index) => 4_001 + index));
    expect(variable.history().map(({ value }) => value)).toEqual([4_998, 4_999, 5_000]);
    const asked = changes.next();
    await variable.set(1);
    expect((await asked).value).toMatchObject({ value: 1, previous: 5_000 });
  });

  it('a rule of the application that fails gives way to the latest contribution, and is reported', async () => {
    const { variables, errors } = new Fleet({ seed: 11 }).join();
    const rule = {
      name: 'broken',
      resolve: (all: readonly { readonly value: number }[]): number => {
        if ((all[0]?.value ?? 0) > 1) throw new Error('too hot');
        return Number.NaN;
      },
    };
    const variable = variables.float('temperature', { ...temperature, resolve: rule });
    await variable.set(0.3);
    await variable.set(1.3);
    expect(variable.value).toBe(1.3);
    expect(errors.map(String)).toEqual([
      'Error: Rule "broken" gave a value that is not allowed: out of range.',
      'Error: too hot',
    ]);
  });
});
