/** What the doctor says of variables that other nodes define differently. */
import { describe, expect, it } from 'vitest';
import { diagnoseTuning } from '../../src/control/tuning-diagnosis.ts';
import type { Mesh, MeshStatus, NodeId } from '../../src/index.ts';

type AnnouncedVariable = ReturnType<Mesh['variables']['announced']>[number];

const nothing = {
  variables: [],
  infrastructure: { breakers: [], limiters: [], monitors: [] },
} as unknown as MeshStatus;
const announced = (name: string, isContradicted: boolean): AnnouncedVariable => ({
  name,
  kind: 'float',
  scope: 'cluster',
  zone: undefined,
  sync: 'eventual',
  rule: 'median',
  definedVersion: 1,
  terms: {},
  definedBy: ['one' as NodeId],
  here: undefined,
  otherVersions: [],
  conflicts: isContradicted
    ? [{ node: 'two' as NodeId, difference: [{ field: 'max', stands: '2', differs: '5' }] }]
    : [],
  isAgreed: false,
  obstacle: undefined,
});

describe('definitions in conflict', () => {
  it('of other nodes are told with what differs', () => {
    expect(diagnoseTuning(nothing, [announced('x', true), announced('y', false)])).toEqual([
      {
        check: 'variables',
        level: 'warn',
        found: "'x' is defined differently by two: max is 2, there 5",
        advice: expect.any(String),
      },
    ]);
    expect(diagnoseTuning(nothing, [announced('y', false)])).toMatchObject([{ level: 'ok' }]);
    expect(diagnoseTuning(nothing, [])).toEqual([]);
  });

  it('of this node are told once, as a failure', () => {
    const own = {
      ...nothing,
      variables: [{ name: 'x', conflict: 'It is defined differently.' }],
    } as unknown as MeshStatus;
    const checks = diagnoseTuning(own, [announced('x', true)]);
    expect(checks).toMatchObject([{ level: 'fail', found: expect.stringContaining('counts nowhere') }]);
  });
});
