import { describe, expect, it } from 'vitest';
import type { NodeId } from '../../../src/node-id.ts';
import { MeteredOrdering } from '../../../src/protocols/coordination/metered-ordering.ts';
import type { Ordering } from '../../../src/protocols/coordination/ordering.ts';
import { ManualClock } from '../registry/harness.ts';

const bytes = Uint8Array.of(1);

/** Takes as long as it is told to, or fails. */
function slowOrdering(clock: ManualClock, ms: number, error?: Error): Ordering {
  const unused = (): never => {
    throw new Error('not asked for');
  };
  return {
    self: 'me' as NodeId,
    async submit() {
      clock.advance(ms);
      if (error !== undefined) throw error;
      return bytes;
    },
    query: async () => Uint8Array.of(2),
    subscribe: unused,
    certify: unused,
  };
}

describe('MeteredOrdering', () => {
  it('tells how long each command took, while somebody listens', async () => {
    const clock = new ManualClock();
    const metered = new MeteredOrdering(slowOrdering(clock, 7), clock);
    const told: number[] = [];
    expect(await metered.submit(bytes)).toEqual(bytes);
    const stop = metered.onLatency((ms) => told.push(ms));
    await metered.submit(bytes);
    await metered.query(bytes);
    stop();
    await metered.submit(bytes);
    expect(told).toEqual([7]);
    expect(metered.self).toBe('me');
  });

  it('does not measure a command that failed, and fails like it', async () => {
    const clock = new ManualClock();
    const metered = new MeteredOrdering(slowOrdering(clock, 7, new Error('no quorum')), clock);
    const told: number[] = [];
    metered.onLatency((ms) => told.push(ms));
    await expect(metered.submit(bytes)).rejects.toThrow('no quorum');
    expect(told).toEqual([]);
  });
});
