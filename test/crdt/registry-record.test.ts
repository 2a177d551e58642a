import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { decodeValue, encodeValue } from '../../src/codec.ts';
import { entryOfRecord, type Problems, readFields, recordOfEntry } from '../../src/crdt/registry-record.ts';
import type { NodeId } from '../../src/node-id.ts';
import type { Value } from '../../src/value.ts';
import { record } from './registry-arbitraries.ts';

const author = 'node-a' as NodeId;
const good = { claimedAt: 5, zone: 'z', capabilities: ['c'] };

/** Everything reachable from a value that could be changed by whoever holds it. */
function unfrozen(value: unknown): unknown[] {
  if (typeof value !== 'object' || value === null) return [];
  if (value instanceof Date || value instanceof Map || value instanceof Uint8Array) return [];
  return [...(Object.isFrozen(value) ? [] : [value]), ...Object.values(value).flatMap(unfrozen)];
}

describe('recordOfEntry', () => {
  it('reads back what entryOfRecord wrote, over the wire', () => {
    fc.assert(
      fc.property(record, (one) => {
        const decoded = decodeValue(encodeValue(entryOfRecord(one)));
        expect(decoded.ok).toBe(true);
        const read = recordOfEntry(one.id, one.node, decoded.ok ? decoded.value : undefined);
        expect(read).toEqual({ ok: true, record: one });
        expect(read.ok && unfrozen(read.record)).toEqual([]);
      }),
    );
  });

  it('gives a frozen record or a reason for any value, and never throws', () => {
    const anything = fc.anything({
      withBigInt: true,
      withDate: true,
      withMap: true,
      withTypedArray: true,
      maxDepth: 4,
    });
    const nearly = fc
      .tuple(
        fc.dictionary(
          fc.constantFrom(...Object.keys(good), 'custom', 'health', 'capacity', 'preferences', 'kind'),
          anything,
        ),
      )
      .map(([wrong]) => ({ ...good, ...wrong }));
    fc.assert(
      fc.property(fc.string(), fc.oneof(anything, nearly), (id, entry) => {
        const read = recordOfEntry(id, author, entry as Value);
        if (read.ok) expect(unfrozen(read.record)).toEqual([]);
        else expect(read.reason.length).toBeGreaterThan(0);
      }),
      { numRuns: 1000 },
    );
  });

  it('bounds what a record can hold', () => {
    const accepts = (id: string, changes: object): boolean =>
      recordOfEntry(id, author, { ...good, ...changes } as Value).ok;
    expect(accepts('x'.repeat(256), {})).toBe(true);
    expect(accepts('x'.repeat(257), {})).toBe(false);
    expect(accepts('ä'.repeat(128), {})).toBe(true);
    expect(accepts('ä'.repeat(129), {})).toBe(false);
    expect(accepts('', {})).toBe(false);
    expect(accepts('\ud800', {})).toBe(false);
    const names = (count: number): string[] => Array.from({ length: count }, (_, at) => `c${at}`);
    expect(accepts('x', { capabilities: names(64) })).toBe(true);
    expect(accepts('x', { capabilities: names(65) })).toBe(false);
    const resources = (count: number): object => Object.fromEntries(names(count).map((name) => [name, 1]));
    expect(accepts('x', { capacity: resources(32) })).toBe(true);
    expect(accepts('x', { capacity: resources(33) })).toBe(false);
    expect(accepts('x', { custom: { text: 'x'.repeat(16_000) } })).toBe(true);
    expect(accepts('x', { custom: { text: 'x'.repeat(16_400) } })).toBe(false);
    expect(accepts('x', { custom: { bytes: new Uint8Array(16_400) } })).toBe(false);
    expect(accepts('x', { custom: { list: new Array(1_000).fill(0) } })).toBe(true);
    expect(accepts('x', { custom: { list: new Array(1_100).fill(0) } })).toBe(false);
    const nested = (depth: number): object => (depth === 0 ? {} : { in: nested(depth - 1) });
    expect(accepts('x', { custom: nested(15) })).toBe(true);
    expect(accepts('x', { custom: nested(17) })).toBe(false);
    expect(accepts('x', { claimedAt: Number.MAX_SAFE_INTEGER + 1 })).toBe(false);
  });

  it('does not look into prototypes', () => {
    let ran = false;
    const trap = Object.create(null, {
      x: {
        enumerable: false,
        get() {
          ran = true;
          return 1;
        },
      },
    });
    class Sneaky {
      get zone(): string {
        ran = true;
        return 'z';
      }
    }
    expect(recordOfEntry('x', author, { ...good, custom: trap }).ok).toBe(true);
    expect(recordOfEntry('x', author, new Sneaky() as never).ok).toBe(false);
    expect(ran).toBe(false);
  });
});

describe('readFields', () => {
  it('names every field that is wrong', () => {
    const problems: Problems = new Map();
    readFields(
      {
        capabilities: 'x',
        kind: 5,
        zone: '',
        health: 'undead',
        capacity: { cpu: Number.NaN, gpu: -1 },
        preferences: { latencySensitive: 'very', consistency: 'none' },
        version: {},
        custom: { deep: { fn: () => 1 } },
      },
      problems,
    );
    expect([...problems.keys()].sort()).toEqual([
      'capabilities',
      'capacity.cpu',
      'capacity.gpu',
      'custom.deep.fn',
      'health',
      'kind',
      'preferences.consistency',
      'preferences.latencySensitive',
      'version',
      'zone',
    ]);
  });
});
