import { expect, test } from 'vitest';
import type { NodeId } from '../../../src/node-id.ts';
import { LocalMembership } from '../../../src/protocols/membership/local-membership.ts';

test('one process announces new capacity to itself', () => {
  const self = 'self' as NodeId;
  const info = { addresses: [], zone: 'z', roles: [], version: '1', incarnation: 0, startedAt: 5 };
  const membership = new LocalMembership(self, { ...info, capacity: { cpu: 1 } });
  membership.announce({ capacity: { cpu: 0.5, memoryMB: 100 } });
  expect(membership.get(self)).toEqual({
    ...info,
    id: self,
    state: 'alive',
    since: 5,
    rttMs: 0,
    capacity: { cpu: 0.5, memoryMB: 100 },
  });
  expect(membership.members()).toEqual([membership.get(self)]);
});
