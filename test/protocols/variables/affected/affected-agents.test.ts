import fc from 'fast-check';
import { expect, test } from 'vitest';
import type { NodeId } from '../../../../src/node-id.ts';
import {
  affectedAgents,
  defaultMethod,
  tellerOf,
} from '../../../../src/protocols/variables/affected/affected-agents.ts';
import type { AffectedAgents } from '../../../../src/protocols/variables/variables.ts';

test('ids, criteria in both styles, and either with a method', () => {
  const method = defaultMethod;
  expect(affectedAgents(['a', 'b', 'a'])).toEqual({ criteria: { id: ['a', 'b'] }, ids: ['a', 'b'], method });
  expect(affectedAgents([])).toEqual({ criteria: { id: [] }, ids: [], method });
  expect(affectedAgents({ capabilities: 'llm' })).toEqual({ criteria: { capabilities: 'llm' }, ids: [], method });
  const tuples = [['kind', 'worker', 'eq']] as const;
  expect(affectedAgents(tuples)).toEqual({ criteria: tuples, ids: [], method });
  expect(affectedAgents({ agents: ['a'], method: 'tune' })).toEqual({
    criteria: { id: ['a'] },
    ids: ['a'],
    method: 'tune',
  });
  expect(affectedAgents({ agents: { zone: 'eu' } })).toEqual({ criteria: { zone: 'eu' }, ids: [], method });
});

test.each(['', 'x'.repeat(300), 7, null])('a method that is none is refused: %s', (method) => {
  const affects = { agents: ['a'], method } as unknown as AffectedAgents;
  expect(() => affectedAgents(affects)).toThrow(expect.objectContaining({ code: 'INVALID_ARGUMENT' }));
});

test('the own node of an agent tells it, or the least of those that can, whatever their order', () => {
  const ids = ['a', 'b', 'c', 'd', 'e'] as NodeId[];
  const definers = fc.uniqueArray(fc.constantFrom(...ids));
  fc.assert(
    fc.property(definers, fc.constantFrom(...ids), (some, home) => {
      const teller = tellerOf(home, some);
      expect(teller).toBe(some.includes(home) ? home : [...some].sort()[0]);
      expect(tellerOf(home, [...some].reverse())).toBe(teller);
    }),
  );
});
