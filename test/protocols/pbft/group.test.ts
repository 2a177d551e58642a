import { describe, expect, it } from 'vitest';
import type { NodeId } from '../../../src/node-id.ts';
import {
  defaultParameters,
  foundingGroup,
  groupId,
  isValidator,
  primaryOf,
} from '../../../src/protocols/pbft/group.ts';
import { createReplica } from '../../../src/protocols/pbft/state.ts';
import { nodeNumber } from '../../simulation/pbft/keys.ts';
import { Ledger } from '../../simulation/pbft/ledger.ts';

const four = [0, 1, 2, 3].map(nodeNumber);

function replicaWith(parameters: object, options: object = {}): unknown {
  const application = new Ledger();
  const rest = { self: nodeNumber(0), sign: (bytes: Uint8Array) => bytes, name: 'g', application };
  return createReplica({ ...rest, founders: foundingGroup(four, 1), parameters, options });
}

describe('a group', () => {
  it('is refused when validators repeat, are no node ids, or are too few, saying what is wrong', () => {
    expect(() => foundingGroup([...four, nodeNumber(0)], 1)).toThrowError(/named twice/);
    expect(() => foundingGroup(['me' as NodeId, ...four], 1)).toThrowError(/'me' is not a node id/);
    expect(() => foundingGroup(four.slice(1), 1)).toThrowError(/at least 4 validators/);
  });

  it('is led by each validator in turn', () => {
    const group = foundingGroup(four, 1);
    expect([0, 1, 2, 3, 4, 4_000_001].map((view) => primaryOf(group, view))).toEqual(
      [0, 1, 2, 3, 0, 1].map(nodeNumber),
    );
    expect(isValidator(group, nodeNumber(4))).toBe(false);
  });

  it('has an id that depends on its name, its founders and its constants', () => {
    const group = foundingGroup(four, 1);
    const ids = [
      groupId('a', group, defaultParameters),
      groupId('b', group, defaultParameters),
      groupId('a', foundingGroup([...four].reverse(), 1), defaultParameters),
      groupId('a', foundingGroup(four, 0), defaultParameters),
      groupId('a', group, { ...defaultParameters, window: 512 }),
    ];
    expect(new Set(ids.map((id) => Buffer.from(id).toString('hex'))).size).toBe(5);
    expect(groupId('a', group, defaultParameters)).toEqual(ids[0]);
  });

  it('is refused with constants or options that cannot work', () => {
    expect(() => replicaWith({})).not.toThrow();
    for (const parameters of [{ checkpointInterval: 0 }, { window: 128 }, { window: 300 }, { chunkBytes: 1.5 }]) {
      expect(() => replicaWith(parameters)).toThrowError(expect.objectContaining({ code: 'INVALID_OPTIONS' }));
    }
    for (const options of [{ maxInFlight: 0 }, { requestTimeoutMs: -1 }, { statusIntervalMs: Number.NaN }]) {
      expect(() => replicaWith({}, options)).toThrowError(expect.objectContaining({ code: 'INVALID_OPTIONS' }));
    }
  });
});
