/** Random records, claims and criteria, from small alphabets so that they meet. */
import fc from 'fast-check';
import { completeFields, makeRecord } from '../../src/crdt/registry-record.ts';
import type { NodeId } from '../../src/node-id.ts';

export const authors = ['node-a', 'node-b', 'node-c', 'node-d'] as NodeId[];
export const agentIds = ['a', 'b', 'c', 'd', 'e', 'f', 'g', 'ä', '😀'];
const names = ['x', 'y', 'z'];

export const author = fc.constantFrom(...authors);
export const agentId = fc.constantFrom(...agentIds);

const amount = fc.constantFrom(0, 0.5, 1, 2);
const fields = fc
  .record(
    {
      capabilities: fc.uniqueArray(fc.constantFrom(...names), { maxLength: 3 }),
      kind: fc.constantFrom(...names),
      zone: fc.constantFrom(...names),
      health: fc.constantFrom('healthy' as const, 'degraded' as const, 'unhealthy' as const),
      capacity: fc.dictionary(fc.constantFrom('cpu', 'gpu'), amount, { noNullPrototype: true }),
      version: fc.constantFrom('1', '2'),
      custom: fc.record(
        {
          team: fc.constantFrom(...names),
          level: fc.oneof(amount, fc.constantFrom('1', 1n, null, true)),
          tags: fc.array(fc.constantFrom(...names), { maxLength: 3 }),
          at: fc.date({ min: new Date(0), max: new Date(3), noInvalidDate: true }),
        },
        { requiredKeys: [] },
      ),
    },
    { requiredKeys: [] },
  )
  .map((given) => completeFields(given, 'x'));

/** Few timestamps: many equal ones. */
export const record = fc
  .tuple(agentId, author, fields, fc.integer({ min: 1, max: 5 }))
  .map(([id, node, given, claimedAt]) => makeRecord(id, node, given, claimedAt));

const path = fc.constantFrom(
  'id',
  'node',
  'zone',
  'kind',
  'health',
  'capabilities',
  'version',
  'claimedAt',
  'capacity.cpu',
  'custom.team',
  'custom.level',
  'custom.tags',
  'custom.at',
  'no.where',
  '__proto__',
);
const orderable = fc.oneof(
  amount,
  fc.constantFrom<string | bigint>(...names, ...agentIds, ...authors, 'healthy', '1', 1n),
  fc.date({ min: new Date(0), max: new Date(3), noInvalidDate: true }),
);
const value = fc.oneof(
  { weight: 4, arbitrary: orderable },
  fc.constantFrom(null, true),
  fc.array(fc.constantFrom(...names), { maxLength: 2 }),
);
const list = fc.array(fc.oneof(orderable, fc.constant(null)), { maxLength: 3 });

const tuple = fc.oneof(
  fc.tuple(path, value, fc.constantFrom('eq' as const, 'neq' as const, 'contains' as const)),
  fc.tuple(path, orderable, fc.constantFrom('gt' as const, 'gte' as const, 'lt' as const, 'lte' as const)),
  fc.tuple(path, list, fc.constantFrom('in' as const, 'notIn' as const)),
);
const field = fc.oneof(
  { weight: 3, arbitrary: value },
  fc.record({ gte: orderable, lt: orderable }, { requiredKeys: ['gte'] }),
  fc.record({ in: list }),
  fc.record({ neq: value }),
);
export const criteria = fc.oneof(
  fc.array(tuple, { maxLength: 3 }),
  fc.dictionary(
    path.filter((name) => name !== '__proto__'),
    field,
    { maxKeys: 3, noNullPrototype: true },
  ),
);
