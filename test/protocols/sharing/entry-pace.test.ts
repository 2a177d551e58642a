import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { NodeId } from '../../../src/node-id.ts';
import { SimulatedWorld } from '../../../src/p2p/simulated/world.ts';
import { EntryPace } from '../../../src/protocols/sharing/entry-pace.ts';

const author = 'author' as NodeId;
const keysOf = (count: number, prefix = 'k'): string[] => Array.from({ length: count }, (_, n) => `${prefix}${n}`);

function paced(seed = 1): { world: SimulatedWorld; pace: EntryPace; looked: string[] } {
  const world = new SimulatedWorld({ seed });
  const looked: string[] = [];
  const pace = new EntryPace(world.clock, (_, keys) => looked.push(...keys));
  return { world, pace, looked };
}

describe('EntryPace', () => {
  it('lets through what honest nodes say, at once and without a timer', async () => {
    const { pace, world } = paced();
    for (let n = 0; n < 100; n++) expect(pace.admit(author, keysOf(100))).toHaveLength(100);
    expect(pace.deferred).toBe(0);
    await world.run(1_000);
    expect(pace.admit(author, ['x'])).toEqual(['x']);
  });

  it('puts off what is too much, once for each key however often it changes', async () => {
    const { pace, world, looked } = paced();
    pace.admit(author, keysOf(10_000));
    for (let n = 0; n < 50; n++) expect(pace.admit(author, keysOf(1_000))).toEqual([]);
    expect(pace.deferred).toBe(50_000);
    await world.run(1_000);
    expect(looked.toSorted()).toEqual(keysOf(1_000).toSorted());
    expect(pace.admit('another' as NodeId, ['x'])).toEqual(['x']);
  });

  it('makes who comes and goes pay for it', async () => {
    const { pace, world } = paced();
    expect(pace.afford(author, 100_000)).toBe(true);
    expect(pace.afford(author, 1)).toBe(false);
    pace.forget(author);
    expect(pace.afford(author, 1)).toBe(false);
    await world.run(46_000);
    expect(pace.afford(author, 1)).toBe(true);
  });

  it('looks at everything in the end, and never at more than is allowed', async () => {
    const step = fc.record({ afterMs: fc.integer({ min: 0, max: 3_000 }), keys: fc.integer({ min: 0, max: 9_000 }) });
    await fc.assert(
      fc.asyncProperty(fc.array(step, { maxLength: 12 }), async (steps) => {
        const { pace, world, looked } = paced();
        const due = new Set<string>();
        let now = 0;
        for (const [n, { afterMs, keys }] of steps.entries()) {
          await world.run(afterMs);
          now += afterMs;
          const changed = keysOf(keys, `${n % 3}/`);
          for (const key of changed) due.add(key);
          looked.push(...pace.admit(author, changed));
          expect(looked.length).toBeLessThanOrEqual(10_000 + now * 2 + 1);
        }
        await world.run(60_000);
        expect(new Set(looked)).toEqual(due);
      }),
      { numRuns: 30 },
    );
  });
});
