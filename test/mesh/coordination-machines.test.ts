/** Atoms and state machines as an application has them: four validators on real nodes, and a member that is none. */
import { describe, test } from 'vitest';
import { ensureNodeKey } from '../../src/composition/node-key.ts';
import { atomsConformance } from '../../src/conformance/coordination-atoms.ts';
import { conformanceMachines, stateMachinesConformance } from '../../src/conformance/coordination-machines.ts';
import type { Mesh } from '../../src/mesh.ts';
import type { Coordination } from '../../src/protocols/coordination/coordination.ts';
import { beside, directory } from './mesh-nodes.ts';

async function subject(): Promise<{ nodes: readonly [Coordination, Coordination]; stop(): Promise<void> }> {
  const directories = await Promise.all([0, 1, 2, 3].map(() => directory()));
  const ids = await Promise.all(directories.map((path) => ensureNodeKey(path)));
  const coordination = { validators: ids, f: 1, machines: conformanceMachines };
  const validators: Mesh[] = [];
  for (const dataDir of directories)
    validators.push(await beside(validators, { name: 'agree', dataDir, coordination }));
  const member = await beside(validators, { name: 'agree' });
  return {
    nodes: [member.coordination, (validators[0] as Mesh).coordination],
    stop: async () => void (await Promise.all([member, ...validators].map((mesh) => mesh.stop()))),
  };
}

describe('under four validators', () => {
  atomsConformance({ test, create: subject });
  stateMachinesConformance({ test, create: subject });
});
