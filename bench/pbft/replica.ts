/** A process of the benchmarks `pbft` and `barrier`: one validator on its own data directory, until the parent hangs up or kills it. */
import { createMesh, type NodeId } from '../../src/index.ts';

export interface ReplicaConfig {
  readonly meshName: string;
  readonly directory: string;
  readonly validators: readonly NodeId[];
  readonly f: number;
  readonly bootstrap: readonly string[];
}

export interface FromReplica {
  readonly address: string;
}

const config = JSON.parse(process.argv[2] ?? '{}') as ReplicaConfig;
const mesh = await createMesh({
  mode: 'cluster',
  name: config.meshName,
  dataDir: config.directory,
  bootstrap: config.bootstrap,
  coordination: { validators: config.validators, f: config.f },
});
mesh.on('validatorFailed', ({ error }) => {
  console.error(error);
  process.exit(1);
});
// A profile is written at an orderly end only.
process.on('disconnect', () => void mesh.stop().finally(() => process.exit(0)));
process.send?.({ address: mesh.status().addresses[0] ?? '' } satisfies FromReplica);
