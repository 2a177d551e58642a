/** An honest node in a process of its own, so that its memory and its life can be told from the attacker's. */
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { createMesh } from '../../src/mesh.ts';
import type { CallContext } from '../../src/protocols/messaging/messaging.ts';

const [, , name = ''] = process.argv;
const errors: string[] = [];
const silent = (): void => undefined;
const error = (message: string): void => void errors.push(message);
const mesh = await createMesh({
  mode: 'cluster',
  name,
  logger: { debug: silent, info: silent, warn: silent, error },
});
await mesh.registry.register('echo', (message: unknown) => message, { capabilities: ['work'] });
await mesh.registry.register(
  'never',
  (_message: unknown, { signal }: CallContext) =>
    new Promise((resolve) => signal.addEventListener('abort', () => resolve(undefined))),
  { capabilities: ['work'] },
);
await mesh.registry.register(
  'fountain',
  async function* () {
    for (;;) yield 'x'.repeat(10_000);
  },
  { capabilities: ['work'] },
);
await mesh.registry.register('large', () => 'x'.repeat(1_000_000), { capabilities: ['work'] });

setFlagsFromString('--expose-gc');
const collect = runInNewContext('gc') as () => void;

process.on('message', async () => {
  // Promises and finalizers settle between two collections.
  for (let round = 0; round < 3; round++) {
    collect();
    await new Promise((resolve) => setImmediate(resolve));
  }
  const { heapUsed, external } = process.memoryUsage();
  process.send?.({ liveBytes: heapUsed + external, peers: mesh.status().peers.length, errors });
});
process.on('disconnect', () => process.exit());
process.send?.({ id: mesh.id, address: mesh.status().addresses[0] });
