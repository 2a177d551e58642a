/** A process of the benchmark `barrier`: the nodes of one zone and the participants on them. */
import { createMesh, type Mesh } from '../../src/index.ts';

export interface HostConfig {
  readonly meshName: string;
  readonly zone: string;
  readonly nodes: number;
  readonly participantsPerNode: number;
  readonly bootstrap: readonly string[];
  readonly perZone: Readonly<Record<string, number>>;
}

export type ToHost =
  /** All nodes here come to the barrier at once, at this moment of the machine's clock. */
  { readonly strategy: 'flat' | 'hierarchical'; readonly generation: number; readonly at: number };

export type FromHost =
  | { readonly type: 'ready' }
  /** When the last one here was released, and what all nodes here have sent to the validators since their start. */
  | { readonly type: 'released'; readonly generation: number; readonly at: number; readonly toGroup: number };

/** Milliseconds on CLOCK_MONOTONIC, which all processes of a machine share. */
const machineNow = (): number => Number(process.hrtime.bigint()) / 1e6;
const send = (message: FromHost): void => void process.send?.(message);

const config = JSON.parse(process.argv[2] ?? '{}') as HostConfig;
const { meshName: name, zone, nodes, participantsPerNode, bootstrap, perZone } = config;
const meshes: Mesh[] = [];
for (let node = 0; node < nodes; node++) {
  meshes.push(await createMesh({ mode: 'cluster', name, zone, bootstrap, coordination: { timeoutMs: 60_000 } }));
}
const barriersOf = (strategy: ToHost['strategy']) =>
  Promise.all(meshes.map((mesh) => mesh.coordination.barrier({ id: `bench-${strategy}-${nodes}`, perZone, strategy })));
const barriers = { flat: await barriersOf('flat'), hierarchical: await barriersOf('hierarchical') };

function sentToGroup(): number {
  return meshes.reduce((sum, mesh) => sum + mesh.status().coordination.barriers.toGroup, 0);
}

async function pass({ strategy, generation, at }: ToHost): Promise<void> {
  while (machineNow() < at) await new Promise((resolve) => setImmediate(resolve));
  await Promise.all(
    barriers[strategy].flatMap((barrier, node) =>
      Array.from({ length: participantsPerNode }, (_, at) => barrier.arrive({ as: `${zone}-${node}-${at}` })),
    ),
  );
  send({ type: 'released', generation, at: machineNow(), toGroup: sentToGroup() });
}

process.on('message', (wish: ToHost) => {
  pass(wish).catch((error: unknown) => {
    console.error(error);
    process.exit(1);
  });
});
process.on('disconnect', () => process.exit(0));
send({ type: 'ready' });
