/** One side of the visibility benchmark on Quorate: `writer` changes one of 100 entries each 10 ms, `reader` notes when it sees it. */
import { createMesh, type Registration } from '../../src/index.ts';
import { changeEvery, entry, machineNow, type Side, tell } from './side.ts';

const side = process.argv[2] as Side;
const bootstrap = process.argv[3] === undefined ? [] : [process.argv[3]];
const mesh = await createMesh({ mode: 'cluster', name: 'visibility', bootstrap });

if (side === 'reader') {
  tell({ type: 'ready', address: mesh.status().addresses[0] ?? '' });
  for await (const event of mesh.registry.watch()) {
    if (event.type !== 'update') continue;
    // The value is read back from the registry, as an application would.
    const sentAt = mesh.registry.lookup(event.record.id)?.custom['at'];
    if (typeof sentAt === 'number' && sentAt > 0) tell({ type: 'latency', ms: machineNow() - sentAt });
  }
} else {
  const registrations: Registration[] = [];
  for (let key = 0; key < 100; key++) {
    registrations.push(
      await mesh.registry.register(`entry-${key}`, () => undefined, { capabilities: ['a', 'b'], custom: entry(0, 0) }),
    );
  }
  tell({ type: 'ready', address: '' });
  await changeEvery(10, (round) => {
    // `at` is taken before the write, so the writer's own work counts too.
    void registrations[round % 100]?.update({ custom: entry(machineNow(), round) });
  });
}
