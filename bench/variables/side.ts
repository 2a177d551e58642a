/** One side of the visibility part of the benchmark of variables: `writer` sets a variable to the time it is, `reader` notes how late it shows it. */
import { createMesh } from '../../src/index.ts';
import { changeEvery, machineNow, type Side, tell } from '../visibility/side.ts';

const side = process.argv[2] as Side;
const bootstrap = process.argv[3] === undefined ? [] : [process.argv[3]];
const mesh = await createMesh({ mode: 'cluster', name: 'variables', bootstrap });
const clock = mesh.variables.float('clock', { min: 0, max: 1e15, default: 0, resolve: 'lastWriter' });

if (side === 'reader') {
  tell({ type: 'ready', address: mesh.status().addresses[0] ?? '' });
  for await (const _ of clock.watch()) tell({ type: 'latency', ms: machineNow() - clock.value });
} else {
  tell({ type: 'ready', address: '' });
  // The time is taken before the write, so the writer's own work counts too.
  await changeEvery(10, () => void clock.set(machineNow()));
}
